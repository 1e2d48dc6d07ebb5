//! Marks of reads: where a read stands among all others.

use chrono::{DateTime, Utc};
use shadow::{JobId, ReadMark, RecordId};

use crate::error::Error;
use crate::jobs::PageProgress;
use crate::parents::DirtyParent;
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
    /// Records whose stamps lie in a span of time, deleted ones among them (`queryAll`): an answer of a catch-up, and
    /// none of a job's pages. A deleted record leaves a proven tombstone, known or not.
    Window {
        /// The job whose numbers they count for.
        job: Option<JobId>,
    },
    /// All children of some parents, deleted ones among them (`queryAll`). The parents' marks go with the last answer.
    Children {
        /// The parents if this is the last answer; none if more follow.
        parents: Vec<DirtyParent>,
    },
}

/// Takes the mark of a read that is about to be sent: the newest stored position of the change log, and a number.
pub async fn begin(store: &Store) -> Result<ReadMark, Error> {
    let mark = sqlx::query!(
        r#"select position as as_of, nextval('shadow_sync.read_no') as "read_no!" from shadow_sync.log_head"#
    )
    .fetch_one(store.pool())
    .await?;
    Ok(ReadMark { as_of: mark.as_of, read_no: mark.read_no })
}
