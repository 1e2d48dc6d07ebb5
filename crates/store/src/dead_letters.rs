//! Dead letters: events that could not be processed. Their records are fetched instead; what an old event says is
//! never written.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use shadow::event::{ChangeKind, ChannelName, ReplayId};
use shadow::{ObjectName, RecordId};
use sqlx::PgTransaction;

use crate::change_log::{StoredEvent, parse_channel, parse_kind};
use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::words::words;

words! {
    /// Where an event failed.
    Stage {
        /// Its header could not be read: it is not in the log, and a hole was opened.
        Header = "header",
        /// Its schema could not be had.
        Schema = "schema",
        /// Its body could not be read.
        Decode = "decode",
        /// What it says could not be written.
        Apply = "apply",
    }
}

words! {
    /// How a dead letter was closed.
    LetterEnd {
        /// A person had its record fetched.
        Retried = "retried",
        /// A person gave it up; its record was fetched all the same.
        Discarded = "discarded",
        /// Its record was fetched for another reason.
        Fetched = "fetched",
        /// Its record was deleted.
        Deleted = "deleted",
    }
}

/// An event that is to be parked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeadLetter {
    /// Its position.
    pub position: i64,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// The channel that it came on.
    pub channel: ChannelName,
    /// Salesforce's position of it.
    pub replay_id: ReplayId,
    /// The schema that it was written with.
    pub schema_id: String,
    /// Its bytes, only if it is not in the log.
    pub payload: Option<Bytes>,
    /// The object, if known.
    pub object: Option<ObjectName>,
    /// Its records; none: all of the object, or nobody knows which.
    pub records: Option<Vec<RecordId>>,
    /// How they changed, if known.
    pub kind: Option<ChangeKind>,
    /// When, in Salesforce's time, if known.
    pub committed_at: Option<DateTime<Utc>>,
    /// Where it failed.
    pub stage: Stage,
    /// What its like is grouped by: a stable word.
    pub cause: String,
    /// What failed, for people; without record content.
    pub message: String,
}

