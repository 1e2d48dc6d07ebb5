//! Holes, the jobs that close them, and dead letters.

use chrono::{DateTime, Utc};
use shadow::{ChangeKind, HoleNeeds, HoleWhy, ObjectName};
use sqlx::PgPool;
use store::change_log::{self, StoredEvent};
use store::dead_letters::{self, LetterEnd, Letters, NewDeadLetter, Stage};
use store::holes::{self, Closed, Closing, NewHole};
use store::jobs::{self, Ending, Job, JobKind, JobState, NewCatchUp};
use store::{Error, objects};

use crate::events::{Stream, at, event};
use crate::world::product_id;

fn hole(from: i64, until: i64) -> NewHole {
    NewHole::new(&ObjectName::product(), HoleWhy::PositionLost).from(Some(at(from))).until(Some(at(until)))
}

async fn open(stream: &Stream, hole: NewHole) {
    holes::open(&stream.store, stream.lease.key(), &[hole]).await.unwrap();
}

async fn catch_up(stream: &Stream) -> Job {
    let object = ObjectName::product();
    let new = NewCatchUp { object: &object, from: None, with_ids: true, started_by: "the test" };
    let job = jobs::create_catch_up(&stream.store, new).await.unwrap();
    jobs::started(&stream.store, stream.lease.key(), job.id).await.unwrap();
    job
}

async fn end(stream: &Stream, job: &Job, closing: Option<&Closing>) -> Closed {
    let ending = Ending { state: JobState::Done, problem: None, act: None, closing, brought: None };
    jobs::finish_with(&stream.store, stream.lease.key(), job.id, ending).await.unwrap()
}

