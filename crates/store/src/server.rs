//! What the server is, and whether we can work with it.

use serde::{Deserialize, Serialize};
use shadow::ObjectName;
use shadow::event::ChannelName;

use crate::error::{Error, corrupt};
use crate::holes::{self, HoleWhy, NewHole};
use crate::session::{Store, in_time};
use crate::{checkpoints, log_head};

/// How far the number line leaps when the server changed: beyond whatever position was handed out since it was last
/// looked at.
const LEAP: i64 = 1_000_000;

/// The oldest and newest major versions that we know to work.
const SUPPORTED: std::ops::RangeInclusive<i32> = 14..=18;

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `18.4`.
    pub version: String,
    /// Name of the database.
    pub database: String,
    /// The role that we act as.
    pub role: String,
    /// Whether a commit waits for the disk. Without it a power failure may lose committed rows.
    pub fsync: bool,
}

/// Which server, and which history of it, a database stands on.
///
/// What the server does not say (a role without the right, a service that only speaks PostgreSQL) is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// Drawn by `initdb`; standbys share it.
    pub system: Option<i64>,
    /// Counts promotions: a standby that took over has a greater one.
    pub timeline: Option<i64>,
    /// The database's number within the server: a restored dump has another.
    pub database: i64,
    /// The change log's newest position.
    pub log_position: i64,
}

/// How a server differs from the one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerChange {
    /// Another server, or another database of it.
    OtherServer,
    /// A standby took over: its last seconds may be missing.
    Promoted,
    /// The change log ends earlier than it did: a backup was restored.
    SetBack,
}

impl ServerIdentity {
    /// What changed since `before` was seen: then every lease, read in flight and plan is void.
    pub fn change_since(&self, before: &Self) -> Option<ServerChange> {
        let differs =
            |one: Option<i64>, other: Option<i64>| one.zip(other).is_some_and(|(one, other)| one != other);
        if differs(self.system, before.system) || self.database != before.database {
            return Some(ServerChange::OtherServer);
        }
        if differs(self.timeline, before.timeline) {
            return Some(ServerChange::Promoted);
        }
        (self.log_position < before.log_position).then_some(ServerChange::SetBack)
    }
}

/// What was put right after a change of server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOn {
    /// Whether the log ended earlier than it did before.
    pub is_set_back: bool,
    /// The objects of which events may be missing: a hole is open for each.
    pub holes: Vec<ObjectName>,
}

impl Store {
    /// Goes on with a server that is not the one of `before`, in one commit.
    ///
    /// The number line leaps over every position that was handed out before, so that no read, row or event of then can
    /// look newer than what comes. If the log ends earlier than it did, every lease is dropped, and a hole is opened for
    /// each loaded object from what its stream had proven then: Salesforce delivers again what it sent meanwhile, but
    /// not what it kept back, and the holes of that time are gone.
    pub async fn take_on(&self, before: &ServerIdentity) -> Result<TakenOn, Error> {
        let mut tx = self.begin().await?;
        let head = log_head::lock(&mut tx).await?;
        let is_set_back = head < before.log_position;
        sqlx::query!(
            "update shadow_sync.log_head
                set position = $2 + greatest(position, $1,
                        (select max(position) from shadow_sync.change_log),
                        (select max(applied_position) from shadow_sync.checkpoints))",
            before.log_position,
            LEAP,
        )
        .execute(&mut *tx)
        .await?;
        let mut missing = Vec::new();
        if is_set_back {
            sqlx::query!("delete from shadow_sync.leases").execute(&mut *tx).await?;
            let now = checkpoints::now(&mut tx).await?;
            let loaded = sqlx::query!(
                r#"select o.object, s.channel as "channel?", s.proven_until as "proven_until?"
                     from shadow_sync.objects o
                     left join lateral (
                            select k.channel, k.proven_until
                              from shadow_sync.channel_members b join shadow_sync.checkpoints k on k.channel = b.channel
                             where b.object = o.object
                             order by k.heard_at desc nulls last limit 1) as s on true
                    where o.loaded_at is not null
                    order by o.object"#
            )
            .fetch_all(&mut *tx)
            .await?;
            for row in loaded {
                let object = ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?;
                let from = match row.proven_until {
                    Some(proven) => Some(proven),
                    None => holes::last_load(&mut tx, &object).await?,
                };
                let channel = row.channel.as_deref().and_then(|name| ChannelName::parse(name).ok());
                let hole = NewHole { channel, ..NewHole::new(&object, HoleWhy::SetBack) };
                missing.push(hole.from(from).until(Some(now)));
            }
            holes::open_in(&mut tx, &missing).await?;
        }
        tx.commit().await?;
        Ok(TakenOn { is_set_back, holes: missing.into_iter().map(|hole| hole.object).collect() })
    }

