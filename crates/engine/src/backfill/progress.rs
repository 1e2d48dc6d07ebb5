//! How far a running job is: kept in memory by the process that runs it, read by whoever draws it.
//!
//! What must outlive the process is in the store's job row; this adds what only matters while somebody watches:
//! rate, time left, the page on its way.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::backfills::{JobStage, PageState, PageView, RateSample, RowsView};

/// The window over which the rate is taken.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// Before this the rate says more about the start than about the load.
const ESTIMATING: Duration = Duration::from_secs(3);
/// Points of the rate chart; when full, every second one goes.
const MAX_SAMPLES: usize = 240;

/// The progress of one job in this process.
#[derive(Debug)]
pub struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    started: Instant,
    stage: JobStage,
    total: Option<u64>,
    done: u64,
    rows: RowsView,
    pages: Vec<PageView>,
    /// Per page, how many of its records were counted: a page that is downloaded again is not counted twice.
    counted: Vec<u32>,
    /// (when, done) of late, oldest first.
    recent: VecDeque<(Instant, u64)>,
    samples: Vec<RateSample>,
    sample_every: Duration,
    last_sample: Instant,
}

/// What a drawer needs, taken at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What the job does.
    pub stage: JobStage,
    /// Records in all, where known.
    pub total: Option<u64>,
    /// Records done.
    pub done: u64,
    /// What happened to the rows, in this run and before it.
    pub rows: RowsView,
    /// The pages.
    pub pages: Vec<PageView>,
    /// Records a second of late.
    pub rate: Option<u32>,
    /// Time left at that rate.
    pub left: Option<Duration>,
    /// Points for the chart.
    pub samples: Vec<RateSample>,
}

impl Progress {
    /// Begins at what an earlier run had done.
    pub fn resumed(now: Instant, done: u64, rows: RowsView, pages: Vec<PageView>) -> Self {
        Self(Mutex::new(State {
            started: now,
            stage: JobStage::Describing,
            total: None,
            done,
            rows,
            counted: pages.iter().map(|page| page.merged).collect(),
            pages,
            recent: VecDeque::from([(now, done)]),
            samples: Vec::new(),
            sample_every: Duration::from_millis(500),
            last_sample: now,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while holding this lock leaves numbers that are at worst a chunk old.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the job does now.
    pub fn stage(&self, stage: JobStage) {
        self.state().stage = stage;
    }

    /// Says how many records there are.
    pub fn total(&self, total: u64) {
        self.state().total = Some(total);
    }

    /// Says how a page stands; pages are numbered from 1 and appear when first mentioned.
    pub fn page(&self, number: u32, state: PageState, records: Option<u32>) {
        let mut held = self.state();
        while held.pages.len() < number as usize {
            let next = u32::try_from(held.pages.len() + 1).unwrap_or(u32::MAX);
            held.pages.push(PageView { number: next, state: PageState::Waiting, records: 0, merged: 0 });
        }
        if let Some(page) = held.pages.get_mut((number as usize).saturating_sub(1)) {
            page.state = state;
            if let Some(records) = records {
                page.records = records;
            }
            match state {
                PageState::Merged => page.merged = page.records,
                PageState::Downloading | PageState::Waiting => page.merged = 0,
                PageState::Merging | PageState::Failed => {}
            }
        }
    }

    /// Adds a merged chunk: `records` of page `page`, and what happened to them.
    pub fn merged(&self, now: Instant, page: Option<u32>, records: u64, rows: RowsView) {
        let mut held = self.state();
        let gained = held.gained(page, records);
        held.done += gained;
        // What was fetched by id or taken out belongs to no page, and is no record that was read.
        if gained > 0 || page.is_none() {
            held.rows = add(held.rows, rows);
        }
        let done = held.done;
        held.recent.push_back((now, done));
        while held.recent.len() > 2
            && held.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_WINDOW)
        {
            held.recent.pop_front();
        }
        if now.duration_since(held.last_sample) >= held.sample_every {
            held.sample(now);
        }
    }

    /// Begins a page anew that is downloaded again.
    pub fn page_again(&self, number: u32) {
        let mut held = self.state();
        if let Some(page) = held.pages.get_mut((number as usize).saturating_sub(1)) {
            page.state = PageState::Waiting;
            page.merged = 0;
        }
    }

    /// Everything at this moment.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let held = self.state();
        let rate = if now.duration_since(held.started) < ESTIMATING { None } else { held.rate(now) };
        let left = match (rate, held.total) {
            (Some(rate), Some(total)) if rate > 0 && held.stage == JobStage::Loading => {
                Some(Duration::from_secs_f64(total.saturating_sub(held.done) as f64 / f64::from(rate)))
            }
            _ => None,
        };
        Snapshot {
            stage: held.stage,
            total: held.total,
            done: held.done,
            rows: held.rows,
            pages: held.pages.clone(),
            rate,
            left,
            samples: held.samples.clone(),
        }
    }
}

impl State {
    /// Notes merged records of a page; answers how many of them were not counted before.
    fn gained(&mut self, page: Option<u32>, records: u64) -> u64 {
        let Some(place) = page.and_then(|number| (number as usize).checked_sub(1)) else { return records };
        let Some(page) = self.pages.get_mut(place) else { return records };
        page.state = PageState::Merging;
        page.merged = page.merged.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
        if self.counted.len() <= place {
            self.counted.resize(place + 1, 0);
        }
        let Some(counted) = self.counted.get_mut(place) else { return records };
        let gained = page.merged.saturating_sub(*counted);
        *counted = page.merged.max(*counted);
        u64::from(gained)
    }

    fn rate(&self, now: Instant) -> Option<u32> {
        let (since, before) = *self.recent.front()?;
        let seconds = now.duration_since(since).as_secs_f64();
        (seconds > 0.1).then(|| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to u32 first"
            )]
            let rate = ((self.done - before) as f64 / seconds).clamp(0.0, f64::from(u32::MAX)) as u32;
            rate
        })
    }

    fn sample(&mut self, now: Instant) {
        if let Some(rate) = self.rate(now) {
            let at_ms = u32::try_from(now.duration_since(self.started).as_millis()).unwrap_or(u32::MAX);
            self.samples.push(RateSample { at_ms, rate });
        }
        self.last_sample = now;
        if self.samples.len() > MAX_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.sample_every *= 2;
        }
    }
}

