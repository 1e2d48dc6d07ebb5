//! The few words of the WebDriver protocol that driving one window takes, over plain HTTP on loopback.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::plain_http::{self, Answer};
use crate::process::Background;

/// WebDriver's own name of the field that holds an element's reference.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// WebKitGTK's driver, and how to reach it.
pub struct Driver {
    program: Background,
    port: u16,
}

/// A window that was opened by the driver.
pub struct Window<'a> {
    driver: &'a Driver,
    session: String,
}

impl Driver {
    /// Starts the driver; the windows that it opens get the same `environment`.
    pub fn start(environment: &[(&str, String)], log: &File) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new("WebKitWebDriver");
        command.arg(format!("--port={port}")).stdout(log.try_clone()?).envs(environment.iter().cloned());
        // Both make the window accept the driver.
        command.env("TAURI_WEBVIEW_AUTOMATION", "true").env("TAURI_AUTOMATION", "true");
        let mut driver = Self { program: Background::start(&mut command, log)?, port };
        driver.wait_until_it_listens()?;
        Ok(driver)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            ensure!(!self.program.has_ended(), "WebKitWebDriver ended before it listened; see its log");
            ensure!(begun.elapsed() < Duration::from_secs(20), "WebKitWebDriver does not listen after 20 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Opens the window of `program`.
    pub fn open(&self, program: &Path) -> Result<Window<'_>> {
        let options = json!({ "binary": program, "args": [] });
        let wish = json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let answer = self.ask("POST", "/session", Some(&wish))?;
        let session = answer["sessionId"].as_str().context("the driver gave no session")?.to_owned();
        Ok(Window { driver: self, session })
    }

    /// Lets it, and the window that it opened, run on after this program.
    pub fn keep(self) {
        self.program.keep();
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map_or_else(String::new, Value::to_string);
        let answer = plain_http::ask(self.port, method, path, &[], &body, Duration::from_mins(1))
            .context("the driver does not answer")?;
        let value = parse(&answer)?;
        match value["error"].as_str() {
            Some(error) => bail!("{error}: {}", value["message"].as_str().unwrap_or_default()),
            None => Ok(value),
        }
    }
}

/// The `value` of an answer.
fn parse(answer: &Answer) -> Result<Value> {
    let mut whole: Value = serde_json::from_str(answer.body.trim())
        .with_context(|| format!("the driver answers {}", answer.status))?;
    Ok(whole["value"].take())
}

impl Window<'_> {
    /// Waits until an element is there. Returns its reference.
    pub fn wait_for(&self, css: &str, patience: Duration) -> Result<String> {
        let begun = Instant::now();
        loop {
            match self.find(css) {
                Ok(element) => return Ok(element),
                Err(error) if begun.elapsed() > patience => {
                    let seconds = patience.as_secs();
                    return Err(error.context(format!("`{css}` did not appear within {seconds} s")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn find(&self, css: &str) -> Result<String> {
        let found = self.ask("POST", "/element", Some(&json!({ "using": "css selector", "value": css })))?;
        Ok(found[ELEMENT].as_str().context("the driver gave no element")?.to_owned())
    }

    /// Waits until an element is there and clicks it.
    pub fn click(&self, css: &str, patience: Duration) -> Result<()> {
        let element = self.wait_for(css, patience)?;
        self.ask("POST", &format!("/element/{element}/click"), Some(&json!({}))).map(drop)
    }

    /// An element's text as it is shown.
    pub fn text(&self, css: &str) -> Result<String> {
        let element = self.find(css)?;
        let text = self.ask("GET", &format!("/element/{element}/text"), None)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Writes a picture of the page.
    pub fn screenshot(&self, file: &Path) -> Result<()> {
        let picture = self.ask("GET", "/screenshot", None)?;
        let bytes = STANDARD.decode(picture.as_str().context("the driver gave no picture")?)?;
        std::fs::write(file, bytes).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Closes the window.
    pub fn close(self) -> Result<()> {
        self.driver.ask("DELETE", &format!("/session/{}", self.session), None).map(drop)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.driver.ask(method, &format!("/session/{}{path}", self.session), body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_an_answer_is_read_and_what_is_none_is_told_with_its_status() {
        let answer = |status: &str, body: &str| Answer { status: status.to_owned(), body: body.to_owned() };
        let good = answer("HTTP/1.1 200 OK", "{\"value\":{\"sessionId\":\"7\"}}");
        assert_eq!(parse(&good).unwrap()["sessionId"], "7");
        let bad = answer("HTTP/1.1 500 Oops", "<html>");
        assert!(parse(&bad).unwrap_err().to_string().contains("500 Oops"));
    }
}
