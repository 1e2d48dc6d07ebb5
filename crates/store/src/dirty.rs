//! Dirty records: those that must be fetched before they are right again.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use shadow::fold::NewMark;
use shadow::plan::{DirtyReason, StoredMark};
use shadow::{Mapping, ObjectName, RecordId};
use sqlx::PgTransaction;

use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// A dirty record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyRecord {
    /// Its id.
    pub id: RecordId,
    /// `claim`, `doubt`, `person`, `replay`, or a reason of [`shadow::fold::MarkReason`].
    pub reason: String,
    /// The unique value that several records claim.
    pub claim: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How often it was fetched in vain.
    pub attempts: i32,
    /// Only a fetch that begins at or after this position clears the mark.
    pub as_of: i64,
    /// When the latest change that marked it was committed, in Salesforce's time; none if no event marked it.
    pub committed_at: Option<DateTime<Utc>>,
    /// Whether an event said that it was deleted: if a fetch does not find it, that is proof.
    pub deleted_noted: bool,
    /// Who marked it, each once: `event`, `read`, `sweep`, `person`.
    pub sources: Vec<String>,
}

/// Who marks records as dirty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Change events.
    Event,
    /// A read that was merged.
    Read,
    /// The sweep of the rejected records.
    Sweep,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Read => "read",
            Self::Sweep => "sweep",
        }
    }
}

/// Up to `limit` records to be fetched in one call: dirty ones that may be fetched now, and who has a part in the
/// contests that they wait for, so that one call settles them.
pub async fn next_batch(store: &Store, mapping: &Mapping, limit: i64) -> Result<Vec<RecordId>, Error> {
    let object = mapping.object.as_str();
    let seeds = sqlx::query!(
        "select record_id, claim from shadow_sync.dirty
          where object = $1 and not_before <= clock_timestamp()
          order by claim nulls last, record_id limit $2",
        object,
        (limit + 1) / 2,
    )
    .fetch_all(store.pool())
    .await?;
    let mut batch = Batch { room: usize::try_from(limit).unwrap_or_default(), ..Batch::default() };
    let mut claims: Vec<String> = Vec::new();
    for seed in seeds {
        batch.add(seed.record_id);
        claims.extend(seed.claim);
    }
    let shape = TableShape::of(mapping, store.tables_schema());
    // A holder may itself wait for what another record holds, and so on: the whole circle must be in the call.
    while let (Some(holders), false) = (shape.holders(), batch.is_full()) {
        claims.retain(|claim| batch.followed.insert(claim.clone()));
        if claims.is_empty() {
            break;
        }
        let found: Vec<(String, String, DateTime<Utc>)> =
            sqlx::query_as(holders).bind(&claims).fetch_all(store.pool()).await?;
        let mut new: Vec<String> = found.into_iter().map(|(_, id, _)| id).collect();
        let claimants = sqlx::query_scalar!(
            "select record_id from shadow_sync.dirty
              where object = $1 and claim = any($2) order by record_id limit $3",
            object,
            &claims,
            limit,
        )
        .fetch_all(store.pool())
        .await?;
        new.extend(claimants);
        new.retain(|id| batch.add(id.clone()));
        claims = sqlx::query_scalar!(
            r#"select claim as "claim!" from shadow_sync.dirty
                where object = $1 and record_id = any($2) and claim is not null"#,
            object,
            &new,
        )
        .fetch_all(store.pool())
        .await?;
    }
    batch.ids.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// Records of one call, each once.
#[derive(Default)]
struct Batch {
    ids: Vec<String>,
    known: HashSet<String>,
    /// Values whose claimants and holder are in the batch.
    followed: HashSet<String>,
    room: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.ids.len() >= self.room
    }

    /// Adds a record if it is new and there is room.
    fn add(&mut self, id: String) -> bool {
        let new = !self.is_full() && self.known.insert(id.clone());
        if new {
            self.ids.push(id);
        }
        new
    }
}

