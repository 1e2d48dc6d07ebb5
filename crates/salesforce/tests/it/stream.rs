//! Subscriptions: what is asked for, what comes, how a stream ends and goes on.

use std::{sync::atomic::Ordering, time::Duration};

use salesforce::{
    Disposition, Error,
    pubsub::{Message, PubSubOptions, Start, StreamRefusal, Subscription},
};
use serde_json::json;
use shadow::event::ReplayId;
use simulator::{Disturbance, Fault, Options};

use crate::world::{World, all, channel, end, next, receive};

const SUBSCRIBE: &str = "POST /eventbus.v1.PubSub/Subscribe";

/// Changes products one after the other, each in a transaction of its own.
fn change_products(world: &World, count: u64) {
    let org = world.simulator.org();
    for (number, id) in org.ids("Product2", 0, count).iter().enumerate() {
        org.update("Product2", id.as_str(), &json!({ "Name": format!("Changed {number}") }))
            .expect("a record");
    }
}

/// The positions of the next events, so many.
async fn positions(subscription: &mut Subscription, count: usize) -> Vec<ReplayId> {
    receive(subscription, count).await.into_iter().map(|event| event.replay_id).collect()
}

async fn receive_keep_alive(subscription: &mut Subscription) -> Message {
    loop {
        let message = next(subscription).await;
        if message.events.is_empty() {
            return message;
        }
    }
}

/// The positions of all events that the org has sent.
fn sent(world: &World) -> Vec<ReplayId> {
    world.simulator.org().sent_events().into_iter().map(|event| ReplayId::new(event.replay_id)).collect()
}

fn disturb(world: &World, disturbance: &Disturbance) {
    world.simulator.org().disturb(disturbance).expect("a disturbance");
}

fn refusal(error: &Error) -> StreamRefusal {
    match error {
        Error::StreamRefused { refusal, .. } => *refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_topic_tells_what_may_be_done_with_it() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let topic = pubsub.topic(&all()).await.expect("a topic");
    assert!(topic.can_subscribe && topic.schema_id.is_none());
    let product = channel("/data/Product2ChangeEvent");
    let id = pubsub.topic(&product).await.expect("a topic").schema_id.expect("a schema");
    assert!(pubsub.schema(&id).await.expect("a schema").field_names().any(|name| name == "ProductCode"));

    let unknown = pubsub.topic(&channel("/data/Nothing__chn")).await.expect_err("no such topic");
    assert_eq!((refusal(&unknown), unknown.disposition()), (StreamRefusal::TopicNotFound, Disposition::Park));
    world.simulator.org().set_view_all("Product2", false);
    let forbidden = pubsub.topic(&product).await.expect_err("forbidden");
    assert_eq!(refusal(&forbidden), StreamRefusal::TopicForbidden);
    assert_eq!(forbidden.disposition(), Disposition::Park);
}

#[tokio::test]
async fn events_come_in_their_order_and_only_from_now_on() {
    let world = World::streaming().await;
    change_products(&world, 3);
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    change_products(&world, 5);
    assert_eq!(positions(&mut subscription, 5).await, sent(&world)[3..]);
}

#[tokio::test]
async fn a_stream_goes_on_after_the_message_that_was_stored() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    change_products(&world, 5);
    let came = positions(&mut subscription, 5).await;
    drop(subscription);

    let from = Start::After(came[1].clone());
    let mut resumed = pubsub.subscribe(&all(), from).await.expect("a subscription");
    assert_eq!(positions(&mut resumed, 3).await, came[2..]);

    let mut earliest = pubsub.subscribe(&all(), Start::Earliest).await.expect("a subscription");
    assert_eq!(positions(&mut earliest, 5).await, came);
}

#[tokio::test]
async fn a_keep_alives_position_is_good_to_go_on_from() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    change_products(&world, 2);
    positions(&mut subscription, 2).await;
    let quiet = receive_keep_alive(&mut subscription).await;
    let position = quiet.latest_replay_id.expect("a position");
    drop(subscription);
    change_products(&world, 1);
    let mut resumed = pubsub.subscribe(&all(), Start::After(position)).await.expect("a subscription");
    assert_eq!(positions(&mut resumed, 1).await, sent(&world)[2..]);
}

