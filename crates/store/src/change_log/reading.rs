//! Looking into the log: lists for people, and what a replay starts from.

use chrono::{DateTime, Utc};
use shadow::event::{ChangeKind, ChannelName, ReplayId};
use shadow::{EventOutcome, ObjectName, RecordId};
use sqlx::PgTransaction;

use super::{EventRow, StoredEvent, parse_channel, parse_kind};
use crate::error::{Error, corrupt};
use crate::event_outcomes::{self, RecordOutcome};
use crate::log_head;
use crate::session::Store;

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Of this object.
    pub object: Option<ObjectName>,
    /// Of this kind.
    pub kind: Option<ChangeKind>,
    /// With which this was done, for any of their records.
    pub outcome: Option<EventOutcome>,
    /// Only those that wait to be applied.
    pub waiting: bool,
    /// Which name this record.
    pub record: Option<RecordId>,
    /// Only below this position: the next page.
    pub below: Option<i64>,
}

/// An event of the log, and what was done with it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedEvent {
    /// Its position.
    pub position: i64,
    /// When it was received, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// The channel that it came on.
    pub channel: ChannelName,
    /// Salesforce's position of it.
    pub replay_id: ReplayId,
    /// The schema that it was written with.
    pub schema_id: String,
    /// Size of its payload in bytes.
    pub payload_bytes: i32,
    /// The object.
    pub object: ObjectName,
    /// How its records changed.
    pub kind: ChangeKind,
    /// Groups the events of one transaction.
    pub transaction_key: String,
    /// Order within the transaction.
    pub sequence_number: i32,
    /// When the transaction was committed, in Salesforce's time.
    pub committed_at: DateTime<Utc>,
    /// The record that was asked for, else the first; none: all of the object, or nobody knows which.
    pub record: Option<RecordId>,
    /// How many records it names.
    pub records: i32,
    /// Whether it waits to be applied.
    pub waits: bool,
    /// What was done with it, for the record above, else for the one with which most is wrong; none while it waits.
    pub outcome: Option<RecordOutcome>,
}

/// Events, newest first: up to `limit` that the filter lets through.
pub async fn list(store: &Store, filter: &LogFilter, limit: i64) -> Result<Vec<LoggedEvent>, Error> {
    let mut tx = store.begin().await?;
    log_head::plan_anew(&mut tx).await?;
    let positions = match (filter.record, filter.outcome) {
        (Some(record), _) => of_record(&mut tx, record, filter, limit).await?,
        (None, Some(outcome)) => with_outcome(&mut tx, outcome, filter, limit).await?,
        (None, None) => all(&mut tx, filter, limit).await?,
    };
    let events = describe(&mut tx, &positions, filter).await?;
    tx.commit().await?;
    Ok(events)
}

