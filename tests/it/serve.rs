//! The daemon as a process of its own: what it serves, when it is red, how it ends; and the commands beside it.

use std::process::Stdio;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use serde_json::{Value, json};
use simulator::{Disturbance, EventFault, Fault, Options, Simulator};
use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::cli::program;
use crate::world::{PATIENCE, World, small};

/// A running daemon.
pub struct Daemon {
    pub child: Child,
    pub url: String,
}

pub fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .arg("--config")
        .arg(world.config())
        .args(arguments)
        .env_remove("SHADOW_SYNC_READ_TOKEN")
        .env_remove("ENABLE_SF_SHADOW_READS");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end: its exit code, what it printed, what it told.
pub async fn run(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, command(world, arguments).output()).await.expect("an end");
    let output = output.expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

impl Daemon {
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, &[], None).await
    }

    pub async fn start_with(world: &World, arguments: &[&str], token: Option<&str>) -> Self {
        let token: Vec<(&str, &str)> =
            token.map(|token| ("SHADOW_SYNC_READ_TOKEN", token)).into_iter().collect();
        Self::start_as(world, arguments, &token).await
    }

    /// With variables of its own.
    pub async fn start_as(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let all = [&["serve", "--json", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = command(world, &all);
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Value = serde_json::from_str(&line(&mut lines).await).expect("one line of JSON");
        assert_eq!(said["isSimulated"], true);
        Self { child, url: said["listening"].as_str().expect("an address").to_owned() }
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }

    async fn health(&self) -> (StatusCode, Value) {
        let (status, body) = self.get("/health").await;
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    /// Ends it as a service manager does. Returns its exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().expect("it still runs").to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(sent.success());
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("an end").unwrap().code()
    }
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().expect("a line")
}

/// A world whose own engine rests, everything loaded, and a daemon that streams.
pub async fn served(pool: PgPool) -> (World, Daemon) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let daemon = Daemon::start(&world).await;
    world.until_streaming().await;
    world.until_settled().await;
    (world, daemon)
}

/// The names of metrics in a text: words that begin as ours do.
fn metric_names(text: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    let mut names: Vec<&str> =
        words.filter(|word| word.starts_with("sf_shadow_") || word.starts_with("sf_api_")).collect();
    // Shadow tables begin alike, and are labels.
    names.retain(|name| !name.ends_with("_shadow"));
    names.sort_unstable();
    names.dedup();
    names
}

pub fn project_file(path: &str) -> String {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[sqlx::test(migrations = false)]
async fn the_daemon_keeps_the_tables_live_and_names_every_metric(pool: PgPool) {
    let (world, daemon) = served(pool).await;
    let id = world.org.org().ids("Product2", 0, 1)[0].to_string();
    world.age_reads().await;
    world.org.org().update("Product2", &id, &json!({ "Name": "Changed in the org" })).unwrap();
    world.until_value("sf_product_shadow", "product_id", &id, "name", Some("Changed in the org")).await;

    // A counter appears with its first count: something must fail once.
    let object = Some("Account".to_owned());
    let broken = Disturbance::NextEvents { object, fault: EventFault::CorruptBody, times: Some(1) };
    world.org.org().disturb(&broken).unwrap();
    let account = world.org.org().ids("Account", 0, 1)[0].to_string();
    world.org.org().update("Account", &account, &json!({ "Name": "Garbled" })).unwrap();
    world
        .until_true("the failure is counted", async || {
            daemon.get("/metrics").await.1.contains("sf_shadow_sync_failures_total{stage=\"apply\"")
        })
        .await;

    let (status, body) = daemon.get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for sample in body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = sample.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{sample}");
        assert!(name.starts_with("sf_"), "{sample}");
    }
    assert!(body.contains("sf_shadow_stream_leader 1"), "{body}");
    assert!(body.contains("sf_shadow_sync_events_total{object=\"Product2\",change=\"update\""), "{body}");

    let readme = project_file("README.md");
    let documented = readme.split("### Metrics").nth(1).unwrap().split("\n#").next().unwrap();
    let described: Vec<&str> =
        body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in metric_names(documented) {
        assert!(described.contains(&name), "{name} is documented and not served:\n{body}");
    }
    for name in &described {
        assert!(documented.contains(*name), "{name} is served and not documented");
    }
    for file in
        ["ops/grafana/shadow-sync.json", "ops/prometheus/alerts.yml", "ops/prometheus/alerts_test.yml"]
    {
        for name in metric_names(&project_file(file)) {
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_served =
                described.contains(&name) || of_histogram.is_some_and(|of| described.contains(&of));
            assert!(is_served, "{file} asks for {name}, which is not served");
        }
    }

    let client = reqwest::Client::new();
    let asked = client
        .get(format!("{}/metrics", daemon.url))
        .header(ACCEPT, "application/openmetrics-text; version=1.0.0");
    let answer = asked.send().await.unwrap();
    assert!(answer.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.text().await.unwrap().ends_with("# EOF\n"));
}

