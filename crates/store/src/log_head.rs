//! The end of the change log: the one number line, in the order of commits.

use sqlx::PgTransaction;

use crate::error::Error;
use crate::partitions;
use crate::session::Store;

/// The newest position of the log; 0 before the first event.
pub async fn position(store: &Store) -> Result<i64, Error> {
    let position =
        sqlx::query_scalar!("select position from shadow_sync.log_head").fetch_one(store.pool()).await?;
    Ok(position)
}

/// Locks the end of the log until the transaction ends, so that positions are assigned in the order of commits;
/// partitions are there for whatever is written today. Returns the newest position.
pub(crate) async fn lock(tx: &mut PgTransaction<'_>) -> Result<i64, Error> {
    // The setting as in `plan_anew`, without a round trip of its own.
    let head = sqlx::query!(
        r#"select position, partitions_until, (clock_timestamp() at time zone 'UTC')::date as "today!",
                  set_config('plan_cache_mode', 'force_custom_plan', true) as "set!"
             from shadow_sync.log_head for update"#
    )
    .fetch_one(&mut **tx)
    .await?;
    // A clock that was set back needs partitions of days that seemed to be over.
    if head.partitions_until != head.today.succ_opt() {
        partitions::ensure(tx, head.today).await?;
    }
    Ok(head.position)
}

/// Lets every statement of the transaction be planned with the log's size as it is then. The log grows by a multiple
/// within minutes: a plan that was kept from when it was small would read all of it.
pub(crate) async fn plan_anew(tx: &mut PgTransaction<'_>) -> Result<(), Error> {
    sqlx::query!(r#"select set_config('plan_cache_mode', 'force_custom_plan', true) as "set!""#)
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}
