//! `rebind --user` as a process: another sync user of the same org is taken on by name; nothing is emptied, and
//! everything is read with the new user's eyes.

use serde_json::{Value, json};
use simulator::SECOND_USERNAME;
use sqlx::PgPool;

use crate::cli::run;
use crate::daemon::Daemon;
use crate::world::World;

const ALL: &[&str] = &["Product2", "PricebookEntry", "Account"];

fn told(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn bound_user(world: &World) -> String {
    sqlx::query_scalar("select user_name from shadow_sync.binding").fetch_one(&world.pool).await.unwrap()
}

/// Everything read and a daemon that streams, both as the first user; whoever signs in from now on is the second, who
/// does not see where an account's eligibility is from.
async fn another_signs_in(pool: PgPool) -> (World, Daemon) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let daemon = Daemon::start(&world, &[]).await;
    world.until_streaming().await;
    world.until_settled().await;
    world.engine.shutdown().await;
    let org = world.org.org();
    org.set_field_visible_to(SECOND_USERNAME, "Account", "Eligibility_Source__c", false).unwrap();
    org.set_signed_in_user(SECOND_USERNAME).unwrap();
    (world, daemon)
}

#[sqlx::test(migrations = false)]
async fn the_difference_is_shown_and_nothing_is_done_without_the_name(pool: PgPool) {
    let (world, _daemon) = another_signs_in(pool).await;
    let before = bound_user(&world).await;
    let refused = run(&world, &["backfill", "Account"]).await;
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("rebind --user"), "it says what to do: {}", told(&refused));

    let wrong_kind = run(&world, &["rebind"]).await;
    assert_eq!(wrong_kind.status.code(), Some(2), "{}", told(&wrong_kind));
    assert!(told(&wrong_kind).contains("rebind --user"), "{}", told(&wrong_kind));

    let plan = run(&world, &["rebind", "--user", "--dry-run", "--json"]).await;
    assert_eq!(plan.status.code(), Some(0), "{}", told(&plan));
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!((&plan["kind"], &plan["emptied"]), (&json!("user"), &json!([])), "{plan}");
    assert!(plan["to"].as_str().unwrap().ends_with(SECOND_USERNAME), "{plan}");
    let account = plan["objects"].as_array().unwrap().iter().find(|object| object["object"] == "Account");
    assert_eq!(account.unwrap()["lost"], json!(["Eligibility_Source__c"]), "{plan}");

    let people = run(&world, &["rebind", "--user", "--yes"]).await;
    assert_eq!(people.status.code(), Some(2), "--yes is not enough: {}", told(&people));
    for said in ["Nothing is emptied.", "not visible any more: Eligibility_Source__c", "--confirm demo"] {
        assert!(told(&people).contains(said), "{said} in {}", told(&people));
    }
    let misnamed = run(&world, &["rebind", "--user", "--confirm", "production"]).await;
    assert_eq!(misnamed.status.code(), Some(2), "{}", told(&misnamed));
    assert_eq!(bound_user(&world).await, before);
    let jobs = "select count(*) from shadow_sync.jobs where kind = 'backfill'";
    assert_eq!(world.number(jobs).await, 3, "nothing was begun");
}

#[sqlx::test(migrations = false)]
async fn everything_is_read_with_the_new_eyes_and_nothing_is_lost(pool: PgPool) {
    let (world, daemon) = another_signs_in(pool).await;
    let sources = "select coalesce(sum(hashtext(account_id || coalesce(eligibility_source, '-'))), 0)::bigint
                     from sf_account_eligibility_shadow";
    let rows = "select (select count(*) from sf_product_shadow) + (select count(*) from sf_pricebook_shadow)
                     + (select count(*) from sf_account_eligibility_shadow)";
    let before = (world.number(sources).await, world.number(rows).await);
    // A change without an event: only who reads everything again finds it.
    let id = world.org.org().ids("Account", 2, 1)[0].to_string();
    let hidden = json!({ "Internet_Eligibility__c": "Read again" });
    world.org.org().change_hidden("Account", &id, &hidden).unwrap();

    let done = run(&world, &["rebind", "--user", "--confirm", "demo", "--json"]).await;
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let view: Value = serde_json::from_slice(&done.stdout).unwrap();
    let jobs = view["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 3, "{view}");
    assert!(jobs.iter().all(|job| job["state"] == "done"), "{view}");
    assert_eq!(bound_user(&world).await, SECOND_USERNAME);
    let again = world.value("sf_account_eligibility_shadow", "account_id", &id, "internet_eligibility").await;
    assert_eq!(again.as_deref(), Some("Read again"));
    let after = (world.number(sources).await, world.number(rows).await);
    assert_eq!(after, before, "what the new user does not see keeps its last value; no row is lost");
    let audit = "select count(*) from shadow_sync.audit where act = 'rebind.user' and result = 'done'";
    assert_eq!(world.number(audit).await, 1);

    // The daemon still has the first user's eyes: it stops, and says why.
    world
        .until_true("the first user's daemon no longer streams", async || {
            world.org.org().subscribers().is_empty()
        })
        .await;
    drop(daemon);
    let daemon = Daemon::start(&world, &[]).await;
    daemon.until_leads(&world).await;
    let id = world.org.org().ids("Account", 3, 1)[0].to_string();
    let changed = json!({ "Internet_Eligibility__c": "With new eyes" });
    world.org.org().update("Account", &id, &changed).unwrap();
    let table = "sf_account_eligibility_shadow";
    world.until_value(table, "account_id", &id, "internet_eligibility", Some("With new eyes")).await;
    let verified = run(&world, &["verify", "--depth", "counts"]).await;
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
}