#[tokio::test]
async fn never_more_is_outstanding_than_the_window() {
    let world = World::streaming().await;
    let pubsub = world.pubsub_with(PubSubOptions { window: 3, ..world.pubsub_options() });
    let mut subscription = world.subscription(&pubsub).await;
    change_products(&world, 20);
    let mut came = Vec::new();
    while came.len() < 20 {
        let message = next(&mut subscription).await;
        assert!(message.events.len() <= 3 && message.pending <= 3, "{message:?}");
        came.extend(message.events.into_iter().map(|event| event.replay_id));
        let outstanding: Vec<_> =
            world.simulator.org().subscribers().iter().map(|subscriber| subscriber.outstanding).collect();
        assert!(outstanding.iter().all(|&count| count <= 3), "{outstanding:?}");
    }
    assert_eq!(came, sent(&world));
}

#[tokio::test]
async fn with_a_window_of_nothing_no_more_than_asked_for_comes() {
    let world = World::streaming().await;
    let pubsub = world.pubsub_with(PubSubOptions { window: 4, ..world.pubsub_options() });
    let mut subscription = world.subscription(&pubsub).await;
    subscription.set_window(0);
    change_products(&world, 10);
    assert_eq!(positions(&mut subscription, 4).await.len(), 4);
    assert_eq!(subscription.outstanding(), 0);
    // The stream is still there; what it lacks is a request.
    let waiting = tokio::time::timeout(Duration::from_millis(400), subscription.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    subscription.set_window(100);
    assert_eq!(positions(&mut subscription, 6).await, sent(&world)[4..]);
}

#[tokio::test]
async fn under_back_pressure_one_event_is_asked_for_before_the_server_loses_patience() {
    let world = World::streaming().await;
    let pubsub = world.pubsub_with(PubSubOptions { window: 4, ..world.pubsub_options() });
    let mut subscription = world.subscription(&pubsub).await;
    subscription.set_window(0);
    change_products(&world, 10);
    positions(&mut subscription, 4).await;
    for number in 4..6 {
        assert_eq!(subscription.outstanding(), 0);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(26)).await;
        tokio::time::resume();
        assert_eq!(positions(&mut subscription, 1).await, sent(&world)[number..=number]);
    }
}

#[tokio::test]
async fn thousands_of_events_come_without_loss() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    for _ in 0..100 {
        change_products(&world, 20);
    }
    assert_eq!(positions(&mut subscription, 2_000).await, sent(&world));
}

#[tokio::test]
async fn a_stream_that_ended_in_good_order_is_no_error() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    disturb(&world, &Disturbance::EndStreams);
    end(&mut subscription).await.expect("good order");
    assert_eq!(subscription.next().await.expect("still ended"), None);
    world.subscription(&pubsub).await;
}

#[tokio::test]
async fn a_stream_that_ends_before_it_said_anything_is_an_error() {
    let world = World::start().await;
    let pubsub = world.pubsub();
    let mut subscription = pubsub.subscribe(&all(), Start::Latest).await.expect("a subscription");
    while world.simulator.org().subscribers().is_empty() {
        subscription.opened().await.expect("it is accepted");
        tokio::task::yield_now().await;
    }
    disturb(&world, &Disturbance::EndStreams);
    let error = end(&mut subscription).await.expect_err("else it would be opened over and over");
    assert_eq!(error.disposition(), Disposition::Retry);
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_by_whoever_stores() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    for disturbance in [Disturbance::ResetStreams, Disturbance::CutConnections] {
        let mut subscription = world.subscription(&pubsub).await;
        change_products(&world, 1);
        let position = positions(&mut subscription, 1).await.remove(0);
        disturb(&world, &disturbance);
        let error = end(&mut subscription).await.expect_err("broken");
        assert!(matches!(error, Error::StreamLost { .. }), "{disturbance:?}: {error:?}");
        assert_eq!(error.disposition(), Disposition::Retry);
        change_products(&world, 2);
        let mut resumed = pubsub.subscribe(&all(), Start::After(position)).await.expect("a subscription");
        let all = sent(&world);
        assert_eq!(positions(&mut resumed, 2).await, all[all.len() - 2..]);
    }
}