    /// Asks which server this is, to be compared with the one that was there before.
    pub async fn server_identity(&self) -> Result<ServerIdentity, Error> {
        in_time(self.identity()).await
    }

    async fn identity(&self) -> Result<ServerIdentity, Error> {
        let row = sqlx::query!(
            r#"select (select oid::bigint from pg_database where datname = current_database()) as "database!",
                      (select position from shadow_sync.log_head) as "position!""#
        )
        .fetch_one(self.pool())
        .await?;
        let system =
            sqlx::query_scalar!("select system_identifier from pg_control_system()").fetch_one(self.pool());
        let timeline = sqlx::query_scalar!(
            "select ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint"
        )
        .fetch_one(self.pool());
        Ok(ServerIdentity {
            system: if_told(system.await)?,
            timeline: if_told(timeline.await)?,
            database: row.database,
            log_position: row.position,
        })
    }

    /// Asks the server what it is.
    ///
    /// - **Errors:** [`Error::UnsupportedServer`] outside 14 to 18, [`Error::ReadOnly`] for a standby.
    pub async fn server_facts(&self) -> Result<ServerFacts, Error> {
        in_time(self.facts()).await
    }

    async fn facts(&self) -> Result<ServerFacts, Error> {
        let row = sqlx::query!(
            r#"select current_setting('server_version_num')::int / 10000 as "major!",
                      split_part(current_setting('server_version'), ' ', 1) as "version!",
                      current_database()::text as "database!",
                      current_user::text as "role!",
                      current_setting('fsync')::bool as "fsync!",
                      (pg_is_in_recovery() or current_setting('transaction_read_only')::bool) as "read_only!""#
        )
        .fetch_one(self.pool())
        .await?;
        if !SUPPORTED.contains(&row.major) {
            return Err(Error::UnsupportedServer { found: row.version });
        }
        if row.read_only {
            return Err(Error::ReadOnly);
        }
        Ok(ServerFacts { version: row.version, database: row.database, role: row.role, fsync: row.fsync })
    }
}

/// A server that will not or cannot say something has not failed.
fn if_told(answer: Result<Option<i64>, sqlx::Error>) -> Result<Option<i64>, Error> {
    match answer.map_err(Error::from) {
        Ok(told) => Ok(told),
        Err(Error::PermissionDenied(_) | Error::Unexpected { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_server_is_told_from_a_log_that_grew() {
        let seen = ServerIdentity { system: Some(7), timeline: Some(1), database: 5, log_position: 100 };
        let change = |now: ServerIdentity| now.change_since(&seen);
        assert_eq!(change(ServerIdentity { log_position: 200, ..seen }), None);
        assert_eq!(change(ServerIdentity { system: None, ..seen }), None);
        assert_eq!(change(ServerIdentity { system: Some(8), ..seen }), Some(ServerChange::OtherServer));
        assert_eq!(change(ServerIdentity { database: 6, ..seen }), Some(ServerChange::OtherServer));
        assert_eq!(change(ServerIdentity { timeline: Some(2), ..seen }), Some(ServerChange::Promoted));
        assert_eq!(change(ServerIdentity { log_position: 99, ..seen }), Some(ServerChange::SetBack));
    }
}
