//! Orders to delete cache keys. Each is written in the commit that changed the rows, and is done only when its keys
//! were deleted after that commit, and once more after a delay: whatever dies in between finds it waiting.
//!
//! Keys that templates name and everything that patterns match are deleted apart, because the former take moments and
//! the latter as long as the cache is large. Each of both has two passes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use shadow::keys::Columns;
use shadow::{Mapping, ObjectName};

use crate::error::{Error, corrupt};
use crate::leases::{self, LeaseKey};
use crate::session::Store;

mod servers;
mod states;

pub use servers::{CacheServer, Redelivery, known_servers, note_servers};
pub use states::{KeyState, ids_by, key_states, key_states_of_children};

/// An order to delete the keys of some records of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// The object.
    pub object: ObjectName,
    /// When the rows were changed, by the database's clock.
    pub created_at: DateTime<Utc>,
    /// When the earliest of the events arrived that changed them; a read has none.
    pub received_at: Option<DateTime<Utc>>,
    /// Records that came in or changed; what they are now stands in their rows.
    pub ids: Vec<String>,
    /// What removed records were before, and changed ones where a column changed.
    pub before: Vec<Before>,
    /// It is about everything of the object.
    pub whole: bool,
}

/// What a record was before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Its id.
    pub id: String,
    /// Its columns.
    pub columns: Columns,
    /// Its parent's id.
    pub parent: Option<String>,
    /// The columns of its parent's row at that time.
    pub parent_columns: Option<Columns>,
}

/// The same as it is stored; the version before had nothing but a unique value and the parent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredBefore {
    id: String,
    columns: Option<Columns>,
    key: Option<String>,
    parent: Option<String>,
    parent_columns: Option<Columns>,
}

impl StoredBefore {
    fn of(self, mapping: Option<&Mapping>) -> Before {
        let Self { id, columns, key, parent, parent_columns } = self;
        let columns = columns.unwrap_or_else(|| {
            let mut columns = Columns::new();
            if let Some(mapping) = mapping {
                columns.insert(mapping.key.clone(), Some(id.clone()));
                columns.extend(mapping.unique.clone().map(|unique| (unique, key)));
                let above = mapping.parent.as_ref().map(|parent| parent.column.clone());
                columns.extend(above.map(|column| (column, parent.clone())));
            }
            columns
        });
        Before { id, columns, parent, parent_columns }
    }
}

/// Which deletion of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// As soon as the rows are committed.
    First,
    /// Once more after the delay, for who read the old row before the commit and cached it after the first pass.
    Second,
}

/// How many bytes of orders are taken at a time; one order may exceed it.
const TAKEN_BYTES: i64 = 4 << 20;

/// The oldest orders whose keys are to be deleted, up to `limit`; those of the second pass once `delay` has gone by and
/// streaming replicas show what changed.
///
/// - **`mappings`:** all of the environment.
pub async fn due(
    store: &Store,
    mappings: &[Mapping],
    pass: Pass,
    delay: Duration,
    limit: i64,
) -> Result<Vec<Order>, Error> {
    let rows = sqlx::query!(
        r#"select id as "id!", object as "object!", created_at as "created_at!", received_at, ids as "ids!",
                  before::text as "before!", whole as "whole!"
             from (select old.*, coalesce(sum(pg_column_size(ids) + pg_column_size(before))
                              over (order by id rows between unbounded preceding and 1 preceding), 0) as bytes_before
                     from (select * from shadow_sync.invalidations
                            where not $1 and keys_at is null
                               or $1 and done_at is null and keys_at is not null and keys_again_at is null
                                  and keys_at + $2::int * interval '1 millisecond' <= clock_timestamp()
                                  and (seen_lsn is null or seen_lsn <= coalesce(
                                        (select min(replay_lsn) from pg_stat_replication where state = 'streaming'),
                                        seen_lsn))
                            order by id limit $3) as old) as sized
            where bytes_before <= $4::bigint
            order by id"#,
        pass == Pass::Second,
        milliseconds(delay),
        limit,
        TAKEN_BYTES,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            let object = ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?;
            let mapping = mappings.iter().find(|mapping| mapping.object == object);
            let before = parse_before(&row.before)?.into_iter().map(|before| before.of(mapping)).collect();
            Ok(Order {
                id: row.id,
                object,
                created_at: row.created_at,
                received_at: row.received_at,
                ids: row.ids,
                before,
                whole: row.whole,
            })
        })
        .collect()
}

fn parse_before(text: &str) -> Result<Vec<StoredBefore>, Error> {
    serde_json::from_str(text).map_err(|error| corrupt("invalidation", error))
}

