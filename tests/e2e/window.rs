//! One window of the console on folders of its own, and what a person does in it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;

/// How long anything on screen may take: a first database is initialised within it.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often the screen is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A window, the driver that moves it, and the folder that it writes into.
pub struct Window {
    client: Client,
    driver: Driver,
    /// Goes last: its database ends when nobody uses it any more.
    folder: Folder,
}

/// Ends the driver, and with it the window and its web processes, however the test ends.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        // Killed alone it would leave a window that nobody closes. The window's own programs are asked for before,
        // each is ended by its number.
        let window = descendants(self.0.id());
        let _ = self.0.kill();
        let _ = self.0.wait();
        for process in window {
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
        }
    }
}

/// The folder that the console writes into; however the test ends, no database stays behind.
struct Folder(TempDir);

impl Drop for Folder {
    fn drop(&mut self) {
        stop_database(&self.0);
    }
}

impl Window {
    /// Opens the console as on a machine that never saw it.
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// Opens the console as on a machine that never saw it, with these variables.
    pub async fn open_with(variables: &[(&str, &str)]) -> Self {
        Self::open_in(folder(), variables).await
    }

    /// Opens the console on a machine whose configuration is this.
    pub async fn open_configured(configuration: &str) -> Self {
        let folder = folder();
        let path = folder.path().join("config");
        std::fs::create_dir_all(&path).expect("a folder of the test's own");
        std::fs::write(path.join("config.toml"), configuration).expect("the configuration is written");
        Self::open_in(folder, &[]).await
    }

