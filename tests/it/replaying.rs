//! `replay --from-salesforce` as a process: it asks Salesforce for its events again, says what disagrees, has that
//! fetched, and never writes what an old event says.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::cli::run;
use crate::daemon::Daemon;
use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

fn view(output: &std::process::Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// A row as it was before some of its changes, and the change log as if their events had never come.
async fn set_back(world: &World, id: &str, value: &str) {
    let row = "update sf_account_eligibility_shadow
                  set internet_eligibility = $2, row_hash = set_byte(row_hash, 0, 255 - get_byte(row_hash, 0)),
                      raw_payload = jsonb_set(raw_payload, '{Internet_Eligibility__c}', to_jsonb($2))
                where account_id = $1";
    sqlx::query(row).bind(id).bind(value).execute(&world.pool).await.unwrap();
    let log = "delete from shadow_sync.change_log where $1 = any(record_ids)";
    sqlx::query(log).bind(id).execute(&world.pool).await.unwrap();
}

async fn versions(world: &World) -> i64 {
    world
        .number("select coalesce(sum(xmin::text::bigint), 0)::bigint from sf_account_eligibility_shadow")
        .await
}

#[sqlx::test(migrations = false)]
async fn events_that_only_salesforce_has_are_found_and_their_records_fetched(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let daemon = Daemon::start(&world, &[]).await;
    world.until_streaming().await;
    world.until_settled().await;
    world.age_reads().await;
    let ids: Vec<String> =
        world.org.org().ids("Account", 0, 3).into_iter().map(|id| id.to_string()).collect();
    for value in ["First", "Second", "Third"] {
        for id in &ids {
            world.org.org().update("Account", id, &json!({ "Internet_Eligibility__c": value })).unwrap();
        }
    }
    for id in &ids {
        world.until_value(ACCOUNTS, "account_id", id, "internet_eligibility", Some("Third")).await;
    }
    world.until_settled().await;

    // Where everything agrees, nothing is done, whatever older events say.
    let from_salesforce = ["replay", "--from", "earliest", "--from-salesforce"];
    let before = versions(&world).await;
    let agreed = run(&world, &[&from_salesforce[..], &["--json"]].concat()).await;
    assert_eq!(agreed.status.code(), Some(0));
    let found = view(&agreed);
    let numbers = |view: &Value| {
        ["events", "records", "differing", "unknownEvents", "marked"].map(|name| view[name].as_u64().unwrap())
    };
    assert_eq!(numbers(&found), [9, 3, 0, 0, 0], "{found}");
    assert_eq!(versions(&world).await, before, "no row was written");

    // One record's events were never stored, and its row is as before the first of them.
    set_back(&world, &ids[1], "Long ago").await;
    let planned = run(&world, &[&from_salesforce[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(planned.status.code(), Some(1), "something disagrees");
    let found = view(&planned);
    assert_eq!(numbers(&found), [9, 3, 1, 3, 0], "{found}");
    let difference = &found["differences"][0];
    assert_eq!((&difference["record"], &difference["position"]), (&json!(ids[1]), &Value::Null), "{found}");
    let dirty = "select count(*) from shadow_sync.dirty";
    assert_eq!(world.number(dirty).await, 0, "a plan changes nothing");
    let people = run(&world, &[&from_salesforce[..], &["--dry-run"]].concat()).await;
    let text = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(text.contains(&ids[1]) && text.contains("3 events had never arrived here"), "{text}");

    // Meanwhile the record changes once more: what is fetched is what it is now.
    world.lose_events(1);
    world.org.org().update("Account", &ids[1], &json!({ "Internet_Eligibility__c": "Fourth" })).unwrap();
    let done = run(&world, &[&from_salesforce[..], &["--object", "Account", "--json"]].concat()).await;
    assert_eq!(done.status.code(), Some(0));
    let found = view(&done);
    assert_eq!(numbers(&found), [9, 3, 1, 3, 1], "{found}");
    world.until_value(ACCOUNTS, "account_id", &ids[1], "internet_eligibility", Some("Fourth")).await;
    world.assert_same().await;
    let audit = "select count(*) from shadow_sync.audit where act = 'replay.run'";
    assert_eq!(world.number(audit).await, 2, "each replay but the plans is in the audit log");
    drop(daemon);
}

#[sqlx::test(migrations = false)]
async fn a_replay_of_what_salesforce_keeps_no_more_or_does_not_let_us_have_says_so(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Account"]).await;
    let from_salesforce = ["replay", "--from", "2h", "--from-salesforce", "--json"];
    let empty = run(&world, &from_salesforce).await;
    assert_eq!(empty.status.code(), Some(0));
    assert_eq!(view(&empty)["events"], 0);

    world.org.org().disturb(&simulator::Disturbance::SpendAllocation).unwrap();
    let refused = run(&world, &from_salesforce).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(told.contains("SS-"), "{told}");
}
