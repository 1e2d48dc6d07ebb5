//! Writing rows: in, over, out, and what follows for rejected records and child tables.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use shadow::derived::{shared_value, shown_by_children};
use shadow::mapping::ColumnKind;
use shadow::plan::DirtyReason;
use shadow::{Mapping, ObjectName, PreparedChunk, RecordId};
use sqlx::{AssertSqlSafe, PgTransaction};

use crate::dirty::Source;
use crate::error::{Error, corrupt};
use crate::tables::copy::{self, RowMark};
use crate::tables::shape::TableShape;
use crate::{dirty, rejects};

/// Sent to the server in pieces of this size, so that it parses one while the next is written.
const COPY_PIECE: usize = 256 << 10;

/// One transaction that writes one shadow table and, by consequence, its children's.
pub(crate) struct Writer<'w, 't> {
    tx: &'w mut PgTransaction<'t>,
    shape: TableShape<'w>,
    /// The table that the rows' parents are in.
    parent: Option<TableShape<'w>>,
    children: Vec<TableShape<'w>>,
    changes: Vec<Changes>,
    /// When the earliest of the events arrived that are written, if events are.
    received_at: Option<DateTime<Utc>>,
}

/// What happened to the records of one object, for who deletes cache keys.
struct Changes {
    object: ObjectName,
    /// Records that came in or changed.
    ids: Vec<String>,
    /// What keys may have been made of before: JSON objects as texts.
    before: Vec<String>,
}

/// What left a table.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub rows: u64,
    /// Rows of children that moved to the rejected records.
    pub moved: u64,
    /// Unique values that are free now.
    pub freed: Vec<String>,
}

impl<'w, 't> Writer<'w, 't> {
    pub(crate) fn new(
        tx: &'w mut PgTransaction<'t>,
        schema: &str,
        mapping: &'w Mapping,
        parent: Option<&'w Mapping>,
        children: Vec<&'w Mapping>,
    ) -> Self {
        let object = |mapping: &Mapping| Changes {
            object: mapping.object.clone(),
            ids: Vec::new(),
            before: Vec::new(),
        };
        Self {
            tx,
            changes: std::iter::once(mapping).chain(children.iter().copied()).map(object).collect(),
            shape: TableShape::of(mapping, schema),
            parent: parent.map(|parent| TableShape::of(parent, schema)),
            received_at: None,
            children: children.into_iter().map(|child| TableShape::of(child, schema)).collect(),
        }
    }

    /// The children of a resolved mapping, as [`Self::new`] takes them.
    pub(crate) fn children_of(children: &[Arc<Mapping>]) -> Vec<&Mapping> {
        children.iter().map(AsRef::as_ref).collect()
    }

    /// Says when the earliest event arrived of those that are written, so that it is known how long caches were stale.
    pub(crate) fn received(&mut self, at: Option<DateTime<Utc>>) {
        self.received_at = at;
    }

