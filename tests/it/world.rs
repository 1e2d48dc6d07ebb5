//! What every behaviour test stands on: an org, a database, an engine.

use std::path::PathBuf;
use std::time::Duration;

use engine::api::backfills::{self, BackfillMode, JobState, JobView};
use engine::api::counts::{self, CountView};
use engine::api::environments;
use engine::api::rejects::{self, RejectView};
use engine::api::sign_in::{self, SignInState};
use engine::{Engine, Host, HostName, Timing};
use simulator::{Disturbance, EventFault, Options, Simulator};
use sqlx::{ConnectOptions, PgPool, Row};
use tempfile::TempDir;

/// The longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// An org, a database, an engine.
pub struct World {
    pub org: Simulator,
    pub engine: Engine,
    pub pool: PgPool,
    pub folder: TempDir,
}

impl World {
    /// A small org, nothing loaded yet.
    pub async fn start(pool: PgPool) -> Self {
        Self::with(pool, small()).await
    }

    /// The same with an org as described.
    pub async fn with(pool: PgPool, options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let org = Simulator::start(options).await.expect("a simulated org");
        let folder = tempfile::tempdir().expect("a folder");
        write_config(&folder, &org, &pool);
        let engine = engine_of(&folder, HostName::CommandLine).await;
        Self { org, engine, pool, folder }
    }

    /// A small org, everything loaded, and a daemon that streams.
    pub async fn live(pool: PgPool) -> Self {
        Self::live_with(pool, small()).await
    }

    /// The same with an org as described.
    pub async fn live_with(pool: PgPool, options: Options) -> Self {
        let world = Self::streaming(pool, options).await;
        world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
        world.until_settled().await;
        world
    }

    /// A daemon that streams an org of which nothing is loaded yet.
    pub async fn streaming(pool: PgPool, options: Options) -> Self {
        let mut world = Self::with(pool, options).await;
        world.restart_as(HostName::Daemon).await;
        world.until_streaming().await;
        world
    }

    /// Ends the engine and starts another one on the same org and database, as a new process would.
    pub async fn restart(&mut self) {
        self.restart_as(self.engine.host().name).await;
    }

    /// The same as another kind of host.
    pub async fn restart_as(&mut self, host: HostName) {
        self.engine.shutdown().await;
        self.engine = engine_of(&self.folder, host).await;
    }

    /// Takes one channel for all objects, in a new process.
    pub async fn use_channel(&mut self, channel: &str) {
        self.engine.shutdown().await;
        let mut text = std::fs::read_to_string(self.config()).expect("the configuration");
        text += &format!("channel = \"{channel}\"\n");
        std::fs::write(self.config(), text).expect("the configuration");
        self.engine = engine_of(&self.folder, HostName::Daemon).await;
        self.until_true("the channel has a position", async || {
            self.number(
                "select count(*) from shadow_sync.checkpoints where state = 'live' and replay_id is not null",
            )
            .await
                == 1
        })
        .await;
    }

    /// Another process on the same org and database.
    pub async fn another(&self, host: HostName) -> Engine {
        engine_of(&self.folder, host).await
    }

