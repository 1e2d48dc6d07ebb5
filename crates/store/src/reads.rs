//! Marks of reads: where a read stands among all others.

use chrono::{DateTime, Utc};
use shadow::{JobId, ReadMark, RecordId};

use crate::error::Error;
use crate::jobs::PageProgress;
use crate::session::Store;

/// One read of Salesforce, of which a chunk is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Taken by [`begin`] before the request was sent; for a Bulk job before it was created.
    pub mark: ReadMark,
    /// Salesforce's time at its end: the `Date` header of the answer; for a Bulk job of the poll that first said
    /// `JobComplete`.
    pub end: DateTime<Utc>,
    /// What was read.
    pub kind: ReadKind,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadKind {
    /// A piece of a page of a job's results. The page's progress is saved in the commit that merges it.
    Page(PageProgress),
    /// Records by id, all in one call or in calls that follow one another at once. Those of them that the merge
    /// settles are dirty no longer.
    Fetch {
        /// The ids that were asked for.
        ids: Vec<RecordId>,
        /// The job whose numbers they count for.
        job: Option<JobId>,
    },
}

/// Takes the mark of a read that is about to be sent.
pub async fn begin(store: &Store) -> Result<ReadMark, Error> {
    let read_no = sqlx::query_scalar!(r#"select nextval('shadow_sync.read_no') as "read_no!""#)
        .fetch_one(store.pool())
        .await?;
    // There is no change log yet: every read stands at its beginning.
    Ok(ReadMark { as_of: 0, read_no })
}