fn read(from: Option<i64>, up_to: i64) -> Closing {
    Closing { from: from.map(at), up_to: at(up_to), compared_ids: true }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_hole_of_the_same_cause_is_widened(pool: PgPool) {
    let stream = Stream::start(pool).await;
    open(&stream, hole(100, 200)).await;
    open(&stream, hole(50, 150)).await;
    let one = holes::list_open(&stream.store).await.unwrap();
    assert_eq!((one.len(), one[0].from_at, one[0].until_at), (1, Some(at(50)), Some(at(200))));
    open(&stream, hole(0, 0).from(None).until(None)).await;
    let one = holes::list_open(&stream.store).await.unwrap();
    assert_eq!((one.len(), one[0].from_at, one[0].until_at), (1, None, None));
    holes::extend_until(&stream.store, stream.lease.key(), one[0].id, at(300)).await.unwrap();
    open(&stream, NewHole::new(&ObjectName::product(), HoleWhy::Wildcard)).await;
    let two = holes::list(&stream.store, 10).await.unwrap();
    assert_eq!(
        two.iter().map(|hole| hole.needs).collect::<Vec<_>>(),
        [HoleNeeds::Backfill, HoleNeeds::CatchUp]
    );
    assert_eq!(two[1].until_at, Some(at(300)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_hole_is_closed_in_the_commit_that_ends_its_catch_up(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let key = stream.lease.key();
    open(&stream, hole(10_000, 11_000)).await;
    let job = catch_up(&stream).await;
    assert_eq!((job.kind, job.window.unwrap().with_ids), (JobKind::CatchUp, true));
    holes::attach_job(&stream.store, holes::list_open(&stream.store).await.unwrap()[0].id, job.id)
        .await
        .unwrap();
    jobs::set_window(&stream.store, key, job.id, at(9_000), at(12_000)).await.unwrap();
    let before = objects::get(&stream.store, &ObjectName::product()).await.unwrap();
    assert_eq!(before.watermark, None);
    jobs::window_read(&stream.store, key, job.id, at(11_900)).await.unwrap();
    jobs::reads_ended(&stream.store, key, job.id).await.unwrap();
    let window = jobs::get(&stream.store, job.id).await.unwrap().window.unwrap();
    assert_eq!((window.from, window.to), (Some(at(9_000)), Some(at(12_000))));
    assert!(window.read_at.is_some() && window.reads_began_at.is_some() && window.reads_ended_at.is_some());
    let closed = end(&stream, &job, Some(&read(Some(9_000), 11_900))).await;
    assert_eq!(closed, Closed { holes: 1, left: 0 });
    let all = holes::list(&stream.store, 10).await.unwrap();
    assert!(all[0].closed_at.is_some());
    assert_eq!(all[0].job, Some(job.id));
    let after = objects::get(&stream.store, &ObjectName::product()).await.unwrap();
    assert_eq!((after.watermark, after.compared_at), (Some(at(11_900)), Some(at(11_900))));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_watermark_never_goes_back(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let job = catch_up(&stream).await;
    for up_to in [200, 100] {
        jobs::window_read(&stream.store, stream.lease.key(), job.id, at(up_to)).await.unwrap();
    }
    let object = objects::get(&stream.store, &ObjectName::product()).await.unwrap();
    assert_eq!(object.watermark, Some(at(200)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_a_catch_up_did_not_read_stays_open(pool: PgPool) {
    let stream = Stream::start(pool).await;
    open(&stream, hole(10_000, 11_000)).await;
    for short in [
        // Without the overlap; not to its end; without the comparison of ids.
        read(Some(10_000), 12_000),
        read(Some(9_000), 10_999),
        Closing { compared_ids: false, ..read(Some(9_000), 12_000) },
    ] {
        let job = catch_up(&stream).await;
        jobs::reads_begin(&stream.store, stream.lease.key(), job.id).await.unwrap();
        jobs::reads_ended(&stream.store, stream.lease.key(), job.id).await.unwrap();
        assert_eq!(end(&stream, &job, Some(&short)).await, Closed { holes: 0, left: 1 }, "{short:?}");
    }
    let job = catch_up(&stream).await;
    assert_eq!(end(&stream, &job, None).await, Closed::default());
    assert_eq!(holes::list_open(&stream.store).await.unwrap().len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_hole_that_opened_after_the_first_request_is_the_next_jobs(pool: PgPool) {
    let stream = Stream::start(pool).await;
    open(&stream, hole(10_000, 11_000)).await;
    let job = catch_up(&stream).await;
    jobs::set_window(&stream.store, stream.lease.key(), job.id, at(0), at(20_000)).await.unwrap();
    // The stream broke again meanwhile.
    open(&stream, hole(10_500, 12_000)).await;
    jobs::reads_ended(&stream.store, stream.lease.key(), job.id).await.unwrap();
    let closed = end(&stream, &job, Some(&read(Some(0), 20_000))).await;
    assert_eq!(closed, Closed { holes: 0, left: 1 });
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_hole_waits_for_the_dirty_marks_of_its_reads_and_not_for_later_ones(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let key = stream.lease.key();
    open(&stream, hole(10_000, 11_000)).await;
    let job = catch_up(&stream).await;
    jobs::set_window(&stream.store, key, job.id, at(0), at(20_000)).await.unwrap();
    let mark = |id| {
        format!(
            "insert into shadow_sync.dirty (object, record_id, reason, as_of) values ('Product2', '{id}', 'doubt', 0)"
        )
    };
    stream.run(&mark("early")).await;
    assert_eq!(holes::waits_for(&stream.store, job.id).await.unwrap(), 0);
    jobs::reads_ended(&stream.store, key, job.id).await.unwrap();
    stream.run(&mark("late")).await;
    assert_eq!(holes::waits_for(&stream.store, job.id).await.unwrap(), 1);
    let closing = read(Some(0), 20_000);
    assert_eq!(end(&stream, &job, Some(&closing)).await, Closed { holes: 0, left: 1 });
    stream.run("delete from shadow_sync.dirty where record_id = 'early'").await;
    assert_eq!(holes::waits_for(&stream.store, job.id).await.unwrap(), 0);
    assert_eq!(end(&stream, &job, Some(&closing)).await, Closed { holes: 1, left: 0 });
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn only_a_whole_load_closes_what_needs_one(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let key = stream.lease.key();
    open(&stream, NewHole::new(&ObjectName::product(), HoleWhy::Wildcard).until(Some(at(10)))).await;
    let job = catch_up(&stream).await;
    jobs::set_window(&stream.store, key, job.id, at(-10_000), at(20_000)).await.unwrap();
    jobs::reads_ended(&stream.store, key, job.id).await.unwrap();
    assert_eq!(end(&stream, &job, Some(&read(Some(-10_000), 20_000))).await.holes, 0);
    let object = ObjectName::product();
    let new = jobs::NewJob { object: &object, condition: None, started_by: "the test" };
    let load = jobs::create(&stream.store, new).await.unwrap();
    jobs::started(&stream.store, key, load.id).await.unwrap();
    jobs::reads_begin(&stream.store, key, load.id).await.unwrap();
    // The stream began while the load was under way: what was missed before the load began is not missing any more.
    open(&stream, hole(0, 30_000).from(None)).await;
    jobs::reads_ended(&stream.store, key, load.id).await.unwrap();
    assert_eq!(end(&stream, &load, Some(&read(None, 40_000))).await, Closed { holes: 1, left: 1 });
    let began: DateTime<Utc> =
        sqlx::query_scalar("select reads_began_at from shadow_sync.jobs where kind = 'backfill'")
            .fetch_one(stream.store.pool())
            .await
            .unwrap();
    assert_eq!(holes::list_open(&stream.store).await.unwrap()[0].from_at, Some(began));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_object_has_one_open_job_of_whatever_kind(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let object = ObjectName::product();
    catch_up(&stream).await;
    let new = jobs::NewJob { object: &object, condition: None, started_by: "the test" };
    assert!(matches!(jobs::create(&stream.store, new).await, Err(Error::JobOpen(_))));
    let again = NewCatchUp { object: &object, from: None, with_ids: false, started_by: "the test" };
    assert!(matches!(jobs::create_catch_up(&stream.store, again).await, Err(Error::JobOpen(_))));
}

async fn park(stream: &Stream, letters: &[NewDeadLetter]) {
    let mut tx = stream.store.pool().begin().await.unwrap();
    dead_letters::park_in(&mut tx, letters).await.unwrap();
    tx.commit().await.unwrap();
}

async fn stored(stream: &Stream) -> Vec<StoredEvent> {
    change_log::next_batch(&stream.store, &stream.channel, 0, 100).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn dead_letters_are_grouped_by_cause(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1), event(2, 2), event(3, 3)]).await;
    let events = stored(&stream).await;
    let of =
        |place: usize, cause: &str| NewDeadLetter::of(&events[place], Stage::Decode, cause, "cannot be read");
    park(&stream, &[of(0, "cut-off"), of(1, "cut-off"), of(2, "unknown-schema")]).await;
    park(&stream, &[of(0, "cut-off")]).await;
    let groups = dead_letters::list(&stream.store, None, 2).await.unwrap();
    let shown: Vec<_> =
        groups.iter().map(|group| (group.cause.as_str(), group.total, group.letters.len())).collect();
    assert_eq!(shown, [("cut-off", 3, 2), ("unknown-schema", 1, 1)]);
    let latest = &groups[0].letters[0];
    assert_eq!(
        (latest.record, latest.attempts, latest.kind),
        (Some(product_id(1)), 2, Some(ChangeKind::Update))
    );
    assert_eq!(dead_letters::list(&stream.store, Some(&ObjectName::account()), 2).await.unwrap(), []);
    assert_eq!(dead_letters::count_open(&stream.store).await.unwrap(), 4);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_retried_and_a_discarded_dead_letter_have_their_records_fetched(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let mut gone = event(2, 2);
    gone.header.as_mut().unwrap().kind = ChangeKind::Delete;
    stream.append(&[event(1, 1), gone, event(3, 1)]).await;
    let events = stored(&stream).await;
    let letters: Vec<_> =
        events.iter().map(|event| NewDeadLetter::of(event, Stage::Apply, "poison", "it fails")).collect();
    park(&stream, &letters).await;
    let first = dead_letters::list(&stream.store, None, 9).await.unwrap()[0].letters[2].id;
    let one = dead_letters::retry(&stream.store, &Letters::These(vec![first]), false, "me").await.unwrap();
    assert_eq!((one.letters, one.records), (1, 1));
    let rest =
        dead_letters::retry(&stream.store, &Letters::OfCause("poison".to_owned()), true, "me").await.unwrap();
    assert_eq!((rest.letters, rest.records, rest.nameless), (2, 2, 0));
    let dirty: Vec<(String, i64, bool)> =
        sqlx::query_as("select record_id, as_of, deleted_noted from shadow_sync.dirty order by record_id")
            .fetch_all(stream.store.pool())
            .await
            .unwrap();
    assert_eq!(dirty, [(product_id(1).to_string(), 3, false), (product_id(2).to_string(), 2, true)]);
    assert_eq!(dead_letters::retry(&stream.store, &Letters::All, false, "me").await.unwrap().letters, 0);
    let how: Vec<String> = sqlx::query_scalar("select closed_how from shadow_sync.dead_letters order by id")
        .fetch_all(stream.store.pool())
        .await
        .unwrap();
    assert_eq!(how, ["retried", "discarded", "discarded"]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_record_that_is_settled_closes_its_dead_letters_up_to_there(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1), event(2, 1), event(3, 2)]).await;
    let letters: Vec<_> = stored(&stream)
        .await
        .iter()
        .map(|event| NewDeadLetter::of(event, Stage::Apply, "poison", "it fails"))
        .collect();
    park(&stream, &letters).await;
    let (object, ids) = (ObjectName::product(), [product_id(1), product_id(2)]);
    let mut tx = stream.store.pool().begin().await.unwrap();
    let closed = dead_letters::close_in(&mut tx, &object, &ids[..1], 1, LetterEnd::Fetched).await.unwrap();
    assert_eq!(closed, 1);
    let mut open = dead_letters::open_among(&mut tx, &object, &ids).await.unwrap();
    open.sort_unstable();
    assert_eq!(open, ids);
    dead_letters::close_in(&mut tx, &object, &ids, 9, LetterEnd::Deleted).await.unwrap();
    assert_eq!(dead_letters::open_among(&mut tx, &object, &ids).await.unwrap(), []);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn live_facts_are_the_oldest_of_everything_that_waits(pool: PgPool) {
    use store::channel_members::{self, Finding};
    use store::live_facts;

    let stream = Stream::start(pool).await;
    let known = Finding { permitted: Some(true), member: Some(true), problem: None };
    channel_members::note(&stream.store, &stream.channel, &ObjectName::product(), known).await.unwrap();
    stream.append(&[event(10, 1), event(11, 2), event(12, 3)]).await;
    stream.apply(1, 1).await;
    let letter = NewDeadLetter::of(&stored(&stream).await[0], Stage::Apply, "poison", "it fails");
    park(&stream, &[letter]).await;
    stream
        .run(
            "insert into shadow_sync.dirty (object, record_id, reason, as_of, committed_at, first_committed_at)
             values ('Product2', 'a', 'gap', 1, '2030-01-02', '2030-01-01'), ('Product2', 'b', 'doubt', 0, null, null)",
        )
        .await;
    let facts = live_facts::of_objects(&stream.store).await.unwrap();
    assert_eq!(facts.len(), 3);
    let product = &facts[2];
    assert_eq!((product.backlog_events, product.oldest_unapplied), (2, Some(at(11))));
    assert!(product.oldest_received_at.is_some());
    assert_eq!((product.dead_letters, product.oldest_dead_letter), (1, Some(at(10))));
    // The first message opened a hole since ever.
    assert_eq!((product.holes, product.hole_since_ever, product.oldest_hole), (1, true, None));
    assert_eq!(product.dirty, 2);
    assert!(product.oldest_dirty.unwrap() < at(1_000_000_000));
    let told = product.stream.as_ref().unwrap();
    assert_eq!((told.proven_until, &told.channel), (Some(at(12)), &stream.channel));
    assert!(told.permitted_at.is_some() && told.member_at.is_some() && told.heard_at.is_some());
    let account = &facts[0];
    assert_eq!((account.backlog_events, account.oldest_unapplied, account.dirty), (0, None, 0));
    assert!(account.stream.is_none());
    stream.run("update shadow_sync.holes set from_at = until_at").await;
    stream.apply(3, 2).await;
    let product = &live_facts::of_objects(&stream.store).await.unwrap()[2];
    assert_eq!((product.backlog_events, product.oldest_unapplied), (0, None));
    assert_eq!((product.hole_since_ever, product.oldest_hole), (false, Some(at(12))));
}
