//! What is stored of the records that events name, with their payloads, read under the table's lock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shadow::fold::Known;
use shadow::plan::{Current, StoredRow, StoredTombstone};
use shadow::value::Moment;
use shadow::{RecordId, ResolvedMapping};
use sqlx::PgTransaction;

use crate::dirty;
use crate::error::Error;
use crate::merge::state::{RejectRow, parse, version};
use crate::objects::Locked;
use crate::tables::shape::TableShape;

/// What is stored of some records.
pub(super) struct Stored {
    /// As the plan takes it, so far as it concerns these records alone.
    pub current: Current,
    payloads: HashMap<RecordId, String>,
    /// The end of the reads that found records gone.
    gone_at: HashMap<RecordId, Moment>,
}

type Row =
    (String, i64, DateTime<Utc>, i64, Vec<u8>, DateTime<Utc>, Option<String>, DateTime<Utc>, bool, String);

impl Stored {
    /// Reads what is stored of records.
    pub async fn load(
        tx: &mut PgTransaction<'_>,
        schema: &str,
        mapping: &ResolvedMapping,
        ids: &[&str],
        locked: Locked,
    ) -> Result<Self, Error> {
        let shape = TableShape::of(&mapping.mapping, schema);
        let current = Current { confirmed: locked.confirmed, sided: locked.sided, ..Current::default() };
        let mut stored = Self { current, payloads: HashMap::new(), gone_at: HashMap::new() };
        let rows: Vec<Row> = sqlx::query_as(shape.state_and_payload()).bind(ids).fetch_all(&mut **tx).await?;
        stored.current.rows.reserve(rows.len());
        stored.payloads.reserve(rows.len());
        for (id, as_of, stamp, read_no, hash, created, claim, read_end, is_active, payload) in rows {
            let id = parse(&id)?;
            let version = version(as_of, stamp, read_no, read_end, &hash)?;
            let row = StoredRow { version, created_date: created.into(), is_active, claim };
            stored.current.rows.insert(id, row);
            stored.payloads.insert(id, payload);
        }
        if locked.has_rejects {
            stored.load_rejects(tx, mapping, ids).await?;
        }
        if locked.has_tombstones {
            stored.load_tombstones(tx, mapping, ids).await?;
        }
        if locked.has_dirty {
            stored.current.marks = dirty::marks(tx, mapping.object(), ids).await?;
        }
        Ok(stored)
    }

    async fn load_rejects(
        &mut self,
        tx: &mut PgTransaction<'_>,
        mapping: &ResolvedMapping,
        ids: &[&str],
    ) -> Result<(), Error> {
        let rows = sqlx::query_as!(
            RejectRow,
            r#"select record_id, as_of, system_modstamp, read_no, row_hash, created_date, detail, claim, read_end,
                      coalesce(raw_payload ->> 'IsActive', 'true') <> 'false' as "is_active!",
                      raw_payload::text as payload
                 from shadow_sync.rejects where object = $1 and record_id = any($2::text[])"#,
            mapping.object().as_str(),
            ids as &[&str],
        )
        .fetch_all(&mut **tx)
        .await?;
        for row in rows {
            let (id, reject, payload) = row.read()?;
            self.current.rejects.insert(id, reject);
            self.payloads.extend(payload.map(|payload| (id, payload)));
        }
        Ok(())
    }

    async fn load_tombstones(
        &mut self,
        tx: &mut PgTransaction<'_>,
        mapping: &ResolvedMapping,
        ids: &[&str],
    ) -> Result<(), Error> {
        let rows = sqlx::query!(
            "select record_id, as_of, read_no, presumed, read_end from shadow_sync.tombstones
              where object = $1 and record_id = any($2::text[])",
            mapping.object().as_str(),
            ids as &[&str],
        )
        .fetch_all(&mut **tx)
        .await?;
        for row in rows {
            let id = parse(&row.record_id)?;
            let tombstone =
                StoredTombstone { as_of: row.as_of, read_no: row.read_no, presumed: row.presumed };
            self.current.tombstones.insert(id, tombstone);
            if let Some(end) = row.read_end {
                self.gone_at.insert(id, end.into());
            }
        }
        Ok(())
    }

    /// What the fold must know of a record.
    pub fn known(&self, id: &RecordId) -> Known<'_> {
        let version = self
            .current
            .rows
            .get(id)
            .map(|row| &row.version)
            .or_else(|| self.current.rejects.get(id).map(|reject| &reject.version));
        match (version, self.payloads.get(id), self.current.tombstones.get(id)) {
            (Some(version), Some(payload), _) => Known::Stored {
                as_of: version.as_of,
                read_no: version.read_no,
                read_end: version.read_end,
                payload,
            },
            (.., Some(tombstone)) => {
                Known::Gone { as_of: tombstone.as_of, read_end: self.gone_at.get(id).copied() }
            }
            _ => Known::Nothing,
        }
    }

    /// Whether a record is dirty.
    pub fn is_dirty(&self, id: &RecordId) -> bool {
        self.current.marks.contains_key(id)
    }
}
