//! The cache: how it stands, what waits to be deleted in it, flushes by hand, and by which rules keys are found.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::Mapping;
use shadow::keys::column_names;
use store::{Store, invalidations, leases};

use crate::clock;
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::invalidate::{self, Held, INVALIDATE};
use crate::notice::View;
use crate::problem::{Answer, Problem};

mod drain;
mod flush;
mod probe;
mod rules;
mod scope;

pub use drain::{Drained, drain};
pub use flush::{
    FlushPlan, FlushState, FlushView, KeyExample, flush, flushes, needs_name, preview, start, stop,
};
pub use probe::{PatternProbe, Probe, probe};
pub use rules::{RulesView, TriedKey, TriedKeys, declare_complete, set_rules, try_keys};
pub use scope::FlushScope;

/// How the cache stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CacheView {
    /// Whether it can be used.
    pub state: CacheState,
    /// Why it cannot.
    pub problem: Option<Problem>,
    /// Where it is, without a password.
    pub address: Option<String>,
    /// How many servers share the keys, and how they are found.
    pub topology: Option<Topology>,
    /// Every master.
    pub servers: Vec<CacheServerView>,
    /// Who holds deletion back, if somebody does.
    pub held_by: Option<HeldView>,
    /// Which process deletes, as it names itself.
    pub worker: Option<String>,
    /// Changes whose keys wait for their first deletion.
    pub waiting: WaitingView,
    /// Changes whose keys wait for their second one.
    pub second_pass: u32,
    /// Changes that wait because the cache did not do what it was asked.
    pub failed: FailedView,
    /// By which rules keys are found, per object.
    pub rules: Vec<RulesView>,
    /// When the cache was asked.
    pub seen_at: Option<DateTime<Utc>>,
}

/// Whether the cache can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum CacheState {
    /// None is configured.
    None,
    /// It answers.
    Ok,
    /// It does not.
    Down,
    /// It answers, and refuses us or a command.
    Denied,
}

/// How the servers of a cache share the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum Topology {
    /// One server.
    Single,
    /// One master, which Sentinels name.
    Sentinel,
    /// Several masters.
    Cluster,
}

/// A master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CacheServerView {
    /// Host and port.
    pub address: String,
    /// Of its program.
    pub version: String,
    /// How many keys it holds, of whomever.
    #[specta(type = u32)]
    pub keys: u64,
    /// How much memory they take.
    #[specta(type = u32)]
    pub memory_bytes: u64,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
}

/// Who holds deletion back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct HeldView {
    /// Who.
    pub who: String,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct WaitingView {
    /// How many changes, by commit and object.
    pub orders: u32,
    /// For how long the oldest has waited.
    pub oldest_seconds: Option<u32>,
}

/// What failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FailedView {
    /// How many changes wait for it.
    pub orders: u32,
    /// What is in the way.
    pub problem: Option<Problem>,
}

/// How the cache stands; asks every master, for two seconds at most.
pub async fn view(engine: &Engine) -> Answer<CacheView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let standing = invalidations::standing(&store, None).await?;
    let held_by = invalidate::held(&store).await?.map(|held| HeldView { who: held.by, at: held.at });
    let rules = rules::views(&store).await?;
    let Some(cache) = &open.cache else {
        return Ok(CacheView {
            state: CacheState::None,
            problem: None,
            address: None,
            topology: None,
            servers: Vec::new(),
            held_by,
            worker: None,
            waiting: WaitingView { orders: 0, oldest_seconds: None },
            second_pass: 0,
            failed: FailedView { orders: 0, problem: None },
            rules,
            seen_at: None,
        });
    };
    let trouble = invalidate::trouble(&store).await?;
    let (state, problem, servers) = match cache.servers().await {
        Ok(servers) => (CacheState::Ok, None, servers),
        Err(error) => {
            let state = match &error {
                ::cache::Error::SignIn { .. } | ::cache::Error::Forbidden { .. } => CacheState::Denied,
                _ => CacheState::Down,
            };
            (state, Some(Problem::from(&error)), Vec::new())
        }
    };
    let now = clock::now();
    let waiting = count(standing.waiting);
    let age = standing.oldest.map(|oldest| (now - oldest).num_seconds().max(0));
    Ok(CacheView {
        state,
        problem,
        address: Some(cache.address()),
        topology: Some(topology(&open)),
        servers: servers.into_iter().map(server).collect(),
        held_by,
        worker: leases::holder(&store, INVALIDATE).await?,
        waiting: WaitingView { orders: waiting, oldest_seconds: age.map(count) },
        second_pass: count(standing.second),
        failed: FailedView {
            orders: if trouble.is_some() { waiting } else { 0 },
            problem: trouble.map(|trouble| trouble.problem),
        },
        rules,
        seen_at: Some(now),
    })
}

