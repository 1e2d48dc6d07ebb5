//! Samples of lag, backlog and flow, and the series that charts are drawn from.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use shadow::ObjectName;
use shadow::event::ChannelName;

use crate::change_log::parse_channel;
use crate::error::{Error, corrupt};
use crate::session::Store;

/// How an object stands at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LagSample {
    /// The object.
    pub object: ObjectName,
    /// now − live through, in milliseconds; none: never loaded.
    pub lag_ms: Option<i64>,
    /// Stored events that wait to be applied.
    pub backlog_events: i64,
    /// The age of the oldest of them, in milliseconds.
    pub backlog_age_ms: Option<i64>,
    /// Records to be fetched.
    pub dirty: i64,
}

/// What went through since the sample before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    /// Events stored.
    pub received: i64,
    /// Events applied.
    pub applied: i64,
    /// Failures by stage: `connect`, `apply`, `fetch`.
    pub failed: Vec<(String, i64)>,
}

/// Keeps a sample of every object, and of what went through.
pub async fn record(
    store: &Store,
    at: DateTime<Utc>,
    samples: &[LagSample],
    flow: &Flow,
) -> Result<(), Error> {
    let objects: Vec<&str> = samples.iter().map(|sample| sample.object.as_str()).collect();
    let lags: Vec<Option<i64>> = samples.iter().map(|sample| sample.lag_ms).collect();
    let backlogs: Vec<i64> = samples.iter().map(|sample| sample.backlog_events).collect();
    let ages: Vec<Option<i64>> = samples.iter().map(|sample| sample.backlog_age_ms).collect();
    let dirty: Vec<i64> = samples.iter().map(|sample| sample.dirty).collect();
    let mut flows = vec![("received", "", flow.received), ("applied", "", flow.applied)];
    flows.extend(flow.failed.iter().map(|(stage, amount)| ("failed", stage.as_str(), *amount)));
    flows.retain(|(.., amount)| *amount > 0);
    let (names, stages): (Vec<&str>, Vec<&str>) =
        flows.iter().map(|(name, stage, _)| (*name, *stage)).unzip();
    let amounts: Vec<i64> = flows.iter().map(|(.., amount)| *amount).collect();
    sqlx::query!(
        "with flow as (
             insert into shadow_sync.flow_samples (at, flow, stage, amount)
             select $1, * from unnest($7::text[], $8::text[], $9::bigint[])
             on conflict do nothing)
         insert into shadow_sync.lag_samples (at, object, lag_ms, backlog_events, backlog_age_ms, dirty)
         select $1, * from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
         on conflict do nothing",
        at,
        &objects as &[&str],
        &lags as &[Option<i64>],
        &backlogs,
        &ages as &[Option<i64>],
        &dirty,
        &names as &[&str],
        &stages as &[&str],
        &amounts,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Turns samples older than `before` into one per minute: the worst lag and backlog, the sum of what went through.
/// Returns how many raw samples went.
pub async fn thin(store: &Store, before: DateTime<Utc>) -> Result<u64, Error> {
    let lags = sqlx::query!(
        "with old as (
             delete from shadow_sync.lag_samples
              where span_s = 0 and at < date_trunc('minute', $1::timestamptz) returning *),
         kept as (
             insert into shadow_sync.lag_samples as kept
                    (at, object, span_s, lag_ms, backlog_events, backlog_age_ms, dirty)
             select date_trunc('minute', at), object, 60, max(lag_ms), max(backlog_events), max(backlog_age_ms),
                    max(dirty)
               from old group by 1, 2
             on conflict (at, object, span_s) do update
                set lag_ms = greatest(kept.lag_ms, excluded.lag_ms),
                    backlog_events = greatest(kept.backlog_events, excluded.backlog_events),
                    backlog_age_ms = greatest(kept.backlog_age_ms, excluded.backlog_age_ms),
                    dirty = greatest(kept.dirty, excluded.dirty))
         select from old",
        before,
    )
    .execute(store.pool())
    .await?
    .rows_affected();
    let flows = sqlx::query!(
        "with old as (
             delete from shadow_sync.flow_samples
              where span_s = 0 and at < date_trunc('minute', $1::timestamptz) returning *),
         kept as (
             insert into shadow_sync.flow_samples as kept (at, span_s, flow, stage, amount)
             select date_trunc('minute', at), 60, flow, stage, sum(amount) from old group by 1, 3, 4
             on conflict (at, flow, stage, span_s) do update set amount = kept.amount + excluded.amount)
         select from old",
        before,
    )
    .execute(store.pool())
    .await?
    .rows_affected();
    Ok(lags + flows)
}

/// One object's points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSeries {
    /// The object.
    pub object: ObjectName,
    /// The worst lag within each step, in milliseconds; none where there was no sample, or it was never loaded.
    pub lag_ms: Vec<Option<i64>>,
    /// The greatest backlog within each step, in events; none where there was no sample.
    pub backlog: Vec<Option<i64>>,
}

/// Points on one time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The beginning of the first step.
    pub from: DateTime<Utc>,
    /// The length of a step.
    pub step: TimeDelta,
    /// How many steps there are; every list below has as many points.
    pub points: usize,
    /// By object.
    pub objects: Vec<ObjectSeries>,
    /// Events stored within each step; none where there was no sample at all.
    pub received: Vec<Option<i64>>,
    /// Events applied.
    pub applied: Vec<Option<i64>>,
    /// Failures by stage.
    pub failed: Vec<(String, Vec<i64>)>,
}

