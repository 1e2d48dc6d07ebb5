//! Many changes on a steady clock, and what they look like on the stream.

use std::time::{Duration, Instant};

use simulator::{Load, Options};

use crate::{
    client::World,
    listener::{ALL, From},
};

fn load(changes: u64, per_second: Option<u32>) -> Load {
    Load {
        object: "PricebookEntry".to_owned(),
        field: "Offer_Text__c".to_owned(),
        changes,
        per_second,
        characters: 250,
    }
}

#[tokio::test]
async fn a_load_keeps_its_pace_and_every_change_is_told() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let loading = load(100, Some(400));
    let (report, events) = tokio::join!(org.run_load(&loading), listener.events(100));
    let report = report.unwrap();
    assert!((Duration::from_millis(245)..Duration::from_secs(5)).contains(&report.elapsed), "{report:?}");
    assert!(
        events.iter().all(|event| (420..620).contains(&event.payload.len())),
        "{}",
        events[0].payload.len()
    );
    assert_eq!(events[99].body["Offer_Text__c"].as_str().unwrap().len(), 250);
    let keys: std::collections::HashSet<String> =
        events.iter().map(|event| event.header("transactionKey").to_string()).collect();
    assert_eq!(keys.len(), 100);
    assert!(org.run_load(&Load { field: "Nope".to_owned(), ..load(1, None) }).await.is_err());
}

#[tokio::test]
async fn a_backlog_is_served_quickly() {
    let world = World::start(Options { daily_events: 1_000_000, ..Options::default() }).await;
    let org = world.simulator.org();
    org.run_load(&load(3_000, None)).await.unwrap();
    let mut listener = world.pubsub().subscribe(ALL, From::Earliest, 100).await.unwrap();
    let began = Instant::now();
    let (mut got, mut last) = (0, Vec::new());
    while got < 3_000 {
        let response = listener.next().await.unwrap().unwrap();
        got += response.events.len();
        for event in response.events {
            assert!(event.replay_id > last);
            last = event.replay_id;
        }
        if response.pending_num_requested <= 50 {
            listener.ask(100 - response.pending_num_requested).await;
        }
    }
    assert_eq!(got, 3_000);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
