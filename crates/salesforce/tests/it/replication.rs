//! The books that Salesforce keeps of changes, and of who sends events.

use chrono::TimeDelta;
use salesforce::Purpose;
use serde_json::json;
use shadow::{ObjectName, RecordId};

use crate::world::{World, all, channel};

#[tokio::test]
async fn changed_records_are_named_up_to_a_time() {
    let world = World::start().await;
    let org = world.simulator.org();
    let now = world.client.count(&ObjectName::product(), None).await.expect("a count").at;
    let ids: Vec<RecordId> =
        org.ids("Product2", 0, 2).iter().map(|id| id.as_str().parse().expect("an id")).collect();
    org.update("Product2", ids[0].as_str(), &json!({ "Name": "changed" })).expect("a record");

    let client = world.client.with_purpose(Purpose::CatchUp);
    let (start, end) = (now - TimeDelta::minutes(10), now + TimeDelta::minutes(2));
    let updated = client.updated(&ObjectName::product(), start, end).await.expect("an answer");
    assert!(updated.ids.contains(&ids[0]), "{updated:?}");
    assert!(updated.latest_date_covered > start);
    assert!(!updated.ids.contains(&ids[1]), "{updated:?}");
    assert_eq!(client.calls(Purpose::CatchUp), 1);
}

#[tokio::test]
async fn a_transaction_that_is_still_open_holds_the_books_back() {
    let world = World::start().await;
    let org = world.simulator.org();
    let now = world.client.count(&ObjectName::product(), None).await.expect("a count").at;
    let mut transaction = org.begin_transaction();
    let id = org.ids("Product2", 0, 1)[0];
    transaction.update("Product2", id.as_str(), &json!({ "Name": "late" })).expect("a record");
    org.set_clock_ahead_ms(300_000);
    let (start, end) = (now - TimeDelta::minutes(10), now + TimeDelta::minutes(5));
    let updated = world.client.updated(&ObjectName::product(), start, end).await.expect("an answer");
    assert!(updated.latest_date_covered <= now + TimeDelta::seconds(2), "{updated:?}");
    transaction.commit().expect("a commit");
}

#[tokio::test]
async fn a_span_too_far_back_is_refused() {
    let world = World::start().await;
    let now = world.client.count(&ObjectName::product(), None).await.expect("a count").at;
    let start = now - TimeDelta::days(40);
    let error = world.client.updated(&ObjectName::product(), start, now).await.expect_err("refused");
    assert_eq!(error.salesforce_code(), Some("INVALID_REPLICATION_DATE"));
}

#[tokio::test]
async fn who_sends_events_is_read_from_the_setup() {
    let world = World::start().await;
    let members = world.client.channel_members().await.expect("members");
    for channel in [all(), channel("/data/ShadowSync__chn")] {
        assert!(members.iter().any(|member| member.is_of(&channel, &ObjectName::account())), "{members:?}");
    }
    world.simulator.org().set_selected("Account", false).expect("a selection");
    let members = world.client.channel_members().await.expect("members");
    assert!(!members.iter().any(|member| member.is_of(&all(), &ObjectName::account())), "{members:?}");
}
