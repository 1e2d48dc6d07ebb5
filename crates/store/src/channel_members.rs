//! What is known of the objects that a channel should carry: on a channel of several objects, one that is not
//! selected or not permitted is silently absent.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shadow::ObjectName;
use shadow::event::ChannelName;

use crate::error::{Error, corrupt};
use crate::session::Store;

/// What is known of one object on one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The object.
    pub object: ObjectName,
    /// When Salesforce last said that the sync user may subscribe to it; none if it refused.
    pub permitted_at: Option<DateTime<Utc>>,
    /// When the channel was last known to carry it; none if it is known not to, or not known.
    pub member_at: Option<DateTime<Utc>>,
    /// What is wrong, in the engine's words.
    pub problem: Option<Value>,
}

/// What was just found out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finding<'a> {
    /// Whether the sync user may subscribe to the object; none leaves what was known.
    pub permitted: Option<bool>,
    /// Whether the channel carries it; none leaves what was known.
    pub member: Option<bool>,
    /// What is wrong, in the engine's words.
    pub problem: Option<&'a Value>,
}

/// Notes what was found out about an object on a channel.
pub async fn note(
    store: &Store,
    channel: &ChannelName,
    object: &ObjectName,
    finding: Finding<'_>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into shadow_sync.channel_members as old (channel, object, permitted_at, member_at, problem)
         values ($1, $2, case when $3 then clock_timestamp() end, case when $4 then clock_timestamp() end, $5)
         on conflict (channel, object) do update
            set permitted_at = case when $3::bool is null then old.permitted_at else excluded.permitted_at end,
                member_at = case when $4::bool is null then old.member_at else excluded.member_at end,
                problem = excluded.problem",
        channel.as_str(),
        object.as_str(),
        finding.permitted,
        finding.member,
        finding.problem,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// What is known of a channel's objects, by name.
pub async fn list(store: &Store, channel: &ChannelName) -> Result<Vec<Member>, Error> {
    let rows = sqlx::query!(
        "select object, permitted_at, member_at, problem from shadow_sync.channel_members
          where channel = $1 order by object",
        channel.as_str()
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Member {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                permitted_at: row.permitted_at,
                member_at: row.member_at,
                problem: row.problem,
            })
        })
        .collect()
}
