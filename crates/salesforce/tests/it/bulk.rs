//! Query jobs from creation to deletion, with everything that goes wrong on the way.

use std::time::Duration;

use salesforce::{
    Client, Error,
    bulk::{JobState, Locator, Operation, PageEnd, PollSchedule},
};
use simulator::{Fault, Options};
use tokio_util::sync::CancellationToken;

use crate::world::World;

const RESULTS: &str = "GET /services/data/*/jobs/query/*/results";

fn quick_polls() -> PollSchedule {
    PollSchedule {
        first: Duration::from_millis(20),
        factor: 1.0,
        cap: Duration::from_millis(20),
        patience: Duration::from_secs(20),
    }
}

async fn complete(client: &Client, soql: &str) -> String {
    let job = client.create_query_job(Operation::Query, soql).await.expect("a job");
    let cancel = CancellationToken::new();
    let job =
        client.wait_for_query_job(&job.id, &quick_polls(), &cancel, |_| {}).await.expect("it completes");
    assert_eq!(job.state, JobState::JobComplete);
    job.id
}

/// Reads one page whole: first fields of its rows, and how it ended.
async fn page(
    client: &Client,
    job: &str,
    locator: Option<&Locator>,
    size: Option<u32>,
) -> Result<(Vec<String>, PageEnd), Error> {
    let mut page = client.open_result_page(job, locator, size).await?;
    let mut ids = Vec::new();
    while let Some(chunk) = page.next_chunk().await? {
        ids.extend(chunk.rows().map(|row| row.field(0).unwrap_or_default().to_owned()));
        page.reuse(chunk);
    }
    Ok((ids, page.finish()))
}

#[tokio::test]
async fn pages_follow_each_other_to_the_last_and_hold_every_record_once() {
    let world = World::start().await;
    let job = complete(&world.client, "SELECT Id, Name FROM PricebookEntry").await;
    let mut ids = Vec::new();
    let mut locator = None;
    let mut pages = 0;
    loop {
        let (rows, end) = page(&world.client, &job, locator.as_ref(), Some(40)).await.expect("a page");
        assert_eq!(rows.len() as u64, end.rows);
        ids.extend(rows);
        pages += 1;
        match end.next {
            Some(next) => locator = Some(next),
            None => break,
        }
    }
    assert!(pages >= 4, "{pages} pages");
    let in_all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), ids.len() as u64), (in_all, world.simulator.org().count("PricebookEntry")));
}

#[tokio::test]
async fn an_expired_session_between_and_within_pages_is_invisible() {
    let world = World::start().await;
    let job = complete(&world.client, "SELECT Id FROM PricebookEntry").await;
    world.simulator.org().expire_sessions();
    let mut open = world.client.open_result_page(&job, None, Some(100)).await.expect("a page");
    world.simulator.org().expire_sessions();
    while open.next_chunk().await.expect("the page goes on").is_some() {}
    let end = open.finish();
    assert_eq!(end.rows, 100);
    page(&world.client, &job, end.next.as_ref(), Some(100)).await.expect("the next page");
}

#[tokio::test]
async fn a_cut_page_is_noticed_and_can_be_asked_for_again() {
    let world = World::start().await;
    let job = complete(&world.client, "SELECT Id, Name FROM PricebookEntry").await;
    world.simulator.org().inject(RESULTS, Fault::Cut { after_bytes: 900 }, 1);
    let error = page(&world.client, &job, None, None).await.expect_err("cut");
    assert!(matches!(error, Error::PageCut { .. }), "{error}");
    assert_eq!(error.disposition(), salesforce::Disposition::RetryPage);
    let (rows, _) = page(&world.client, &job, None, None).await.expect("the same page again");
    assert_eq!(rows.len() as u64, world.simulator.org().count("PricebookEntry"));
}

