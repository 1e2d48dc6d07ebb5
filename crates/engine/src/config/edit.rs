//! Changing the file: comments and order stay, the whole file is replaced at once, only its owner may read it.

use std::io::Write;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use super::file::is_name;
use super::{Config, Error, load};
use crate::api::environments::{EnvironmentKind, NewEnvironment, SignInFlow};

/// Adds an environment to the file of `config` and reads the file again.
///
/// - **Errors:** a name that is taken or cannot be one; anything that reading the result would refuse, in which case
///   the file stays as it was.
pub fn add(config: &Config, new: &NewEnvironment) -> Result<Config, Error> {
    if !is_name(&new.name) {
        return Err(Error::BadName { name: new.name.chars().take(80).collect() });
    }
    if config.environment(&new.name).is_ok() {
        return Err(Error::NameTaken { name: new.name.clone() });
    }
    change(&config.path, |document| {
        let environments = document.entry("environments").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let mut table = Table::new();
        table["kind"] = value(kind_word(new.kind));
        table["login_url"] = value(new.login_url.trim());
        let optional = [
            ("client_id", new.client_id.as_deref()),
            ("sign_in", new.sign_in.map(flow_word)),
            ("redirect_url", new.redirect_url.as_deref()),
            ("database_url", new.database_url.as_deref()),
            ("redis_url", new.redis_url.as_deref()),
            ("currency", new.currency.as_deref()),
        ];
        for (key, text) in optional {
            if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
                table[key] = value(text);
            }
        }
        environments[&new.name] = Item::Table(table);
    })
}

/// Takes an environment out of the file. Its database and its org stay as they are.
pub fn remove(config: &Config, name: &str) -> Result<Config, Error> {
    config.environment(name)?;
    change(&config.path, |document| {
        if let Some(environments) = document.get_mut("environments").and_then(Item::as_table_like_mut) {
            environments.remove(name);
        }
        if document.get("use").and_then(Item::as_str) == Some(name) {
            document.remove("use");
        }
    })
}

/// Remembers which environment a person works in; production must still be named in commands.
pub fn use_environment(config: &Config, name: &str) -> Result<Config, Error> {
    config.environment(name)?;
    change(&config.path, |document| document["use"] = value(name))
}

/// Lets an environment sign in another way from now on.
pub fn use_flow(config: &Config, name: &str, flow: SignInFlow) -> Result<Config, Error> {
    config.environment(name)?;
    change(&config.path, |document| document["environments"][name]["sign_in"] = value(flow_word(flow)))
}

/// Applies `edit` to the file under a lock, checks that the result can be read, and replaces the file at once.
fn change(path: &Path, edit: impl FnOnce(&mut DocumentMut)) -> Result<Config, Error> {
    let failed = |source| Error::File { path: path.to_owned(), doing: "written", source };
    let folder = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    // Two programs that edit at once must not lose each other's change.
    let lock = std::fs::File::create(folder.join(".config.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;

    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::File { path: path.to_owned(), doing: "read", source }),
    };
    // A file that cannot be read is reported as reading reports it, and left alone.
    load(Some(path))?;
    let mut document: DocumentMut = text.parse().unwrap_or_default();
    edit(&mut document);

    let mut draft = folder.join(path.file_name().unwrap_or_default());
    draft.set_extension("toml.new");
    write_private(&draft, &document.to_string()).map_err(failed)?;
    if let Err(error) = load(Some(&draft)) {
        let _ = std::fs::remove_file(&draft);
        return Err(match error {
            Error::Malformed { line, key, found, expected, .. } => {
                Error::Malformed { path: path.to_owned(), line, key, found, expected }
            }
            other => other,
        });
    }
    std::fs::rename(&draft, path).map_err(failed)?;
    load(Some(path))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The word of a kind in the file.
pub fn kind_word(kind: EnvironmentKind) -> &'static str {
    match kind {
        EnvironmentKind::Demo => "demo",
        EnvironmentKind::Development => "development",
        EnvironmentKind::Staging => "staging",
        EnvironmentKind::Production => "production",
    }
}

fn flow_word(flow: SignInFlow) -> &'static str {
    match flow {
        SignInFlow::Browser => "browser",
        SignInFlow::Jwt => "jwt",
        SignInFlow::ClientCredentials => "client-credentials",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(name: &str) -> NewEnvironment {
        NewEnvironment {
            name: name.to_owned(),
            kind: EnvironmentKind::Demo,
            login_url: "http://localhost:8790".to_owned(),
            client_id: None,
            sign_in: None,
            redirect_url: None,
            database_url: None,
            redis_url: None,
            currency: None,
        }
    }

    #[test]
    fn adding_keeps_comments_and_removing_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(
            &path,
            "# ours\n[environments.a]\nkind = \"demo\" # first\nlogin_url = \"http://localhost:1\"\n",
        )
        .unwrap();
        let config = add(&load(Some(&path)).unwrap(), &demo("b")).unwrap();
        assert_eq!(config.environments.len(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("# ours") && text.contains("# first"), "{text}");
        let config = remove(&config, "a").unwrap();
        assert_eq!(config.environments.len(), 1);
        assert_eq!(config.environments[0].name, "b");
    }

    #[test]
    fn what_cannot_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut wrong = demo("a");
        wrong.login_url = "ftp://example.com".to_owned();
        let error = add(&load(Some(&path)).unwrap(), &wrong).unwrap_err().to_string();
        assert!(error.contains("config.toml") && error.contains("`login_url`"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn another_way_of_signing_in_is_remembered_beside_the_comments() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = "[environments.a] # ours\nkind = \"demo\"\nlogin_url = \"http://localhost:1\"\n";
        std::fs::write(&path, text).unwrap();
        let config = use_flow(&load(Some(&path)).unwrap(), "a", SignInFlow::Jwt).unwrap();
        assert_eq!(config.environments[0].sign_in, SignInFlow::Jwt);
        assert!(std::fs::read_to_string(&path).unwrap().contains("# ours"));
    }

    #[test]
    fn a_name_is_used_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let config = add(&load(Some(&path)).unwrap(), &demo("a")).unwrap();
        assert!(matches!(add(&config, &demo("a")), Err(Error::NameTaken { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        add(&load(Some(&path)).unwrap(), &demo("a")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
