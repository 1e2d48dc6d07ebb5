//! What goes wrong on the way is survived, or said clearly; nothing is half done.

use engine::api::backfills::JobState;
use simulator::Fault;
use sqlx::PgPool;

use crate::world::World;

const RESULTS: &str = "*/results*";

#[sqlx::test(migrations = false)]
async fn a_connection_cut_inside_a_page_costs_that_page_and_nothing_else(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().inject(RESULTS, Fault::Cut { after_bytes: 9_000 }, 2);
    let jobs = world.backfill(&["Product2", "PricebookEntry"]).await;
    assert!(jobs.iter().all(|job| job.state == JobState::Done), "{jobs:?}");
    assert_eq!(jobs[1].done, 300);
    let counts = world.counts().await;
    assert_eq!(counts[1].unexplained, Some(0), "{counts:?}");
}

#[sqlx::test(migrations = false)]
async fn a_page_shorter_than_announced_is_never_taken_for_complete(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().inject(RESULTS, Fault::ShortPage { missing: 3 }, 1);
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!((jobs[0].state, jobs[0].done), (JobState::Done, 40), "{jobs:?}");
    assert_eq!(world.number("select count(*) from sf_account_eligibility_shadow").await, 40);
    assert_eq!(world.org.org().requests(RESULTS), 2);
}

#[sqlx::test(migrations = false)]
async fn a_session_that_expires_in_the_middle_is_not_noticed(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().inject(RESULTS, Fault::ExpiredSession, 1);
    world.org.org().inject("*/jobs/query", Fault::ExpiredSession, 1);
    let jobs = world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    assert!(jobs.iter().all(|job| job.state == JobState::Done), "{jobs:?}");
    world.assert_explained().await;
}

#[sqlx::test(migrations = false)]
async fn a_busy_salesforce_is_waited_for(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().inject(RESULTS, Fault::Unavailable { retry_after: Some(1) }, 1);
    world.org.org().inject("*/jobs/query", Fault::TooManyRequests { retry_after: Some(1) }, 1);
    world.org.org().inject("*/describe", Fault::Status { status: 420 }, 1);
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:?}");
}

#[sqlx::test(migrations = false)]
async fn a_spent_quota_stops_the_load_and_says_so(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().inject(RESULTS, Fault::QuotaSpent, 100);
    let jobs = world.backfill(&["Account"]).await;
    let problem = jobs[0].problem.clone().expect("a problem");
    assert_eq!(jobs[0].state, JobState::Failed);
    assert!(!problem.steps.is_empty() && !problem.cause.is_empty(), "{problem:?}");
    world.org.org().withdraw_all();
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!((jobs[0].state, jobs[0].done), (JobState::Done, 40), "it goes on where it stopped: {jobs:?}");
}

#[sqlx::test(migrations = false)]
async fn a_job_that_salesforce_fails_is_asked_for_again(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().inject("*/jobs/query", Fault::JobFailed { message: Some("Timeout".to_owned()) }, 1);
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!((jobs[0].state, jobs[0].done), (JobState::Done, 40), "{jobs:?}");
}

#[sqlx::test(migrations = false)]
async fn a_missing_object_permission_is_said_before_anything_is_read(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().set_object_visible("Account", false);
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!(jobs[0].state, JobState::Failed);
    let problem = jobs[0].problem.clone().expect("a problem");
    assert!(problem.to_text().contains("Account"), "{}", problem.to_text());
    assert_eq!(world.org.org().requests("*/jobs/query"), 0);
}

#[sqlx::test(migrations = false)]
async fn a_field_that_the_org_lacks_leaves_its_column_null(pool: PgPool) {
    let world = World::start(pool).await;
    world.org.org().set_field_visible("Account", "Eligibility_Source__c", false);
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:?}");
    let filled = "select count(*) from sf_account_eligibility_shadow where eligibility_source is not null";
    assert_eq!(world.number(filled).await, 0);
    assert!(world.number("select count(internet_eligibility) from sf_account_eligibility_shadow").await > 0);
}
