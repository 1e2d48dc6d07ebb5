//! Never half a row: what an event does not say is read whole before anything of the record is written, and a field that
//! went out of sight keeps its last value.

use serde_json::{Value, json};
use simulator::{Disturbance, EventFault, Fault, Options};
use sqlx::PgPool;

use crate::world::{World, small};

const ACCOUNTS: &str = "sf_account_eligibility_shadow";
const RETRIEVE: &str = "POST */composite/sobjects/*";

/// Writes down every version that is ever written of a row.
async fn witness(world: &World) {
    let witness = "
        create table written (at bigserial primary key, id text not null, payload jsonb not null);
        create function witness() returns trigger language plpgsql as $$
        begin
            insert into written (id, payload)
            values (coalesce(to_jsonb(new) ->> 'account_id', to_jsonb(new) ->> 'product_id'), new.raw_payload);
            return new;
        end $$;
        create trigger witness after insert or update on sf_account_eligibility_shadow
           for each row execute function witness();
        create trigger witness after insert or update on sf_product_shadow
           for each row execute function witness();";
    sqlx::raw_sql(witness).execute(&world.pool).await.unwrap();
}

/// Every version that was written of a record, as the values of these fields, each once.
async fn written(world: &World, id: &str, fields: [&str; 2]) -> Vec<[Option<String>; 2]> {
    let query = "select array[payload ->> $2, payload ->> $3] from written where id = $1 order by at";
    let versions: Vec<Vec<Option<String>>> = sqlx::query_scalar(query)
        .bind(id)
        .bind(fields[0])
        .bind(fields[1])
        .fetch_all(&world.pool)
        .await
        .unwrap();
    let mut versions: Vec<[Option<String>; 2]> =
        versions.into_iter().map(|version| version.try_into().unwrap()).collect();
    versions.dedup();
    versions
}

fn version(values: [&str; 2]) -> [Option<String>; 2] {
    values.map(|value| Some(value.to_owned()))
}

/// Waits until something was done with an event of a record other than applying it.
async fn until_doubted(world: &World, id: &str) {
    world
        .until_true("the record is to be fetched", async || {
            let dirty: i64 =
                sqlx::query_scalar("select count(*) from shadow_sync.dirty where record_id = $1")
                    .bind(id)
                    .fetch_one(&world.pool)
                    .await
                    .unwrap();
            dirty == 1
        })
        .await;
}

async fn payload(world: &World, id: &str) -> Option<Value> {
    let query = "select raw_payload from sf_account_eligibility_shadow where account_id = $1
                 union all select raw_payload from sf_product_shadow where product_id = $1";
    sqlx::query_scalar(query).bind(id).fetch_optional(&world.pool).await.unwrap()
}

const FIELDS: [&str; 2] = ["Internet_Eligibility__c", "Eligibility_Source__c"];

#[sqlx::test(migrations = false)]
async fn an_update_of_an_unknown_record_writes_nothing_until_all_of_it_is_read(pool: PgPool) {
    let world = World::live(pool).await;
    witness(&world).await;
    let org = world.org.org();
    world.lose_events(1);
    let new = json!({ "Name": "Never told", "Internet_Eligibility__c": "A", "Eligibility_Source__c": "B" });
    let id = org.insert("Account", &new).unwrap().to_string();
    let withheld = org.inject(RETRIEVE, Fault::ServerError, u32::MAX);
    org.update("Account", &id, &json!({ "Eligibility_Source__c": "C" })).unwrap();
    until_doubted(&world, &id).await;
    assert_eq!(payload(&world, &id).await, None, "a record is not made of one changed field");
    org.withdraw(withheld);
    world.until_value(ACCOUNTS, "account_id", &id, "eligibility_source", Some("C")).await;
    world.assert_same().await;
    assert_eq!(written(&world, &id, FIELDS).await, [version(["A", "C"])]);
}

