//! Programs of one person on one machine share one sign-in, whose refresh token the org changes with every use: who
//! renews it stores the new one before anybody uses it, one at a time.
//!
//! The programs are processes of their own, this test's program started again; they share a real keychain and the
//! system's file lock. A demo environment keeps its sign-in in memory only, so they ask for the keychain by themselves.

use std::path::Path;
use std::process::Stdio;

use engine::api::sign_in::SignInState;
use engine::config::{Environment, load_with};
use engine::notice::Notices;
use engine::secrets::{Secrets, VariableSecrets};
use engine::session::{Session, SessionOptions};
use engine::sign_in::SignIn;
use futures::future::join_all;
use salesforce::{ClientOptions, TokenSource};
use simulator::{Options, Simulator};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::keychain::Keychain;
use crate::world::{PATIENCE, small};

const TOKEN: &str = "POST /services/oauth2/token";
/// Leads a program to its configuration; without it there is nothing that it could share.
const FOLDER: &str = "SHADOW_SYNC_TEST_SHARED_SIGN_IN";
/// What a program says when it is about to renew.
const READY: &str = "ready to renew";

fn environment(folder: &Path) -> Environment {
    load_with(Some(&folder.join("config.toml")), &|_| None).expect("a configuration").environments.remove(0)
}

fn options(folder: &Path) -> SessionOptions {
    SessionOptions {
        secrets: Secrets::in_keychain(),
        variables: VariableSecrets::default(),
        lock_folder: folder.join("locks"),
        observer: None,
    }
}

/// What the first program does: a person approves in the browser.
#[tokio::test]
async fn a_program_signs_in() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = Path::new(&folder);
    let sign_in = SignIn::with_options(
        &environment(folder),
        options(folder),
        ClientOptions::default(),
        Notices::default(),
    );
    let state = sign_in.start(None).await.expect("it begins");
    let SignInState::WaitingForBrowser { authorize_url, .. } = state else { panic!("{state:?}") };
    reqwest::get(authorize_url).await.expect("the page leads back");
    let SignInState::SignedIn { kept, .. } = sign_in.settled().await else { panic!("not signed in") };
    assert!(kept, "the keychain keeps it");
}

/// What each program of the race does: it finds its access token refused, and renews when it is told to.
#[tokio::test]
async fn a_program_renews() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = Path::new(&folder);
    let session = Session::new(&environment(folder), None, &options(folder)).expect("a session");
    let stale = session.current().await.expect("the stored sign-in");
    println!("{READY}");
    let mut told = String::new();
    tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut told)).await.unwrap().unwrap();
    let fresh = session.refresh(&stale).await.expect("nobody lost the sign-in");
    assert!(fresh != stale);
    let asked =
        reqwest::Client::new().get(format!("{}services/oauth2/userinfo", environment(folder).login_url));
    let answer = asked.bearer_auth(fresh.expose()).send().await.expect("an answer");
    assert!(answer.status().is_success(), "the fresh token works: {}", answer.status());
}

/// The machine on which they run.
struct Machine {
    org: Simulator,
    keychain: Keychain,
    folder: TempDir,
}

impl Machine {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let callback = format!("http://localhost:{free}/oauth/callback");
        let callbacks = vec![callback.clone()];
        let options = Options { auto_approve: true, refresh_rotation: true, callbacks, ..small() };
        let org = Simulator::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[environments.shared]\nkind = \"demo\"\nlogin_url = \"{}\"\nclient_id = \"{}\"\n\
             sign_in = \"browser\"\nredirect_url = \"{callback}\"\n",
            org.base_url(),
            simulator::DEMO_CLIENT_ID,
        );
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        Self { org, keychain: Keychain::start(), folder }
    }

    /// Starts a program that does one of the above.
    fn program(&self, what: &str) -> Program {
        let mut command = Command::new(std::env::current_exe().expect("this test's own path"));
        command.args(["--exact", &format!("refresh_race::{what}"), "--nocapture"]);
        command.envs(self.keychain.variables()).env(FOLDER, self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Program { child, lines }
    }
}

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    async fn is_ready(&mut self) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if line.contains(READY) {
                return;
            }
        }
        panic!("it ended before it was ready");
    }

    /// Tells it to go on; whether it did well.
    async fn goes_on(mut self) -> bool {
        let mut input = self.child.stdin.take().expect("its input");
        input.write_all(b"go\n").await.unwrap();
        let mut output = String::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            output += &line;
            output += "\n";
        }
        let ended = self.child.wait().await.unwrap();
        let did_it = output.contains("1 passed");
        if !(ended.success() && did_it) {
            println!("{output}");
        }
        ended.success() && did_it
    }
}

#[tokio::test]
async fn programs_that_renew_one_sign_in_at_once_do_not_lose_it() {
    let race = async {
        let machine = Machine::start().await;
        assert!(machine.program("a_program_signs_in").goes_on().await, "the sign-in");
        for round in 0..3 {
            let mut programs: Vec<Program> = (0..4).map(|_| machine.program("a_program_renews")).collect();
            join_all(programs.iter_mut().map(Program::is_ready)).await;
            machine.org.org().expire_sessions();
            let before = machine.org.org().requests(TOKEN);
            let renewed = join_all(programs.into_iter().map(Program::goes_on)).await;
            assert_eq!(renewed, [true; 4], "round {round}");
            let requests = machine.org.org().requests(TOKEN) - before;
            assert_eq!(requests, 1, "one renews, the others take what it stored");
        }
    };
    tokio::time::timeout(PATIENCE, race).await.expect("an end in time");
}
