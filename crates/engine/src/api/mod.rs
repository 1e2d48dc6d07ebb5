//! Use cases, one file per noun, called by every host: the window, the command line, the daemon.
//!
//! Structs here are what a host shows; they cross into the window as JSON in camel case.
//! Times are RFC 3339, counts are whole numbers, durations carry their unit in the name.
//!
//! The use cases, all `async` and given `&Engine` first, unless said otherwise (`Answer<T>` = value or problem):
//!
//! | file | use cases |
//! | --- | --- |
//! | `environments` | `list() -> Vec<EnvironmentView>`, `add(NewEnvironment) -> EnvironmentView`, `remove(&str)`, `open(&str)`, `recognise(&str) -> RecognisedOrg` (pure), `look_around(login_url: &str, pubsub_endpoint: &str) -> EnvironmentView` |
//! | `sign_in` | `state() -> SignInState` (not an answer), `start(Option<SignInFlow>)`, `cancel()`, `sign_out()` |
//! | `preflight` | `run() -> PreflightView` |
//! | `backfills` | `plan(Vec<String>) -> BackfillPlan`, `start(Vec<String>, BackfillMode) -> Vec<String>` (job ids), `pause(&str)`, `resume(&str)`, `cancel(&str)`, `jobs() -> Vec<JobView>`, `consent_removals(&str)` |
//! | `objects` | `pause(Vec<String>) -> Vec<String>`, `resume(Vec<String>) -> Vec<String>` |
//! | `counts` | `count(Vec<String>) -> CountsView` (asks Salesforce), `last() -> CountsView` (asks nobody) |
//! | `rejects` | `list(Option<String> object, Option<String> after, u32 limit) -> RejectsView`, `retry() -> u32` |
//! | `status` | `status() -> StatusView` (not an answer: it always has something to say) |
//! | `audit` | `list(u32 limit) -> Vec<AuditView>` |
//! | `schema` | `plan() -> Vec<String>`, `migrate() -> Vec<String>` |
//! | `stream` | views inside [`status::StatusView`] |
//! | `events` | `list(EventFilter) -> EventsView`, `get(i64 position) -> EventDetail` |
//! | `dead_letters` | `list(Option<String> object, u32 limit) -> DeadLettersView`, `retry(Vec<String> ids) -> u32`, `discard(Vec<String> ids) -> u32`; no id means all |
//! | `lag` | `samples(DateTime<Utc> from, DateTime<Utc> until, u32 points) -> LagSeries` |
//! | `holes` | `list(u32 limit) -> Vec<HoleView>`, open ones first |
//! | `catch_up` | `start(Vec<String> objects, Option<DateTime<Utc>> since) -> Vec<String>` (job ids), `schedules() -> Vec<ScheduleView>`, `refresh_formulas(Vec<String>) -> Vec<String>` |
//! | `flags` | `get() -> Vec<FlagView>`, `set(FlagName, bool) -> Vec<FlagView>`, `trip(&str reason) -> Vec<FlagView>`, `reset() -> Vec<FlagView>` |
//! | `reads` | `product`, `products`, `prices`, `eligibility`: each with how old the answer may be, `-> Told<T>` |
//! | `replay` | `plan(ReplayRequest) -> ReplayView`, `run(ReplayRequest) -> ReplayView` |
//! | `rebind` | `plan(RebindKind) -> RebindPlan`, `run(RebindKind) -> RebindPlan` |
//! | `quota` | `get() -> QuotaView` |
//! | `cache` | `view() -> CacheView`, `preview(FlushScope) -> FlushPlan`, `start(FlushScope, Option<&str> confirm) -> FlushView`, `stop(&str) -> FlushView`, `flushes() -> Vec<FlushView>`, `set_rules(&str, Vec<String>, Vec<String>) -> Vec<RulesView>`, `declare_complete(&str, bool) -> Vec<RulesView>`, `try_keys(&str, &str) -> Vec<TriedKeys>`, `probe() -> Probe`, `hold(bool) -> CacheView`, `drain() -> Option<Drained>` |
//! | `metrics` | `text() -> Answer<String>`: OpenMetrics, for `/metrics` |

pub mod audit;
pub mod backfills;
pub mod cache;
pub mod catch_up;
mod checks;
pub mod counts;
pub mod dead_letters;
pub mod environments;
pub mod events;
pub mod flags;
pub mod holes;
pub mod lag;
pub mod metrics;
pub mod objects;
pub mod preflight;
pub mod quota;
pub mod reads;
pub mod rebind;
mod record_names;
pub mod rejects;
pub mod replay;
pub mod schema;
pub mod sign_in;
pub mod status;
pub mod stream;
