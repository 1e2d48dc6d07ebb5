//! Holes: spans in which events may be missing, kept until they are closed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::{HoleNeeds, HoleWhy};
use store::holes::{self, Hole};

use crate::engine::Engine;
use crate::problem::Answer;

/// One hole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct HoleView {
    /// Its id.
    pub id: String,
    /// The object.
    pub object: String,
    /// The channel, where it is one channel's.
    pub channel: Option<String>,
    /// The first moment that may be missing; none: since ever.
    pub from: Option<DateTime<Utc>>,
    /// The last moment that may be missing; none: it is still open at that end.
    pub until: Option<DateTime<Utc>>,
    /// Why.
    pub why: HoleWhy,
    /// The same in a sentence.
    pub explanation: String,
    /// What closes it.
    pub needs: HoleNeeds,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// The job that closes or closed it.
    pub job_id: Option<String>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// How it was closed.
    pub closed_how: Option<String>,
}

/// Holes, open ones first, then the latest.
pub async fn list(engine: &Engine, limit: u32) -> Answer<Vec<HoleView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let limit = if limit == 0 { 100 } else { limit };
    Ok(holes::list(&store, i64::from(limit)).await?.iter().map(view).collect())
}

fn view(hole: &Hole) -> HoleView {
    HoleView {
        id: hole.id.to_string(),
        object: hole.object.to_string(),
        channel: hole.channel.as_ref().map(ToString::to_string),
        from: hole.from_at,
        until: hole.until_at,
        why: hole.why,
        explanation: explain(hole.why).to_owned(),
        needs: hole.needs,
        opened_at: hole.opened_at,
        job_id: hole.job.map(|job| job.to_string()),
        closed_at: hole.closed_at,
        closed_how: hole.closed_how.clone(),
    }
}

/// Why events may be missing, in a sentence.
pub(crate) fn explain(why: HoleWhy) -> &'static str {
    match why {
        HoleWhy::FirstPosition => "What came before the stream was first opened is not in it.",
        HoleWhy::PositionLost => "Salesforce no longer knew the saved position, so the stream began anew.",
        HoleWhy::HeaderUnreadable => "An event's header could not be read: nobody knows whose change it was.",
        HoleWhy::Overflow => "One transaction changed more than Salesforce sends events for.",
        HoleWhy::Wildcard => "An event says that every record of the object may have changed.",
        HoleWhy::ChannelChanged => "The objects' events come by another channel now.",
        HoleWhy::Selection => "The object was not selected for change events.",
        HoleWhy::Permission => "The sync user was not allowed to receive the object's events.",
        HoleWhy::Allocation => "The org's allowance of delivered events was spent.",
        HoleWhy::StreamLag => "The stream was not received for too long.",
        HoleWhy::SetBack => "The database was set back to an earlier state, as by a restored backup.",
    }
}
