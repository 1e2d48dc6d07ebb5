//! What every behaviour test stands on: an org, a database, an engine.

use std::path::PathBuf;
use std::time::Duration;

use engine::api::backfills::{self, BackfillMode, JobState, JobView};
use engine::api::counts::{self, CountView};
use engine::api::environments;
use engine::api::rejects::{self, RejectView};
use engine::api::sign_in::{self, SignInState};
use engine::{Engine, Host, HostName};
use simulator::{Options, Simulator};
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
        write_config(&folder, org.base_url().as_str(), &pool);
        let engine = engine_of(&folder).await;
        Self { org, engine, pool, folder }
    }

    /// Ends the engine and starts another one on the same org and database, as a new process would.
    pub async fn restart(&mut self) {
        self.engine.shutdown().await;
        self.engine = engine_of(&self.folder).await;
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

    /// Asks one number of the database.
    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.expect("a number")
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
        ..Options::default()
    }
}

fn write_config(folder: &TempDir, login_url: &str, pool: &PgPool) {
    let database = pool.connect_options().to_url_lossy();
    let text = format!(
        "[environments.demo]\nkind = \"demo\"\nlogin_url = \"{login_url}\"\ndatabase_url = \"{database}\"\n\
         currency = \"EUR\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), text).expect("a configuration");
}

async fn engine_of(folder: &TempDir) -> Engine {
    let config_path = Some(folder.path().join("config.toml"));
    let engine = Engine::new(Host { name: HostName::CommandLine, config_path });
    environments::open(&engine, "demo").await.expect("an open environment");
    engine.environment().expect("it is open").store().await.expect("a database");
    let state = sign_in::resumed(&engine).await;
    assert!(matches!(state, SignInState::SignedIn { .. }), "{state:?}");
    engine
}
