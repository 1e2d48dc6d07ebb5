//! Lag over time, with what else happened.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use store::holes::{self, Hole};
use store::lag_samples::{self, ChartMark, Outage, Series};

use super::holes::explain;
use crate::engine::Engine;
use crate::problem::{Answer, Problem};

/// Everything that a chart of lag shows, on one time axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct LagSeries {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The last moment.
    pub until: DateTime<Utc>,
    /// Milliseconds that one point stands for.
    pub step_ms: u32,
    /// The beginning of each point, in milliseconds since 1970.
    #[specta(type = Vec<u32>)]
    pub times: Vec<i64>,
    /// Lag per object, one value per point.
    pub objects: Vec<ObjectLag>,
    /// Events stored; none where nothing was sampled.
    pub received: Vec<Option<u32>>,
    /// Events applied.
    pub applied: Vec<Option<u32>>,
    /// The most stored events that waited.
    pub backlog: Vec<Option<u32>>,
    /// Failures by stage.
    pub failures: Vec<FailureSeries>,
    /// Spans in which nothing was heard, or events may have been missed.
    pub outages: Vec<OutageView>,
    /// Loads, catch-ups and flushes.
    pub marks: Vec<LagMark>,
}

/// Lag of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ObjectLag {
    /// The object.
    pub object: String,
    /// The greatest lag of each point in milliseconds; none where nothing was sampled or the object was not loaded.
    pub lag_ms: Vec<Option<u32>>,
}

/// Failures of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FailureSeries {
    /// `receive`, `apply` or `fetch`.
    pub stage: String,
    /// How many, per point.
    pub counts: Vec<u32>,
}

/// A span in which nothing was heard, or events may have been missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct OutageView {
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when; none while it lasts.
    pub until: Option<DateTime<Utc>>,
    /// In a few words.
    pub title: String,
    /// What was wrong, and how it was bridged.
    pub detail: String,
}

/// What is marked on the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum LagMarkKind {
    /// A load.
    Backfill,
    /// A catch-up.
    CatchUp,
    /// Cache keys were flushed.
    Flush,
    /// Both sides were compared.
    Verification,
}

/// Something that happened, to be marked on the chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct LagMark {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: LagMarkKind,
    /// In words.
    pub text: String,
    /// Whether what it found agrees; none where it compares nothing.
    pub agrees: Option<bool>,
}

/// The most points of one chart.
const MOST_POINTS: u32 = 10_000;

/// Lag and flow between two moments in at most `points` steps; 0 takes 300.
pub async fn samples(
    engine: &Engine,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    points: u32,
) -> Answer<LagSeries> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let points = match points {
        0 => 300,
        points => points.min(MOST_POINTS),
    };
    let until = until.max(from + TimeDelta::seconds(1));
    let points = usize::try_from(points).unwrap_or(300);
    let series = lag_samples::series(&store, from, until, points).await?;
    let outages = lag_samples::outages(&store, from, until).await?;
    let holes = holes::list(&store, 200).await?;
    let marks = lag_samples::marks(&store, from, until).await?;
    let touches =
        |hole: &&Hole| hole.from_at.is_some_and(|at| at < until) && hole.until_at.is_none_or(|at| at >= from);
    Ok(LagSeries {
        from,
        until,
        step_ms: u32::try_from(series.step.num_milliseconds()).unwrap_or(u32::MAX),
        times: times(&series),
        received: series.received.iter().map(|count| count.map(small)).collect(),
        applied: series.applied.iter().map(|count| count.map(small)).collect(),
        backlog: backlog(&series),
        failures: series
            .failed
            .iter()
            .map(|(stage, counts)| FailureSeries {
                stage: stage.clone(),
                counts: counts.iter().copied().map(small).collect(),
            })
            .collect(),
        objects: series
            .objects
            .iter()
            .map(|object| ObjectLag {
                object: object.object.to_string(),
                lag_ms: object.lag_ms.iter().map(|lag| lag.map(small)).collect(),
            })
            .collect(),
        outages: outages.iter().map(outage).chain(holes.iter().filter(touches).map(hole)).collect(),
        marks: marks.iter().filter_map(mark).collect(),
    })
}

fn times(series: &Series) -> Vec<i64> {
    let (first, step) = (series.from.timestamp_millis(), series.step.num_milliseconds());
    (0..series.points).map(|point| first + step * i64::try_from(point).unwrap_or_default()).collect()
}

/// The backlog of all objects together.
fn backlog(series: &Series) -> Vec<Option<u32>> {
    (0..series.points)
        .map(|point| {
            let known: Vec<i64> = series
                .objects
                .iter()
                .filter_map(|object| object.backlog.get(point).copied().flatten())
                .collect();
            (!known.is_empty()).then(|| small(known.iter().sum()))
        })
        .collect()
}

fn outage(outage: &Outage) -> OutageView {
    let problem: Option<Problem> =
        outage.why.as_ref().and_then(|why| serde_json::from_value(why.clone()).ok());
    OutageView {
        from: outage.began_at,
        until: outage.ended_at,
        title: format!("{} was not heard", outage.channel),
        detail: problem.map_or_else(
            || "The process that ran the stream ended, or its machine slept. The stream went on from its saved position.".to_owned(),
            |problem| format!("{}. {}", problem.title, problem.cause),
        ),
    }
}

fn hole(hole: &Hole) -> OutageView {
    OutageView {
        from: hole.from_at.unwrap_or(hole.opened_at),
        until: hole.until_at,
        title: format!("Events of {} may be missing", hole.object),
        detail: match &hole.closed_how {
            Some(how) => format!("{} Closed by {how}.", explain(hole.why)),
            None => format!("{} It is still open.", explain(hole.why)),
        },
    }
}

fn mark(mark: &ChartMark) -> Option<LagMark> {
    let kind = match mark.kind.as_str() {
        "backfill" | "partial" => LagMarkKind::Backfill,
        "catch-up" | "formulas" | "fields" => LagMarkKind::CatchUp,
        "flush" => LagMarkKind::Flush,
        _ => return None,
    };
    let object = mark.object.as_deref().unwrap_or("all objects");
    let text = mark.sentence.clone().unwrap_or_else(|| match kind {
        LagMarkKind::Backfill => format!("Load of {object}: {}", mark.result),
        LagMarkKind::CatchUp => format!("Catch-up of {object}: {}", mark.result),
        LagMarkKind::Flush | LagMarkKind::Verification => mark.result.clone(),
    });
    Some(LagMark { at: mark.at, kind, text, agrees: None })
}

fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
