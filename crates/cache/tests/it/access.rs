//! Who may do what: errors that say what is missing.

use cache::{Cache, Error, Options};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::LONG;
use crate::servers::{Cluster, Server, cli};

fn cache_as(server: &Server, user: &str, password: &str) -> Cache {
    let url = cache::parse_url(&format!("redis://{user}@127.0.0.1:{}", server.port())).unwrap();
    Cache::new(Options::new(&url, Some(SecretString::from(password))).unwrap())
}

/// A server with the user `shop`, who may do what `rules` say.
fn guarded(rules: &[&str]) -> Server {
    let server = Server::start();
    server.cli(&[&["ACL", "SETUSER", "shop", "on", ">secret"], rules].concat());
    server.cli(&["SET", "catalog:a", "v"]);
    server
}

async fn flush(cache: &Cache) -> Result<u64, Error> {
    cache.flush("catalog:*", &|_| (), &CancellationToken::new()).await.map(|flushed| flushed.deleted)
}

/// What the README tells people to allow.
const LEAST: [&str; 15] = [
    "~catalog:*",
    "~{catalog:*}:lease",
    "+ping",
    "+scan",
    "+unlink",
    "+get",
    "+mget",
    "+set",
    "+del",
    "+eval",
    "+evalsha",
    "+info",
    "+dbsize",
    "+memory|usage",
    "+pttl",
];

#[tokio::test]
async fn a_user_with_the_least_rights_can_do_everything() {
    let server = guarded(&LEAST);
    server.cli(&["SET", "catalog:a", "v"]);
    let cache = cache_as(&server, "shop", "secret");
    do_everything(&cache, 1).await;
}

#[tokio::test]
async fn the_least_rights_suffice_in_a_cluster_too() {
    let cluster = Cluster::start(0);
    let rules = [&LEAST[..], &["+cluster|slots", "+cluster|nodes", "+asking"]].concat();
    for server in &cluster.servers {
        server.cli(&[&["ACL", "SETUSER", "shop", "on", ">secret"], rules.as_slice()].concat());
    }
    cli(cluster.servers[0].port(), &["-c", "SET", "catalog:a", "v"]);
    let url = cluster.url().replace("redis-cluster://", "redis-cluster://shop:secret@");
    do_everything(&crate::cache_at(&url), 3).await;
}

async fn do_everything(cache: &Cache, masters: usize) {
    assert_eq!(cache.servers().await.unwrap().len(), masters);
    let preview = cache.preview("catalog:*", 1, &CancellationToken::new()).await.unwrap();
    assert!(preview.bytes > Some(0) && preview.examples[0].bytes.is_some());
    assert_eq!(flush(cache).await.unwrap(), 1);
    let cache::Look::Leased(token) = cache.look("catalog:a", LONG).await.unwrap() else { panic!() };
    assert!(cache.fill("catalog:a", &token, b"v", LONG).await.unwrap());
    assert_eq!(cache.delete(&["catalog:a".to_owned()]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_told_from_a_dead_server() {
    let server = guarded(&["~*", "+@all"]);
    for (user, password) in [("shop", "wrong"), ("nobody", "secret")] {
        let error = cache_as(&server, user, password).get("catalog:a").await.unwrap_err();
        assert!(matches!(&error, Error::SignIn { user: named, .. } if named == user), "{error}");
        assert!(!error.is_transient() && !error.to_string().contains(password), "{error}");
    }
    let locked = Server::with(&["--requirepass", "secret"]);
    let error = crate::cache_at(&locked.url()).get("a").await.unwrap_err();
    assert!(matches!(error, Error::SignIn { .. }), "{error}");
    let with_password = format!("redis://:secret@127.0.0.1:{}", locked.port());
    assert_eq!(crate::cache_at(&with_password).get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_forbidden_command_is_named_with_the_rule_that_allows_it() {
    for (command, rule) in [("scan", "+scan"), ("unlink", "+unlink")] {
        let server = guarded(&["~*", "+@all", &format!("-{command}")]);
        let error = flush(&cache_as(&server, "shop", "secret")).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Forbidden { .. }), "{text}");
        assert!(
            text.contains(&command.to_uppercase()) && text.contains(&format!("ACL SETUSER shop {rule}")),
            "{text}"
        );
        assert_eq!(server.cli(&["EXISTS", "catalog:a"]), "1");
    }
    for (command, rule) in [("eval", "+eval"), ("evalsha", "+evalsha"), ("set", "+get +set +del")] {
        let server = guarded(&["~*", "+@all", &format!("-{command}")]);
        let error = cache_as(&server, "shop", "secret").look("catalog:b", LONG).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Forbidden { .. }), "{command}: {text}");
        assert!(text.contains(&format!("ACL SETUSER shop {rule}")), "{text}");
    }
    let server = guarded(&["~*", "+@all", "-info"]);
    let error = cache_as(&server, "shop", "secret").servers().await.unwrap_err().to_string();
    assert!(error.contains("ACL SETUSER shop +info"), "{error}");
}

#[tokio::test]
async fn keys_out_of_bounds_are_told_from_forbidden_commands() {
    let server = guarded(&["~catalog:*", "+@all"]);
    let error = cache_as(&server, "shop", "secret").delete(&["eligibility:1".to_owned()]).await.unwrap_err();
    assert!(
        matches!(error, Error::Forbidden { .. }) && error.to_string().contains("UNLINK on these keys"),
        "{error}"
    );
}

#[tokio::test]
async fn who_may_not_ask_for_sizes_gets_a_preview_without_them() {
    let server = guarded(&["~*", "+@all", "-memory|usage", "-pttl"]);
    let preview =
        cache_as(&server, "shop", "secret").preview("catalog:*", 5, &CancellationToken::new()).await.unwrap();
    assert_eq!((preview.keys, preview.bytes, preview.bytes_exact), (1, None, false));
    assert_eq!((preview.examples[0].bytes, preview.examples[0].expires_in), (None, None));
}

#[tokio::test]
async fn a_key_of_another_kind_is_refused_and_not_mistaken_for_a_miss() {
    let server = Server::start();
    server.cli(&["HSET", "catalog:a", "field", "v"]);
    let cache = crate::cache_at(&server.url());
    let error = cache.look("catalog:a", LONG).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { .. }) && !error.is_transient(), "{error}");
    assert_eq!(cache.delete(&["catalog:a".to_owned()]).await.unwrap(), 1);
}
