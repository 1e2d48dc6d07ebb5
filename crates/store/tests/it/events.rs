//! Short ways to say what a stream delivers.

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use shadow::value::Moment;
use shadow::{ChangeKind, ChannelName, EventHeader, Mapping, ObjectName, Records, ReplayId};
use sqlx::{AssertSqlSafe, PgPool};
use store::change_log::{self, Appended, NewEvent};
use store::leases::{self, Lease, LeaseTimes};
use store::{Store, objects};

use crate::world::product_id;

/// A fresh database with the three mappings, and a lease on the stream.
pub struct Stream {
    pub store: Store,
    pub lease: Lease,
    pub channel: ChannelName,
}

pub fn channel() -> ChannelName {
    ChannelName::parse("/data/ChangeEvents").unwrap()
}

/// A moment in Salesforce's time, in seconds behind a full minute.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_020, 0).unwrap() + TimeDelta::seconds(seconds)
}

/// An update of one product: transaction `key`, committed in that second.
pub fn event(key: u32, product: u32) -> NewEvent {
    of_records(key, Records::Ids(vec![product_id(product)]))
}

pub fn of_records(key: u32, records: Records) -> NewEvent {
    NewEvent {
        replay_id: ReplayId::new(key.to_be_bytes().to_vec()),
        schema_id: "schema".to_owned(),
        payload: Bytes::from(format!("payload {key}")),
        header: Ok(EventHeader {
            object: ObjectName::product(),
            kind: ChangeKind::Update,
            records,
            transaction_key: format!("transaction-{key}"),
            sequence_number: 1,
            committed_at: Moment::from(at(i64::from(key))),
            commit_number: 1,
            commit_user: "005000000000001".to_owned(),
            change_origin: String::new(),
        }),
    }
}

pub fn unreadable(key: u32) -> NewEvent {
    NewEvent { header: Err("the header is cut off".to_owned()), ..event(key, 1) }
}

impl Stream {
    pub async fn start(pool: PgPool) -> Self {
        let store = Store::on_pool(pool).await.unwrap();
        objects::register(&store, &Mapping::built_in()).await.unwrap();
        let lease =
            leases::acquire_for(&store, "stream", "the test", LeaseTimes::STREAM).await.unwrap().unwrap();
        Self { store, lease, channel: channel() }
    }

    pub async fn append(&self, events: &[NewEvent]) -> Appended {
        self.append_to(&self.channel, events).await
    }

    pub async fn append_to(&self, channel: &ChannelName, events: &[NewEvent]) -> Appended {
        let objects = [ObjectName::product(), ObjectName::account()];
        change_log::append(&self.store, self.lease.key(), channel, events, &objects, &[]).await.unwrap()
    }

    /// Positions of the channel's events behind a position.
    pub async fn positions(&self, after: i64) -> Vec<i64> {
        let events = change_log::next_batch(&self.store, &self.channel, after, 1000).await.unwrap();
        events.iter().map(|event| event.position).collect()
    }

    /// Notes that the channel's events up to a position are applied.
    pub async fn apply(&self, up_to: i64, events: i64) {
        let mut tx = self.store.pool().begin().await.unwrap();
        store::checkpoints::advance_in(&mut tx, &self.channel, up_to, events).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self.store.pool()).await.unwrap();
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.store.pool()).await.unwrap()
    }

    /// Today, by the database's clock, in UTC.
    pub async fn today(&self) -> NaiveDate {
        sqlx::query_scalar("select (now() at time zone 'UTC')::date")
            .fetch_one(self.store.pool())
            .await
            .unwrap()
    }

    /// Lets everything in the log, and what was done with it, have been received so many days ago.
    pub async fn age_log(&self, days: i64) {
        let day = self.today().await - TimeDelta::days(days);
        for table in ["change_log", "event_outcomes"] {
            self.run(&format!(
                "create table if not exists shadow_sync.{table}_{name} partition of shadow_sync.{table}
                     for values from ('{day} 00:00:00+00') to ('{next} 00:00:00+00');
                 update shadow_sync.{table} set received_at = received_at - interval '{days} days'
                  where received_at > now() - interval '1 day'",
                name = day.format("%Y%m%d"),
                next = day + TimeDelta::days(1),
            ))
            .await;
        }
    }
}