#[sqlx::test(migrations = false)]
async fn an_event_that_cannot_be_laid_over_leaves_its_row_as_it_was_until_all_of_it_is_read(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    witness(&world).await;
    let org = world.org.org();
    for (place, fault) in
        [EventFault::Gap, EventFault::BadBitmap, EventFault::UnknownKind, EventFault::CorruptBody]
            .into_iter()
            .enumerate()
    {
        let id = org.ids("Account", place as u64, 1)[0].to_string();
        let before = payload(&world, &id).await;
        // What came before was missed, so that the stored row is not the one that the event was made on.
        world.lose_events(1);
        org.update("Account", &id, &json!({ "Internet_Eligibility__c": "A" })).unwrap();
        let withheld = org.inject(RETRIEVE, Fault::ServerError, u32::MAX);
        org.disturb(&Disturbance::NextEvents { object: None, fault, times: Some(1) }).unwrap();
        org.update("Account", &id, &json!({ "Eligibility_Source__c": "B" })).unwrap();
        until_doubted(&world, &id).await;
        // Later ones wait for the fetch too, however clear they are.
        org.update("Account", &id, &json!({ "Eligibility_Source__c": "C" })).unwrap();
        world
            .until_true("everything that was stored is looked at", async || {
                let waiting =
                    "select sum(stored_events - applied_events)::bigint from shadow_sync.checkpoints";
                let stored: i64 = world.org.org().sent_events().len().try_into().unwrap();
                let log = "select sum(stored_events)::bigint from shadow_sync.checkpoints";
                world.number(waiting).await == 0 && world.number(log).await == stored
            })
            .await;
        assert_eq!(payload(&world, &id).await, before, "{fault:?}");
        org.withdraw(withheld);
        world.until_value(ACCOUNTS, "account_id", &id, "eligibility_source", Some("C")).await;
        assert_eq!(written(&world, &id, FIELDS).await, [version(["A", "C"])], "{fault:?}");
    }
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_text_that_comes_as_a_difference_is_read_whole(pool: PgPool) {
    let world = World::live_with(pool, Options { text_diffs: true, ..small() }).await;
    world.age_reads().await;
    let org = world.org.org();
    let id = org.ids("Product2", 1, 1)[0].to_string();
    let lines: Vec<String> = (0..60).map(|line| format!("Line {line} of a long description")).collect();
    org.update("Product2", &id, &json!({ "Description": lines.join("\n") })).unwrap();
    let description = "raw_payload ->> 'Description'";
    world.until_value("sf_product_shadow", "product_id", &id, description, Some(&lines.join("\n"))).await;
    world.until_settled().await;
    witness(&world).await;

    let before = payload(&world, &id).await;
    world.lose_events(1);
    org.update("Product2", &id, &json!({ "Plan_Tier__c": "Max" })).unwrap();
    let withheld = org.inject(RETRIEVE, Fault::ServerError, u32::MAX);
    let mut changed = lines;
    changed[30] = "One line is another".to_owned();
    let changed = changed.join("\n");
    org.update("Product2", &id, &json!({ "Description": changed })).unwrap();
    until_doubted(&world, &id).await;
    let why = "select count(*) from shadow_sync.event_outcomes
                where outcome = 'dirty' and detail ->> 'why' = 'difference'";
    assert_eq!(world.number(why).await, 1, "{}", world.standing().await);
    assert_eq!(payload(&world, &id).await, before);
    org.withdraw(withheld);
    world.until_value("sf_product_shadow", "product_id", &id, description, Some(&changed)).await;
    let versions = written(&world, &id, ["Plan_Tier__c", "Description"]).await;
    assert_eq!(versions, [version(["Max", &changed])]);
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn an_event_that_names_no_record_writes_no_row_but_what_is_read_because_of_it(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    witness(&world).await;
    let org = world.org.org();
    let object = || "Account".to_owned();
    for (place, nameless) in
        [(0, Disturbance::Overflow { object: object() }), (1, Disturbance::Wildcard { object: object() })]
    {
        let id = org.ids("Account", place, 1)[0].to_string();
        let before = payload(&world, &id).await;
        // Nothing is read for now: a window by query, or all records by a Bulk job.
        let withheld = ["GET */query*", "POST */jobs/query"]
            .map(|reads| org.inject(reads, Fault::Slow { delay_ms: 3_000 }, u32::MAX));
        world.lose_events(1);
        let both = json!({ "Internet_Eligibility__c": "A", "Eligibility_Source__c": "B" });
        org.update("Account", &id, &both).unwrap();
        org.disturb(&nameless).unwrap();
        let open = "select count(*) from shadow_sync.holes where why in ('overflow', 'wildcard') and closed_at is null";
        world.until_true("a hole is open", async || world.number(open).await == 1).await;
        assert_eq!(payload(&world, &id).await, before, "{nameless:?}");
        for withheld in withheld {
            org.withdraw(withheld);
        }
        world.until_value(ACCOUNTS, "account_id", &id, "eligibility_source", Some("B")).await;
        assert_eq!(written(&world, &id, FIELDS).await, [version(["A", "B"])], "{nameless:?}");
        world.assert_same().await;
    }
}

/// The source of an account's eligibility, in its column and in its payload.
async fn source(world: &World, id: &str) -> [Option<String>; 2] {
    let query = "select array[eligibility_source, raw_payload ->> 'Eligibility_Source__c']
                   from sf_account_eligibility_shadow where account_id = $1";
    let row: Vec<Option<String>> = sqlx::query_scalar(query).bind(id).fetch_one(&world.pool).await.unwrap();
    row.try_into().unwrap()
}

#[sqlx::test(migrations = false)]
async fn a_field_that_goes_out_of_sight_keeps_its_last_value_until_it_can_be_seen_again(pool: PgPool) {
    let mut world = World::live(pool).await;
    let ids: Vec<String> =
        world.org.org().ids("Account", 0, 5).into_iter().map(|id| id.to_string()).collect();
    for id in &ids {
        world.org.org().update("Account", id, &json!({ "Eligibility_Source__c": "Seen" })).unwrap();
        world.until_value(ACCOUNTS, "account_id", id, "eligibility_source", Some("Seen")).await;
    }
    world.until_settled().await;
    world.age_reads().await;
    let seen = version(["Seen", "Seen"]);

    // The stream runs on while the field is hidden: its events carry no value of it any more, but say that it changed.
    world.org.org().set_field_visible("Account", "Eligibility_Source__c", false);
    let both = |value: &str| json!({ "Internet_Eligibility__c": value, "Eligibility_Source__c": "Unseen" });
    world.org.org().update("Account", &ids[0], &both("By event")).unwrap();
    world.until_value(ACCOUNTS, "account_id", &ids[0], "internet_eligibility", Some("By event")).await;
    assert_eq!(source(&world, &ids[0]).await, seen, "an event that says nothing of a field leaves it");
    let frozen = "select count(*) from shadow_sync.frozen_fields
                   where object = 'Account' and field = 'Eligibility_Source__c'";

    let gap = Disturbance::NextEvents { object: None, fault: EventFault::Gap, times: Some(1) };
    world.org.org().disturb(&gap).unwrap();
    world.org.org().update("Account", &ids[1], &both("By fetch")).unwrap();
    world.until_value(ACCOUNTS, "account_id", &ids[1], "internet_eligibility", Some("By fetch")).await;
    assert_eq!(source(&world, &ids[1]).await, seen, "a fetch without the field leaves it");
    assert_eq!(world.number(frozen).await, 1, "the field is marked as frozen");

    world.org.org().change_hidden("Account", &ids[2], &both("By load")).unwrap();
    world.backfill_as(&["Account"], engine::api::backfills::BackfillMode::Restart).await;
    world.until_value(ACCOUNTS, "account_id", &ids[2], "internet_eligibility", Some("By load")).await;

    // A process that begins now knows from the first that it does not see the field.
    world.restart().await;
    world.until_settled().await;
    world.age_reads().await;
    world.org.org().update("Account", &ids[3], &both("Later")).unwrap();
    world.until_value(ACCOUNTS, "account_id", &ids[3], "internet_eligibility", Some("Later")).await;
    let new = world.org.org().insert("Account", &both("New")).unwrap().to_string();
    world.until_value(ACCOUNTS, "account_id", &new, "internet_eligibility", Some("New")).await;
    world.until_settled().await;
    for id in &ids {
        assert_eq!(source(&world, id).await, seen, "{id}");
    }
    assert_eq!(source(&world, &new).await, [None, None], "what was never seen is not known");

    // Seen again: every record is read once, and has what the field became meanwhile.
    world.org.org().set_field_visible("Account", "Eligibility_Source__c", true);
    world.restart().await;
    for id in ids[..4].iter().chain([&new]) {
        world.until_value(ACCOUNTS, "account_id", id, "eligibility_source", Some("Unseen")).await;
    }
    world.assert_same().await;
    assert_eq!(world.number(frozen).await, 0);
    assert_eq!(source(&world, &ids[4]).await, seen, "what did not change meanwhile is as it was");
}
