//! `query`, `queryAll` and their pages.

use hyper::StatusCode;
use serde_json::{Value as Json, json};

use super::{Asked, render::write_row};
use crate::{
    cursors::Cursor,
    http::{Failure, Reply, bytes_reply, ok},
    ids::RecordId,
    lock::lock,
    soql::{self, Groups, Output, Plan},
    table::Fate,
    value::write_json_text,
};

/// Records of a page unless the client says otherwise, and the most it may say.
const PAGE: u64 = 2_000;
/// Groups of a grouped query, which has no second page.
const GROUPS: usize = 2_000;

/// Answers `GET /query?q=…` and `/queryAll?q=…`.
pub fn first_page(asked: &Asked<'_>, all_rows: bool) -> Result<Reply, Failure> {
    let text = asked
        .call
        .parameter("q")
        .ok_or_else(|| Failure::bad_request("MALFORMED_QUERY", "A query string has to be specified"))?;
    if text.len() > 100_000 {
        return Err(Failure::bad_request(
            "MALFORMED_QUERY",
            "SOQL statements cannot be longer than 100000 characters.",
        ));
    }
    let snapshot = asked.org.snapshot();
    let plan = soql::check(&soql::parse(&text)?, &snapshot.schema, &asked.access, asked.org.clock.now_ms())?;
    if asked.call.parameter("columns").as_deref() == Some("true") {
        return Ok(column_metadata(&plan, &snapshot));
    }
    match &plan.output {
        Output::Count => {
            let total = soql::count(&plan, &snapshot, all_rows);
            Ok(ok(&json!({"totalSize": total, "done": true, "records": []})))
        }
        Output::Groups(groups) => grouped(&plan, groups, &snapshot, all_rows),
        Output::Rows(_) => {
            let rows = soql::select(&plan, &snapshot, all_rows);
            page(asked, &Cursor { plan, rows, all_rows }, None, 0)
        }
    }
}

/// Answers `GET /query/<locator>`: the id of a cursor, a dash, and where the page begins.
pub fn next_page(asked: &Asked<'_>, locator: &str) -> Result<Reply, Failure> {
    let unknown = || Failure::bad_request("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (id, from) = locator.split_once('-').ok_or_else(unknown)?;
    let id = RecordId::parse(id).ok_or_else(unknown)?;
    let from: u64 = from.parse().map_err(|_| unknown())?;
    let cursor =
        lock(&asked.org.cursors).find(id, asked.user, asked.org.clock.now_ms()).ok_or_else(unknown)?;
    if from > cursor.rows.len() {
        return Err(unknown());
    }
    page(asked, &cursor, Some(id), from)
}

fn page(asked: &Asked<'_>, cursor: &Cursor, id: Option<RecordId>, from: u64) -> Result<Reply, Failure> {
    let snapshot = asked.org.snapshot();
    // A field that was hidden since the first page is refused like one that never was there.
    let hidden = |column: &&soql::Column| {
        asked.access.hidden_fields.contains(&(column.source.object, column.source.field))
    };
    if let Some(column) = cursor.plan.columns().iter().find(hidden) {
        return Err(Failure::bad_request("INVALID_FIELD", format!("No such column '{}'", column.header)));
    }
    let total = cursor.rows.len();
    let to = total.min(from + page_size(asked));
    let done = to == total;
    let id = match (id, done) {
        (None, false) => {
            Some(lock(&asked.org.cursors).keep(asked.user, asked.org.clock.now_ms(), cursor.clone()))
        }
        (id, _) => id,
    };

    let mut out = format!("{{\"totalSize\":{total},\"done\":{done}").into_bytes();
    if let Some(id) = id.filter(|_| !done) {
        let next = format!(",\"nextRecordsUrl\":\"/services/data/v{}/query/{id}-{to}\"", asked.version);
        out.extend_from_slice(next.as_bytes());
    }
    out.extend_from_slice(b",\"records\":[");
    let table = &snapshot.tables[cursor.plan.object];
    let mut first = true;
    for row in cursor.rows.slice(from, to) {
        match table.fate(row) {
            Fate::Gone => continue,
            Fate::Binned if !cursor.all_rows => continue,
            Fate::Binned | Fate::Live => {}
        }
        if !first {
            out.push(b',');
        }
        first = false;
        write_row(&mut out, &snapshot, cursor.plan.object, row, cursor.plan.columns(), asked.version);
    }
    out.extend_from_slice(b"]}");
    Ok(bytes_reply(StatusCode::OK, "application/json;charset=UTF-8", out))
}

/// `Sforce-Query-Options: batchSize=N` is advice: between 200 and 2,000, and the server may send fewer.
fn page_size(asked: &Asked<'_>) -> u64 {
    let wished = asked.call.header("sforce-query-options").and_then(|options| {
        let value = options.split([',', ';']).find_map(|option| option.trim().strip_prefix("batchSize="))?;
        value.trim().parse::<u64>().ok()
    });
    let size = wished.unwrap_or(PAGE).clamp(200, PAGE);
    asked.org.options.query_page_cap.map_or(size, |cap| size.min(cap.max(1)))
}

fn grouped(
    plan: &Plan,
    groups: &Groups,
    snapshot: &crate::snapshot::Snapshot,
    all_rows: bool,
) -> Result<Reply, Failure> {
    let found = soql::aggregate(plan, groups, snapshot, all_rows);
    if found.len() > GROUPS {
        let message = "Aggregate query does not support queryMore(), LIMIT the results to a single batch";
        return Err(Failure::bad_request("EXCEEDED_ID_LIMIT", message));
    }
    let mut out = format!("{{\"totalSize\":{},\"done\":true,\"records\":[", found.len()).into_bytes();
    for (at, group) in found.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"attributes\":{\"type\":\"AggregateResult\"}");
        for ((name, _), value) in groups.columns.iter().zip(group) {
            out.push(b',');
            write_json_text(&mut out, name);
            out.push(b':');
            value.lend().write_json(&mut out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(bytes_reply(StatusCode::OK, "application/json;charset=UTF-8", out))
}

/// `&columns=true`: what the columns are, instead of the records.
fn column_metadata(plan: &Plan, snapshot: &crate::snapshot::Snapshot) -> Reply {
    let columns: Vec<Json> = plan
        .columns()
        .iter()
        .map(|column| {
            let field = &snapshot.object(column.source.object).fields[column.source.field];
            json!({
                "aggregate": false,
                "apexType": field.kind.name(),
                "booleanType": field.kind == crate::schema::Kind::Boolean,
                "columnName": field.name,
                "custom": field.is_custom(),
                "displayName": field.label,
                "foreignKeyName": field.relationship,
                "insertable": !field.read_only,
                "joinColumns": [],
                "numberType": field.kind.is_number(),
                "textType": field.kind.is_text(),
                "updatable": !field.read_only,
            })
        })
        .collect();
    ok(&json!({
        "columnMetadata": columns,
        "entityName": snapshot.object(plan.object).name,
        "groupBy": false,
        "idSelected": plan.columns().iter().any(|column| column.header == "Id"),
        "keyPrefix": String::from_utf8_lossy(&snapshot.object(plan.object).key_prefix),
    }))
}
