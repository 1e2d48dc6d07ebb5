//! The command line as a person and a script use it: exit codes, JSON, errors that say what to do.

use std::path::PathBuf;
use std::process::{Command, Output};

use sqlx::PgPool;

use crate::world::World;

/// The program, built beside this test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    let program = test.ancestors().nth(2).expect("a target folder").join("shadow-sync");
    assert!(program.exists(), "{} is missing: cargo build -p shadow-sync", program.display());
    program
}

pub fn command(world: &World) -> Command {
    let mut command = Command::new(program());
    command.arg("--config").arg(world.config()).env_remove("SHADOW_SYNC_FAILPOINT");
    command
}

/// Runs a command to its end.
pub async fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = command(world);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[sqlx::test(migrations = false)]
async fn backfill_then_verify_exits_with_nought_and_a_difference_with_one(pool: PgPool) {
    let world = World::start(pool).await;
    let loaded = run(&world, &["backfill"]).await;
    assert_eq!(loaded.status.code(), Some(0), "{}", err(&loaded));
    let verified = run(&world, &["verify", "--depth", "counts"]).await;
    assert_eq!(verified.status.code(), Some(0), "{}", out(&verified));

    let fields = serde_json::json!({ "Name": "One more" });
    world.org.org().insert("Account", &fields).unwrap();
    let verified = run(&world, &["verify", "Account", "--json"]).await;
    assert_eq!(verified.status.code(), Some(1), "{}", out(&verified));
    let json: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(json["counts"][0]["unexplained"], 1);
}

#[sqlx::test(migrations = false)]
async fn every_listing_can_be_read_by_a_program(pool: PgPool) {
    let world = World::start(pool).await;
    run(&world, &["backfill", "Product2", "PricebookEntry"]).await;
    for arguments in [&["jobs", "list"][..], &["rejects", "list"], &["status"], &["env", "list"]] {
        let output = run(&world, &[arguments, &["--json"]].concat()).await;
        let json: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
        assert!(json.is_ok(), "{arguments:?}: {}{}", out(&output), err(&output));
    }
}

#[sqlx::test(migrations = false)]
async fn wrong_usage_is_told_from_failure(pool: PgPool) {
    let world = World::start(pool).await;
    let unknown = run(&world, &["backfill", "Contract"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", err(&unknown));
    assert!(err(&unknown).contains("Mapped are: Product2, PricebookEntry, Account"), "{}", err(&unknown));

    let text = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), text.replace("kind = \"demo\"", "kind = \"dmeo\"")).unwrap();
    let malformed = run(&world, &["status"]).await;
    assert_eq!(malformed.status.code(), Some(2), "{}", err(&malformed));
    assert!(err(&malformed).contains("line 2: `kind`"), "{}", err(&malformed));
}

#[sqlx::test(migrations = false)]
async fn an_org_that_does_not_answer_is_said_with_a_cure(pool: PgPool) {
    let world = World::start(pool).await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace(world.org.base_url().as_str(), "http://localhost:9/");
    std::fs::write(world.config(), text).unwrap();
    let output = run(&world, &["verify"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert!(err(&output).contains("SS-") && err(&output).contains("  - "), "{}", err(&output));
}
