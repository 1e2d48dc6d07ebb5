//! A simulated org in another process, and what it is told through its control page.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::plain_http;
use crate::process::Background;

/// The longest that the org may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running org.
pub struct BenchOrg {
    _program: Background,
    /// Open as long as it may print.
    _output: BufReader<ChildStdout>,
    base_url: String,
    pubsub_endpoint: String,
    control: Control,
}

/// The way to an org's control page.
#[derive(Debug)]
pub struct Control {
    port: u16,
    token: String,
}

/// Changes to make, each a transaction of its own with one event.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The text field of Product2 that is written.
    pub field: &'static str,
    /// How many changes.
    pub changes: u64,
    /// How many of them a second; none: as fast as possible.
    pub per_second: Option<u32>,
    /// Characters of the text: an event is about 250 bytes larger.
    pub characters: usize,
}

impl BenchOrg {
    /// Starts one.
    ///
    /// - `command`: the program, with `demo-org --json` and what else it takes.
    pub fn start(command: &mut Command, log: &File) -> Result<Self> {
        let mut program = Background::start(command.stdout(Stdio::piped()), log)?;
        let mut output = BufReader::new(program.take_output().context("the org has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let facts: Value = serde_json::from_str(&line).context("the simulated org did not start")?;
        let text = |name: &str| {
            facts[name].as_str().map(str::to_owned).with_context(|| format!("the org does not say {name}"))
        };
        let control = Control::of(&text("control_page")?)?;
        Ok(Self {
            base_url: text("base_url")?,
            pubsub_endpoint: text("pubsub_endpoint")?,
            control,
            _program: program,
            _output: output,
        })
    }

    /// The environment that signs in to it.
    pub fn environment(&self) -> String {
        format!(
            "[environments.bench]\nkind = \"demo\"\nlogin_url = \"{}\"\npubsub_endpoint = \"{}\"\n\
             sign_in = \"client-credentials\"\ndatabase_url = \"embedded\"\n",
            self.base_url, self.pubsub_endpoint
        )
    }

    /// Its control page.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

impl Control {
    /// `http://127.0.0.1:4711/#token` → port and token.
    fn of(page: &str) -> Result<Self> {
        let rest = page.strip_prefix("http://").context("the control page has another kind of address")?;
        let (host, path) = rest.split_once('/').context("the control page has no path")?;
        let port = host.rsplit_once(':').context("the control page has no port")?.1.parse()?;
        let token = path.trim_start_matches(['#', '?']);
        Ok(Self { port, token: token.strip_prefix("token=").unwrap_or(token).to_owned() })
    }

    /// Begins to make changes; does not wait for the last.
    pub fn start_load(&self, load: Load) -> Result<()> {
        let wish = json!({
            "object": "Product2",
            "field": load.field,
            "changes": load.changes,
            "per_second": load.per_second,
            "characters": load.characters,
        });
        self.ask("POST", "/api/load", &wish).map(drop)
    }

    /// Changes one record.
    pub fn change(&self, object: &str, id: &str, fields: &Value) -> Result<()> {
        self.ask("PATCH", &format!("/api/records/{object}/{id}"), fields).map(drop)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let token = format!("Authorization: Bearer {}", self.token);
        let answer = plain_http::ask(self.port, method, path, &[token], &body.to_string(), PATIENCE)?;
        ensure!(answer.is_success(), "{method} {path}: {}, {}", answer.status, answer.body);
        serde_json::from_str(&answer.body).context("the org's answer is no JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_and_token_are_read_from_the_address_of_the_control_page() {
        for page in
            ["http://127.0.0.1:4711/#abc", "http://127.0.0.1:4711/?token=abc", "http://[::1]:4711/#token=abc"]
        {
            let control = Control::of(page).unwrap();
            assert_eq!((control.port, control.token.as_str()), (4711, "abc"), "{page}");
        }
    }
}