    pub(crate) fn tx(&mut self) -> &mut PgTransaction<'t> {
        self.tx
    }

    fn object(&self) -> &'w ObjectName {
        &self.shape.mapping().object
    }

    /// Writes new rows.
    pub(crate) async fn insert(
        &mut self,
        chunk: &PreparedChunk,
        places: &[usize],
        mark: &RowMark,
    ) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let kinds: Vec<ColumnKind> = self.shape.mapping().columns.iter().map(|column| column.kind).collect();
        let mut copy = self.tx.copy_in_raw(&self.shape.copy_in()).await?;
        let mut piece = Vec::with_capacity(COPY_PIECE + (COPY_PIECE >> 2));
        copy::header(&mut piece);
        for place in places {
            copy::row(&kinds, chunk, &chunk.records[*place], mark, &mut piece);
            if piece.len() >= COPY_PIECE {
                copy.send(&piece[..]).await?;
                piece.clear();
            }
        }
        copy::trailer(&mut piece);
        copy.send(&piece[..]).await?;
        expect_rows(copy.finish().await?, places.len())?;
        let ids = places.iter().map(|place| chunk.records[*place].id.to_string());
        self.changes[0].ids.extend(ids);
        Ok(())
    }

    /// Writes over rows, all in one statement, within which unique values may pass from row to row.
    pub(crate) async fn update(
        &mut self,
        chunk: &PreparedChunk,
        places: &[usize],
        mark: &RowMark,
    ) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let columns = Arrays::of(chunk, places, mark);
        let mut query = sqlx::query_scalar(self.shape.update(self.parent.as_ref()))
            .bind(&columns.ids)
            .bind(&columns.payloads)
            .bind(&columns.stamps)
            .bind(&columns.as_of)
            .bind(&columns.read_no)
            .bind(&columns.read_end)
            .bind(&columns.created)
            .bind(&columns.hashes);
        for index in 0..chunk.columns_per_record() {
            let texts: Vec<Option<&str>> =
                places.iter().map(|place| chunk.column(&chunk.records[*place], index)).collect();
            query = query.bind(texts);
        }
        let before: Vec<Option<String>> = query.fetch_all(&mut **self.tx).await?;
        expect_rows(before.len() as u64, places.len())?;
        let changes = &mut self.changes[0];
        changes.ids.extend(columns.ids.iter().map(|id| (*id).to_owned()));
        changes.before.extend(before.into_iter().flatten());
        Ok(())
    }

    /// Writes over stamps and marks of rows whose content is the same.
    pub(crate) async fn update_stamps(
        &mut self,
        chunk: &PreparedChunk,
        places: &[usize],
        mark: &RowMark,
    ) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let columns = Arrays::of(chunk, places, mark);
        let written = sqlx::query(self.shape.update_stamps())
            .bind(&columns.ids)
            .bind(&columns.payloads)
            .bind(&columns.stamps)
            .bind(&columns.as_of)
            .bind(&columns.read_no)
            .bind(&columns.read_end)
            .execute(&mut **self.tx)
            .await?
            .rows_affected();
        expect_rows(written, places.len())
    }

    /// Takes rows out. Rows of children that point to them move to the rejected records first, so that the
    /// database's cascade finds nothing to remove.
    pub(crate) async fn leave(&mut self, ids: &[RecordId]) -> Result<Left, Error> {
        let mut left = Left::default();
        if ids.is_empty() {
            return Ok(left);
        }
        let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
        for (child, changes) in self.children.iter().zip(&mut self.changes[1..]) {
            let Some(move_out) = child.move_out(&self.shape) else { continue };
            let moved: Vec<String> = sqlx::query_scalar(move_out)
                .bind(&ids)
                .bind(child.mapping().object.as_str())
                .fetch_all(&mut **self.tx)
                .await?;
            left.moved += moved.len() as u64;
            changes.before.extend(moved);
        }
        let delete = self.shape.delete(self.parent.as_ref());
        let gone: Vec<(Option<String>, String)> =
            sqlx::query_as(delete).bind(&ids).fetch_all(&mut **self.tx).await?;
        left.rows = gone.len() as u64;
        for (freed, before) in gone {
            self.changes[0].before.push(before);
            left.freed.extend(freed);
        }
        Ok(left)
    }

    /// Lets rejected records enter from what is kept of them; then also those of children that waited for them.
    pub(crate) async fn enter(&mut self, ids: &[RecordId]) -> Result<u64, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let texts: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
        let entered: Vec<String> = sqlx::query_scalar(self.shape.enter())
            .bind(self.object().as_str())
            .bind(&texts)
            .fetch_all(&mut **self.tx)
            .await?;
        expect_rows(entered.len() as u64, ids.len())?;
        self.changes[0].ids.extend(entered);
        let children = self.enter_children(ids).await?;
        Ok(ids.len() as u64 + children)
    }

    /// Lets rejected records of children enter whose parents have just come in. Those whose unique value somebody
    /// holds are to be fetched together with the holder.
    pub(crate) async fn enter_children(&mut self, parents: &[RecordId]) -> Result<u64, Error> {
        if parents.is_empty() || self.children.is_empty() {
            return Ok(0);
        }
        let parents: Vec<&str> = parents.iter().map(RecordId::as_str).collect();
        let mut count = 0;
        for (child, changes) in self.children.iter().zip(&mut self.changes[1..]) {
            let object = &child.mapping().object;
            let waiting: Vec<String> = sqlx::query_scalar(child.cured_by_parent(&self.shape, true))
                .bind(object.as_str())
                .bind(&parents)
                .bind(i64::MAX)
                .fetch_all(&mut **self.tx)
                .await?;
            if !waiting.is_empty() {
                let entered: Vec<String> = sqlx::query_scalar(child.enter())
                    .bind(object.as_str())
                    .bind(&waiting)
                    .fetch_all(&mut **self.tx)
                    .await?;
                count += entered.len() as u64;
                changes.ids.extend(entered);
            }
            if let Some(contested) = child.contested_by_parent(&self.shape, true) {
                let rows = sqlx::query_as(contested)
                    .bind(object.as_str())
                    .bind(&parents)
                    .bind(i64::MAX)
                    .fetch_all(&mut **self.tx)
                    .await?;
                let doubtful = rejects::both_dirty(rows)?;
                dirty::mark(self.tx, object, 0, Source::Sweep, &doubtful).await?;
            }
        }
        Ok(count)
    }

    /// Lets the senior of the rejected records enter that wait for values that are free now.
    pub(crate) async fn enter_freed(&mut self, freed: &[String]) -> Result<u64, Error> {
        if freed.is_empty() {
            return Ok(0);
        }
        let cured = sqlx::query_scalar!(
            "select distinct on (claim) record_id from shadow_sync.rejects
              where object = $1 and claim = any($2)
              order by claim, ($3 and coalesce(raw_payload ->> 'IsActive', 'true') = 'false'), created_date, record_id",
            self.object().as_str(),
            freed,
            self.shape.mapping().active_first,
        )
        .fetch_all(&mut **self.tx)
        .await?;
        let cured = parse_all(&cured)?;
        self.enter(&cured).await
    }

    /// Rejected records of this object whose cause is gone.
    pub(crate) async fn find_cured(
        &mut self,
        parent: Option<&Mapping>,
        limit: i64,
    ) -> Result<Vec<RecordId>, Error> {
        let mut cured: Vec<String> = Vec::new();
        if let Some(waiting) = self.shape.waiting_for_free() {
            let object = self.object().as_str();
            cured = sqlx::query_scalar(waiting).bind(object).bind(limit).fetch_all(&mut **self.tx).await?;
        }
        if let Some(parent) = parent {
            let parent = TableShape::of(parent, self.shape.schema());
            let all: Option<&[&str]> = None;
            let more = sqlx::query_scalar::<_, String>(self.shape.cured_by_parent(&parent, false))
                .bind(self.object().as_str())
                .bind(all)
                .bind(limit)
                .fetch_all(&mut **self.tx)
                .await?;
            cured.extend(more);
        }
        parse_all(&cured)
    }

    /// Rejected records that should hold what another record holds, and those others: all to be fetched.
    pub(crate) async fn find_senior(
        &mut self,
        parent: Option<&Mapping>,
        limit: i64,
    ) -> Result<Vec<(RecordId, DirtyReason)>, Error> {
        let object = self.object().as_str();
        let Some(senior) = self.shape.senior_rejects() else { return Ok(Vec::new()) };
        let mut rows: Vec<(String, String, String)> =
            sqlx::query_as(senior).bind(object).bind(limit).fetch_all(&mut **self.tx).await?;
        if let Some(parent) = parent {
            let parent = TableShape::of(parent, self.shape.schema());
            let all: Option<&[&str]> = None;
            if let Some(contested) = self.shape.contested_by_parent(&parent, false) {
                let query = sqlx::query_as(contested).bind(object).bind(all).bind(limit);
                rows.extend(query.fetch_all(&mut **self.tx).await?);
            }
        }
        rejects::both_dirty(rows)
    }

    /// The fields of this object that children show as their own.
    pub(crate) fn fields_that_children_show(&self) -> Vec<&'static str> {
        let object = self.object();
        let shown = self.children.iter().map(|child| shown_by_children(object, &child.mapping().object));
        shown.flatten().copied().collect()
    }

    /// The children that show something of this object.
    pub(crate) fn children_that_show(&self) -> Vec<&'w Mapping> {
        let object = self.object();
        let children = self.children.iter().map(TableShape::mapping);
        children.filter(|child| !shown_by_children(object, &child.object).is_empty()).collect()
    }

    /// Those of some records of a chunk whose rows show another value for one of some fields.
    pub(crate) async fn showing_other(
        &mut self,
        chunk: &PreparedChunk,
        places: &[usize],
        fields: &[&str],
    ) -> Result<Vec<RecordId>, Error> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, payloads) = ids_and_payloads(chunk, places);
        let changed: Vec<String> = sqlx::query_scalar(self.shape.showing_other())
            .bind(&ids)
            .bind(&payloads)
            .bind(fields)
            .fetch_all(&mut **self.tx)
            .await?;
        parse_all(&changed)
    }

    /// The parents of those records whose value others of the same parent follow.
    pub(crate) async fn parents_of_followed(&mut self, ids: &[RecordId]) -> Result<Vec<RecordId>, Error> {
        let (Some(shared), Some(parents), false) =
            (shared_value(self.object()), self.shape.parents_of_followed(), ids.is_empty())
        else {
            return Ok(Vec::new());
        };
        let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
        let parents: Vec<String> =
            sqlx::query_scalar(parents).bind(&ids).bind(shared.follows).fetch_all(&mut **self.tx).await?;
        parse_all(&parents)
    }

    /// Orders the deletion of cache keys for everything that was written, one order per object.
    pub(crate) async fn note_changes(&mut self) -> Result<(), Error> {
        for changes in &self.changes {
            if changes.ids.is_empty() && changes.before.is_empty() {
                continue;
            }
            sqlx::query!(
                "insert into shadow_sync.invalidations (object, ids, before, received_at)
                 values ($1, $2, $3::text::jsonb, $4)",
                changes.object.as_str(),
                &changes.ids,
                format!("[{}]", changes.before.join(",")),
                self.received_at,
            )
            .execute(&mut **self.tx)
            .await?;
        }
        Ok(())
    }
}