/// What children of some parents were before changes whose keys wait to be deleted, a first time or again: their keys
/// may have been made of what those parents were.
pub async fn waiting_children(
    store: &Store,
    child: &Mapping,
    parents: &[String],
) -> Result<Vec<Before>, Error> {
    let rows = sqlx::query_scalar!(
        r#"select jsonb_agg(element)::text as "elements!"
             from shadow_sync.invalidations, jsonb_array_elements(before) as element
            where object = $1 and done_at is null and keys_again_at is null and element ->> 'parent' = any($2)
           having count(*) > 0"#,
        child.object.as_str(),
        parents,
    )
    .fetch_optional(store.pool())
    .await?;
    let stored = rows.as_deref().map_or_else(|| Ok(Vec::new()), parse_before)?;
    Ok(stored.into_iter().map(|before| before.of(Some(child))).collect())
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Notes that keys of orders were deleted.
///
/// - **`without_patterns`:** those of them for which nothing else is to be deleted.
/// - **Errors:** [`Error::LeaseLost`]: then another process delivers them again.
pub async fn keys_deleted(
    store: &Store,
    lease: &LeaseKey,
    pass: Pass,
    ids: &[i64],
    without_patterns: &[i64],
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    match pass {
        Pass::First => {
            sqlx::query!(
                "update shadow_sync.invalidations
                    set keys_at = clock_timestamp(), seen_lsn = coalesce(seen_lsn, pg_current_wal_insert_lsn()),
                        keys_again_at = case when whole then clock_timestamp() end,
                        patterns_at = case when id = any($2) then clock_timestamp() end,
                        patterns_again_at = case when id = any($2) then clock_timestamp() end,
                        done_at = case when whole and id = any($2) then clock_timestamp() end
                  where id = any($1)",
                ids,
                without_patterns,
            )
            .execute(&mut *tx)
            .await?;
        }
        Pass::Second => {
            sqlx::query!(
                "update shadow_sync.invalidations
                    set keys_again_at = clock_timestamp(),
                        done_at = case when patterns_again_at is not null then clock_timestamp() end
                  where id = any($1)",
                ids,
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(tx.commit().await?)
}

/// An order that waits for everything to be deleted that its object's patterns match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternOrder {
    /// Its number.
    pub id: i64,
    /// The object.
    pub object: ObjectName,
    /// It is about everything of the object, whatever was declared.
    pub whole: bool,
    /// When its keys were deleted: another time means that it was ordered again meanwhile.
    pub keys_at: Option<DateTime<Utc>>,
}

/// The most orders that one deletion by patterns answers.
const PATTERN_ORDERS: i64 = 50_000;

/// The orders that wait for patterns. Whoever deletes what the patterns match after this has answered them all.
pub async fn due_for_patterns(
    store: &Store,
    pass: Pass,
    delay: Duration,
) -> Result<Vec<PatternOrder>, Error> {
    let rows = sqlx::query!(
        "select id, object, whole, keys_at from shadow_sync.invalidations
          where done_at is null and keys_at is not null
            and (not $1 and patterns_at is null
                 or $1 and patterns_at is not null and patterns_again_at is null
                    and patterns_at + $2::int * interval '1 millisecond' <= clock_timestamp()
                    and (seen_lsn is null or seen_lsn <= coalesce(
                            (select min(replay_lsn) from pg_stat_replication where state = 'streaming'), seen_lsn)))
          order by id limit $3",
        pass == Pass::Second,
        milliseconds(delay),
        PATTERN_ORDERS,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            let object = ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?;
            Ok(PatternOrder { id: row.id, object, whole: row.whole, keys_at: row.keys_at })
        })
        .collect()
}

/// Notes that what patterns match was deleted after these orders were read, or that nothing is to be deleted. An order
/// that waits again, because the cache came back as another server meanwhile, stays.
pub async fn patterns_deleted(
    store: &Store,
    lease: &LeaseKey,
    pass: Pass,
    orders: &[PatternOrder],
) -> Result<(), Error> {
    let ids: Vec<i64> = orders.iter().map(|order| order.id).collect();
    let keys_at: Vec<Option<DateTime<Utc>>> = orders.iter().map(|order| order.keys_at).collect();
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    match pass {
        Pass::First => {
            sqlx::query!(
                "update shadow_sync.invalidations as old set patterns_at = clock_timestamp()
                   from unnest($1::bigint[], $2::timestamptz[]) as read (id, keys_at)
                  where old.id = read.id and old.keys_at = read.keys_at",
                &ids,
                &keys_at as &[Option<DateTime<Utc>>],
            )
            .execute(&mut *tx)
            .await?;
        }
        Pass::Second => {
            sqlx::query!(
                "update shadow_sync.invalidations as old
                    set patterns_again_at = clock_timestamp(),
                        done_at = case when keys_again_at is not null then clock_timestamp() end
                   from unnest($1::bigint[], $2::timestamptz[]) as read (id, keys_at)
                  where old.id = read.id and old.keys_at = read.keys_at",
                &ids,
                &keys_at as &[Option<DateTime<Utc>>],
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(tx.commit().await?)
}

/// How the orders stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Orders whose first deletion is not through.
    pub waiting: i64,
    /// When the oldest of them was written.
    pub oldest: Option<DateTime<Utc>>,
    /// Orders that wait for their second deletion.
    pub second: i64,
}

/// How the orders stand, of those up to `last` where it is given.
pub async fn standing(store: &Store, last: Option<i64>) -> Result<Standing, Error> {
    let row = sqlx::query!(
        r#"select count(*) filter (where keys_at is null or patterns_at is null) as "waiting!",
                  min(created_at) filter (where keys_at is null or patterns_at is null) as oldest,
                  count(*) filter (where keys_at is not null and patterns_at is not null) as "second!"
             from shadow_sync.invalidations
            where done_at is null and ($1::bigint is null or id <= $1)"#,
        last,
    )
    .fetch_one(store.pool())
    .await?;
    Ok(Standing { waiting: row.waiting, oldest: row.oldest, second: row.second })
}

/// For how long the oldest order has waited, of those up to `last` where it is given, whose keys may still hold what
/// readers must not see; none where there is none. Patterns matter only where an order is about everything: keys of ours
/// are named by templates.
pub async fn overdue(store: &Store, last: Option<i64>) -> Result<Option<Duration>, Error> {
    let seconds = sqlx::query_scalar!(
        r#"select extract(epoch from clock_timestamp() - min(created_at))::float8 as "seconds"
             from shadow_sync.invalidations
            where done_at is null and (keys_at is null or whole and patterns_at is null)
              and ($1::bigint is null or id <= $1)"#,
        last,
    )
    .fetch_one(store.pool())
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

/// The number of the newest order; 0 without one.
pub async fn last(store: &Store) -> Result<i64, Error> {
    let last =
        sqlx::query_scalar!(r#"select coalesce(max(id), 0) as "last!" from shadow_sync.invalidations"#)
            .fetch_one(store.pool())
            .await?;
    Ok(last)
}

/// Orders everything of some objects to be deleted.
pub async fn order_whole(store: &Store, objects: &[ObjectName]) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    order_whole_in(&mut tx, objects).await?;
    tx.commit().await?;
    store.ordered();
    Ok(())
}

pub(crate) async fn order_whole_in(
    tx: &mut sqlx::PgTransaction<'_>,
    objects: &[ObjectName],
) -> Result<(), Error> {
    let objects: Vec<&str> = objects.iter().map(ObjectName::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.invalidations (object, ids, whole) select unnest($1::text[]), '{}', true",
        &objects as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes orders that were done before `kept_for`; until then a cache that comes back as another server gets them
/// again. Returns how many.
pub async fn prune(store: &Store, kept_for: Duration) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "delete from shadow_sync.invalidations
          where id in (select id from shadow_sync.invalidations
                        where done_at < clock_timestamp() - $1::int * interval '1 millisecond' limit 20000)",
        milliseconds(kept_for),
    )
    .execute(store.pool())
    .await?
    .rows_affected();
    Ok(gone)
}

/// Replaces orders of an object that have waited for longer than `after` by one about everything, where there are more
/// than `most` of them: whatever they name, the object's patterns match. Returns how many went.
///
/// So a cache that is away for days, or that nobody configured, costs no more room than an hour's orders.
pub async fn compact(store: &Store, after: Duration, most: i64) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let gone = sqlx::query!(
        "with many as (select object from shadow_sync.invalidations
                        where keys_at is null and not whole
                          and created_at < clock_timestamp() - $1::int * interval '1 millisecond'
                        group by object having count(*) > $2)
         delete from shadow_sync.invalidations as old using many
          where old.object = many.object and old.keys_at is null
            and old.created_at < clock_timestamp() - $1::int * interval '1 millisecond'
         returning old.object",
        milliseconds(after),
        most,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut objects = Vec::new();
    for row in &gone {
        let object = ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?;
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    order_whole_in(&mut tx, &objects).await?;
    tx.commit().await?;
    Ok(gone.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_the_version_before_can_be_read() {
        let text =
            r#"[{"id": "01t1", "key": "A", "gone": true}, {"id": "01u1", "parent": "01t1", "gone": true}]"#;
        let mut stored = parse_before(text).unwrap().into_iter();
        let product = stored.next().unwrap().of(Some(&Mapping::product()));
        assert_eq!(product.columns["sku"].as_deref(), Some("A"));
        assert_eq!(product.columns["product_id"].as_deref(), Some("01t1"));
        let entry = stored.next().unwrap().of(Some(&Mapping::pricebook_entry()));
        assert_eq!(entry.columns["product_id"].as_deref(), Some("01t1"));
    }
}
