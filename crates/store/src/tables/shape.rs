//! The statements for one shadow table, rendered from its mapping.
//!
//! Names are quoted, values are bound. Every statement names its table with the schema.

use shadow::Mapping;
use shadow::mapping::ColumnKind;
use sqlx::AssertSqlSafe;

use super::quote::{ident, literal};

mod keys;

/// Our own columns behind the mapped ones, in the order of the table.
pub(crate) const OWN_COLUMNS: [&str; 8] = [
    "updated_at",
    "raw_payload",
    "as_of",
    "system_modstamp",
    "created_date",
    "read_no",
    "read_end",
    "row_hash",
];

/// A rendered statement. Its text comes from this module alone.
pub(crate) type Statement = AssertSqlSafe<String>;

/// One shadow table.
pub(crate) struct TableShape<'a> {
    mapping: &'a Mapping,
    schema: String,
    /// Schema and table, quoted.
    table: String,
    /// The key column, quoted.
    key: String,
    unique: Option<String>,
    parent: Option<String>,
}

fn column_type(kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Text => "text".to_owned(),
        ColumnKind::Numeric { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnKind::Integer => "bigint".to_owned(),
        ColumnKind::Boolean => "boolean".to_owned(),
        ColumnKind::Date => "date".to_owned(),
        ColumnKind::Timestamp => "timestamptz".to_owned(),
    }
}

fn joined<T>(items: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    items.into_iter().map(text).collect::<Vec<_>>().concat()
}

impl<'a> TableShape<'a> {
    /// The table of a mapping in a schema.
    pub(crate) fn of(mapping: &'a Mapping, schema: &str) -> Self {
        Self {
            mapping,
            schema: schema.to_owned(),
            table: format!("{}.{}", ident(schema), ident(&mapping.table)),
            key: ident(&mapping.key),
            unique: mapping.unique.as_deref().map(ident),
            parent: mapping.parent.as_ref().map(|parent| ident(&parent.column)),
        }
    }