/// Dirty records of an object, by id.
pub async fn list(store: &Store, object: &ObjectName, limit: i64) -> Result<Vec<DirtyRecord>, Error> {
    let rows = sqlx::query!(
        "select record_id, reason, claim, since, attempts, as_of, committed_at, deleted_noted, sources
           from shadow_sync.dirty
          where object = $1 order by record_id limit $2",
        object.as_str(),
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(DirtyRecord {
                id: RecordId::parse(&row.record_id).map_err(|_| corrupt("record id", &row.record_id))?,
                reason: row.reason,
                claim: row.claim,
                since: row.since,
                attempts: row.attempts,
                as_of: row.as_of,
                committed_at: row.committed_at,
                deleted_noted: row.deleted_noted,
                sources: row.sources,
            })
        })
        .collect()
}

/// How many records of an object are dirty.
pub async fn count(store: &Store, object: &ObjectName) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from shadow_sync.dirty where object = $1"#,
        object.as_str()
    )
    .fetch_one(store.pool())
    .await?;
    Ok(count)
}

/// Marks records in the transaction that found them dirty. A record in doubt again is fetched 5 s later, then
/// twice as late each time, up to 60 s (design 5.2).
pub(crate) async fn mark(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    as_of: i64,
    source: Source,
    records: &[(RecordId, DirtyReason)],
) -> Result<(), Error> {
    let ids: Vec<&str> = records.iter().map(|(id, _)| id.as_str()).collect();
    let reasons: Vec<&str> = records
        .iter()
        .map(|(_, reason)| match reason {
            DirtyReason::Claim(_) => "claim",
            DirtyReason::Doubt => "doubt",
        })
        .collect();
    let claims: Vec<Option<&str>> = records
        .iter()
        .map(|(_, reason)| match reason {
            DirtyReason::Claim(claim) => Some(claim.as_str()),
            DirtyReason::Doubt => None,
        })
        .collect();
    sqlx::query!(
        "insert into shadow_sync.dirty as mark (object, record_id, reason, claim, as_of, sources)
         select $1, new.id, new.reason, new.claim, $5, array[$6::text]
           from unnest($2::text[], $3::text[], $4::text[]) as new (id, reason, claim)
         on conflict (object, record_id) do update
            set reason = excluded.reason, claim = coalesce(excluded.claim, mark.claim),
                as_of = greatest(mark.as_of, excluded.as_of), attempts = mark.attempts + 1,
                sources = case when mark.sources @> excluded.sources then mark.sources
                    else mark.sources || excluded.sources end,
                not_before = case when excluded.reason = 'doubt'
                    then now() + least(60, 5 * power(2, least(mark.attempts, 4))) * interval '1 second'
                    else mark.not_before end",
        object.as_str(),
        &ids as &[&str],
        &reasons as &[&str],
        &claims as &[Option<&str>],
        as_of,
        source.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks records that change events made dirty, or raises their marks. A mark that is there keeps its reason and the
/// time of its next fetch.
pub(crate) async fn mark_by_events(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    marks: &[(RecordId, NewMark)],
) -> Result<(), Error> {
    if marks.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = marks.iter().map(|(id, _)| id.as_str()).collect();
    let reasons: Vec<&str> = marks.iter().map(|(_, mark)| mark.reason.as_str()).collect();
    let as_of: Vec<i64> = marks.iter().map(|(_, mark)| mark.as_of).collect();
    let committed: Vec<Option<DateTime<Utc>>> =
        marks.iter().map(|(_, mark)| mark.committed_at.to_utc()).collect();
    let first: Vec<Option<DateTime<Utc>>> = marks.iter().map(|(_, mark)| mark.since.to_utc()).collect();
    let deleted: Vec<bool> = marks.iter().map(|(_, mark)| mark.deleted_noted).collect();
    let waits: Vec<i64> = marks.iter().map(|(_, mark)| mark.wait_ms).collect();
    sqlx::query!(
        "insert into shadow_sync.dirty as mark
                (object, record_id, reason, as_of, committed_at, first_committed_at, deleted_noted, not_before, sources)
         select $1, new.id, new.reason, new.as_of, new.committed_at, new.first_at, new.deleted,
                now() + new.wait * interval '1 millisecond', '{event}'
           from unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::boolean[],
                       $8::bigint[]) as new (id, reason, as_of, committed_at, first_at, deleted, wait)
         on conflict (object, record_id) do update
            set as_of = greatest(mark.as_of, excluded.as_of),
                committed_at = greatest(mark.committed_at, excluded.committed_at),
                first_committed_at = least(mark.first_committed_at, excluded.first_committed_at),
                deleted_noted = case when excluded.as_of > mark.as_of then excluded.deleted_noted
                    else mark.deleted_noted end,
                sources = case when mark.sources @> '{event}' then mark.sources
                    else mark.sources || excluded.sources end",
        object.as_str(),
        &ids as &[&str],
        &reasons as &[&str],
        &as_of,
        &committed as &[Option<DateTime<Utc>>],
        &first as &[Option<DateTime<Utc>>],
        &deleted,
        &waits,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Why somebody other than events and reads has records fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A person asked for it.
    Person,
    /// A replay found that they disagree with the stored events.
    Replay,
}

/// Marks records to be fetched at once, because a person ordered it.
pub async fn order(store: &Store, object: &ObjectName, ids: &[RecordId], order: Order) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let reason = match order {
        Order::Person => "person",
        Order::Replay => "replay",
    };
    sqlx::query!(
        "insert into shadow_sync.dirty as mark (object, record_id, reason, as_of, sources)
         select $1, new.id, $3, head.position, '{person}'
           from shadow_sync.log_head as head, (select distinct unnest($2::text[]) as id) as new
         on conflict (object, record_id) do update
            set as_of = greatest(mark.as_of, excluded.as_of), not_before = clock_timestamp(),
                sources = case when mark.sources @> '{person}' then mark.sources
                    else mark.sources || excluded.sources end",
        object.as_str(),
        &ids as &[&str],
        reason,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Lets only fetches clear the marks of some records that begin at or after a position.
pub(crate) async fn raise(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
    as_of: i64,
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "update shadow_sync.dirty set as_of = $3 where object = $1 and record_id = any($2::text[]) and as_of < $3",
        object.as_str(),
        &ids as &[&str],
        as_of,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Clears marks, whatever they wait for: of records that are known to be gone.
pub(crate) async fn clear(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<(), Error> {
    clear_up_to(tx, object, ids, i64::MAX).await.map(drop)
}

/// Clears the marks of records that a read settled that began at a position; returns whose marks went. Later events
/// may have raised the marks of others meanwhile.
pub(crate) async fn clear_up_to(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
    as_of: i64,
) -> Result<Vec<RecordId>, Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let cleared = sqlx::query_scalar!(
        "delete from shadow_sync.dirty where object = $1 and record_id = any($2::text[]) and as_of <= $3
         returning record_id",
        object.as_str(),
        &ids as &[&str],
        as_of,
    )
    .fetch_all(&mut **tx)
    .await?;
    cleared.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// The marks of some records.
pub(crate) async fn marks(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[&str],
) -> Result<HashMap<RecordId, StoredMark>, Error> {
    let rows = sqlx::query!(
        "select record_id, as_of from shadow_sync.dirty where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        ids as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    let id = |id: String| RecordId::parse(&id).map_err(|_| corrupt("record id", id));
    rows.into_iter().map(|row| Ok((id(row.record_id)?, StoredMark { as_of: row.as_of }))).collect()
}

/// A dirty record that a fetch did not get.
pub(crate) struct Missed {
    pub id: RecordId,
    /// An event said that it was deleted.
    pub deleted_noted: bool,
}

/// Those of some ids that are dirty, and whose marks a read settles that began at a position.
pub(crate) async fn among(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
    as_of: i64,
) -> Result<Vec<Missed>, Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let rows = sqlx::query!(
        "select record_id, deleted_noted from shadow_sync.dirty
          where object = $1 and record_id = any($2::text[]) and as_of <= $3",
        object.as_str(),
        &ids as &[&str],
        as_of,
    )
    .fetch_all(&mut **tx)
    .await?;
    let id = |id: String| RecordId::parse(&id).map_err(|_| corrupt("record id", id));
    rows.into_iter()
        .map(|row| Ok(Missed { id: id(row.record_id)?, deleted_noted: row.deleted_noted }))
        .collect()
}

/// Lets records be fetched again only after a while: 5 s, then twice as late each time, up to 60 s.
pub(crate) async fn postpone(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "update shadow_sync.dirty
            set attempts = attempts + 1,
                not_before = now() + least(60, 5 * power(2, least(attempts, 4))) * interval '1 second'
          where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
