//! Topics, schemas, flow control, keep-alives, and who is let in.

use std::time::Duration;

use serde_json::json;
use simulator::{Fault, Options};
use tonic::Code;

use crate::{
    client::World,
    listener::{ALL, From, Listener, code, proto::FetchRequest, trailer, until},
};

/// Renames products one after the other, each in a transaction of its own.
fn rename(world: &World, count: u64) {
    let org = world.simulator.org();
    for (at, id) in org.ids("Product2", 0, count).iter().enumerate() {
        org.update("Product2", id.as_str(), &json!({"Name": format!("Renamed {at}")})).unwrap();
    }
}

async fn refused(listener: &mut Listener) -> (Code, String) {
    loop {
        match listener.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended normally"),
            Err(status) => return (status.code(), code(&status).to_owned()),
        }
    }
}

#[tokio::test]
async fn a_topic_names_its_schema_if_it_is_of_one_object() {
    let world = World::default().await;
    let pubsub = world.pubsub();
    let topic = pubsub.topic("/data/Product2ChangeEvent").await.unwrap();
    assert_eq!((topic.can_subscribe, topic.can_publish), (true, false));
    assert_eq!(topic.schema_id.len(), 22);
    let schema = pubsub.schema(&topic.schema_id).await.unwrap();
    assert_eq!(schema.schema_id, topic.schema_id);
    let schema: serde_json::Value = serde_json::from_str(&schema.schema_json).unwrap();
    assert_eq!(schema["name"], "Product2ChangeEvent");
    assert_eq!(schema["namespace"], "com.sforce.eventbus");
    assert_eq!(schema["fields"][0]["name"], "ChangeEventHeader");
    for channel in [ALL, "/data/ShadowSync__chn"] {
        let topic = pubsub.topic(channel).await.unwrap();
        assert_eq!((topic.can_subscribe, topic.schema_id.as_str()), (true, ""), "{channel}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_refused_with_its_code() {
    let world = World::default().await;
    let pubsub = world.pubsub();
    for topic in
        ["/data/NopeChangeEvent", "/data/product2changeevent", "/data/Nope__chn", "/event/Nope__e", "x"]
    {
        let status = pubsub.topic(topic).await.unwrap_err();
        assert_eq!((status.code(), code(&status)), (Code::NotFound, "topic.not.found"), "{topic}");
        let mut listener = pubsub.subscribe(topic, From::Latest, 1).await.unwrap();
        assert_eq!(refused(&mut listener).await, (Code::NotFound, "topic.not.found".to_owned()));
    }
    let status = pubsub.topic("").await.unwrap_err();
    assert_eq!((status.code(), code(&status)), (Code::InvalidArgument, "topic.validation.empty"));
    let status = pubsub.schema("").await.unwrap_err();
    assert_eq!((status.code(), code(&status)), (Code::InvalidArgument, "schema.validation.failed"));
    let rpc_id = trailer(&status, "rpc-id");
    assert_eq!(
        status.message(),
        format!("Schema validation failed. The schema ID can't be blank. rpcId: {rpc_id}")
    );
    assert_eq!(trailer(&status, "type"), "GetSchema");
}

#[tokio::test]
async fn every_call_needs_token_instance_and_tenant() {
    let world = World::default().await;
    let pubsub = world.pubsub();
    let org = world.simulator.org().id();
    for (header, value, refusal) in [
        ("accesstoken", "", "service.auth.headers.invalid"),
        ("instanceurl", "", "service.auth.headers.invalid"),
        ("instanceurl", "nonsense", "service.auth.headers.invalid"),
        ("tenantid", "", "service.auth.headers.invalid"),
        ("accesstoken", "wrong", "service.auth.error"),
        ("instanceurl", "https://other.my.salesforce.com", "service.auth.error"),
        ("tenantid", org.short(), "service.auth.error"),
        ("tenantid", "00D58000000arpqEAA", "service.auth.error"),
    ] {
        let wrong = pubsub.clone().with(header, value);
        let topic = wrong.topic(ALL).await.unwrap_err();
        assert_eq!((topic.code(), code(&topic)), (Code::Unauthenticated, refusal), "{header} {value}");
        let subscribed = wrong.subscribe(ALL, From::Latest, 1).await.err().unwrap();
        assert_eq!(code(&subscribed), refusal);
    }
    world.simulator.org().expire_sessions();
    assert_eq!(code(&pubsub.topic(ALL).await.unwrap_err()), "service.auth.error");
}

#[tokio::test]
async fn never_more_events_come_than_were_asked_for() {
    let world = World::default().await;
    let mut listener = world.pubsub().subscribe(ALL, From::Latest, 3).await.unwrap();
    until(|| !world.simulator.org().subscribers().is_empty()).await;
    rename(&world, 10);
    let mut got = 0;
    while got < 3 {
        let response = listener.next().await.unwrap().unwrap();
        got += response.events.len();
        assert_eq!(usize::try_from(response.pending_num_requested).unwrap(), 3 - got);
    }
    assert_eq!(got, 3);
    assert!(listener.is_quiet(Duration::from_millis(150)).await);
    listener.ask(2).await;
    listener.ask(4).await;
    assert_eq!(listener.events(6).await.len(), 6);
    assert!(listener.is_quiet(Duration::from_millis(150)).await);
    assert_eq!(world.simulator.org().delivered_events(), 9);
}

#[tokio::test]
async fn more_than_a_hundred_is_read_as_a_hundred() {
    let world = World::default().await;
    let mut listener = world.pubsub().subscribe(ALL, From::Latest, 5_000).await.unwrap();
    until(|| !world.simulator.org().subscribers().is_empty()).await;
    assert_eq!(world.simulator.org().subscribers()[0].outstanding, 100);
    rename(&world, 130);
    assert_eq!(listener.events(100).await.len(), 100);
    assert!(listener.is_quiet(Duration::from_millis(150)).await);
}

#[tokio::test]
async fn requests_that_make_no_sense_end_the_stream() {
    let world = World::default().await;
    for (requested, refusal) in [
        (0, "subscription.fetch.requested.events.invalid"),
        (-5, "subscription.fetch.requested.events.invalid"),
    ] {
        let mut listener = world.pubsub().subscribe(ALL, From::Latest, requested).await.unwrap();
        assert_eq!(refused(&mut listener).await, (Code::InvalidArgument, refusal.to_owned()));
        let mut listener = world.listen().await;
        listener.ask(requested).await;
        assert_eq!(refused(&mut listener).await.1, refusal);
    }
    let mut listener = world.listen().await;
    listener.ask_of("/data/AccountChangeEvent", 1).await;
    assert_eq!(
        refused(&mut listener).await,
        (Code::InvalidArgument, "subscription.fetch.topic.mismatch".to_owned())
    );
    // Saying the beginning again is tolerated, and so is leaving the topic out; another beginning is not.
    let mut listener = world.listen().await;
    listener.ask_of("", 1).await;
    listener.ask(1).await;
    let other = FetchRequest {
        topic_name: ALL.to_owned(),
        replay_preset: 1,
        num_requested: 1,
        ..FetchRequest::default()
    };
    listener.send(other).await;
    assert_eq!(refused(&mut listener).await.1, "subscription.fetch.replay.repeated");
}

#[tokio::test]
async fn a_quiet_subscription_hears_its_position_and_a_satisfied_one_is_closed() {
    let options = Options {
        keep_alive: Duration::from_millis(60),
        idle_close: Duration::from_millis(200),
        ..Options::default()
    };
    let world = World::start(options).await;
    let mut listener = world.pubsub().subscribe(ALL, From::Latest, 1).await.unwrap();
    let first = listener.next().await.unwrap().unwrap();
    assert_eq!((first.events.len(), first.pending_num_requested), (0, 1));
    assert_eq!(first.latest_replay_id.len(), 10);
    let second = listener.next().await.unwrap().unwrap();
    assert!(second.latest_replay_id > first.latest_replay_id);
    rename(&world, 1);
    loop {
        let response = listener.next().await.unwrap().unwrap();
        if let Some(event) = response.events.first() {
            assert_eq!(response.latest_replay_id, event.replay_id);
            break;
        }
    }
    // Nothing is owed any more: no keep-alives, and after a while the end.
    assert!(listener.next().await.unwrap().is_none());
    until(|| world.simulator.org().subscribers().is_empty()).await;
}

#[tokio::test]
async fn only_so_many_may_listen_at_once() {
    let world = World::start(Options { subscribers: 1, ..Options::default() }).await;
    let first = world.listen().await;
    let mut second = world.pubsub().subscribe(ALL, From::Latest, 1).await.unwrap();
    assert_eq!(
        refused(&mut second).await,
        (Code::ResourceExhausted, "concurrent.client.limit.exceeded".to_owned())
    );
    drop(first);
    until(|| world.simulator.org().subscribers().is_empty()).await;
    world.listen().await;
}

#[tokio::test]
async fn any_refusal_can_be_planned_for_any_call() {
    let world = World::default().await;
    let org = world.simulator.org();
    for (refusal, status) in [
        ("service.unavailable", Code::Internal),
        ("service.protection.triggered", Code::ResourceExhausted),
        ("service.tenant.license", Code::PermissionDenied),
        ("topic.api.unavailable", Code::Unavailable),
        ("concurrent.client.limit.exceeded", Code::ResourceExhausted),
    ] {
        org.inject("/eventbus.v1.PubSub/*", Fault::Refused { code: refusal.to_owned() }, 2);
        let got = world.pubsub().topic(ALL).await.unwrap_err();
        assert_eq!((got.code(), code(&got)), (status, refusal));
        assert_eq!(trailer(&got, "type"), "GetTopic");
        assert!(got.message().ends_with(&format!("rpcId: {}", trailer(&got, "rpc-id"))));
        let got = world.pubsub().subscribe(ALL, From::Latest, 1).await.err().unwrap();
        assert_eq!((got.code(), code(&got)), (status, refusal));
    }
    // A proxy answers in HTTP: there are no trailers at all.
    org.inject("/eventbus.v1.PubSub/GetTopic", Fault::HtmlUnavailable, 1);
    let got = world.pubsub().topic(ALL).await.unwrap_err();
    assert_eq!(code(&got), "none", "{got:?}");
    org.inject("/eventbus.v1.PubSub/GetTopic", Fault::LostAnswer, 1);
    assert_eq!(code(&world.pubsub().topic(ALL).await.unwrap_err()), "none");
    assert!(world.pubsub().topic(ALL).await.is_ok());
    assert_eq!(org.requests("/eventbus.v1.PubSub/GetTopic"), 7);
}

#[tokio::test]
async fn over_tls_it_speaks_http2_to_who_trusts_the_authority() {
    use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

    let simulator = simulator::Simulator::start(Options { tls: true, ..Options::default() }).await.unwrap();
    let url = simulator.grpc_url().to_string();
    assert!(url.starts_with("https://localhost:"));
    let endpoint =
        |tls: ClientTlsConfig| Endpoint::from_shared(url.clone()).unwrap().tls_config(tls).unwrap();
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(simulator.ca_pem().unwrap()));
    let channel = endpoint(trusting).connect().await.unwrap();
    let mut client = crate::listener::proto::pub_sub_client::PubSubClient::new(channel);
    let refusal = client.get_topic(crate::listener::proto::TopicRequest::default()).await.unwrap_err();
    assert_eq!(code(&refusal), "service.auth.headers.invalid");
    assert!(endpoint(ClientTlsConfig::new().with_native_roots()).connect().await.is_err());
}

#[tokio::test]
async fn without_tls_it_stays_on_this_machine() {
    let options = Options { grpc_listen: Some("0.0.0.0:0".parse().unwrap()), ..Options::default() };
    let refusal = simulator::Simulator::start(options).await.err().unwrap();
    assert!(refusal.to_string().contains("loopback"), "{refusal}");
}
