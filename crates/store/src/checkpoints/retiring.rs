//! Channels that are streamed no more: what they left is accounted for, so that nothing waits for them for ever.

use shadow::ObjectName;
use shadow::event::ChannelName;
use sqlx::PgTransaction;

use super::{StreamState, end_outage};
use crate::change_log::parse_channel;
use crate::error::{Error, corrupt};
use crate::holes::{self, HoleWhy, NewHole};
use crate::leases::{self, LeaseKey};
use crate::session::Store;

/// Retires every channel but these, in one commit: its stream is stopped and its outage over. Events of it that were
/// never applied become a hole from the first of them on, which a catch-up closes.
///
/// Returns how many events that were.
pub async fn retire_others(store: &Store, lease: &LeaseKey, keep: &[ChannelName]) -> Result<u64, Error> {
    let keep: Vec<&str> = keep.iter().map(ChannelName::as_str).collect();
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let others = sqlx::query_scalar!(
        "update shadow_sync.checkpoints
            set state = $2, state_since = case when state = $2 then state_since else clock_timestamp() end,
                problem = null
          where channel <> all($1::text[])
         returning channel",
        &keep as &[&str],
        StreamState::Stopped.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut events = 0;
    for channel in others {
        let channel = parse_channel(&channel)?;
        end_outage(&mut tx, &channel).await?;
        events += give_up_waiting(&mut tx, &channel).await?;
    }
    tx.commit().await?;
    Ok(events)
}

/// Turns a channel's waiting events into holes, and says so of each event.
async fn give_up_waiting(tx: &mut PgTransaction<'_>, channel: &ChannelName) -> Result<u64, Error> {
    let waiting = sqlx::query!(
        r#"select l.object, min(l.committed_at) as from_at, max(l.committed_at) as until_at, count(*) as "events!"
             from shadow_sync.checkpoints c
             join shadow_sync.change_log l on l.channel = c.channel and l.position > c.applied_position
             join shadow_sync.objects o on o.object = l.object
            where c.channel = $1
            group by l.object"#,
        channel.as_str(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut holes = Vec::with_capacity(waiting.len());
    let mut events = 0;
    for row in waiting {
        let object = ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?;
        let hole = NewHole::new(&object, HoleWhy::ChannelChanged).on(channel);
        holes.push(hole.from(row.from_at).until(row.until_at));
        events += u64::try_from(row.events).unwrap_or_default();
    }
    holes::open_in(tx, &holes).await?;
    sqlx::query!(
        "with given_up as (
             insert into shadow_sync.event_outcomes (position, received_at, outcome, detail)
             select l.position, l.received_at, 'hole', jsonb_build_object('why', $2::text)
               from shadow_sync.checkpoints c
               join shadow_sync.change_log l on l.channel = c.channel and l.position > c.applied_position
              where c.channel = $1)
         update shadow_sync.checkpoints
            set applied_position = greatest(applied_position, stored_position), applied_events = stored_events
          where channel = $1",
        channel.as_str(),
        HoleWhy::ChannelChanged.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(events)
}
