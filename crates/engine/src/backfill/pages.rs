//! Downloads the pages of a job's results and merges them, the next one on its way while the last is written.
//!
//! Three steps side by side, each with a bounded queue to the next: chunks are downloaded and parsed, prepared, merged.
//! A page's end is only passed on once its rows were counted, so that a page that was cut is never taken for complete.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use salesforce::bulk::Locator;
use salesforce::{Client, Disposition, Error};
use shadow::{PreparedChunk, RowChunk, prepare};
use store::jobs::{self, BulkJob, PageEnd, PageProgress, Requested};
use store::merge::{self, MergeOutcome, SideRead};
use store::reads::{Read, ReadKind};
use store::stamps;
use tokio::sync::{Semaphore, mpsc};

use super::run::{Ended, Run};
use crate::api::backfills::{PageState, RowsView};
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// Records of one page, as asked for. Salesforce may send fewer.
pub(crate) const PAGE_RECORDS: u32 = 50_000;
/// Pages that may be on their way at once: the one that is merged, and the next. A kill costs at most these.
const PAGES_IN_FLIGHT: usize = 2;
/// Chunks that may wait between two steps; with those in the steps' hands this bounds the memory of a load.
const QUEUE: usize = 2;
/// How often a page that was cut or came short is asked for again.
const PAGE_TRIES: u32 = 5;
/// How often notices of progress are sent at most.
const NOTICE_EVERY: Duration = Duration::from_millis(250);

/// A piece of a page on its way to the merge.
struct Piece<T> {
    page: i32,
    /// Rows of the page up to the end of this piece.
    merged: i32,
    end: Option<PageEnd>,
    chunk: T,
}

/// What the download passes on.
enum Arrival<T> {
    /// A page begins: how it was asked for, and how many rows it announces.
    Begins { page: i32, locator: Option<String>, announced: Option<i32> },
    /// Rows of it.
    Rows(Piece<T>),
    /// The page is downloaded again from its first row.
    Again { page: i32 },
}

/// What the pages of a job bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// Whole records.
    Whole,
    /// Ids and stamps, to be compared.
    Stamps,
    /// Some fields, to be laid over what is stored.
    Side {
        /// Whether every row is made anew and compared; see [`SideRead::is_reshaping`].
        is_reshaping: bool,
    },
}

impl Pages {
    /// What a load's Bulk job brings.
    pub(super) fn of(bulk: &BulkJob) -> Self {
        if bulk.stamps_only { Self::Stamps } else { Self::Whole }
    }
}