/// Adds what happened to the rows of a chunk to what happened before.
pub fn add(a: RowsView, b: RowsView) -> RowsView {
    RowsView {
        new: a.new.saturating_add(b.new),
        newer: a.newer.saturating_add(b.newer),
        equal: a.equal.saturating_add(b.equal),
        older: a.older.saturating_add(b.older),
        rejected: a.rejected.saturating_add(b.rejected),
        removed: a.removed.saturating_add(b.removed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_rate_is_of_late_and_the_time_left_follows_from_it() {
        let start = Instant::now();
        let progress = Progress::resumed(start, 0, RowsView::default(), Vec::new());
        progress.stage(JobStage::Loading);
        progress.total(100_000);
        for second in 1..=10 {
            progress.merged(at(start, second * 1_000), None, 5_000, RowsView::default());
        }
        let snapshot = progress.snapshot(at(start, 10_000));
        assert_eq!(snapshot.done, 50_000);
        assert_eq!(snapshot.rate, Some(5_000));
        assert_eq!(snapshot.left, Some(Duration::from_secs(10)));
    }

    #[test]
    fn nothing_is_estimated_in_the_first_three_seconds() {
        let start = Instant::now();
        let progress = Progress::resumed(start, 0, RowsView::default(), Vec::new());
        progress.stage(JobStage::Loading);
        progress.total(10);
        progress.merged(at(start, 2_000), None, 5, RowsView::default());
        assert_eq!(progress.snapshot(at(start, 2_500)).rate, None);
    }

    #[test]
    fn a_page_downloaded_again_is_not_counted_twice() {
        let start = Instant::now();
        let progress = Progress::resumed(start, 0, RowsView::default(), Vec::new());
        progress.page(1, PageState::Downloading, Some(20));
        progress.merged(start, Some(1), 20, RowsView::default());
        progress.page_again(1);
        assert_eq!(progress.snapshot(start).pages[0].merged, 0);
        progress.merged(start, Some(1), 20, RowsView { equal: 20, ..RowsView::default() });
        let snapshot = progress.snapshot(start);
        assert_eq!((snapshot.done, snapshot.pages[0].merged, snapshot.rows.equal), (20, 20, 0));
    }

    #[test]
    fn what_is_taken_out_is_shown_though_no_page_has_it() {
        let start = Instant::now();
        let progress = Progress::resumed(start, 0, RowsView::default(), Vec::new());
        progress.merged(start, None, 0, RowsView { removed: 1, ..RowsView::default() });
        let snapshot = progress.snapshot(start);
        assert_eq!((snapshot.done, snapshot.rows.removed), (0, 1));
    }

    #[test]
    fn a_page_that_an_earlier_run_began_is_not_counted_twice() {
        let start = Instant::now();
        let begun = PageView { number: 1, state: PageState::Waiting, records: 50, merged: 30 };
        let progress = Progress::resumed(start, 30, RowsView::default(), vec![begun]);
        progress.page(1, PageState::Downloading, Some(50));
        for _ in 0..5 {
            progress.merged(start, Some(1), 10, RowsView::default());
        }
        assert_eq!(progress.snapshot(start).done, 50);
    }

    #[test]
    fn a_long_load_keeps_a_bounded_chart() {
        let start = Instant::now();
        let progress = Progress::resumed(start, 0, RowsView::default(), Vec::new());
        for step in 1..=2_000_u64 {
            progress.merged(at(start, step * 500), None, 10, RowsView::default());
        }
        assert!(progress.snapshot(at(start, 1_000_000)).samples.len() <= MAX_SAMPLES);
    }
}
