//! Holes: spans in which events of an object may be missing, open until its catch-up and id comparison have ended.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shadow::event::ChannelName;
use shadow::hole::{Mended, Span, closes};
use shadow::value::Moment;
use shadow::{JobId, ObjectName};
use sqlx::PgTransaction;

use crate::change_log::parse_channel;
use crate::error::{Error, corrupt};
use crate::leases::{self, LeaseKey};
use crate::session::Store;

pub use shadow::hole::{HoleNeeds, HoleWhy};

/// A hole that is to be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct NewHole {
    /// The object.
    pub object: ObjectName,
    /// The channel, where it is one channel's.
    pub channel: Option<ChannelName>,
    /// Where it begins, in Salesforce's time; none: since ever.
    pub from_at: Option<DateTime<Utc>>,
    /// Where it ends, in Salesforce's time; none: it still grows, until [`extend_until`] says where it ends.
    pub until_at: Option<DateTime<Utc>>,
    /// Why.
    pub why: HoleWhy,
    /// More about why.
    pub detail: Option<Value>,
    /// What closes it.
    pub needs: HoleNeeds,
}

impl NewHole {
    /// A hole since ever that still grows; its cause says what closes it.
    pub fn new(object: &ObjectName, why: HoleWhy) -> Self {
        Self {
            object: object.clone(),
            channel: None,
            from_at: None,
            until_at: None,
            why,
            detail: None,
            needs: why.needs(),
        }
    }

    /// On this channel.
    #[must_use]
    pub fn on(self, channel: &ChannelName) -> Self {
        Self { channel: Some(channel.clone()), ..self }
    }

    /// Beginning then; none: since ever.
    #[must_use]
    pub fn from(self, from_at: Option<DateTime<Utc>>) -> Self {
        Self { from_at, ..self }
    }

    /// Ending then.
    #[must_use]
    pub fn until(self, until_at: Option<DateTime<Utc>>) -> Self {
        Self { until_at, ..self }
    }

    /// With more about why.
    #[must_use]
    pub fn with(self, detail: Value) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Which only a whole backfill closes.
    #[must_use]
    pub fn needing_backfill(self) -> Self {
        Self { needs: HoleNeeds::Backfill, ..self }
    }
}

/// A hole.
#[derive(Debug, Clone, PartialEq)]
pub struct Hole {
    /// Its number.
    pub id: i64,
    /// The object.
    pub object: ObjectName,
    /// The channel, where it is one channel's.
    pub channel: Option<ChannelName>,
    /// Where it begins, in Salesforce's time; none: since ever.
    pub from_at: Option<DateTime<Utc>>,
    /// Where it ends, in Salesforce's time; none: it still grows, until [`extend_until`] says where it ends.
    pub until_at: Option<DateTime<Utc>>,
    /// Why.
    pub why: HoleWhy,
    /// More about why.
    pub detail: Option<Value>,
    /// What closes it.
    pub needs: HoleNeeds,
    /// When it was opened, or last widened.
    pub opened_at: DateTime<Utc>,
    /// The job that works on it.
    pub job: Option<JobId>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// What closed it.
    pub closed_how: Option<String>,
}

/// Opens holes under a lease, without saving a position.
pub async fn open(store: &Store, lease: &LeaseKey, holes: &[NewHole]) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    open_in(&mut tx, holes).await?;
    Ok(tx.commit().await?)
}