#[sqlx::test(migrations = false)]
async fn health_is_red_while_the_stream_is_silent(pool: PgPool) {
    let (world, daemon) = served(pool).await;
    let (status, health) = daemon.health().await;
    assert_eq!(status, StatusCode::OK, "{health}");
    let checks =
        json!({ "heard": "ok", "verified": "unknown", "holes": "ok", "database": "ok", "signIn": "ok" });
    assert_eq!(health["checks"], checks);
    assert_eq!(health["status"], "unknown");
    let (status, queue) = daemon.get("/health/queue").await;
    assert_eq!(status, StatusCode::OK, "{queue}");
    let queue: Value = serde_json::from_str(&queue).unwrap();
    assert_eq!(
        (&queue["backlogEvents"], &queue["deadLetters"], &queue["dirty"]),
        (&json!(0), &json!(0), &json!(0))
    );

    world.org.org().disturb(&Disturbance::Silence { on: true }).unwrap();
    let long_ago = "update shadow_sync.checkpoints set heard_at = heard_at - interval '6 minutes'";
    sqlx::query(long_ago).execute(&world.pool).await.unwrap();
    world
        .until_true("health is red", async || {
            let (status, health) = daemon.health().await;
            status == StatusCode::SERVICE_UNAVAILABLE && health["checks"]["heard"] == "silent"
        })
        .await;
    world.org.org().disturb(&Disturbance::Silence { on: false }).unwrap();
    world.until_true("health is good again", async || daemon.health().await.0 == StatusCode::OK).await;
}

