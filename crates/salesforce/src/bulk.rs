//! Bulk API 2.0 query jobs: create, poll, read page by page as a stream, clean up.
//!
//! A job and its pages are read with the version that created it; [`Client::with_api_version`] keeps it across
//! restarts.

mod csv;
mod job;
mod page;

pub use job::{BulkJob, JobState, Operation, PollSchedule};
pub use page::{Locator, PageEnd, ResultPage};