    /// Waits until something is as wanted, woken by notices, with a look now and then.
    pub async fn until_true(&self, what: &str, wanted: impl AsyncFn() -> bool) {
        let mut notices = self.engine.notices();
        let waiting = async {
            while !wanted().await {
                let _ = tokio::time::timeout(Duration::from_millis(50), notices.recv()).await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, waiting).await;
        let standing = if outcome.is_err() { self.standing().await } else { String::new() };
        assert!(outcome.is_ok(), "not in time: {what}\n{standing}");
    }

    /// How things stand, for who looks at a failed test.
    pub async fn standing(&self) -> String {
        let mut text = format!("{:?}\n", self.org.org().subscribers());
        for query in [
            "select row_to_json(c)::text from shadow_sync.checkpoints c",
            "select row_to_json(h)::text from shadow_sync.holes h",
            "select row_to_json(d)::text from shadow_sync.dirty d limit 10",
            "select row_to_json(d)::text from shadow_sync.dirty_parents d limit 10",
            "select row_to_json(d)::text from shadow_sync.dead_letters d limit 10",
            "select row_to_json(j)::text from (select id, object, kind, state, stage, records_read, problem, from_at,
                    to_at, reads_began_at, reads_ended_at, started_by from shadow_sync.jobs order by id) j",
            "select row_to_json(o)::text from shadow_sync.objects o",
            "select row_to_json(l)::text from shadow_sync.leases l",
            "select row_to_json(o)::text from (select position, record_id, outcome, detail
                    from shadow_sync.event_outcomes order by applied_at desc limit 20) o",
            "select 'log ' || count(*) || ' ' || count(distinct transaction_key) from shadow_sync.change_log",
        ] {
            let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(&self.pool).await.unwrap_or_default();
            text += &rows.join("\n");
            text += "\n";
        }
        text
    }

    /// Waits until every channel has a position.
    pub async fn until_streaming(&self) {
        self.until_true("every channel has a position", async || {
            self.number("select count(*) from shadow_sync.checkpoints where replay_id is not null").await == 3
        })
        .await;
    }

    /// Waits until nothing waits: every channel was heard of late with nothing new, everything stored is applied, nothing
    /// is dirty, no hole of a loaded object is open, no job runs.
    pub async fn until_settled(&self) {
        let quiet = std::cell::Cell::new(0);
        let stored = std::cell::Cell::new(-1);
        let heard = std::cell::Cell::new(self.heard().await);
        self.until_true("nothing waits any more", async || {
            let (heard_now, stored_now) = (self.heard().await, self.stored().await);
            if stored_now != stored.replace(stored_now) || self.waiting().await != 0 {
                quiet.set(0);
                heard.set(heard_now);
            } else if heard_now > heard.get() {
                heard.set(heard_now);
                quiet.set(quiet.get() + 1);
            }
            quiet.get() >= 2
        })
        .await;
    }

    /// When the channel that was heard longest ago was heard, as microseconds of the database's clock.
    async fn heard(&self) -> i64 {
        self.number(
            "select coalesce((extract(epoch from min(replay_at)) * 1000000)::bigint, 0) from shadow_sync.checkpoints
              where state <> 'stopped'",
        )
        .await
    }

    /// Events stored so far.
    async fn stored(&self) -> i64 {
        self.number("select coalesce(sum(stored_events), 0)::bigint from shadow_sync.checkpoints").await
    }

    /// How much waits: events to be applied, records and children to be fetched, holes to be closed, open jobs.
    pub async fn waiting(&self) -> i64 {
        self.number(
            "select (select coalesce(sum(stored_events - applied_events), 0) from shadow_sync.checkpoints)::bigint
                  + (select count(*) from shadow_sync.dirty) + (select count(*) from shadow_sync.dirty_parents)
                  + (select count(*) from shadow_sync.holes h join shadow_sync.objects o on o.object = h.object
                      where h.closed_at is null and o.loaded_at is not null)
                  + (select count(*) from shadow_sync.jobs where state in ('pending', 'running'))",
        )
        .await
    }

    /// The next events, so many, are never sent.
    pub fn lose_events(&self, times: u32) {
        let lost = Disturbance::NextEvents { object: None, fault: EventFault::Dropped, times: Some(times) };
        self.org.org().disturb(&lost).expect("a disturbance");
    }

    /// Lets every record count as read an hour ago, so that events are applied as they are instead of doubted.
    pub async fn age_reads(&self) {
        for table in ["sf_product_shadow", "sf_pricebook_shadow", "sf_account_eligibility_shadow"] {
            let query = format!("update {table} set read_end = read_end - interval '1 hour'");
            sqlx::query(sqlx::AssertSqlSafe(query)).execute(&self.pool).await.expect("an update");
        }
        let rejects = "update shadow_sync.rejects set read_end = read_end - interval '1 hour'";
        sqlx::query(rejects).execute(&self.pool).await.expect("an update");
    }

    /// Waits until the shadow has a value.
    pub async fn until_value(&self, table: &str, key: &str, id: &str, column: &str, wanted: Option<&str>) {
        self.until_true(&format!("{table}.{column} of {id} is {wanted:?}"), async || {
            self.value(table, key, id, column).await.as_deref() == wanted
        })
        .await;
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Loads objects to their end and answers the jobs.
    pub async fn backfill(&self, objects: &[&str]) -> Vec<JobView> {
        self.backfill_as(objects, BackfillMode::Auto).await
    }

    pub async fn backfill_as(&self, objects: &[&str], mode: BackfillMode) -> Vec<JobView> {
        let ids = backfills::start(&self.engine, names(objects), mode).await.expect("a start");
        self.until_ended(&ids).await
    }

    /// Waits until jobs stand still, woken by notices.
    pub async fn until_ended(&self, ids: &[String]) -> Vec<JobView> {
        self.until(|jobs| {
            let find = |id: &String| jobs.iter().find(|job| job.id == *id).cloned();
            let ours: Vec<JobView> = ids.iter().filter_map(find).collect();
            (ours.len() == ids.len() && ours.iter().all(|job| stands_still(job.state))).then_some(ours)
        })
        .await
    }

    /// Waits until the jobs are as wanted, woken by notices, with a look now and then for what another process did.
    pub async fn until<T>(&self, wanted: impl Fn(&[JobView]) -> Option<T>) -> T {
        let mut notices = self.engine.notices();
        let waiting = async {
            loop {
                let jobs = backfills::jobs(&self.engine).await.expect("jobs");
                if let Some(found) = wanted(&jobs) {
                    return found;
                }
                let _ = tokio::time::timeout(Duration::from_millis(100), notices.recv()).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the jobs to get there in time")
    }

    /// Both sides of every object, counted now.
    pub async fn counts(&self) -> Vec<CountView> {
        counts::count(&self.engine, Vec::new()).await.expect("counts").counts
    }

    /// Nothing is unexplained, and the simulated org itself agrees with what Salesforce's side was counted as.
    pub async fn assert_explained(&self) {
        for count in self.counts().await {
            assert_eq!(count.unexplained, Some(0), "{count:?}");
            assert_eq!(
                count.salesforce.map(u64::from),
                Some(self.org.org().count(&count.object)),
                "{count:?}"
            );
        }
    }

    pub async fn rejects(&self, object: &str) -> Vec<RejectView> {
        rejects::list(&self.engine, Some(object.to_owned()), None, 10_000).await.expect("rejects").rejects
    }

    pub async fn reject(&self, object: &str, id: &str) -> Option<RejectView> {
        self.rejects(object).await.into_iter().find(|reject| reject.record_id == id)
    }

    /// One value of a shadow row as text; none if there is no row.
    pub async fn value(&self, table: &str, key: &str, id: &str, column: &str) -> Option<String> {
        let query = format!("select {column}::text from {table} where {key} = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .expect("a query");
        row.and_then(|row| row.get(0))
    }

    pub async fn sku(&self, product: &str) -> Option<String> {
        self.value("sf_product_shadow", "product_id", product, "sku").await
    }

    /// What differs between the org and the shadow: values of fields that events and reads carry, records that are in no
    /// place or in several. Nothing if they agree. Objects that were never loaded are left out.
    pub async fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (object, table, key, fields) in [
            (
                "Product2",
                "sf_product_shadow",
                "product_id",
                &["Name", "ProductCode", "StockKeepingUnit", "IsActive"][..],
            ),
            (
                "PricebookEntry",
                "sf_pricebook_shadow",
                "pricebook_entry_id",
                &["UnitPrice", "IsActive", "Name", "ProductCode"],
            ),
            (
                "Account",
                "sf_account_eligibility_shadow",
                "account_id",
                &["Internet_Eligibility__c", "Eligibility_Source__c"],
            ),
        ] {
            let loaded =
                format!("select count(loaded_at) from shadow_sync.objects where object = '{object}'");
            let loaded: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(loaded)).fetch_one(&self.pool).await.expect("a count");
            if loaded == 0 {
                continue;
            }
            let query = format!(
                "select {key}, raw_payload from {table}
                 union all select record_id, raw_payload from shadow_sync.rejects where object = '{object}'"
            );
            let rows: Vec<(String, serde_json::Value)> =
                sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(&self.pool).await.expect("rows");
            let mut stored = std::collections::HashMap::new();
            for (id, payload) in rows {
                if stored.insert(id.clone(), payload).is_some() {
                    found.push(format!("{object} {id} is in two places"));
                }
            }
            let query = format!("select record_id from shadow_sync.tombstones where object = '{object}'");
            let gone: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .fetch_all(&self.pool)
                .await
                .expect("tombstones");
            let org = self.org.org();
            for id in org.ids(object, 0, 100_000) {
                let id = id.to_string();
                let Some(record) = org.record(object, &id) else { continue };
                let Some(payload) = stored.remove(&id) else {
                    found.push(format!("{object} {id} is missing"));
                    continue;
                };
                for field in fields {
                    let (here, there) = (plain(&payload[*field]), plain(&record[*field]));
                    if here != there {
                        found.push(format!("{object} {id}: {field} is {here:?}, in the org {there:?}"));
                    }
                }
                if gone.contains(&id) {
                    found.push(format!("{object} {id} has a tombstone and is alive"));
                }
            }
            found.extend(stored.into_keys().map(|id| format!("{object} {id} is not in the org")));
        }
        found
    }

    /// Waits until nothing waits, and says what differs then.
    pub async fn assert_same(&self) {
        self.until_settled().await;
        let differences = self.differences().await;
        assert!(differences.is_empty(), "{differences:#?}\n{}", self.standing().await);
    }

    /// Asks one number of the database.
    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.expect("a number")
    }
}