    async fn open_in(folder: TempDir, variables: &[(&str, &str)]) -> Self {
        let program = console();
        let port = free_port();
        let driver = start_driver(port, &folder, variables);
        let options = json!({ "binary": program, "args": [] });
        let wish = [("webkitgtk:browserOptions".to_owned(), options)].into_iter().collect();
        let url = format!("http://127.0.0.1:{port}");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wish)
            .connect(&url)
            .await
            .expect("the console's window opens");
        Self { client, driver, folder: Folder(folder) }
    }

    /// Closes the window as its frame would, and waits until its processes are gone.
    pub async fn close(self) {
        let Self { client, driver, folder } = self;
        client.close().await.expect("the window closes");
        drop(driver);
        drop(folder);
    }

    /// The element with this test id, once it is there.
    pub async fn find(&self, name: &str) -> Element {
        self.wait_for(&of(name)).await
    }

    /// The first element that matches, once there is one.
    pub async fn wait_for(&self, selector: &str) -> Element {
        self.patiently(selector, async || self.client.find(Locator::Css(selector)).await.ok()).await
    }

    /// Tries until it answers: what is on screen may be replaced between two looks at it.
    async fn patiently<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                begun.elapsed() <= PATIENCE,
                "{what} did not come. On screen:\n{}",
                self.all_text().await
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Presses the button with this test id, once it can be pressed.
    pub async fn press(&self, name: &str) {
        let selector = format!("{}:not([aria-disabled='true']):not([aria-busy])", of(name));
        let press = async || self.client.find(Locator::Css(&selector)).await.ok()?.click().await.ok();
        self.patiently(&selector, press).await;
    }

    /// Types into the field with this test id, in place of what it holds.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.find(name).await;
        field.clear().await.expect("the field can be cleared");
        field.send_keys(text).await.expect("the field takes text");
    }

    /// The text of the element with this test id.
    pub async fn text(&self, name: &str) -> String {
        self.until_text(name, |_| true).await
    }

    /// Waits until the text of the element with this test id is as wished.
    pub async fn until_text(&self, name: &str, is_right: impl Fn(&str) -> bool) -> String {
        let selector = of(name);
        let read = async || {
            let text = self.client.find(Locator::Css(&selector)).await.ok()?.text().await.ok()?;
            is_right(&text).then_some(text)
        };
        self.patiently(&format!("the text of {name}"), read).await
    }

    /// The whole content of the element with this test id, also what is cut off or scrolled away on screen.
    pub async fn content(&self, name: &str) -> String {
        self.until_content(name, |_| true).await
    }

    /// Waits until the whole content of the element with this test id is as wished.
    pub async fn until_content(&self, name: &str, is_right: impl Fn(&str) -> bool) -> String {
        let selector = of(name);
        let read = async || {
            let found = self.client.find(Locator::Css(&selector)).await.ok()?;
            found.prop("textContent").await.ok()?.filter(|text| is_right(text))
        };
        self.patiently(&format!("the content of {name}"), read).await
    }

    /// Presses keys, wherever the focus is.
    pub async fn keys(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("it hears keys");
    }

    /// Presses a letter together with the control key.
    pub async fn control(&self, letter: char) {
        self.keys(&format!("{}{letter}{}", Key::Control, Key::Null)).await;
    }

    /// The title of the page, which is the title of the window.
    pub async fn title(&self) -> String {
        self.client.title().await.expect("the page has a title")
    }

    /// The value of an expression, evaluated inside the window.
    pub async fn evaluate(&self, script: &str) -> serde_json::Value {
        self.client.execute(script, vec![]).await.expect("the script runs")
    }

    /// Waits until an expression has this value inside the window.
    pub async fn until_evaluates(&self, script: &str, wished: &serde_json::Value) {
        let look = async || (self.evaluate(script).await == *wished).then_some(());
        self.patiently(&format!("{script} = {wished}"), look).await;
    }

    async fn all_text(&self) -> String {
        let body = self.client.find(Locator::Css("body")).await;
        match body {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(error) => format!("(nothing: {error})"),
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("shadow-sync-window-").tempdir().expect("a temporary folder")
}

/// The number in the first line of a cell, whatever separates its thousands.
pub fn number(cell: &str) -> u64 {
    let digits: String =
        cell.lines().next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number in {cell:?}"))
}

fn of(name: &str) -> String {
    format!("[data-testid='{name}']")
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

/// The console's program, built beside this test.
fn console() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let folder = test.parent().and_then(std::path::Path::parent).expect("tests are built two folders down");
    let program = folder.join(format!("shadow-sync-desktop{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "the console is not built: run `cargo build -p shadow-sync-desktop` ({} is missing)",
        program.display()
    );
    program
}

fn start_driver(port: u16, folder: &TempDir, variables: &[(&str, &str)]) -> Driver {
    let inner = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder of the test's own");
        path
    };
    let log = std::fs::File::create(folder.path().join("window.log")).expect("a log");
    let driver = Command::new("WebKitWebDriver")
        .arg(format!("--port={port}"))
        .env("TAURI_WEBVIEW_AUTOMATION", "true")
        .env("TAURI_AUTOMATION", "true")
        // A virtual display has no GPU, and Mesa's software renderer now and then crashes under WebKit's compositor.
        .env("WEBKIT_DISABLE_COMPOSITING_MODE", "1")
        .env("SHADOW_SYNC_BROWSER", "none")
        .env("SHADOW_SYNC_CONFIG", inner("config").join("config.toml"))
        .env("SHADOW_SYNC_DATA_DIR", inner("data"))
        .env("XDG_CONFIG_HOME", inner("config"))
        .env("XDG_DATA_HOME", inner("data"))
        .env("XDG_CACHE_HOME", inner("cache"))
        .env_remove("SHADOW_SYNC_ENV")
        .envs(variables.iter().copied())
        .stdout(Stdio::from(log.try_clone().expect("the log can be shared")))
        .stderr(log)
        .spawn();
    let driver = Driver(driver.expect("WebKitWebDriver is there (Debian: webkit2gtk-driver)"));
    let begun = Instant::now();
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "WebKitWebDriver does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    driver
}

/// The processes below this one that are no database server: children, their children, and so on.
fn descendants(of: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        for child in children.unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()) {
            let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if name.trim() != "postgres" {
                found.push(child);
                parents.push(child);
            }
        }
    }
    found
}

/// Ends the database, if the window did not come to it.
fn stop_database(folder: &TempDir) {
    let file = folder.path().join("data/postgres/cluster/postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&file) else { return };
    let Some(server) = text.lines().next().map(str::trim) else { return };
    // A server that was killed leaves its file, and its number may be another program's by now.
    let command = std::fs::read(format!("/proc/{server}/cmdline")).unwrap_or_default();
    if !String::from_utf8_lossy(&command).contains(&*folder.path().to_string_lossy()) {
        return;
    }
    let _ = Command::new("kill").args(["-INT", server]).status();
    let begun = Instant::now();
    while file.exists() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
}