fn server(server: ::cache::Server) -> CacheServerView {
    CacheServerView {
        started_at: server.started_at_unix_ms.and_then(DateTime::from_timestamp_millis),
        address: server.address,
        version: server.version,
        keys: server.keys,
        memory_bytes: server.memory_bytes,
    }
}

fn topology(open: &OpenEnvironment) -> Topology {
    let scheme = open.config.redis.as_ref().map_or("", |address| address.url().scheme());
    match scheme {
        "redis+sentinel" | "rediss+sentinel" => Topology::Sentinel,
        "redis-cluster" | "rediss-cluster" => Topology::Cluster,
        _ => Topology::Single,
    }
}

fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// Holds the deletion of changed rows' keys back, or lets it go on; for every process. Flushes by hand go on meanwhile.
pub async fn hold(engine: &Engine, is_held: bool) -> Answer<CacheView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let (act, sentence) = if is_held {
        let held = Held { by: open.actor(), at: clock::now() };
        if invalidate::held(&store).await?.is_none() {
            invalidate::set_held(&store, &held).await?;
        }
        ("invalidations.hold", "Held the deletion of cache keys back")
    } else {
        invalidate::release_by_hand(&store).await?;
        ("invalidations.release", "Let the deletion of cache keys go on")
    };
    open.record(act, sentence, "done", None).await;
    engine.publish(&[View::Cache, View::Status]);
    view(engine).await
}

/// The cache of an environment.
///
/// - **Errors:** SS-8020 where none is configured.
fn cache_of(open: &OpenEnvironment) -> Answer<&::cache::Cache> {
    open.cache.as_ref().ok_or_else(|| {
        Box::new(
            Problem::new(
                "SS-8020",
                "No cache is configured",
                format!(
                    "The environment {} has no redis_url, so there are no keys to look at or delete.",
                    open.name()
                ),
            )
            .step("Set redis_url in the configuration, for example redis://cache:6379.")
            .act(crate::problem::MendAct::OpenSettings),
        )
    })
}

/// The mapping of an object, and its parent's.
fn mapping_of(object: &str) -> Answer<(Mapping, Option<Mapping>)> {
    let mappings = Mapping::built_in();
    let find = |name: &str| mappings.iter().find(|mapping| mapping.object.as_str() == name).cloned();
    let Some(mapping) = find(object) else {
        let known: Vec<&str> = mappings.iter().map(|mapping| mapping.object.as_str()).collect();
        let shown: String = object.chars().take(80).collect();
        return Err(Box::new(
            Problem::new(
                "SS-2010",
                format!("{shown} is not mapped"),
                "Only mapped objects have keys in the cache.",
            )
            .step(format!("Mapped are: {}", known.join(", "))),
        ));
    };
    let parent = mapping.parent.as_ref().and_then(|parent| find(parent.object.as_str()));
    Ok((mapping, parent))
}

/// The columns that a template of a mapping may name.
fn columns_of(mapping: &Mapping, parent: Option<&Mapping>) -> Vec<String> {
    let own = column_names(mapping).map(str::to_owned);
    let above = parent.into_iter().flat_map(column_names).map(|column| format!("parent.{column}"));
    own.chain(above).collect()
}

/// The rows of a record, by its id or its unique value.
async fn rows_of(
    store: &Store,
    mapping: &Mapping,
    parent: Option<&Mapping>,
    record: &str,
) -> Answer<Vec<invalidations::KeyState>> {
    let mut ids = match shadow::RecordId::parse(record) {
        Ok(id) => vec![id.to_string()],
        Err(_) => Vec::new(),
    };
    if let Some(unique) = &mapping.unique {
        ids.extend(invalidations::ids_by(store, mapping, unique, &[record]).await?);
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Ok(invalidations::key_states(store, mapping, parent, &ids).await?)
}
