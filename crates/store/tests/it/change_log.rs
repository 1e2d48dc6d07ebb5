//! The change log: what is stored, in which order, and what is known already.

use chrono::TimeDelta;
use shadow::{ChangeKind, ChannelName, EventOutcome, HoleWhy, ObjectName, Records, ReplayId};
use sqlx::PgPool;
use store::change_log::{self, Appended, LogFilter};
use store::checkpoints;
use store::event_outcomes::{self, NewOutcome};
use store::{Error, Store, StoreOptions, channel_members, dead_letters, holes, leases};

use crate::events::{Stream, at, channel, event, of_records, unreadable};
use crate::world::product_id;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn events_and_checkpoint_are_stored_in_one_commit(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let first = stream.append(&[event(1, 1), event(2, 2)]).await;
    assert_eq!(first, Appended { stored: 2, duplicates: 0, unreadable: 0, last_position: 2 });
    stream.append(&[event(3, 1)]).await;
    let stored = change_log::next_batch(&stream.store, &stream.channel, 1, 10).await.unwrap();
    assert_eq!(stored.iter().map(|event| event.position).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(stored[0].payload, b"payload 2");
    assert_eq!(stored[0].record_ids, Some(vec![product_id(2)]));
    assert_eq!((stored[0].committed_at, stored[0].kind), (at(2), ChangeKind::Update));
    let checkpoint = checkpoints::get(&stream.store, &stream.channel).await.unwrap().unwrap();
    assert_eq!(checkpoint.replay_id, Some(ReplayId::new(3_u32.to_be_bytes().to_vec())));
    assert_eq!((checkpoint.stored_position, checkpoint.backlog()), (3, 3));
    assert_eq!(checkpoint.proven_until, Some(at(3)));
    assert!(checkpoint.heard_at.is_some());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_redelivery_moves_the_checkpoint_and_nothing_else(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1)]).await;
    // The same event in yesterday's partition, on another channel, with another replay id, and twice in one message.
    stream.age_log(1).await;
    let other = ChannelName::of_object(&ObjectName::product());
    let again = [event(1, 1), event(2, 1), event(2, 1)];
    let appended = stream.append_to(&other, &again).await;
    assert_eq!(appended, Appended { stored: 1, duplicates: 2, unreadable: 0, last_position: 2 });
    let only = stream.append(&[event(2, 1)]).await;
    assert_eq!(only, Appended { stored: 0, duplicates: 1, unreadable: 0, last_position: 2 });
    let checkpoint = checkpoints::get(&stream.store, &stream.channel).await.unwrap().unwrap();
    assert_eq!(checkpoint.replay_id, Some(ReplayId::new(2_u32.to_be_bytes().to_vec())));
    assert_eq!(checkpoint.backlog(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_same_transaction_of_another_object_or_number_is_another_event(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let mut account = event(1, 1);
    account.header.as_mut().unwrap().object = ObjectName::account();
    let mut second = event(1, 1);
    second.header.as_mut().unwrap().sequence_number = 2;
    assert_eq!(stream.append(&[event(1, 1), account, second]).await.stored, 3);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_unreadable_header_is_a_dead_letter_and_a_hole_of_the_channels_objects(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1)]).await;
    let appended = stream.append(&[event(2, 1), unreadable(3), event(4, 1)]).await;
    assert_eq!(appended, Appended { stored: 2, duplicates: 0, unreadable: 1, last_position: 4 });
    assert_eq!(stream.positions(0).await, [1, 2, 4]);
    let groups = dead_letters::list(&stream.store, None, 10).await.unwrap();
    assert_eq!((groups.len(), groups[0].total, groups[0].letters[0].position), (1, 1, 3));
    assert_eq!(
        stream.number("select count(*) from shadow_sync.dead_letters where payload = 'payload 3'").await,
        1
    );
    let open = holes::list_open(&stream.store).await.unwrap();
    let opened: Vec<_> = open.iter().filter(|hole| hole.why == HoleWhy::HeaderUnreadable).collect();
    assert_eq!(opened.len(), 2);
    assert_eq!(opened[0].from_at, Some(at(2)));
    let checkpoint = checkpoints::get(&stream.store, &stream.channel).await.unwrap().unwrap();
    assert_eq!((checkpoint.stored_position, checkpoint.backlog()), (4, 3));
    // Who names no object means all that the channel may carry.
    let (key, events) = (stream.lease.key(), [unreadable(9)]);
    change_log::append(&stream.store, key, &stream.channel, &events, &[], &[]).await.unwrap();
    let open = holes::list_open(&stream.store).await.unwrap();
    assert_eq!(open.iter().filter(|hole| hole.why == HoleWhy::HeaderUnreadable).count(), 3);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_first_position_of_a_channel_opens_a_hole_behind_it(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let key = stream.lease.key();
    let latest = ReplayId::new(vec![7]);
    let own = ChannelName::of_object(&ObjectName::account());
    for _ in 0..2 {
        change_log::keep_alive(&stream.store, key, &own, &latest, at(9), &[]).await.unwrap();
    }
    let open = holes::list_open(&stream.store).await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&open[0].object, open[0].why), (&ObjectName::account(), HoleWhy::FirstPosition));
    assert_eq!((open[0].from_at, open[0].until_at), (None, Some(at(9))));
    let checkpoint = checkpoints::get(&stream.store, &own).await.unwrap().unwrap();
    assert_eq!((checkpoint.replay_id, checkpoint.proven_until), (Some(latest), Some(at(9))));
    // On a channel of several objects all of them may be concerned.
    change_log::keep_alive(&stream.store, key, &stream.channel, &ReplayId::new(vec![8]), at(9), &[])
        .await
        .unwrap();
    assert_eq!(holes::list_open(&stream.store).await.unwrap().len(), 4);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_proven_never_goes_back(pool: PgPool) {
    let stream = Stream::start(pool).await;
    change_log::keep_alive(
        &stream.store,
        stream.lease.key(),
        &stream.channel,
        &ReplayId::new(vec![1]),
        at(100),
        &[],
    )
    .await
    .unwrap();
    stream.append(&[event(5, 1)]).await;
    let checkpoint = checkpoints::get(&stream.store, &stream.channel).await.unwrap().unwrap();
    assert_eq!(checkpoint.proven_until, Some(at(100)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_lost_the_lease_stores_nothing(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1)]).await;
    stream.run("update shadow_sync.leases set token = gen_random_uuid()").await;
    let late = change_log::append(
        &stream.store,
        stream.lease.key(),
        &stream.channel,
        &[event(2, 1)],
        &[ObjectName::product()],
        &[],
    )
    .await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    let late = change_log::keep_alive(
        &stream.store,
        stream.lease.key(),
        &stream.channel,
        &ReplayId::new(vec![9]),
        at(50),
        &[],
    )
    .await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    assert_eq!(stream.positions(0).await, [1]);
    let checkpoint = checkpoints::get(&stream.store, &stream.channel).await.unwrap().unwrap();
    assert_eq!(checkpoint.replay_id, Some(ReplayId::new(1_u32.to_be_bytes().to_vec())));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn positions_of_two_channels_stand_in_the_order_of_their_commits(pool: PgPool) {
    let stream = Stream::start(pool.clone()).await;
    let other = ChannelName::of_object(&ObjectName::product());
    let one = async {
        for key in 0..40 {
            stream.append(&[event(key * 2, 1)]).await;
        }
    };
    let two = async {
        for key in 0..40 {
            stream.append_to(&other, &[event(key * 2 + 1, 1)]).await;
        }
    };
    // Whoever reads sees no position appear below one that was there before.
    let reader = async {
        let mut seen = 0;
        while seen < 80 {
            let (count, newest): (i64, Option<i64>) =
                sqlx::query_as("select count(*), max(position) from shadow_sync.change_log")
                    .fetch_one(&pool)
                    .await
                    .unwrap();
            assert_eq!(count, newest.unwrap_or(0), "a position is missing below the newest");
            seen = count;
        }
    };
    tokio::join!(one, two, reader);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn days_are_made_ahead_and_also_when_the_clock_was_set_back(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let partitions = "select count(*) from pg_inherits where inhparent = 'shadow_sync.change_log'::regclass";
    assert_eq!(stream.number(partitions).await, 0);
    stream.append(&[event(1, 1)]).await;
    assert_eq!(stream.number(partitions).await, 2);
    // As if the clock had stood two days ahead when the days were made last.
    stream.run("update shadow_sync.log_head set partitions_until = partitions_until + 2").await;
    stream.append(&[event(2, 1)]).await;
    assert_eq!(stream.number(partitions).await, 2);
    let ahead = stream
        .number(
            "select (partitions_until - (now() at time zone 'UTC')::date)::bigint from shadow_sync.log_head",
        )
        .await;
    assert_eq!(ahead, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_object_whose_event_came_is_carried_by_the_channel(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let finding = channel_members::Finding { permitted: Some(true), member: None, problem: None };
    for object in [ObjectName::product(), ObjectName::account()] {
        channel_members::note(&stream.store, &stream.channel, &object, finding).await.unwrap();
    }
    stream.append(&[event(1, 1)]).await;
    let members = channel_members::list(&stream.store, &stream.channel).await.unwrap();
    let known: Vec<bool> = members.iter().map(|member| member.member_at.is_some()).collect();
    assert_eq!(known, [false, true]);
    assert!(members.iter().all(|member| member.permitted_at.is_some()));
    let refused = channel_members::Finding { permitted: Some(false), ..Default::default() };
    channel_members::note(&stream.store, &stream.channel, &ObjectName::product(), refused).await.unwrap();
    let members = channel_members::list(&stream.store, &stream.channel).await.unwrap();
    assert!(members[1].permitted_at.is_none() && members[1].member_at.is_some());
}

fn outcome(position: i64, received_at: chrono::DateTime<chrono::Utc>, word: EventOutcome) -> NewOutcome {
    NewOutcome {
        position,
        received_at,
        record: Some(product_id(u32::try_from(position).unwrap())),
        outcome: word,
        detail: Some(serde_json::json!({ "why": "test" })),
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn events_are_listed_newest_first_with_what_was_done(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let all = of_records(4, Records::All);
    stream.append(&[event(1, 1), event(2, 2), event(3, 3), all, event(5, 3)]).await;
    let stored = change_log::next_batch(&stream.store, &stream.channel, 0, 10).await.unwrap();
    let words = [EventOutcome::Applied, EventOutcome::Dirty, EventOutcome::Applied];
    let outcomes: Vec<NewOutcome> = stored
        .iter()
        .zip(words)
        .map(|(event, word)| outcome(event.position, event.received_at, word))
        .collect();
    let mut tx = stream.store.pool().begin().await.unwrap();
    event_outcomes::record_in(&mut tx, &outcomes).await.unwrap();
    tx.commit().await.unwrap();
    stream.apply(3, 3).await;

    let list = |filter: LogFilter| {
        let store = stream.store.clone();
        async move {
            let events = change_log::list(&store, &filter, 10).await.unwrap();
            events.iter().map(|event| event.position).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(LogFilter::default()).await, [5, 4, 3, 2, 1]);
    assert_eq!(list(LogFilter { below: Some(4), ..Default::default() }).await, [3, 2, 1]);
    assert_eq!(list(LogFilter { waiting: true, ..Default::default() }).await, [5, 4]);
    assert_eq!(list(LogFilter { record: Some(product_id(3)), ..Default::default() }).await, [5, 3]);
    let applied = LogFilter { outcome: Some(EventOutcome::Applied), ..Default::default() };
    assert_eq!(list(applied.clone()).await, [3, 1]);
    assert_eq!(list(LogFilter { object: Some(ObjectName::account()), ..applied }).await, Vec::<i64>::new());
    assert_eq!(
        list(LogFilter { kind: Some(ChangeKind::Delete), ..Default::default() }).await,
        Vec::<i64>::new()
    );

    let events = change_log::list(&stream.store, &LogFilter::default(), 10).await.unwrap();
    assert_eq!((events[1].record, events[1].records, events[1].waits), (None, 0, true));
    assert_eq!(events[3].outcome.as_ref().unwrap().outcome, EventOutcome::Dirty);
    assert_eq!((events[0].payload_bytes, events[0].outcome.clone()), (9, None));
    let done = event_outcomes::of_event(&stream.store, 2).await.unwrap();
    assert_eq!((done.len(), done[0].record), (1, Some(product_id(2))));
    assert_eq!(change_log::get(&stream.store, 2).await.unwrap().unwrap().payload, b"payload 2");
    assert_eq!(change_log::get(&stream.store, 77).await.unwrap(), None);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_replay_counts_and_scans_what_was_received_since(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1)]).await;
    stream.age_log(2).await;
    stream.append(&[event(2, 2), event(3, 2), of_records(4, Records::All)]).await;
    let earliest = change_log::earliest(&stream.store).await.unwrap().unwrap();
    let since = earliest + TimeDelta::days(1);
    let counted = change_log::replayable(&stream.store, since, None).await.unwrap();
    assert_eq!((counted.events, counted.records, counted.nameless), (3, 1, 1));
    assert_eq!(counted.objects, ["Product2"]);
    let none = change_log::replayable(&stream.store, since, Some(&ObjectName::account())).await.unwrap();
    assert_eq!((none.events, none.objects.len()), (0, 0));
    let scanned = change_log::scan(&stream.store, since, None, 2, 10).await.unwrap();
    assert_eq!(scanned.iter().map(|event| event.position).collect::<Vec<_>>(), [3, 4]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stream_that_stops_being_live_leaves_an_outage(pool: PgPool) {
    use checkpoints::StreamState;
    let stream = Stream::start(pool).await;
    let set = async |state, worker: &str, problem: Option<serde_json::Value>| {
        let (store, key) = (&stream.store, stream.lease.key());
        checkpoints::set_state(store, key, &stream.channel, state, worker, problem.as_ref()).await.unwrap();
    };
    let outages =
        async || store::lag_samples::outages(&stream.store, at(0), at(1_000_000_000)).await.unwrap();
    set(StreamState::Connecting, "one", None).await;
    set(StreamState::Live, "one", None).await;
    assert_eq!(outages().await, []);
    stream.append(&[event(1, 1)]).await;
    let problem = serde_json::json!({ "code": "SS-1" });
    set(StreamState::Backoff, "one", Some(problem.clone())).await;
    set(StreamState::Connecting, "one", None).await;
    let open = outages().await;
    assert_eq!((open.len(), open[0].ended_at, open[0].why.clone()), (1, None, Some(problem)));
    // A few seconds are a reconnect.
    set(StreamState::Live, "one", None).await;
    assert_eq!(outages().await, []);
    // Whoever takes over reckons from what was heard last.
    stream.run("update shadow_sync.checkpoints set heard_at = now() - interval '1 hour'").await;
    set(StreamState::Connecting, "two", None).await;
    set(StreamState::Live, "two", None).await;
    let ended = outages().await;
    assert!(ended[0].ended_at.unwrap() - ended[0].began_at > TimeDelta::minutes(59), "{ended:?}");
    let checkpoint = checkpoints::get(&stream.store, &stream.channel).await.unwrap().unwrap();
    assert_eq!((checkpoint.state, checkpoint.worker.as_deref()), (StreamState::Live, Some("two")));
    leases::release(&stream.store, stream.lease).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn days_are_utc_whatever_the_servers_time_zone(pool: PgPool) {
    let plain = Stream::start(pool.clone()).await;
    leases::release(&plain.store, plain.lease).await.unwrap();
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let options = (*pool.connect_options()).clone().options([("timezone", zone)]);
        let store = Store::connect_with(options, StoreOptions::default()).await.unwrap();
        let lease = leases::acquire(&store, "stream", zone).await.unwrap().unwrap();
        let stream = Stream { store, lease, channel: channel() };
        stream.run("update shadow_sync.log_head set partitions_until = null").await;
        stream.append(&[event(u32::try_from(zone.len()).unwrap(), 1)]).await;
        let today = stream.today().await.format("%Y%m%d");
        let in_its_day: String = sqlx::query_scalar(
            "select tableoid::regclass::text from shadow_sync.change_log order by position desc limit 1",
        )
        .fetch_one(stream.store.pool())
        .await
        .unwrap();
        assert_eq!(in_its_day, format!("shadow_sync.change_log_{today}"));
        leases::release(&stream.store, stream.lease).await.unwrap();
        stream.store.close().await;
    }
    let partitions = "select count(*) from pg_inherits where inhparent = 'shadow_sync.change_log'::regclass";
    let count: i64 = sqlx::query_scalar(partitions).fetch_one(&pool).await.unwrap();
    assert_eq!(count, 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_append_whose_connection_is_cut_can_be_repeated(pool: PgPool) {
    let stream = Stream::start(pool.clone()).await;
    stream.append(&[event(1, 1)]).await;
    // Another channel's appender holds the end of the log.
    let mut other = pool.begin().await.unwrap();
    sqlx::query("select from shadow_sync.log_head for update").execute(&mut *other).await.unwrap();
    let events = [event(2, 1)];
    let objects = [ObjectName::product()];
    let appending =
        change_log::append(&stream.store, stream.lease.key(), &stream.channel, &events, &objects, &[]);
    let cut = async {
        let blocked = "select pg_terminate_backend(pid) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query(blocked).fetch_all(&pool).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let (appended, ()) = tokio::join!(appending, cut);
    assert_eq!(appended.unwrap_err().disposition(), store::Disposition::Retry);
    other.rollback().await.unwrap();
    let checkpoint = checkpoints::get(&stream.store, &stream.channel).await.unwrap().unwrap();
    assert_eq!(checkpoint.replay_id, Some(ReplayId::new(1_u32.to_be_bytes().to_vec())));
    assert_eq!(stream.append(&events).await.last_position, 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_a_channel_that_is_given_up_left_is_a_hole(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let old = ChannelName::of_object(&ObjectName::product());
    stream.append(&[event(1, 1)]).await;
    stream.append_to(&old, &[event(5, 1), event(6, 2)]).await;
    stream.run("update shadow_sync.holes set closed_at = now()").await;
    let keep = [stream.channel.clone()];
    let key = stream.lease.key();
    assert_eq!(checkpoints::retire_others(&stream.store, key, &keep).await.unwrap(), 2);
    let open = holes::list_open(&stream.store).await.unwrap();
    assert_eq!((open.len(), open[0].why), (1, HoleWhy::ChannelChanged));
    assert_eq!((open[0].from_at, open[0].until_at), (Some(at(5)), Some(at(6))));
    assert_eq!(event_outcomes::of_event(&stream.store, 3).await.unwrap()[0].outcome, EventOutcome::Hole);
    let all = checkpoints::list(&stream.store).await.unwrap();
    assert_eq!(all.iter().map(checkpoints::Checkpoint::backlog).collect::<Vec<_>>(), [1, 0]);
    // A second time there is nothing left to say.
    stream.run("update shadow_sync.holes set closed_at = now()").await;
    assert_eq!(checkpoints::retire_others(&stream.store, key, &keep).await.unwrap(), 0);
    assert_eq!(holes::list_open(&stream.store).await.unwrap(), []);
}