/// Opens holes in the caller's transaction. An open one of the same object, channel and cause is widened instead, so
/// that a job which began before closes neither.
pub(crate) async fn open_in(tx: &mut PgTransaction<'_>, holes: &[NewHole]) -> Result<(), Error> {
    for hole in holes {
        sqlx::query!(
            "with widened as (
                 update shadow_sync.holes
                    set from_at = case when from_at is null or $3::timestamptz is null then null
                            else least(from_at, $3) end,
                        until_at = case when until_at is null or $4::timestamptz is null then null
                            else greatest(until_at, $4) end,
                        detail = coalesce($6, detail), opened_at = clock_timestamp(), job_id = null,
                        position = (select position from shadow_sync.log_head)
                  where closed_at is null and object = $1 and channel is not distinct from $2 and why = $5
                    and needs = $7
                 returning id)
             insert into shadow_sync.holes (object, channel, from_at, until_at, why, detail, needs, position)
             select $1, $2, $3, $4, $5, $6, $7, position from shadow_sync.log_head
              where not exists (select from widened)",
            hole.object.as_str(),
            hole.channel.as_ref().map(ChannelName::as_str),
            hole.from_at,
            hole.until_at,
            hole.why.as_str(),
            hole.detail,
            hole.needs.as_str(),
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// When the last whole load of an object began, in our time; none if it was never loaded.
pub(crate) async fn last_load(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
) -> Result<Option<DateTime<Utc>>, Error> {
    let began = sqlx::query_scalar!(
        "select coalesce(
             (select least(j.started_at, o.loaded_at) from shadow_sync.jobs j
               where j.object = o.object and j.kind = 'backfill' and j.state = 'done' order by j.id desc limit 1),
             o.loaded_at)
           from shadow_sync.objects o where o.object = $1",
        object.as_str()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(began.flatten())
}

/// Open holes, oldest first.
pub async fn list_open(store: &Store) -> Result<Vec<Hole>, Error> {
    select(store, true, i64::MAX).await
}

/// Holes, open ones first, then the latest.
pub async fn list(store: &Store, limit: i64) -> Result<Vec<Hole>, Error> {
    select(store, false, limit).await
}

async fn select(store: &Store, only_open: bool, limit: i64) -> Result<Vec<Hole>, Error> {
    let rows = sqlx::query!(
        "select id, object, channel, from_at, until_at, why, detail, needs, opened_at, job_id, closed_at, closed_how
           from shadow_sync.holes
          where not $1 or closed_at is null
          order by closed_at is not null, case when $1 then id else -id end
          limit $2",
        only_open,
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Hole {
                id: row.id,
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                channel: row.channel.as_deref().map(parse_channel).transpose()?,
                from_at: row.from_at,
                until_at: row.until_at,
                why: HoleWhy::parse(&row.why).ok_or_else(|| corrupt("reason of a hole", &row.why))?,
                detail: row.detail,
                needs: HoleNeeds::parse(&row.needs).ok_or_else(|| corrupt("need of a hole", &row.needs))?,
                opened_at: row.opened_at,
                job: row.job_id.map(JobId),
                closed_at: row.closed_at,
                closed_how: row.closed_how,
            })
        })
        .collect()
}

/// Notes the job that works on an open hole.
pub async fn attach_job(store: &Store, id: i64, job: JobId) -> Result<(), Error> {
    sqlx::query!("update shadow_sync.holes set job_id = $2 where id = $1 and closed_at is null", id, job.0)
        .execute(store.pool())
        .await?;
    Ok(())
}