/// A value without its form: numbers by what they are.
fn plain(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) if text.is_empty() => None,
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => number.as_f64().map(|number| format!("{number:.4}")),
        other => Some(other.to_string()),
    }
}

pub fn stands_still(state: JobState) -> bool {
    !matches!(state, JobState::Pending | JobState::Running | JobState::Pausing | JobState::Cancelling)
}

pub fn names(objects: &[&str]) -> Vec<String> {
    objects.iter().map(|object| (*object).to_owned()).collect()
}

/// A small org whose Bulk jobs are ready at once, in several pages.
pub fn small() -> Options {
    Options {
        products: 60,
        prices: 300,
        accounts: 40,
        bulk_queued: Duration::ZERO,
        bulk_running: Duration::ZERO,
        bulk_page_cap: Some(100),
        keep_alive: Duration::from_millis(300),
        first_keep_alive: Some(Duration::from_millis(1)),
        exact_commit_times: true,
        ..Options::default()
    }
}

/// Times that a test can wait for.
pub fn quick() -> Timing {
    Timing {
        silence: Duration::from_secs(3),
        longest_retry: Duration::from_millis(500),
        confirm_every: Duration::from_secs(1),
        sample_every: Duration::from_millis(500),
        takes_effect: Duration::from_millis(300),
    }
}

fn write_config(folder: &TempDir, org: &Simulator, pool: &PgPool) {
    let database = pool.connect_options().to_url_lossy();
    let (login_url, pubsub) = (org.base_url(), org.grpc_url());
    let text = format!(
        "[environments.demo]\nkind = \"demo\"\nlogin_url = \"{login_url}\"\ndatabase_url = \"{database}\"\n\
         pubsub_endpoint = \"{pubsub}\"\ncurrency = \"EUR\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), text).expect("a configuration");
}

async fn engine_of(folder: &TempDir, name: HostName) -> Engine {
    let config_path = Some(folder.path().join("config.toml"));
    let engine = Engine::with_timing(Host { name, config_path }, quick());
    environments::open(&engine, "demo").await.expect("an open environment");
    engine.environment().expect("it is open").store().await.expect("a database");
    let state = sign_in::resumed(&engine).await;
    assert!(matches!(state, SignInState::SignedIn { .. }), "{state:?}");
    engine
}