/// Reads every page that is not merged yet.
pub(super) async fn load(
    run: &Run,
    client: &Client,
    bulk: &BulkJob,
    read_end: DateTime<Utc>,
    what: Pages,
) -> Answer<Ended> {
    let Some((page, locator)) = first_open(run).await? else { return Ok(Ended::Done) };
    let (downloaded, to_prepare) = mpsc::channel(QUEUE);
    let (prepared, mut to_merge) = mpsc::channel(QUEUE);
    let mut tasks = tokio::task::JoinSet::new();
    let in_flight = Arc::new(Semaphore::new(PAGES_IN_FLIGHT));
    let download = Download {
        client: client.clone(),
        bulk_id: bulk.id.clone(),
        out: downloaded,
        in_flight: in_flight.clone(),
    };
    tasks.spawn(async move { download.pages(page, locator).await.map_err(Box::<Problem>::from) });
    if what == Pages::Whole {
        let mapping = run.mapping.clone();
        let mut to_prepare: mpsc::Receiver<Arrival<RowChunk>> = to_prepare;
        tasks.spawn(async move {
            while let Some(arrival) = to_prepare.recv().await {
                let mapping = mapping.clone();
                // A chunk is some 10 ms of work for a processor: off the threads that serve the network.
                let arrival = tokio::task::spawn_blocking(move || {
                    arrival.map(|chunk| {
                        Ok(Prepared::Whole(prepare(&mapping, &chunk).map_err(store::Error::from)?))
                    })
                })
                .await
                .map_err(|error| Box::new(broken(&error)))??;
                if prepared.send(arrival).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
    } else {
        // Nothing of them can be prepared without what is stored; the chunks pass as they are.
        let mut to_prepare: mpsc::Receiver<Arrival<RowChunk>> = to_prepare;
        tasks.spawn(async move {
            while let Some(arrival) = to_prepare.recv().await {
                if prepared.send(arrival.map(|chunk| Ok(Prepared::AsRead(chunk)))?).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
    }
    let ended = merge_all(run, bulk, read_end, what, &mut to_merge, &in_flight).await;
    // A merge that stopped early closes its queue, and with it the two steps before it.
    drop(to_merge);
    in_flight.close();
    let mut outcome = ended;
    while let Some(step) = tasks.join_next().await {
        let step: Answer<()> = step.map_err(|error| Box::new(broken(&error)))?;
        if let (Ok(Ended::Done), Err(problem)) = (&outcome, step) {
            outcome = Err(problem);
        }
    }
    outcome
}

/// What the preparing step makes of a chunk.
enum Prepared {
    /// Whole records.
    Whole(PreparedChunk),
    /// Ids and stamps, or some fields.
    AsRead(RowChunk),
}

impl<T> Arrival<T> {
    fn map<U>(self, make: impl FnOnce(T) -> Answer<U>) -> Answer<Arrival<U>> {
        Ok(match self {
            Self::Begins { page, locator, announced } => Arrival::Begins { page, locator, announced },
            Self::Again { page } => Arrival::Again { page },
            Self::Rows(Piece { page, merged, end, chunk }) => {
                Arrival::Rows(Piece { page, merged, end, chunk: make(chunk)? })
            }
        })
    }
}

/// The first page that is not merged whole, and what asks for it; none if all are.
async fn first_open(run: &Run) -> Answer<Option<(i32, Option<String>)>> {
    let pages = jobs::pages(&run.store, run.id).await?;
    let Some(last) = pages.iter().take_while(|page| page.merged_at.is_some()).last() else {
        return Ok(Some((1, None)));
    };
    Ok(if last.is_last { None } else { Some((last.page + 1, last.next_locator.clone())) })
}

struct Download {
    client: Client,
    bulk_id: String,
    out: mpsc::Sender<Arrival<RowChunk>>,
    /// One permit per page that may be on its way; the merge of a page gives its permit back.
    in_flight: Arc<Semaphore>,
}

impl Download {
    /// Downloads page after page; a closed queue ends it.
    async fn pages(self, first: i32, locator: Option<String>) -> Result<(), Error> {
        let mut page = first;
        let mut locator = locator.map(Locator);
        loop {
            let Ok(permit) = self.in_flight.acquire().await else { return Ok(()) };
            permit.forget();
            let Some(next) = self.page(page, locator.as_ref()).await? else { return Ok(()) };
            locator = Some(next);
            page += 1;
        }
    }

    /// One page, again where it came cut or short; answers what asks for the next one.
    async fn page(&self, page: i32, locator: Option<&Locator>) -> Result<Option<Locator>, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.page_once(page, locator).await {
                Err(error) if tries < PAGE_TRIES && is_worth_again(&error) => {
                    tracing::info!(page, tries, %error, "a page is downloaded again");
                    if self.out.send(Arrival::Again { page }).await.is_err() {
                        return Ok(None);
                    }
                    tokio::time::sleep(Duration::from_millis(200 << tries)).await;
                }
                other => return other,
            }
        }
    }

    async fn page_once(&self, page: i32, locator: Option<&Locator>) -> Result<Option<Locator>, Error> {
        let mut results = self.client.open_result_page(&self.bulk_id, locator, Some(PAGE_RECORDS)).await?;
        let announced = results.announced().and_then(|rows| i32::try_from(rows).ok());
        let begins = Arrival::Begins { page, locator: locator.map(|locator| locator.0.clone()), announced };
        if self.out.send(begins).await.is_err() {
            return Ok(None);
        }
        let next = results.next_locator().cloned();
        let mut held: Option<RowChunk> = None;
        let mut merged = 0;
        while let Some(chunk) = results.next_chunk().await? {
            if let Some(before) = held.replace(chunk) {
                merged += rows_of(&before);
                if self
                    .out
                    .send(Arrival::Rows(Piece { page, merged, end: None, chunk: before }))
                    .await
                    .is_err()
                {
                    return Ok(None);
                }
            }
        }
        // Only now are the page's rows counted: its last chunk carries its end.
        let last = held.unwrap_or_else(|| match results.columns() {
            Some(columns) => RowChunk::new(columns.clone()),
            None => RowChunk::with_columns([]),
        });
        merged += rows_of(&last);
        let end = Some(PageEnd { next_locator: next.as_ref().map(|next| next.0.clone()) });
        if self.out.send(Arrival::Rows(Piece { page, merged, end, chunk: last })).await.is_err() {
            return Ok(None);
        }
        Ok(next)
    }
}

fn rows_of(chunk: &RowChunk) -> i32 {
    i32::try_from(chunk.len()).unwrap_or(i32::MAX)
}

fn is_worth_again(error: &Error) -> bool {
    matches!(error, Error::PageCut { .. } | Error::PageShort { .. })
        || error.disposition() == Disposition::Retry
}

async fn merge_all(
    run: &Run,
    bulk: &BulkJob,
    read_end: DateTime<Utc>,
    what: Pages,
    arrivals: &mut mpsc::Receiver<Arrival<Prepared>>,
    in_flight: &Semaphore,
) -> Answer<Ended> {
    let mut noticed = Instant::now();
    loop {
        // Whoever asks to stop is heard while a page is slow to come, too.
        let arrival = tokio::select! {
            biased;
            wish = run.live.stopped() => return Ok(Ended::Stopped(wish)),
            arrival = arrivals.recv() => arrival,
        };
        let Some(arrival) = arrival else { return Ok(Ended::Done) };
        match arrival {
            Arrival::Begins { page, locator, announced } => {
                let records = announced.and_then(|rows| u32::try_from(rows).ok());
                run.live.progress.page(number(page), PageState::Downloading, records);
                jobs::page_started(&run.store, &run.lease, run.id, page, locator.as_deref(), announced)
                    .await?;
                store::failpoint::reach("page.announced");
            }
            Arrival::Again { page } => run.live.progress.page_again(number(page)),
            Arrival::Rows(piece) => {
                let is_last = piece.end.is_some();
                let page = piece.page;
                let requested = merge_piece(run, bulk, read_end, what, piece).await?;
                if is_last {
                    in_flight.add_permits(1);
                    run.live.progress.page(number(page), PageState::Merged, None);
                    store::failpoint::reach("page.committed");
                }
                if let stopped @ Ended::Stopped(_) = run.asked(requested) {
                    return Ok(stopped);
                }
            }
        }
        if noticed.elapsed() >= NOTICE_EVERY {
            run.environment.notices.publish(&[View::Jobs]);
            noticed = Instant::now();
        }
    }
}

async fn merge_piece(
    run: &Run,
    bulk: &BulkJob,
    read_end: DateTime<Utc>,
    what: Pages,
    piece: Piece<Prepared>,
) -> Answer<Requested> {
    let progress = PageProgress { job: run.id, page: piece.page, merged: piece.merged, end: piece.end };
    let page = Some(number(piece.page));
    match (piece.chunk, what) {
        (Prepared::Whole(chunk), _) => {
            let records = chunk.records.len() as u64;
            let read = Read { mark: bulk.mark, end: read_end, kind: ReadKind::Page(progress) };
            let outcome = merge::merge_prepared(&run.store, &run.lease, &run.mapping, chunk, &read).await?;
            run.live.progress.merged(Instant::now(), page, records, rows_view(&outcome));
            Ok(outcome.requested.unwrap_or(Requested::Run))
        }
        (Prepared::AsRead(chunk), Pages::Side { is_reshaping }) => {
            let records = chunk.len() as u64;
            let began = bulk.began_at.unwrap_or(DateTime::UNIX_EPOCH);
            let read = SideRead { mark: bulk.mark, began, end: read_end, is_reshaping, page: Some(progress) };
            let outcome = merge::side_read(&run.store, &run.lease, &run.mapping, &chunk, &read).await?;
            run.live.progress.merged(Instant::now(), page, records, rows_view(&outcome));
            Ok(outcome.requested.unwrap_or(Requested::Run))
        }
        (Prepared::AsRead(chunk), Pages::Whole | Pages::Stamps) => {
            let outcome =
                stamps::compare_chunk(&run.store, &run.lease, &run.mapping, &chunk, &progress).await?;
            let rows = RowsView { equal: small(outcome.equal), ..RowsView::default() };
            run.live.progress.merged(Instant::now(), page, chunk.len() as u64, rows);
            Ok(outcome.requested)
        }
    }
}

/// What happened to the rows, in words of the screen.
pub(super) fn rows_view(outcome: &MergeOutcome) -> RowsView {
    RowsView {
        new: small(outcome.inserted + outcome.entered),
        newer: small(outcome.updated),
        equal: small(outcome.equal + outcome.stamped),
        older: small(outcome.older),
        rejected: small(outcome.rejected),
        removed: small(outcome.deleted),
    }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn number(page: i32) -> u32 {
    u32::try_from(page).unwrap_or_default()
}

/// A step that panicked: a fault of ours.
fn broken(error: &tokio::task::JoinError) -> Problem {
    Problem::new(
        "SS-9001",
        "A step of the load ended unexpectedly",
        "This is a fault of Shadow Sync. What was committed before stays, and the load can be resumed.",
    )
    .details(error.to_string())
}
