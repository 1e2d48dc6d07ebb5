//! The partitions of the change log and of its events' outcomes: made ahead of time, taken away whole.

use chrono::{Days, NaiveDate};
use sqlx::PgTransaction;

use crate::error::Error;
use crate::session::Store;
use crate::tables::partitions::Partitioned;

/// Makes sure that there are partitions for a day and for the next, in the transaction that holds the log's head.
pub(crate) async fn ensure(tx: &mut PgTransaction<'_>, today: NaiveDate) -> Result<(), Error> {
    let tomorrow = today.checked_add_days(Days::new(1)).unwrap_or(today);
    for day in [today, tomorrow] {
        for table in Partitioned::ALL {
            let exists = sqlx::query_scalar!(
                r#"select to_regclass('shadow_sync.' || $1) is not null as "exists!""#,
                table.partition(day),
            )
            .fetch_one(&mut **tx)
            .await?;
            if !exists {
                sqlx::raw_sql(table.create(day)).execute(&mut **tx).await?;
            }
        }
    }
    sqlx::query!("update shadow_sync.log_head set partitions_until = $1", tomorrow)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The days for which a table has partitions, oldest first.
pub(crate) async fn days(store: &Store, table: Partitioned) -> Result<Vec<NaiveDate>, Error> {
    let names = sqlx::query_scalar!(
        r#"select c.relname::text as "name!"
             from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = to_regclass('shadow_sync.' || $1)"#,
        table.table(),
    )
    .fetch_all(store.pool())
    .await?;
    let mut days: Vec<NaiveDate> = names.iter().filter_map(|name| table.day_of(name)).collect();
    days.sort_unstable();
    Ok(days)
}
