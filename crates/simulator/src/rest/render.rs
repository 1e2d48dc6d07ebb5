//! Records as JSON, parents inside their children.

use crate::{
    schema::Kind,
    snapshot::Snapshot,
    soql::{Column, ColumnSource},
    value::{Value, write_json_text},
};

/// Appends one record as JSON: `attributes` first, then the columns as they were asked for.
pub fn write_row(
    out: &mut Vec<u8>,
    snapshot: &Snapshot,
    object: usize,
    row: u64,
    columns: &[Column],
    version: &str,
) {
    let columns: Vec<&Column> = columns.iter().collect();
    let mut scratch = String::new();
    write_level(out, snapshot, (object, row), &columns, 0, version, &mut scratch);
}

/// Writes the record at one depth of the paths; columns that go on to a parent are written inside it.
fn write_level(
    out: &mut Vec<u8>,
    snapshot: &Snapshot,
    (object, row): (usize, u64),
    columns: &[&Column],
    depth: usize,
    version: &str,
    scratch: &mut String,
) {
    let described = snapshot.object(object);
    out.extend_from_slice(b"{\"attributes\":{\"type\":");
    write_json_text(out, &described.name);
    out.extend_from_slice(b",\"url\":\"/services/data/v");
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"/sobjects/");
    out.extend_from_slice(described.name.as_bytes());
    out.push(b'/');
    out.extend_from_slice(snapshot.tables[object].id(row).as_bytes());
    out.extend_from_slice(b"\"}");

    let mut parents_done: Vec<usize> = Vec::new();
    for column in columns {
        let ColumnSource { hops, field, .. } = &column.source;
        let Some((reference, parent)) = hops.get(depth) else {
            out.push(b',');
            write_json_text(out, &described.fields[*field].name);
            out.push(b':');
            write_field(out, snapshot, (object, row), *field, scratch);
            continue;
        };
        if parents_done.contains(reference) {
            continue;
        }
        parents_done.push(*reference);
        out.push(b',');
        write_json_text(out, described.fields[*reference].relationship.as_deref().unwrap_or_default());
        out.push(b':');
        match snapshot.parent(object, row, *reference, *parent) {
            None => out.extend_from_slice(b"null"),
            Some(parent_row) => {
                let of_parent: Vec<&Column> = columns
                    .iter()
                    .copied()
                    .filter(|column| column.source.hops.get(depth).is_some_and(|(hop, _)| hop == reference))
                    .collect();
                write_level(out, snapshot, (*parent, parent_row), &of_parent, depth + 1, version, scratch);
            }
        }
    }
    out.push(b'}');
}

fn write_field(
    out: &mut Vec<u8>,
    snapshot: &Snapshot,
    (object, row): (usize, u64),
    field: usize,
    scratch: &mut String,
) {
    let described = &snapshot.object(object).fields[field];
    if described.kind != Kind::Address {
        snapshot.read(object, row, field, scratch).write_json(out);
        return;
    }
    let components = snapshot.object(object).components(&described.name);
    let mut body = Vec::new();
    let mut any = false;
    for (at, key) in components {
        let value = snapshot.read(object, row, at, scratch);
        any |= value != Value::Null;
        body.push(if body.is_empty() { b'{' } else { b',' });
        write_json_text(&mut body, &key);
        body.push(b':');
        value.write_json(&mut body);
    }
    if !any {
        out.extend_from_slice(b"null");
        return;
    }
    out.extend_from_slice(&body);
    out.extend_from_slice(b",\"geocodeAccuracy\":null,\"latitude\":null,\"longitude\":null}");
}