async fn all(tx: &mut PgTransaction<'_>, filter: &LogFilter, limit: i64) -> Result<Vec<i64>, Error> {
    let positions = sqlx::query_scalar!(
        "select l.position from shadow_sync.change_log l
          where ($1::bigint is null or l.position < $1) and ($2::text is null or l.object = $2)
            and ($3::text is null or l.kind = $3)
            and (not $4 or l.position > coalesce(
                    (select c.applied_position from shadow_sync.checkpoints c where c.channel = l.channel), 0))
          order by l.position desc limit $5",
        filter.below,
        filter.object.as_ref().map(ObjectName::as_str),
        filter.kind.map(ChangeKind::as_str),
        filter.waiting,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(positions)
}

async fn with_outcome(
    tx: &mut PgTransaction<'_>,
    outcome: EventOutcome,
    filter: &LogFilter,
    limit: i64,
) -> Result<Vec<i64>, Error> {
    let positions = sqlx::query_scalar!(
        "select distinct o.position from shadow_sync.event_outcomes o
          where o.outcome = $1 and ($2::bigint is null or o.position < $2)
            and (($3::text is null and $4::text is null) or exists (
                    select from shadow_sync.change_log l
                     where l.position = o.position and ($3::text is null or l.object = $3)
                       and ($4::text is null or l.kind = $4)))
          order by o.position desc limit $5",
        outcome.as_str(),
        filter.below,
        filter.object.as_ref().map(ObjectName::as_str),
        filter.kind.map(ChangeKind::as_str),
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(positions)
}

/// A record's events: those with which something was done, and those that wait.
async fn of_record(
    tx: &mut PgTransaction<'_>,
    record: RecordId,
    filter: &LogFilter,
    limit: i64,
) -> Result<Vec<i64>, Error> {
    let positions = sqlx::query_scalar!(
        r#"select l.position as "position!" from (
               select o.position from shadow_sync.event_outcomes o
                where o.record_id = $1 and ($2::text is null or o.outcome = $2)
                union
               select w.position
                 from shadow_sync.checkpoints c
                 join shadow_sync.change_log w on w.channel = c.channel and w.position > c.applied_position
                where $1 = any(w.record_ids) and $2::text is null) as found
             join shadow_sync.change_log l using (position)
            where ($3::bigint is null or l.position < $3) and ($4::text is null or l.object = $4)
              and ($5::text is null or l.kind = $5)
            order by l.position desc limit $6"#,
        record.as_str(),
        filter.outcome.map(EventOutcome::as_str),
        filter.below,
        filter.object.as_ref().map(ObjectName::as_str),
        filter.kind.map(ChangeKind::as_str),
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(positions)
}

async fn describe(
    tx: &mut PgTransaction<'_>,
    positions: &[i64],
    filter: &LogFilter,
) -> Result<Vec<LoggedEvent>, Error> {
    let rows = sqlx::query!(
        r#"select l.position, l.received_at, l.channel, l.replay_id, l.schema_id,
                  octet_length(l.payload) as "payload_bytes!", l.object, l.kind, l.transaction_key, l.sequence_number,
                  l.committed_at, coalesce(cardinality(l.record_ids), 0) as "records!",
                  coalesce($2, l.record_ids[1]) as record,
                  l.position > coalesce(c.applied_position, 0) as "waits!",
                  o.record_id as "outcome_record?", o.outcome as "outcome?", o.detail as "detail?",
                  o.applied_at as "applied_at?"
             from shadow_sync.change_log l
             left join shadow_sync.checkpoints c on c.channel = l.channel
             left join lateral (
                    select * from shadow_sync.event_outcomes o where o.position = l.position
                     order by o.record_id is not distinct from $2 desc,
                              array_position(array['dead-letter', 'hole', 'rejected', 'dirty', 'deleted', 'applied',
                                                   'skipped', 'unmapped'], o.outcome),
                              o.applied_at
                     limit 1) as o on true
            where l.position = any($1)
            order by l.position desc"#,
        positions,
        filter.record.map(|id| id.to_string()),
    )
    .fetch_all(&mut **tx)
    .await?;
    let id = |id: String| RecordId::parse(&id).map_err(|_| corrupt("record id", id));
    rows.into_iter()
        .map(|row| {
            let outcome = match (row.outcome, row.applied_at) {
                (Some(word), Some(applied_at)) => Some(RecordOutcome {
                    record: row.outcome_record.map(id).transpose()?,
                    outcome: event_outcomes::parse(&word)?,
                    detail: row.detail,
                    applied_at,
                }),
                _ => None,
            };
            Ok(LoggedEvent {
                position: row.position,
                received_at: row.received_at,
                channel: parse_channel(&row.channel)?,
                replay_id: ReplayId::new(row.replay_id),
                schema_id: row.schema_id,
                payload_bytes: row.payload_bytes,
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                kind: parse_kind(&row.kind)?,
                transaction_key: row.transaction_key,
                sequence_number: row.sequence_number,
                committed_at: row.committed_at,
                record: row.record.map(id).transpose()?,
                records: row.records,
                waits: row.waits,
                outcome,
            })
        })
        .collect()
}

/// One event whole; none if its day was taken away, or there never was one.
pub async fn get(store: &Store, position: i64) -> Result<Option<StoredEvent>, Error> {
    let row = sqlx::query_as!(
        EventRow,
        "select position, received_at, channel, replay_id, schema_id, payload, object, kind, transaction_key,
                sequence_number, committed_at, record_ids
           from shadow_sync.change_log where position = $1",
        position
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(EventRow::read).transpose()
}

/// Where an event is in the log, on whatever channel it came; none if it is not there.
pub async fn position_of(
    store: &Store,
    object: &ObjectName,
    transaction_key: &str,
    sequence_number: i32,
) -> Result<Option<i64>, Error> {
    let position = sqlx::query_scalar!(
        "select position from shadow_sync.change_log
          where transaction_key = $1 and sequence_number = $2 and object = $3 limit 1",
        transaction_key,
        sequence_number,
        object.as_str(),
    )
    .fetch_optional(store.pool())
    .await?;
    Ok(position)
}

/// When the oldest event that is still there was received.
pub async fn earliest(store: &Store) -> Result<Option<DateTime<Utc>>, Error> {
    let earliest = sqlx::query_scalar!("select min(received_at) from shadow_sync.change_log")
        .fetch_one(store.pool())
        .await?;
    Ok(earliest)
}

/// What a replay would look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayable {
    /// Events received from then on.
    pub events: i64,
    /// Records that they name, each once.
    pub records: i64,
    /// Events that name no record.
    pub nameless: i64,
    /// The objects that they are of.
    pub objects: Vec<String>,
}

/// Counts what a replay from a time on would look at, of one object if given.
pub async fn replayable(
    store: &Store,
    from: DateTime<Utc>,
    object: Option<&ObjectName>,
) -> Result<Replayable, Error> {
    let counted = sqlx::query_as!(
        Replayable,
        r#"with events as (
               select object, record_ids from shadow_sync.change_log
                where received_at >= $1 and ($2::text is null or object = $2))
           select (select count(*) from events) as "events!",
                  (select count(distinct id) from events, unnest(record_ids) as id) as "records!",
                  (select count(*) from events where record_ids is null) as "nameless!",
                  (select coalesce(array_agg(distinct object), '{}') from events) as "objects!""#,
        from,
        object.map(ObjectName::as_str),
    )
    .fetch_one(store.pool())
    .await?;
    Ok(counted)
}

/// Events received from a time on, of one object if given, in the log's order: up to `limit` behind a position.
pub async fn scan(
    store: &Store,
    from: DateTime<Utc>,
    object: Option<&ObjectName>,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, Error> {
    let mut tx = store.begin().await?;
    log_head::plan_anew(&mut tx).await?;
    let rows = sqlx::query_as!(
        EventRow,
        "select position, received_at, channel, replay_id, schema_id, payload, object, kind, transaction_key,
                sequence_number, committed_at, record_ids
           from shadow_sync.change_log
          where received_at >= $1 and ($2::text is null or object = $2) and position > $3
          order by position limit $4",
        from,
        object.map(ObjectName::as_str),
        after,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    rows.into_iter().map(EventRow::read).collect()
}