#[tokio::test]
async fn a_connection_that_goes_away_takes_no_event_with_it() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    disturb(&world, &Disturbance::Drain);
    change_products(&world, 3);
    // What runs goes on, and what is new finds another connection.
    let mut another = world.subscription(&pubsub).await;
    change_products(&world, 2);
    assert_eq!(positions(&mut another, 2).await, sent(&world)[3..]);
    assert_eq!(positions(&mut subscription, 5).await, sent(&world));
}

#[tokio::test]
async fn a_silent_stream_is_a_dead_stream() {
    let world = World::streaming().await;
    let silence = Duration::from_millis(500);
    let pubsub = world.pubsub_with(PubSubOptions { silence, ..world.pubsub_options() });
    let mut subscription = world.subscription(&pubsub).await;
    // Heard often enough, it lives for longer than the silence that is allowed.
    for _ in 0..12 {
        next(&mut subscription).await;
    }
    disturb(&world, &Disturbance::Silence { on: true });
    let error = end(&mut subscription).await.expect_err("silent");
    assert!(matches!(error, Error::StreamSilent { .. }), "{error:?}");
    assert_eq!(error.disposition(), Disposition::Retry);
    disturb(&world, &Disturbance::TakeBack);
    world.subscription(&pubsub).await;
}

#[tokio::test]
async fn every_refusal_is_understood_wherever_it_comes() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    for (code, expected, disposition) in [
        ("service.unavailable", StreamRefusal::ServiceUnavailable, Disposition::Retry),
        ("service.auth.headers.invalid", StreamRefusal::RequestInvalid, Disposition::Stop),
        ("service.protection.triggered", StreamRefusal::Protection, Disposition::Retry),
        ("service.tenant.license", StreamRefusal::NotLicensed, Disposition::Park),
        ("concurrent.client.limit.exceeded", StreamRefusal::TooManySubscribers, Disposition::Retry),
        ("topic.not.found", StreamRefusal::TopicNotFound, Disposition::Park),
        ("topic.meta.permission", StreamRefusal::TopicForbidden, Disposition::Park),
        ("topic.api.unavailable", StreamRefusal::DescriptionUnavailable, Disposition::Retry),
        ("subscription.limit.exceeded", StreamRefusal::AllocationSpent, Disposition::AllocationSpent),
        ("subscription.fetch.overflow", StreamRefusal::TooManyRequested, Disposition::Retry),
        ("subscription.topic.cannot.subscribe", StreamRefusal::NotSubscribable, Disposition::Park),
        ("subscription.internal.error", StreamRefusal::InternalError, Disposition::Retry),
    ] {
        world.simulator.org().inject(SUBSCRIBE, Fault::Refused { code: code.to_owned() }, 1);
        let mut refused = pubsub.subscribe(&all(), Start::Latest).await.expect("it is refused later");
        let error = refused.opened().await.expect_err(code);
        assert_eq!((refusal(&error), error.disposition()), (expected, disposition), "{code}");

        let mut subscription = world.subscription(&pubsub).await;
        disturb(&world, &Disturbance::FailStreams { code: code.to_owned() });
        let error = end(&mut subscription).await.expect_err(code);
        assert_eq!((refusal(&error), error.disposition()), (expected, disposition), "{code}");
        assert!(error.salesforce_code().is_some_and(|told| told.ends_with(code)), "{error}");
    }
}