impl NewDeadLetter {
    /// Of an event that is in the log.
    pub fn of(event: &StoredEvent, stage: Stage, cause: &str, message: &str) -> Self {
        Self {
            position: event.position,
            received_at: event.received_at,
            channel: event.channel.clone(),
            replay_id: event.replay_id.clone(),
            schema_id: event.schema_id.clone(),
            payload: None,
            object: Some(event.object.clone()),
            records: event.record_ids.clone(),
            kind: Some(event.kind),
            committed_at: Some(event.committed_at),
            stage,
            cause: cause.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// A dead letter: one record of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Its number.
    pub id: i64,
    /// The event's position.
    pub position: i64,
    /// When the event was received.
    pub received_at: DateTime<Utc>,
    /// The channel that it came on.
    pub channel: ChannelName,
    /// The schema that it was written with.
    pub schema_id: String,
    /// The object, if known.
    pub object: Option<ObjectName>,
    /// The record; none: all of the object, or nobody knows which.
    pub record: Option<RecordId>,
    /// How it changed, if known.
    pub kind: Option<ChangeKind>,
    /// When, in Salesforce's time, if known.
    pub committed_at: Option<DateTime<Utc>>,
    /// Where it failed.
    pub stage: Stage,
    /// What its like is grouped by.
    pub cause: String,
    /// What failed.
    pub message: String,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
    /// How often it failed.
    pub attempts: i32,
}

/// Open dead letters of one cause.
#[derive(Debug, Clone, PartialEq)]
pub struct CauseGroup {
    /// The cause.
    pub cause: String,
    /// All of that cause.
    pub total: i64,
    /// The latest of them.
    pub letters: Vec<DeadLetter>,
}

/// Parks events in the caller's transaction, one row per record. For an event that names none the caller opens a hole
/// in the same transaction.
pub async fn park_in(tx: &mut PgTransaction<'_>, letters: &[NewDeadLetter]) -> Result<(), Error> {
    for letter in letters {
        let nobody = [None];
        let named: Option<Vec<Option<&str>>> =
            letter.records.as_ref().map(|ids| ids.iter().map(|id| Some(id.as_str())).collect());
        let records = named.as_deref().filter(|ids| !ids.is_empty()).unwrap_or(&nobody);
        sqlx::query!(
            "insert into shadow_sync.dead_letters
                    (position, received_at, channel, replay_id, schema_id, payload, object, record_id, kind,
                     committed_at, stage, cause, message, attempts)
             select $1, $2, $3, $4, $5, $6, $7, new.id, $9, $10, $11, $12, $13,
                    1 + (select count(*) from shadow_sync.dead_letters old
                          where old.position = $1 and old.record_id is not distinct from new.id)
               from unnest($8::text[]) as new (id)",
            letter.position,
            letter.received_at,
            letter.channel.as_str(),
            letter.replay_id.as_bytes(),
            letter.schema_id,
            letter.payload.as_deref(),
            letter.object.as_ref().map(ObjectName::as_str),
            records as &[Option<&str>],
            letter.kind.map(ChangeKind::as_str),
            letter.committed_at,
            letter.stage.as_str(),
            letter.cause,
            letter.message,
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Open dead letters, grouped by cause, the most frequent first; of each up to `per_cause` latest ones.
pub async fn list(
    store: &Store,
    object: Option<&ObjectName>,
    per_cause: i64,
) -> Result<Vec<CauseGroup>, Error> {
    let rows = sqlx::query!(
        r#"with numbered as (
               select *, count(*) over (partition by cause) as total,
                      row_number() over (partition by cause order by id desc) as place
                 from shadow_sync.dead_letters
                where closed_at is null and ($1::text is null or object = $1))
           select id, position, received_at, channel, schema_id, object, record_id, kind, committed_at, stage, cause,
                  message, parked_at, attempts, total as "total!"
             from numbered where place <= $2
            order by total desc, cause, id desc"#,
        object.map(ObjectName::as_str),
        per_cause,
    )
    .fetch_all(store.pool())
    .await?;
    let mut groups: Vec<CauseGroup> = Vec::new();
    for row in rows {
        if groups.last().is_none_or(|group| group.cause != row.cause) {
            groups.push(CauseGroup { cause: row.cause.clone(), total: row.total, letters: Vec::new() });
        }
        let object = |name: String| ObjectName::parse(&name).map_err(|_| corrupt("object", name));
        let record = |id: String| RecordId::parse(&id).map_err(|_| corrupt("record id", id));
        let letter = DeadLetter {
            id: row.id,
            position: row.position,
            received_at: row.received_at,
            channel: parse_channel(&row.channel)?,
            schema_id: row.schema_id,
            object: row.object.map(object).transpose()?,
            record: row.record_id.map(record).transpose()?,
            kind: row.kind.as_deref().map(parse_kind).transpose()?,
            committed_at: row.committed_at,
            stage: Stage::parse(&row.stage).ok_or_else(|| corrupt("stage", &row.stage))?,
            cause: row.cause,
            message: row.message,
            parked_at: row.parked_at,
            attempts: row.attempts,
        };
        if let Some(group) = groups.last_mut() {
            group.letters.push(letter);
        }
    }
    Ok(groups)
}

/// How many dead letters are open.
pub async fn count_open(store: &Store) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from shadow_sync.dead_letters where closed_at is null"#
    )
    .fetch_one(store.pool())
    .await?;
    Ok(count)
}

/// Which dead letters an act is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letters {
    /// All open ones.
    All,
    /// Those of a cause.
    OfCause(String),
    /// These.
    These(Vec<i64>),
}

/// What closing dead letters led to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retried {
    /// Dead letters closed.
    pub letters: u64,
    /// Records that are dirty now, to be fetched.
    pub records: u64,
    /// Dead letters that named no record: a hole was opened when they were parked, which a catch-up closes.
    pub nameless: u64,
}

/// Those of some numbers that are open dead letters.
pub async fn open_of(store: &Store, ids: &[i64]) -> Result<Vec<i64>, Error> {
    let open = sqlx::query_scalar!(
        "select id from shadow_sync.dead_letters where closed_at is null and id = any($1)",
        ids,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(open)
}

/// How a dead letter of an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedLetter {
    /// The event.
    pub position: i64,
    /// The record; none if the event named none.
    pub record: Option<RecordId>,
    /// When it was closed.
    pub closed_at: DateTime<Utc>,
    /// How.
    pub how: LetterEnd,
}