/// Ids and payloads of some records of a chunk.
fn ids_and_payloads<'c>(chunk: &'c PreparedChunk, places: &[usize]) -> (Vec<&'c str>, Vec<&'c str>) {
    let records = places.iter().map(|place| &chunk.records[*place]);
    records
        .map(|record| (record.id.as_str(), std::str::from_utf8(chunk.payload(record)).unwrap_or("null")))
        .unzip()
}

fn parse_all(ids: &[String]) -> Result<Vec<RecordId>, Error> {
    ids.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// A statement that wrote another number of rows than planned met somebody who writes without our lock.
fn expect_rows(written: u64, planned: usize) -> Result<(), Error> {
    if written == planned as u64 {
        return Ok(());
    }
    Err(Error::Contention { state: format!("{written} rows written where {planned} were planned") })
}

/// Columns of some records, as arrays to be bound.
struct Arrays<'a> {
    ids: Vec<&'a str>,
    payloads: Vec<&'a str>,
    stamps: Vec<Option<DateTime<Utc>>>,
    as_of: Vec<i64>,
    read_no: Vec<i64>,
    read_end: Vec<Option<DateTime<Utc>>>,
    created: Vec<Option<DateTime<Utc>>>,
    hashes: Vec<&'a [u8]>,
}

impl<'a> Arrays<'a> {
    fn of(chunk: &'a PreparedChunk, places: &[usize], mark: &RowMark) -> Self {
        let records = || places.iter().map(|place| &chunk.records[*place]);
        let marks = || records().map(|record| mark.of(record));
        Self {
            as_of: marks().map(|own| own.as_of).collect(),
            read_no: marks().map(|own| own.read_no).collect(),
            read_end: marks().map(|own| own.read_end.to_utc()).collect(),
            ids: records().map(|record| record.id.as_str()).collect(),
            payloads: records()
                .map(|record| std::str::from_utf8(chunk.payload(record)).unwrap_or("null"))
                .collect(),
            stamps: records().map(|record| record.system_modstamp.to_utc()).collect(),
            created: records().map(|record| record.created_date.to_utc()).collect(),
            hashes: records().map(|record| &record.hash[..]).collect(),
        }
    }
}

/// Sets what a commit waits for: chunks inside a job need not wait for the disk, because the job's last one does,
/// and what a crash of the server takes back it takes back together with the progress.
pub(crate) async fn set_synchronous(tx: &mut PgTransaction<'_>, on: bool) -> Result<(), Error> {
    let set = format!("set local synchronous_commit = {}", if on { "on" } else { "off" });
    sqlx::query(AssertSqlSafe(set)).execute(&mut **tx).await?;
    Ok(())
}