#[tokio::test]
async fn a_session_that_expires_in_mid_stream_is_renewed_without_loss() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    change_products(&world, 3);
    let mut came = positions(&mut subscription, 3).await;
    for round in 1..=3 {
        disturb(&world, &Disturbance::ExpireTokens);
        change_products(&world, 2);
        came.extend(positions(&mut subscription, 2).await);
        // The events may have been on their way before.
        while world.tokens.sign_ins.load(Ordering::SeqCst) <= round {
            receive_keep_alive(&mut subscription).await;
        }
    }
    assert_eq!(came, sent(&world));
    assert_eq!(world.tokens.sign_ins.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_session_that_expired_before_is_renewed_too() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    pubsub.topic(&all()).await.expect("a topic");
    world.simulator.org().expire_sessions();
    pubsub.topic(&all()).await.expect("a topic");
    world.simulator.org().expire_sessions();
    world.subscription(&pubsub).await;
    assert_eq!(world.tokens.sign_ins.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_sign_in_that_is_always_refused_ends_the_stream() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let refused = Fault::Refused { code: "service.auth.error".to_owned() };
    world.simulator.org().inject("POST /eventbus.v1.PubSub/*", refused, u32::MAX);
    let mut subscription = pubsub.subscribe(&all(), Start::Latest).await.expect("it is refused later");
    let error = end(&mut subscription).await.expect_err("refused");
    assert_eq!(refusal(&error), StreamRefusal::AuthenticationFailed);
    assert_eq!(error.disposition(), Disposition::Reauthenticate);
    let error = pubsub.topic(&all()).await.expect_err("refused");
    assert_eq!(error.disposition(), Disposition::Reauthenticate);
    assert!(world.tokens.sign_ins.load(Ordering::SeqCst) <= 5);
}

#[tokio::test]
async fn a_position_that_expired_is_lost_and_said_so() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    for disturbance in [Disturbance::ExpireReplayIds, Disturbance::Renumber] {
        let mut subscription = world.subscription(&pubsub).await;
        change_products(&world, 1);
        let position = positions(&mut subscription, 1).await.remove(0);
        drop(subscription);
        disturb(&world, &disturbance);
        let mut resumed = pubsub.subscribe(&all(), Start::After(position)).await.expect("refused later");
        let error = end(&mut resumed).await.expect_err("lost");
        assert_eq!(refusal(&error), StreamRefusal::PositionLost, "{disturbance:?}");
        assert_eq!(error.disposition(), Disposition::PositionLost);
        world.subscription(&pubsub).await;
    }
}

#[tokio::test]
async fn a_spent_allocation_stops_deliveries_and_new_streams() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    disturb(&world, &Disturbance::SpendAllocation);
    change_products(&world, 1);
    let error = end(&mut subscription).await.expect_err("spent");
    assert_eq!(error.disposition(), Disposition::AllocationSpent);
    let mut another = pubsub.subscribe(&all(), Start::Latest).await.expect("refused later");
    let error = end(&mut another).await.expect_err("spent");
    assert_eq!(error.disposition(), Disposition::AllocationSpent);
    disturb(&world, &Disturbance::RestoreAllocation);
    world.subscription(&pubsub).await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_ends_at_the_server() {
    let world = World::streaming_with(Options { subscribers: 1, ..Options::default() }).await;
    let pubsub = world.pubsub();
    drop(world.subscription(&pubsub).await);
    // Only when the first is gone may another one subscribe.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let mut subscription = pubsub.subscribe(&all(), Start::Latest).await.expect("refused later");
        match subscription.next().await {
            Ok(message) => return assert!(message.is_some()),
            Err(error) => assert_eq!(refusal(&error), StreamRefusal::TooManySubscribers),
        }
        assert!(tokio::time::Instant::now() < deadline, "the first subscription is still there");
    }
}

#[tokio::test]
async fn waiting_that_is_given_up_loses_nothing() {
    let world = World::streaming().await;
    let pubsub = world.pubsub();
    let mut subscription = world.subscription(&pubsub).await;
    let mut came = Vec::new();
    for _ in 0..10 {
        change_products(&world, 20);
    }
    while came.len() < 200 {
        // Each wait is given up at once unless something is there.
        tokio::select! {
            biased;
            message = subscription.next() => {
                let message = message.expect("no refusal").expect("the stream goes on");
                came.extend(message.events.into_iter().map(|event| event.replay_id));
            }
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(came, sent(&world));
}