    /// The mapping.
    pub(crate) fn mapping(&self) -> &'a Mapping {
        self.mapping
    }

    /// The table, quoted, in its schema.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// The schema, as it is named.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    fn mapped_columns(&self) -> Vec<String> {
        self.mapping.columns.iter().map(|column| ident(&column.name)).collect()
    }

    fn all_columns(&self) -> String {
        let mut all = vec![self.key.clone()];
        all.extend(self.mapped_columns());
        all.extend(OWN_COLUMNS.map(str::to_owned));
        all.join(", ")
    }

    /// Rows, rejected records and dirty records of one snapshot, and its time. `$1` object.
    pub(crate) fn count(&self) -> Statement {
        AssertSqlSafe(format!(
            "select (select count(*) from {}),
                    (select count(*) from shadow_sync.rejects where object = $1),
                    (select count(*) from shadow_sync.dirty where object = $1),
                    now()",
            self.table
        ))
    }

    /// Seconds since the row written longest ago was written; null without rows.
    pub(crate) fn oldest_write(&self) -> Statement {
        AssertSqlSafe(format!(
            "select extract(epoch from now() - min(updated_at))::float8 from {}",
            self.table
        ))
    }

    /// Whether a row or rejected record is active, where that decides on unique values.
    fn is_active(&self) -> &'static str {
        if self.mapping.active_first {
            "coalesce(raw_payload ->> 'IsActive', 'true') <> 'false'"
        } else {
            "true"
        }
    }

    /// The same as the beginning of an `order by`, which takes no constant.
    fn last_in_order(&self, alias: &str) -> String {
        if self.mapping.active_first { format!("{}, ", self.comes_last(alias)) } else { String::new() }
    }

    /// Whether the row or rejected record `alias` comes last for being inactive.
    fn comes_last(&self, alias: &str) -> String {
        if self.mapping.active_first {
            format!("coalesce({alias}.raw_payload ->> 'IsActive', 'true') = 'false'")
        } else {
            "false".to_owned()
        }
    }

    /// What is stored of some ids: key, as_of, system_modstamp, read_no, row_hash, created_date, unique value, read_end,
    /// whether it is active. `$1` ids.
    pub(crate) fn state(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key}, as_of, system_modstamp, read_no, row_hash, created_date, {unique}, read_end, {active}
               from {table} where {key} = any($1)",
            key = self.key,
            active = self.is_active(),
            unique = self.unique.as_deref().unwrap_or("null::text"),
            table = self.table,
        ))
    }

    /// The same, each with its payload's text if that does not show some values already. `$1` ids, `$2` the values of
    /// each as a JSON object, `$3` whether the payload is wanted in any case.
    pub(crate) fn state_beside(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key}, as_of, system_modstamp, read_no, row_hash, created_date, {unique}, read_end, {active},
                    case when $3 or not raw_payload @> new.shown::jsonb then raw_payload::text end
               from unnest($1::text[], $2::text[]) as new (of_id, shown) join {table} on {key} = new.of_id",
            key = self.key,
            active = self.is_active(),
            unique = self.unique.as_deref().unwrap_or("null::text"),
            table = self.table,
        ))
    }

    /// The same with the payload's text, for who lays changes over it. `$1` ids.
    pub(crate) fn state_and_payload(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key}, as_of, system_modstamp, read_no, row_hash, created_date, {unique}, read_end, {active},
                    raw_payload::text
               from {table} where {key} = any($1)",
            key = self.key,
            active = self.is_active(),
            unique = self.unique.as_deref().unwrap_or("null::text"),
            table = self.table,
        ))
    }

    /// What single records are looked at by: key, `as_of`, payload. `$1` ids.
    pub(crate) fn as_of_and_payload(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key}, as_of, raw_payload from {table} where {key} = any($1)",
            key = self.key,
            table = self.table,
        ))
    }

    /// Payloads of some rows and rejected records, as texts: key, payload. `$1` ids, `$2` object.
    pub(crate) fn payloads(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key}, raw_payload::text from {table} where {key} = any($1)
             union all
             select record_id, raw_payload::text from shadow_sync.rejects
              where object = $2 and record_id = any($1)",
            key = self.key,
            table = self.table,
        ))
    }

    /// Those of some records whose stored payload shows another value for one of some fields. `$1` ids, `$2` payloads
    /// as they will be, `$3` fields.
    pub(crate) fn showing_other(&self) -> Statement {
        AssertSqlSafe(format!(
            "select old.{key}
               from unnest($1::text[], $2::text[]) as new (id, payload) join {table} as old on old.{key} = new.id
              where exists (select from unnest($3::text[]) as field
                             where old.raw_payload -> field is distinct from new.payload::jsonb -> field)",
            table = self.table,
            key = self.key,
        ))
    }

    /// The parents of some records of which another record of the same parent takes a value. `$1` ids, `$2` the field
    /// that says who does.
    pub(crate) fn parents_of_followed(&self) -> Option<Statement> {
        let parent = self.parent.as_deref()?;
        Some(AssertSqlSafe(format!(
            "select distinct old.{parent} from {table} as old
              where old.{key} = any($1)
                and exists (select from {table} as other
                             where other.{parent} = old.{parent} and other.{key} <> old.{key}
                               and other.raw_payload ->> $2 = 'true')",
            table = self.table,
            key = self.key,
        )))
    }

    /// Those of some ids that are stored. `$1` ids.
    pub(crate) fn present(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key} from {table} where {key} = any($1)",
            key = self.key,
            table = self.table
        ))
    }

    /// Who holds some unique values: value, key, created_date. `$1` values. None if no column is unique.
    pub(crate) fn holders(&self) -> Option<Statement> {
        let unique = self.unique.as_deref()?;
        Some(AssertSqlSafe(format!(
            "select {unique}, {key}, created_date from {table} where {unique} = any($1)",
            key = self.key,
            table = self.table,
        )))
    }

    /// Takes rows in COPY's binary format, columns as [`super::copy`] writes them.
    pub(crate) fn copy_in(&self) -> String {
        format!("copy {} ({}) from stdin (format binary)", self.table, self.all_columns())
    }

    /// Overwrites rows; returns what keys may have been made of before, of each, null where the same columns say it
    /// still. `$1` ids, `$2` payloads, `$3` stamps, `$4` as_of, `$5` read_no, `$6` read_end, `$7` created dates, `$8`
    /// hashes, then texts per mapped column: arrays, all of them.
    pub(crate) fn update(&self, parent: Option<&TableShape<'_>>) -> Statement {
        let columns = self.mapped_columns();
        let arrays = joined(0..columns.len(), |place| format!(", ${}::text[]", place + 9));
        let names = joined(0..columns.len(), |place| format!(", c{place}"));
        let sets =
            joined(columns.iter().zip(&self.mapping.columns).enumerate(), |(place, (name, column))| {
                format!("{name} = new.c{place}::{}, ", column_type(column.kind))
            });
        AssertSqlSafe(format!(
            "update {table} as old
                set {sets}updated_at = now(), raw_payload = new.raw_payload::jsonb, as_of = new.as_of,
                    system_modstamp = new.system_modstamp, created_date = new.created_date, read_no = new.read_no,
                    read_end = new.read_end, row_hash = new.row_hash
               from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::timestamptz[],
                           $7::timestamptz[], $8::bytea[]{arrays})
                    as new (id, raw_payload, system_modstamp, as_of, read_no, read_end, created_date, row_hash{names})
               join {table} as prev on prev.{key} = new.id
              where old.{key} = new.id
             returning case when row(prev.{key}{was}) is distinct from row(old.{key}{is}) then {before} end",
            table = self.table,
            key = self.key,
            was = joined(&columns, |name| format!(", prev.{name}")),
            is = joined(&columns, |name| format!(", old.{name}")),
            before = self.before("prev", parent),
        ))
    }

    /// Overwrites stamp and mark of rows, and the stamp that their payload shows. `$1` to `$6` as in
    /// [`Self::update`].
    pub(crate) fn update_stamps(&self) -> Statement {
        AssertSqlSafe(format!(
            "update {table} as old
                set raw_payload = new.raw_payload::jsonb, as_of = new.as_of, system_modstamp = new.system_modstamp,
                    read_no = new.read_no, read_end = new.read_end
               from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::timestamptz[])
                    as new (id, raw_payload, system_modstamp, as_of, read_no, read_end)
              where old.{key} = new.id",
            table = self.table,
            key = self.key,
        ))
    }

    /// Deletes rows; returns unique value and what keys may have been made of, of each. `$1` ids.
    pub(crate) fn delete(&self, parent: Option<&TableShape<'_>>) -> Statement {
        AssertSqlSafe(format!(
            "delete from {table} as prev where {key} = any($1) returning {unique}, {before}",
            table = self.table,
            key = self.key,
            unique = self.unique.as_deref().unwrap_or("null::text"),
            before = self.before("prev", parent),
        ))
    }

    /// Moves rows to the rejected records because their parent goes; returns what keys may have been made of, of each.
    /// `$1` parents' ids, `$2` object.
    pub(crate) fn move_out(&self, above: &TableShape<'_>) -> Option<Statement> {
        let parent = self.parent.as_deref()?;
        Some(AssertSqlSafe(format!(
            "with gone as (delete from {table} where {parent} = any($1) returning *),
                  kept as (
                    insert into shadow_sync.rejects
                        (object, record_id, reason, detail, parent_id, columns, raw_payload, as_of, system_modstamp,
                         created_date, read_no, read_end, row_hash)
                    select $2, {key}, 'missing-product',
                           jsonb_build_object('code', 'missing-product', 'product', {parent}), {parent}, {columns},
                           raw_payload, as_of, system_modstamp, created_date, read_no, read_end, row_hash
                      from gone)
             select {before} from gone",
            table = self.table,
            key = self.key,
            columns = self.columns_as_json(),
            before = self.before("gone", Some(above)),
        )))
    }

    /// The mapped columns of a row as a JSON object of texts.
    fn columns_as_json(&self) -> String {
        let members: Vec<String> = self
            .mapping
            .columns
            .iter()
            .map(|column| format!("{}, {}::text", literal(&column.name), ident(&column.name)))
            .collect();
        format!("jsonb_build_object({})", members.join(", "))
    }

    /// Moves rejected records into the table from what is kept of them; returns the keys. `$1` object, `$2` ids.
    pub(crate) fn enter(&self) -> Statement {
        let columns = joined(&self.mapping.columns, |column| {
            format!("(columns ->> {})::{}, ", literal(&column.name), column_type(column.kind))
        });
        AssertSqlSafe(format!(
            "with cured as (
                 delete from shadow_sync.rejects where object = $1 and record_id = any($2) returning *)
             insert into {table} ({all})
             select record_id, {columns}now(), raw_payload, as_of, system_modstamp, created_date, read_no, read_end,
                    row_hash
               from cured
             returning {key}",
            table = self.table,
            all = self.all_columns(),
            key = self.key,
        ))
    }

    /// Rejected records that miss only a parent which is there now: `from` and `where` of a query over them as `r`.
    /// `$1` object, `$2` the parents looked at, or null for all.
    fn waiting_for_parent(&self, parent: &TableShape<'_>, some: bool) -> String {
        let parents = if some { "r.parent_id = any($2)" } else { "$2::text[] is null" };
        let holder = self.unique.as_deref().map_or(String::new(), |unique| {
            format!(" left join {} t on t.{unique} = {}", self.table, self.wanted_value())
        });
        format!(
            "from shadow_sync.rejects r join {} p on p.{} = r.parent_id{holder}
              where r.object = $1 and r.reason = 'missing-product' and {parents}",
            parent.table, parent.key,
        )
    }

    /// The unique value that a rejected record `r` would take up.
    fn wanted_value(&self) -> String {
        format!("(r.columns ->> {})", literal(self.mapping.unique.as_deref().unwrap_or_default()))
    }

    /// Rejected records that can enter because their parent is there: with a unique column the senior for each value
    /// that nobody holds. `$1`, `$2` as in [`Self::waiting_for_parent`], `$3` most of them.
    pub(crate) fn cured_by_parent(&self, parent: &TableShape<'_>, some: bool) -> Statement {
        let waiting = self.waiting_for_parent(parent, some);
        AssertSqlSafe(if self.unique.is_some() {
            let value = self.wanted_value();
            format!(
                "select distinct on ({value}) r.record_id {waiting} and t.{key} is null
                    and not exists (select from shadow_sync.dirty d where d.object = $1 and d.claim = {value})
                  order by {value}, {last}r.created_date, r.record_id limit $3",
                key = self.key,
                last = self.last_in_order("r"),
            )
        } else {
            format!("select r.record_id {waiting} order by r.record_id limit $3")
        })
    }

    /// Rejected records whose parent is there and whose value somebody holds: id, value and the holder's id. `$1`,
    /// `$2`, `$3` as in [`Self::cured_by_parent`].
    pub(crate) fn contested_by_parent(&self, parent: &TableShape<'_>, some: bool) -> Option<Statement> {
        let unique = self.unique.as_deref()?;
        Some(AssertSqlSafe(format!(
            "select r.record_id, t.{unique}, t.{key} {waiting} and t.{key} is not null
                and not exists (
                        select from shadow_sync.dirty d where d.object = $1 and d.record_id = r.record_id)
              order by r.record_id limit $3",
            key = self.key,
            waiting = self.waiting_for_parent(parent, some),
        )))
    }

    /// Rejected records that are first in line for a value that no row holds. `$1` object, `$2` most of them.
    pub(crate) fn waiting_for_free(&self) -> Option<Statement> {
        let unique = self.unique.as_deref()?;
        Some(AssertSqlSafe(format!(
            "select distinct on (r.claim) r.record_id from shadow_sync.rejects r
              where r.object = $1 and r.claim is not null
                and not exists (select from {table} t where t.{unique} = r.claim)
                and not exists (select from shadow_sync.dirty d where d.object = $1 and d.claim = r.claim)
              order by r.claim, {last}r.created_date, r.record_id limit $2",
            table = self.table,
            last = self.last_in_order("r"),
        )))
    }

    /// Rejected records that are senior to who holds their value: id, value and the holder's id. `$1` object, `$2`
    /// most of them.
    pub(crate) fn senior_rejects(&self) -> Option<Statement> {
        let unique = self.unique.as_deref()?;
        Some(AssertSqlSafe(format!(
            "select r.record_id, r.claim, t.{key} from shadow_sync.rejects r join {table} t on t.{unique} = r.claim
              where r.object = $1 and r.claim is not null and ({reject}, r.created_date, r.record_id) < ({row}, t.created_date, t.{key})
                and not exists (
                        select from shadow_sync.dirty d where d.object = $1 and d.record_id = r.record_id)
              order by r.record_id limit $2",
            table = self.table,
            key = self.key,
            reject = self.comes_last("r"),
            row = self.comes_last("t"),
        )))
    }

    /// Notes the rows and rejected records that a job's results lack: those that an earlier request brought and the
    /// job did not see. `$1` job, `$2` the job's read_no, `$3` object.
    pub(crate) fn find_unseen(&self) -> Statement {
        AssertSqlSafe(format!(
            "with seen as (select unnest(ids) collate \"C\" as id from shadow_sync.job_seen where job_id = $1)
             insert into shadow_sync.job_removals (job_id, record_id)
             select $1, old.id
               from (select {key} as id from {table} where read_no < $2
                     union all
                     select record_id from shadow_sync.rejects where object = $3 and read_no < $2) as old
              where not exists (select from seen where seen.id = old.id)
             on conflict do nothing",
            table = self.table,
            key = self.key,
        ))
    }

    /// What is stored or rejected of some ids: key, stamp, and when it was read. `$1` ids, `$2` object.
    pub(crate) fn stamps(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key}, system_modstamp, read_end from {table} where {key} = any($1)
             union all
             select record_id, system_modstamp, read_end from shadow_sync.rejects
              where object = $2 and record_id = any($1)",
            table = self.table,
            key = self.key,
        ))
    }

    /// Rows that a read may find gone: not brought by a later one. `$1` ids, `$2` as_of, `$3` read_no.
    pub(crate) fn removable(&self) -> Statement {
        AssertSqlSafe(format!(
            "select {key} from {table} where {key} = any($1) and as_of <= $2 and read_no < $3",
            table = self.table,
            key = self.key,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_a_mapping_cannot_leave_its_quotes() {
        let mut mapping = Mapping::pricebook_entry();
        mapping.table = "t\" (x) --".to_owned();
        mapping.columns[0].name = "a'b\"c".to_owned();
        let shape = TableShape::of(&mapping, "public");
        assert!(
            shape
                .copy_in()
                .starts_with("copy \"public\".\"t\"\" (x) --\" (\"pricebook_entry_id\", \"a'b\"\"c\"")
        );
        assert!(shape.enter().0.contains("(columns ->> 'a''b\"c')::text"));
    }
}