/// Closed dead letters of some events.
pub async fn closed_of(store: &Store, positions: &[i64]) -> Result<Vec<ClosedLetter>, Error> {
    let rows = sqlx::query!(
        r#"select position, record_id, closed_at as "closed_at!", closed_how as "closed_how!"
             from shadow_sync.dead_letters
            where position = any($1) and closed_at is not null and closed_how is not null order by id"#,
        positions,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            let id = |id: String| RecordId::parse(&id).map_err(|_| corrupt("record id", id));
            Ok(ClosedLetter {
                position: row.position,
                record: row.record_id.map(id).transpose()?,
                closed_at: row.closed_at,
                how: LetterEnd::parse(&row.closed_how)
                    .ok_or_else(|| corrupt("end of a dead letter", &row.closed_how))?,
            })
        })
        .collect()
}

/// Closes dead letters and has their records fetched, in one commit.
///
/// - `discard`: whether the person gave them up; their records are fetched all the same, or the shadow would be
///   wrong in silence.
pub async fn retry(store: &Store, letters: &Letters, discard: bool, who: &str) -> Result<Retried, Error> {
    let mut tx = store.begin().await?;
    let end = if discard { LetterEnd::Discarded } else { LetterEnd::Retried };
    let (cause, ids) = match letters {
        Letters::All => (None, None),
        Letters::OfCause(cause) => (Some(cause.as_str()), None),
        Letters::These(ids) => (None, Some(ids.as_slice())),
    };
    let closed = sqlx::query!(
        r#"with closed as (
               update shadow_sync.dead_letters
                  set closed_at = clock_timestamp(), closed_how = $3, closed_by = $4
                where closed_at is null and ($1::text is null or cause = $1) and ($2::bigint[] is null or id = any($2))
               returning object, record_id, position, kind, committed_at),
           marked as (
               insert into shadow_sync.dirty as mark
                      (object, record_id, reason, as_of, committed_at, first_committed_at, deleted_noted, sources)
               select c.object, c.record_id, 'dead-letter', max(c.position), max(c.committed_at),
                      min(c.committed_at), bool_or(c.kind in ('delete', 'gap-delete')), '{dead-letter}'
                 from closed c join shadow_sync.objects o on o.object = c.object
                where c.record_id is not null
                group by c.object, c.record_id
               on conflict (object, record_id) do update
                  set as_of = greatest(mark.as_of, excluded.as_of), not_before = clock_timestamp(),
                      committed_at = greatest(mark.committed_at, excluded.committed_at),
                      first_committed_at = least(mark.first_committed_at, excluded.first_committed_at),
                      deleted_noted = mark.deleted_noted or excluded.deleted_noted,
                      sources = case when 'dead-letter' = any(mark.sources) then mark.sources
                          else mark.sources || '{dead-letter}' end
               returning 1)
           select (select count(*) from closed) as "letters!", (select count(*) from marked) as "records!",
                  (select count(*) from closed where record_id is null) as "nameless!""#,
        cause,
        ids,
        end.as_str(),
        who,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    Ok(Retried {
        letters: number(closed.letters),
        records: number(closed.records),
        nameless: number(closed.nameless),
    })
}

/// Those of some records that have an open dead letter: nothing later may be applied to them from events.
pub async fn open_among(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<Vec<RecordId>, Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let open = sqlx::query_scalar!(
        r#"select distinct record_id as "record_id!" from shadow_sync.dead_letters
            where closed_at is null and object = $1 and record_id = any($2::text[])"#,
        object.as_str(),
        &ids as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    open.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// Closes the dead letters of records that were deleted or fetched, in the transaction that settles them.
///
/// - `as_of`: up to this position the records are settled; a later event's dead letter stays.
pub async fn close_in(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
    as_of: i64,
    how: LetterEnd,
) -> Result<u64, Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let closed = sqlx::query!(
        "update shadow_sync.dead_letters set closed_at = clock_timestamp(), closed_how = $4
          where closed_at is null and object = $1 and record_id = any($2::text[]) and position <= $3",
        object.as_str(),
        &ids as &[&str],
        as_of,
        how.as_str(),
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(closed)
}