#[tokio::test]
async fn a_page_shorter_than_announced_is_never_taken_as_whole() {
    let world = World::start().await;
    let job = complete(&world.client, "SELECT Id FROM Product2").await;
    world.simulator.org().inject(RESULTS, Fault::ShortPage { missing: 7 }, 1);
    let error = page(&world.client, &job, None, None).await.expect_err("short");
    match error {
        Error::PageShort { announced, rows } => assert_eq!(announced - rows, 7),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn no_records_come_with_and_without_a_header() {
    for bulk_header_without_rows in [true, false] {
        let options =
            Options { products: 3, prices: 0, accounts: 1, bulk_header_without_rows, ..Options::default() };
        let world = World::start_with(options).await;
        let job = complete(&world.client, "SELECT Id FROM PricebookEntry").await;
        let (rows, end) = page(&world.client, &job, None, None).await.expect("a page");
        assert!(rows.is_empty());
        assert_eq!((end.rows, end.next), (0, None));
    }
}

#[tokio::test]
async fn odd_text_arrives_as_it_is_and_nul_is_taken_out_and_counted() {
    let world = World::start_with(Options {
        nul_text: true,
        long_text: true,
        products: 60,
        prices: 0,
        ..Options::default()
    })
    .await;
    let job = complete(&world.client, "SELECT Id, Name, Description, Notes__c FROM Product2").await;
    let mut open = world.client.open_result_page(&job, None, None).await.expect("a page");
    let mut longest = 0;
    while let Some(chunk) = open.next_chunk().await.expect("rows") {
        for row in chunk.rows() {
            assert!(!row.get("description").unwrap_or_default().contains('\0'));
            longest = longest.max(row.get("notes__c").unwrap_or_default().chars().count());
        }
    }
    assert!(longest >= 131_072, "{longest}");
    assert!(open.finish().nuls > 0);
}

#[tokio::test]
async fn a_job_that_fails_says_why() {
    let world = World::start().await;
    let message = Some("too many locks".to_owned());
    world.simulator.org().inject("POST /services/data/*/jobs/query", Fault::JobFailed { message }, 1);
    let job = world.client.create_query_job(Operation::Query, "SELECT Id FROM Account").await.expect("a job");
    let cancel = CancellationToken::new();
    let error = world.client.wait_for_query_job(&job.id, &quick_polls(), &cancel, |_| {}).await;
    match error.expect_err("it failed") {
        Error::JobFailed { message, .. } => assert_eq!(message, "too many locks"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_job_that_does_not_move_is_given_up_and_aborted() {
    let world = World::start().await;
    world.simulator.org().inject("POST /services/data/*/jobs/query", Fault::JobHangs, 1);
    let job = world.client.create_query_job(Operation::Query, "SELECT Id FROM Account").await.expect("a job");
    let schedule = PollSchedule { patience: Duration::from_millis(100), ..quick_polls() };
    let cancel = CancellationToken::new();
    let error = world.client.wait_for_query_job(&job.id, &schedule, &cancel, |_| {}).await;
    assert!(matches!(error, Err(Error::JobStuck { .. })), "{error:?}");
    assert_eq!(world.client.query_job(&job.id).await.expect("a job").state, JobState::Aborted);
}

#[tokio::test]
async fn waiting_for_a_job_ends_at_once_when_cancelled() {
    let world = World::start().await;
    world.simulator.org().inject("POST /services/data/*/jobs/query", Fault::JobHangs, 1);
    let job = world.client.create_query_job(Operation::Query, "SELECT Id FROM Account").await.expect("a job");
    let cancel = CancellationToken::new();
    let schedule = PollSchedule { first: Duration::from_secs(30), ..PollSchedule::default() };
    let wait = world.client.wait_for_query_job(&job.id, &schedule, &cancel, |_| cancel.cancel());
    let outcome = tokio::time::timeout(Duration::from_secs(5), wait).await.expect("at once");
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
}

#[tokio::test]
async fn a_deleted_job_is_gone_and_deleting_it_again_is_fine() {
    let world = World::start().await;
    let job = complete(&world.client, "SELECT Id FROM Account").await;
    let listed = world.client.query_jobs().await.expect("a list");
    assert!(listed.iter().any(|other| other.id == job));
    world.client.delete_query_job(&job).await.expect("deleted");
    let error = world.client.open_result_page(&job, None, None).await.expect_err("gone");
    assert!(matches!(error, Error::JobGone { .. }), "{error}");
    world.client.delete_query_job(&job).await.expect("gone is fine");
}

#[tokio::test]
async fn bad_soql_is_refused_where_it_is_noticed() {
    let world = World::start().await;
    for soql in ["SELECT Nope__c FROM Product2", "SELECT COUNT() FROM Product2", "SELECT Id FROM Nothing__c"]
    {
        let created = world.client.create_query_job(Operation::Query, soql).await;
        let error = match created {
            Err(error) => error,
            Ok(job) => {
                let cancel = CancellationToken::new();
                let waited = world.client.wait_for_query_job(&job.id, &quick_polls(), &cancel, |_| {}).await;
                waited.expect_err("it fails later")
            }
        };
        assert!(matches!(error, Error::Rejected { .. } | Error::JobFailed { .. }), "{soql}: {error}");
    }
}