/// Lets an open hole end later, because what caused it lasts. A job that began before does not close it.
pub async fn extend_until(
    store: &Store,
    lease: &LeaseKey,
    id: i64,
    until_at: DateTime<Utc>,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    sqlx::query!(
        "update shadow_sync.holes
            set until_at = greatest(until_at, $2), opened_at = clock_timestamp(), job_id = null,
                position = (select position from shadow_sync.log_head)
          where id = $1 and closed_at is null",
        id,
        until_at,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Fields that can be seen again and that open holes wait for, by name: a side read of them closes those.
pub async fn thawed(store: &Store, object: &ObjectName) -> Result<Vec<String>, Error> {
    let mut tx = store.begin().await?;
    thawed_in(&mut tx, object).await
}

/// The same in the caller's transaction.
pub(crate) async fn thawed_in(tx: &mut PgTransaction<'_>, object: &ObjectName) -> Result<Vec<String>, Error> {
    let fields = sqlx::query_scalar!(
        r#"select distinct field as "field!"
             from shadow_sync.holes, jsonb_array_elements_text(detail -> 'fields') as field
            where object = $1 and closed_at is null and why = 'permission' and needs = 'backfill'
            order by 1"#,
        object.as_str(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(fields)
}

impl Hole {
    /// The fields whose side read closes it; none if it takes more than that.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let fields = self.detail.as_ref()?.get("fields")?.as_array()?;
        let is_theirs = self.why == HoleWhy::Permission && self.needs == HoleNeeds::Backfill;
        is_theirs.then(|| fields.iter().filter_map(Value::as_str).collect())
    }
}

/// Closes, in the commit that ends a side read, the holes that were opened for nothing but fields that it brought, before
/// its first request. None while dirty marks stand that stood when it ended.
pub(crate) async fn close_thawed_in(
    tx: &mut PgTransaction<'_>,
    job: JobId,
    fields: &[String],
    how: &str,
) -> Result<Closed, Error> {
    let holes = sqlx::query!(
        "update shadow_sync.holes h set closed_at = clock_timestamp(), closed_how = $3, job_id = j.id
           from shadow_sync.jobs j
          where j.id = $1 and h.object = j.object and h.closed_at is null
            and h.why = 'permission' and h.needs = 'backfill'
            and jsonb_typeof(h.detail -> 'fields') = 'array' and h.detail -> 'fields' <@ to_jsonb($2::text[])
            and h.opened_at <= j.reads_began_at
            and not exists (select from shadow_sync.dirty d
                             where d.object = j.object and d.since <= coalesce(j.reads_ended_at, clock_timestamp()))",
        job.0,
        fields,
        how,
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    let left = sqlx::query_scalar!(
        r#"select count(*) as "left!" from shadow_sync.holes h join shadow_sync.jobs j on j.object = h.object
            where j.id = $1 and h.closed_at is null"#,
        job.0
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Closed { holes, left: u64::try_from(left).unwrap_or_default() })
}

/// How many dirty marks a job's holes wait for: those that stood when its reads ended. Zero before any read ended.
pub async fn waits_for(store: &Store, job: JobId) -> Result<i64, Error> {
    let waiting = sqlx::query_scalar!(
        r#"select count(*) as "count!"
             from shadow_sync.jobs j join shadow_sync.dirty d on d.object = j.object and d.since <= j.reads_ended_at
            where j.id = $1"#,
        job.0
    )
    .fetch_one(store.pool())
    .await?;
    Ok(waiting)
}

/// What a job has read, when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// From which stamp on it read, in Salesforce's time; none: every record, whole.
    pub from: Option<DateTime<Utc>>,
    /// Up to when it is complete, in Salesforce's time.
    pub up_to: DateTime<Utc>,
    /// Whether ids were compared after its last page.
    pub compared_ids: bool,
}

/// What an ended job did to its object's holes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// Holes that it closed.
    pub holes: u64,
    /// Holes of the object that are still open.
    pub left: u64,
}

/// Closes, in the commit that ends a job, the holes of its object that it mended ([`closes`]) and that were opened
/// before its first request. None while dirty marks stand that stood when its reads ended.
pub(crate) async fn close_in(
    tx: &mut PgTransaction<'_>,
    job: JobId,
    closing: &Closing,
    how: &str,
) -> Result<Closed, Error> {
    let open = sqlx::query!(
        r#"select h.id, h.from_at, h.until_at, h.needs,
                  coalesce(h.opened_at <= coalesce(j.reads_began_at, j.started_at), false) as "opened_before!",
                  (select count(*) from shadow_sync.dirty d
                    where d.object = j.object and d.since <= coalesce(j.reads_ended_at, clock_timestamp()))
                      as "dirty_left!"
             from shadow_sync.holes h join shadow_sync.jobs j on j.object = h.object
            where j.id = $1 and h.closed_at is null
              for update of h"#,
        job.0
    )
    .fetch_all(&mut **tx)
    .await?;
    let (mut mended, mut late) = (Vec::new(), Vec::new());
    for hole in &open {
        let span = Span { from: hole.from_at.map(Moment::from), until: hole.until_at.map(Moment::from) };
        let needs = HoleNeeds::parse(&hole.needs).ok_or_else(|| corrupt("need of a hole", &hole.needs))?;
        let read = Mended {
            from: closing.from.map(Moment::from),
            up_to: closing.up_to.into(),
            compared_ids: closing.compared_ids,
            dirty_left: hole.dirty_left,
        };
        if hole.opened_before && closes(span, needs, read) {
            mended.push(hole.id);
        } else if closing.from.is_none() && closing.compared_ids && hole.dirty_left == 0 {
            late.push(hole.id);
        }
    }
    let holes = sqlx::query!(
        "update shadow_sync.holes set closed_at = clock_timestamp(), closed_how = $3, job_id = $2
          where id = any($1)",
        &mended,
        job.0,
        how,
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    // A whole read leaves nothing missing from before its first request: what was opened meanwhile begins there.
    sqlx::query!(
        "update shadow_sync.holes h set from_at = greatest(h.from_at, coalesce(j.reads_began_at, j.started_at))
           from shadow_sync.jobs j where j.id = $2 and h.id = any($1)",
        &late,
        job.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(Closed { holes, left: open.len() as u64 - holes })
}
