//! Answers of Salesforce held against the shadow: how often they agreed, and examples of where they did not.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::session::Store;

/// How long both are kept.
const KEPT: &str = "7 days";

/// How comparisons came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Equal at once.
    pub agreed: i64,
    /// Equal moments later: the change was on its way.
    pub late: i64,
    /// Different, still.
    pub differed: i64,
}

impl Tally {
    /// All of them.
    pub fn compared(&self) -> i64 {
        self.agreed + self.late + self.differed
    }
}

/// One disagreement. It names columns and holds no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// When.
    pub at: DateTime<Utc>,
    /// What kind of answer it was: `product`, `products`, `prices`, `eligibility`.
    pub question: String,
    /// What was asked for.
    pub key: String,
    /// What differs.
    pub detail: String,
}

/// Adds how comparisons of one kind came out, and drops what is too old.
pub async fn add(store: &Store, question: &str, tally: Tally) -> Result<(), Error> {
    sqlx::query!(
        "with old as (
             delete from shadow_sync.read_comparisons where minute < now() - $5::text::interval)
         insert into shadow_sync.read_comparisons as known (minute, question, agreed, late, differed)
         values (date_trunc('minute', now()), $1, $2, $3, $4)
         on conflict (minute, question) do update
            set agreed = known.agreed + excluded.agreed, late = known.late + excluded.late,
                differed = known.differed + excluded.differed",
        question,
        tally.agreed,
        tally.late,
        tally.differed,
        KEPT,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Keeps an example, and drops those that are too old.
pub async fn note(store: &Store, question: &str, key: &str, detail: &str) -> Result<(), Error> {
    sqlx::query!(
        "with old as (delete from shadow_sync.read_differences where at < now() - $4::text::interval)
         insert into shadow_sync.read_differences (question, key, detail) values ($1, $2, $3)",
        question,
        key,
        detail,
        KEPT,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// How comparisons of the last while came out, over all processes.
pub async fn within(store: &Store, window: Duration) -> Result<Tally, Error> {
    let row = sqlx::query!(
        r#"select coalesce(sum(agreed), 0)::bigint as "agreed!", coalesce(sum(late), 0)::bigint as "late!",
                  coalesce(sum(differed), 0)::bigint as "differed!"
             from shadow_sync.read_comparisons
            where minute > now() - make_interval(secs => $1)"#,
        window.as_secs_f64(),
    )
    .fetch_one(store.pool())
    .await?;
    Ok(Tally { agreed: row.agreed, late: row.late, differed: row.differed })
}

/// The latest disagreements, newest first.
pub async fn differences(store: &Store, limit: i64) -> Result<Vec<Difference>, Error> {
    let found = sqlx::query_as!(
        Difference,
        "select at, question, key, detail from shadow_sync.read_differences order by id desc limit $1",
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(found)
}

/// Forgets the counts, because a person begins anew; the examples stay.
pub async fn begin_anew(store: &Store) -> Result<(), Error> {
    sqlx::query!("delete from shadow_sync.read_comparisons").execute(store.pool()).await?;
    Ok(())
}
