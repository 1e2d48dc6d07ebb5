//! Changes made in the org appear in the shadow within moments, with no command.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;

use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

#[sqlx::test(migrations = false)]
async fn an_update_in_the_org_shows_in_the_shadow_within_a_second(pool: PgPool) {
    let world = World::live(pool).await;
    let id = world.org.org().ids("Account", 7, 1)[0].to_string();
    // Bulk reads end at their last poll, and events within 5 s of it are doubted: these records were read long ago.
    world.age_reads().await;
    let began = Instant::now();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Fibre 10G" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Fibre 10G")).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let outcome = "select count(*) from shadow_sync.event_outcomes where outcome = 'applied'";
    assert_eq!(world.number(outcome).await, 1, "the event itself was applied");
}