/// The series between two times, in at most `points` steps of at least a second.
pub async fn series(
    store: &Store,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    points: usize,
) -> Result<Series, Error> {
    let steps = i64::try_from(points.max(1)).unwrap_or(i64::MAX);
    let length_ms = (until - from).num_milliseconds().max(1);
    // Rounded up to whole seconds, so that the last step reaches the end.
    let step_ms = (length_ms + steps * 1000 - 1) / (steps * 1000) * 1000;
    let points = usize::try_from((length_ms + step_ms - 1) / step_ms).unwrap_or(1);
    let place = |index: i64| usize::try_from(index).ok().filter(|place| *place < points);
    let mut series = Series {
        from,
        step: TimeDelta::milliseconds(step_ms),
        points,
        objects: Vec::new(),
        received: vec![None; points],
        applied: vec![None; points],
        failed: Vec::new(),
    };
    let lags = sqlx::query!(
        r#"select object,
                  (floor(extract(epoch from at - $1::timestamptz) * 1000 / $3::bigint))::bigint as "step!",
                  max(lag_ms) as lag_ms, max(backlog_events) as "backlog!"
             from shadow_sync.lag_samples
            where at >= $1 and at < $2
            group by object, 2 order by object, 2"#,
        from,
        until,
        step_ms,
    )
    .fetch_all(store.pool())
    .await?;
    for row in lags {
        let Some(place) = place(row.step) else { continue };
        let object = ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?;
        if series.objects.last().is_none_or(|last| last.object != object) {
            series.objects.push(ObjectSeries {
                object,
                lag_ms: vec![None; points],
                backlog: vec![None; points],
            });
        }
        if let Some(last) = series.objects.last_mut() {
            last.lag_ms[place] = row.lag_ms;
            last.backlog[place] = Some(row.backlog);
        }
        // Where an object was sampled, so was the flow; what did not flow left no row.
        series.received[place].get_or_insert(0);
        series.applied[place].get_or_insert(0);
    }
    let flows = sqlx::query!(
        r#"select flow, stage,
                  (floor(extract(epoch from at - $1::timestamptz) * 1000 / $3::bigint))::bigint as "step!",
                  sum(amount)::bigint as "amount!"
             from shadow_sync.flow_samples
            where at >= $1 and at < $2
            group by flow, stage, 3 order by flow, stage, 3"#,
        from,
        until,
        step_ms,
    )
    .fetch_all(store.pool())
    .await?;
    for row in flows {
        let Some(place) = place(row.step) else { continue };
        match row.flow.as_str() {
            "received" => series.received[place] = Some(row.amount),
            "applied" => series.applied[place] = Some(row.amount),
            _ => {
                if series.failed.last().is_none_or(|(stage, _)| *stage != row.stage) {
                    series.failed.push((row.stage, vec![0; points]));
                }
                if let Some((_, amounts)) = series.failed.last_mut() {
                    amounts[place] = row.amount;
                }
            }
        }
    }
    Ok(series)
}

/// A span in which a channel was not heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Outage {
    /// The channel.
    pub channel: ChannelName,
    /// Since when, by the database's clock.
    pub began_at: DateTime<Utc>,
    /// Until when; none while it lasts.
    pub ended_at: Option<DateTime<Utc>>,
    /// What was wrong, in the engine's words.
    pub why: Option<Value>,
}

/// Outages that touch a span of time, in order.
pub async fn outages(store: &Store, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<Outage>, Error> {
    let rows = sqlx::query!(
        "select channel, began_at, ended_at, why from shadow_sync.outages
          where began_at < $2 and (ended_at is null or ended_at >= $1) order by began_at, id",
        from,
        until,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Outage {
                channel: parse_channel(&row.channel)?,
                began_at: row.began_at,
                ended_at: row.ended_at,
                why: row.why,
            })
        })
        .collect()
}

/// Something to be marked on a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartMark {
    /// When it began.
    pub at: DateTime<Utc>,
    /// When it ended; none while it lasts, or if it took no time.
    pub ended_at: Option<DateTime<Utc>>,
    /// `backfill`, `partial`, `catch-up`, `formulas`; or `flush`.
    pub kind: String,
    /// The object; none if it was about several.
    pub object: Option<String>,
    /// How it ended, as a stable word: a job's state, an act's result.
    pub result: String,
    /// What it was, in a sentence, if a person did it.
    pub sentence: Option<String>,
}

/// Loads and flushes that touch a span of time, in order.
pub async fn marks(
    store: &Store,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<ChartMark>, Error> {
    let marks = sqlx::query_as!(
        ChartMark,
        r#"select at as "at!", ended_at, kind as "kind!", object, result as "result!", sentence from (
               select started_at as at, ended_at, kind, object, state as result, null as sentence
                 from shadow_sync.jobs
                where started_at < $2 and coalesce(ended_at, $2) >= $1
                union all
               select at, null, 'flush', null, result, sentence
                 from shadow_sync.audit
                where at >= $1 and at < $2 and act like 'flush%') as marks
            order by at limit 1000"#,
        from,
        until,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(marks)
}