#[sqlx::test(migrations = false)]
async fn a_hole_makes_health_red_until_it_is_closed(pool: PgPool) {
    let (world, daemon) = served(pool).await;
    let open = "update shadow_sync.holes set closed_at = null, needs = 'backfill' where object = 'Account'";
    sqlx::query(open).execute(&world.pool).await.unwrap();
    let (status, health) = daemon.health().await;
    assert_eq!(
        (status, &health["checks"]["holes"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("open")),
        "{health}"
    );
}

#[sqlx::test(migrations = false)]
async fn the_first_signal_drains(pool: PgPool) {
    let (world, daemon) = served(pool).await;
    assert_eq!(daemon.terminate().await, Some(0));
    assert_eq!(world.number("select count(*) from shadow_sync.workers where host_kind = 'daemon'").await, 0);
    assert_eq!(world.number("select count(*) from shadow_sync.leases where expires_at > now()").await, 0);
}

#[sqlx::test(migrations = false)]
async fn requests_pass_the_gate_or_get_nothing(pool: PgPool) {
    let world = World::start(pool).await;
    let daemon = Daemon::start(&world).await;
    let client = reqwest::Client::new();
    let foreign = client.get(format!("{}/metrics", daemon.url)).header(HOST, "evil.example");
    let answer = foreign.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    let answer = client
        .get(format!("{}/health", daemon.url))
        .header("Origin", "http://evil.example")
        .send()
        .await
        .unwrap();
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control-")));
    assert_eq!(daemon.get("/v1/products/A").await.0, StatusCode::NOT_FOUND);
    let written = client.post(format!("{}/health", daemon.url)).send().await.unwrap();
    assert_eq!(written.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(daemon.terminate().await, Some(0));

    let daemon =
        Daemon::start_with(&world, &["--behind-proxy", "--host", "shadow.example"], Some("secret")).await;
    assert_eq!(daemon.get("/metrics").await.0, StatusCode::UNAUTHORIZED);
    let ask = |token: &str| {
        let request = client.get(format!("{}/metrics", daemon.url)).header(HOST, "shadow.example");
        request.header(AUTHORIZATION, format!("Bearer {token}")).send()
    };
    assert_eq!(ask("wrong").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask("secret").await.unwrap().status(), StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn what_would_be_open_to_everybody_is_wrong_usage(pool: PgPool) {
    let world = World::start(pool).await;
    for (arguments, said) in [
        (&["serve", "--listen", "0.0.0.0:0"][..], "--tls-cert"),
        (&["serve", "--listen", "0.0.0.0:0", "--behind-proxy"], "SHADOW_SYNC_READ_TOKEN"),
        (&["serve", "--tls-cert", "cert.pem"], "--tls-key"),
        (&["replay"], "--from"),
        (&["replay", "--from", "yesterday"], "2h, 3d"),
        (&["replay", "--from", "2999-01-01T00:00:00Z"], "future"),
        (&["catch-up", "--since", "0h"], "2h, 3d"),
        (&["catch-up", "Contract"], "Product2"),
        (&["flags", "set", "reads", "on"], "shadow-reads"),
        (&["dead-letters", "discard"], "<ID|--all>"),
    ] {
        let (code, _, told) = run(&world, arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (code, _, told) = run(&world, &["serve", "--listen", &taken.local_addr().unwrap().to_string()]).await;
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("--listen"), "{told}");
}

#[sqlx::test(migrations = false)]
async fn a_flag_stops_applying_and_the_backlog_is_told(pool: PgPool) {
    let (world, daemon) = served(pool).await;
    let (code, out, told) = run(&world, &["flags", "set", "event-consumer", "off", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    let flags: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&flags[0]["name"], &flags[0]["isOn"]), (&json!("event-consumer"), &json!(false)));

    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Name": "Waits" })).unwrap();
    world
        .until_true("the event waits", async || {
            daemon.get("/health/queue").await.1.contains("\"backlogEvents\":1")
        })
        .await;
    assert!(daemon.get("/metrics").await.1.contains("sf_shadow_backlog_events 1"));

    assert_eq!(run(&world, &["flags", "set", "event-consumer", "on"]).await.0, Some(0));
    world
        .until_true("nothing waits", async || {
            daemon.get("/health/queue").await.1.contains("\"backlogEvents\":0")
        })
        .await;
    let (code, out, _) = run(&world, &["flags"]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("event-consumer") && out.contains("on"), "{out}");
}

#[sqlx::test(migrations = false)]
async fn a_watched_status_is_a_line_per_change(pool: PgPool) {
    let (world, _daemon) = served(pool).await;
    let mut watching = command(&world, &["status", "--watch", "--json"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&line(&mut lines).await).unwrap();
    assert_eq!(first["stream"]["state"], "live", "{first}");
    assert_eq!(first["workers"][0]["hostKind"], "daemon", "{first}");
    for expected in ["backlogEvents", "channel", "heardAt"] {
        assert!(first["stream"].get(expected).is_some(), "{expected} in {first}");
    }

    run(&world, &["pause"]).await;
    let paused = async {
        loop {
            let next: Value = serde_json::from_str(&line(&mut lines).await).unwrap();
            if next["objects"].as_array().unwrap().iter().all(|object| object["health"] == "paused") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), paused).await.expect("the change in a line");
    watching.kill().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn a_hidden_change_is_found_by_catch_up(pool: PgPool) {
    let (world, _daemon) = served(pool).await;
    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    let hidden = json!({ "Name": "Nobody was told" });
    world.org.org().change_hidden("Account", &id, &hidden).unwrap();
    let (code, out, told) = run(&world, &["catch-up", "Account", "--since", "2h", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    let jobs: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&jobs[0]["object"], &jobs[0]["state"]), (&json!("Account"), &json!("done")), "{jobs}");
}

#[sqlx::test(migrations = false)]
async fn replay_lists_what_disagrees_and_has_it_fetched(pool: PgPool) {
    let (world, _daemon) = served(pool).await;
    let id = world.org.org().ids("Product2", 0, 1)[0].to_string();
    world.age_reads().await;
    world.org.org().update("Product2", &id, &json!({ "Name": "As the event says" })).unwrap();
    world.until_value("sf_product_shadow", "product_id", &id, "name", Some("As the event says")).await;
    world.until_settled().await;
    let (code, out, told) = run(&world, &["replay", "--from", "1h", "--dry-run", "--json"]).await;
    assert_eq!(code, Some(0), "{told}{out}");
    let view: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&view["events"], &view["records"], &view["differing"]),
        (&json!(1), &json!(1), &json!(0)),
        "{view}"
    );

    // The hash is what a read is compared by, so it is part of the row's state.
    let tampered = "update sf_product_shadow set name = 'Tampered', row_hash = set_byte(row_hash, 0, 255 - get_byte(row_hash, 0)),
                       raw_payload = jsonb_set(raw_payload, '{Name}', '\"Tampered\"') where product_id = $1";
    sqlx::query(tampered).bind(&id).execute(&world.pool).await.unwrap();
    let (code, out, told) = run(&world, &["replay", "--from", "1h", "--dry-run", "--json"]).await;
    assert_eq!(code, Some(1), "{told}{out}");
    let view: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&view["differing"], &view["differences"][0]["record"]), (&json!(1), &json!(id)), "{view}");

    let (code, out, told) =
        run(&world, &["replay", "--from", "earliest", "--object", "Product2", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    let view: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(view["marked"], 1, "{view}");
    world.until_value("sf_product_shadow", "product_id", &id, "name", Some("As the event says")).await;
}

#[sqlx::test(migrations = false)]
async fn dead_letters_are_listed_and_retried(pool: PgPool) {
    let (world, daemon) = served(pool).await;
    let (code, out, _) = run(&world, &["dead-letters", "list"]).await;
    assert_eq!((code, out.trim()), (Some(0), "No dead letters."));
    // Nothing can be fetched for now, or the letter would be gone before anybody sees it.
    world.org.org().inject("POST */composite/sobjects/*", Fault::ServerError, u32::MAX);
    let object = Some("Account".to_owned());
    let broken = Disturbance::NextEvents { object, fault: EventFault::CorruptBody, times: Some(1) };
    world.org.org().disturb(&broken).unwrap();
    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Name": "Garbled" })).unwrap();
    world.until_true("a dead letter is parked", async || open_letters(&world).await == 1).await;
    let (code, out, told) = run(&world, &["dead-letters", "list", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    let view: Value = serde_json::from_str(&out).unwrap();
    let letter = &view["groups"][0]["letters"][0];
    assert_eq!(
        (&view["total"], &letter["recordId"], &letter["object"]),
        (&json!(1), &json!(id), &json!("Account"))
    );
    let (_, people, _) = run(&world, &["dead-letters", "list"]).await;
    assert!(people.contains(&id) && people.contains("1 open dead letter in all"), "{people}");
    assert!(daemon.get("/metrics").await.1.contains("sf_shadow_dead_letters_open 1"));

    world.org.org().withdraw_all();
    let (code, out, told) = run(&world, &["dead-letters", "retry"]).await;
    assert_eq!(code, Some(0), "{told}{out}");
    world.until_true("the record was fetched", async || open_letters(&world).await == 0).await;
    world.until_settled().await;
}

async fn open_letters(world: &World) -> i64 {
    world.number("select count(*) from shadow_sync.dead_letters where closed_at is null").await
}

#[sqlx::test(migrations = false)]
async fn a_refreshed_sandbox_is_taken_over_only_by_name(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "Account"]).await;
    world.engine.shutdown().await;
    let products = "select count(*) from sf_product_shadow";
    let before = world.number(products).await;
    assert!(before > 0);
    let (code, _, told) = run(&world, &["rebind"]).await;
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("SS-5208"), "{told}");

    // The sandbox is refreshed: the same environment leads to an org with another id.
    let refreshed = Simulator::start(Options { seed: 77, ..small() }).await.unwrap();
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace(world.org.base_url().as_str(), refreshed.base_url().as_str());
    let text = text.replace(world.org.grpc_url().as_str(), refreshed.grpc_url().as_str());
    std::fs::write(world.config(), text).unwrap();
    let (code, _, told) = run(&world, &["backfill", "Product2"]).await;
    assert_eq!(code, Some(3), "{told}");

    let (code, out, told) = run(&world, &["rebind", "--dry-run", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    let plan: Value = serde_json::from_str(&out).unwrap();
    let emptied = plan["emptied"].as_array().unwrap();
    let is_listed = |table: &Value| {
        table["table"].as_str().unwrap().contains("sf_product_shadow") && table["rows"] == before
    };
    assert!(emptied.iter().any(is_listed), "{plan}");
    let (code, _, told) = run(&world, &["rebind", "--yes"]).await;
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--confirm demo") && told.contains("sf_product_shadow"), "{told}");
    assert_eq!(run(&world, &["rebind", "--user"]).await.0, Some(2));
    assert_eq!(world.number(products).await, before, "nothing was done without the name");

    let (code, _, told) = run(&world, &["rebind", "--confirm", "demo"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(world.number(products).await, 0);
    let (code, _, told) = run(&world, &["backfill", "Product2"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(world.number(products).await > 0);
}
