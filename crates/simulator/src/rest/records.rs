//! Records by id, and what was changed or deleted in a span of time.

use serde_json::{Value as Json, json};

use super::{Asked, render::write_row, visible_object};
use crate::{
    calendar,
    http::{Failure, Reply, bytes_reply, ok},
    ids::RecordId,
    snapshot::Snapshot,
    soql::{Column, ColumnSource},
    table::Fate,
    value::Value,
};

/// Answers `GET /sobjects/X/<id>?fields=A,B`.
pub fn by_id(asked: &Asked<'_>, name: &str, id: &str) -> Result<Reply, Failure> {
    let snapshot = asked.org.snapshot();
    let object = visible_object(asked, &snapshot.schema, name)?;
    let id = RecordId::parse(id).ok_or_else(|| malformed_id(id))?;
    let table = &snapshot.tables[object];
    let row = table.find(&id).filter(|row| table.fate(*row) != Fate::Gone);
    let row = row.ok_or_else(Failure::not_found)?;
    if table.fate(row) == Fate::Binned {
        return Err(Failure::new(hyper::StatusCode::NOT_FOUND, "ENTITY_IS_DELETED", "entity is deleted"));
    }
    let columns = match asked.call.parameter("fields") {
        Some(fields) => fields
            .split(',')
            .map(|field| column(asked, &snapshot, object, field.trim()))
            .collect::<Result<Vec<_>, _>>()?,
        None => all_columns(asked, &snapshot, object),
    };
    let mut out = Vec::new();
    write_row(&mut out, &snapshot, object, row, &columns, asked.version);
    Ok(bytes_reply(hyper::StatusCode::OK, "application/json;charset=UTF-8", out))
}

/// A field of the object as a column, if the user may see it.
pub fn column(asked: &Asked<'_>, snapshot: &Snapshot, object: usize, name: &str) -> Result<Column, Failure> {
    let described = snapshot.object(object);
    let field = described.field(name).filter(|field| !asked.access.hidden_fields.contains(&(object, *field)));
    let field = field.ok_or_else(|| {
        let message = format!(
            "No such column '{name}' on entity '{}'. If you are attempting to use a custom field, be sure to append \
             the '__c' after the custom field name. Please reference your WSDL or the describe call for the \
             appropriate names.",
            described.name
        );
        Failure::bad_request("INVALID_FIELD", message)
    })?;
    let source = ColumnSource { hops: Vec::new(), object, field };
    Ok(Column { header: described.fields[field].name.clone(), source })
}

fn all_columns(asked: &Asked<'_>, snapshot: &Snapshot, object: usize) -> Vec<Column> {
    let fields = snapshot.object(object).fields.iter().enumerate();
    fields
        .filter(|(at, _)| !asked.access.hidden_fields.contains(&(object, *at)))
        .map(|(at, field)| Column {
            header: field.name.clone(),
            source: ColumnSource { hops: Vec::new(), object, field: at },
        })
        .collect()
}

/// A text that is no id.
pub fn malformed_id(id: &str) -> Failure {
    Failure::bad_request("MALFORMED_ID", format!("malformed id {id}"))
}

/// Answers `GET /sobjects/X/updated?start=…&end=…`.
pub fn updated(asked: &Asked<'_>, name: &str) -> Result<Reply, Failure> {
    let (start, end) = span(asked, 30)?;
    let found = changed_between(asked, name, start, end, Fate::Live)?;
    let ids: Vec<Json> = found.into_iter().map(|(id, _)| Json::String(id.to_string())).collect();
    Ok(ok(&json!({"ids": ids, "latestDateCovered": covered(asked, end)})))
}

/// Answers `GET /sobjects/X/deleted?start=…&end=…`.
pub fn deleted(asked: &Asked<'_>, name: &str) -> Result<Reply, Failure> {
    let (start, end) = span(asked, 15)?;
    if end - start <= 60_000 {
        let message =
            "The specified end time should be at least one minute greater than the specified start time";
        return Err(Failure::bad_request("INVALID_REPLICATION_DATE", message));
    }
    let found = changed_between(asked, name, start, end, Fate::Binned)?;
    let records: Vec<Json> = found
        .into_iter()
        .map(|(id, at)| json!({"id": id.as_str(), "deletedDate": calendar::time_text(at)}))
        .collect();
    let earliest = asked.org.clock.now_ms() - 15 * calendar::DAY_MS;
    Ok(ok(&json!({
        "deletedRecords": records,
        "earliestDateAvailable": calendar::time_text(earliest),
        "latestDateCovered": covered(asked, end),
    })))
}

fn covered(asked: &Asked<'_>, end: i64) -> String {
    // What an open transaction has written will be seen with stamps from its beginning on.
    let open = asked.org.oldest_transaction_ms().unwrap_or(i64::MAX);
    calendar::time_text(end.min(asked.org.clock.stamp_ms()).min(open))
}

/// The span asked for, cut to whole minutes.
fn span(asked: &Asked<'_>, days_back: i64) -> Result<(i64, i64), Failure> {
    let refuse = |message: &str| Failure::bad_request("INVALID_REPLICATION_DATE", message);
    let time = |name: &str| {
        let text = asked.call.parameter(name).ok_or_else(|| refuse("startDate and endDate are required"))?;
        // An unescaped plus sign arrives as a space.
        calendar::parse_time(&text.replace(' ', "+")).ok_or_else(|| refuse("Invalid date format"))
    };
    let minute = |ms: i64| ms.div_euclid(60_000) * 60_000;
    let (start, end) = (minute(time("start")?), minute(time("end")?));
    if start >= end {
        return Err(refuse("startDate must be before endDate"));
    }
    if start < asked.org.clock.now_ms() - days_back * calendar::DAY_MS {
        return Err(refuse("startDate before org replication enabled date"));
    }
    Ok((start, end))
}

fn changed_between(
    asked: &Asked<'_>,
    name: &str,
    start: i64,
    end: i64,
    fate: Fate,
) -> Result<Vec<(RecordId, i64)>, Failure> {
    let snapshot = asked.org.snapshot();
    let object = visible_object(asked, &snapshot.schema, name)?;
    let Some(stamp) = snapshot.object(object).field("SystemModstamp") else {
        return Err(Failure::not_found());
    };
    let table = &snapshot.tables[object];
    let mut scratch = String::new();
    let rows = table.rows(true);
    let changed = rows.iter().filter(|row| table.fate(*row) == fate).filter_map(|row| {
        match table.read(row, stamp, &mut scratch) {
            Value::Time(at) if (start..end).contains(&at) => Some((table.id(row), at)),
            _ => None,
        }
    });
    Ok(changed.collect())
}
