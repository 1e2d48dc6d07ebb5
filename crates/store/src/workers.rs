//! Processes that work on a database, known by their heartbeats.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::words::words;

words! {
    /// What a process is.
    HostKind {
        /// `shadow-sync serve`.
        Daemon = "daemon",
        /// The desktop console.
        Console = "console",
        /// Another command.
        CommandLine = "command-line",
    }
}

words! {
    /// What a process does.
    Role {
        /// Streams, applies, keeps the schedules.
        Leader = "leader",
        /// Would take over.
        Standby = "standby",
        /// Only looks.
        Observer = "observer",
    }
}

words! {
    /// Whether the readers of a process have the shadow.
    ShadowReads {
        /// They have it.
        On = "on",
        /// They are answered by Salesforce.
        Off = "off",
        /// They are answered by Salesforce until a person resets the trip.
        Tripped = "tripped",
    }
}

/// How often a process says that it is there.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

/// A process, as it shows itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Drawn at its start.
    pub id: Uuid,
    /// What it is.
    pub host_kind: HostKind,
    /// How it is shown, such as `shadow-sync on shop-db-1, process 4711`.
    pub holder: String,
    /// Its version.
    pub version: String,
    /// What it does.
    pub role: Role,
    /// Channels that it streams.
    pub streaming: Vec<String>,
    /// Whether its readers have the shadow; none for a process that has no readers.
    pub shadow_reads: Option<ShadowReads>,
}

/// A process that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenWorker {
    /// The process.
    pub worker: Worker,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it was last seen.
    pub seen_at: DateTime<Utc>,
    /// How long ago that is, in milliseconds of the database's clock.
    pub seen_ms_ago: i64,
}

/// Says that this process is there, and what it does.
pub async fn beat(store: &Store, worker: &Worker) -> Result<(), Error> {
    sqlx::query!(
        "insert into shadow_sync.workers (id, host_kind, holder, version, role, streaming, shadow_reads)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (id) do update
            set holder = excluded.holder, role = excluded.role, streaming = excluded.streaming,
                shadow_reads = excluded.shadow_reads, seen_at = clock_timestamp()",
        worker.id,
        worker.host_kind.as_str(),
        worker.holder,
        worker.version,
        worker.role.as_str(),
        &worker.streaming,
        worker.shadow_reads.map(ShadowReads::as_str),
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Says that a process ends.
pub async fn gone(store: &Store, id: Uuid) -> Result<(), Error> {
    sqlx::query!("delete from shadow_sync.workers where id = $1", id).execute(store.pool()).await?;
    Ok(())
}

/// Processes seen within a time, daemons first, then by their start.
pub async fn list(store: &Store, within: Duration) -> Result<Vec<SeenWorker>, Error> {
    let rows = sqlx::query!(
        r#"select id, host_kind, holder, version, role, streaming, shadow_reads, started_at, seen_at,
                  (extract(epoch from clock_timestamp() - seen_at) * 1000)::bigint as "seen_ms_ago!"
             from shadow_sync.workers
            where seen_at >= clock_timestamp() - make_interval(secs => $1)
            order by host_kind <> 'daemon', started_at, id"#,
        within.as_secs_f64(),
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(SeenWorker {
                worker: Worker {
                    id: row.id,
                    host_kind: HostKind::parse(&row.host_kind)
                        .ok_or_else(|| corrupt("kind of host", &row.host_kind))?,
                    holder: row.holder,
                    version: row.version,
                    role: Role::parse(&row.role).ok_or_else(|| corrupt("role", &row.role))?,
                    streaming: row.streaming,
                    shadow_reads: match row.shadow_reads.as_deref() {
                        None => None,
                        Some(word) => Some(
                            ShadowReads::parse(word).ok_or_else(|| corrupt("state of the readers", word))?,
                        ),
                    },
                },
                started_at: row.started_at,
                seen_at: row.seen_at,
                seen_ms_ago: row.seen_ms_ago,
            })
        })
        .collect()
}

/// Whether a daemon was seen within a time: a console leads only when none was.
pub async fn daemon_seen_within(store: &Store, within: Duration) -> Result<bool, Error> {
    let seen = sqlx::query_scalar!(
        r#"select exists (select from shadow_sync.workers
                           where host_kind = 'daemon'
                             and seen_at >= clock_timestamp() - make_interval(secs => $1)) as "seen!""#,
        within.as_secs_f64(),
    )
    .fetch_one(store.pool())
    .await?;
    Ok(seen)
}
