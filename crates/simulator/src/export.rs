//! An export of a real org, served as it is: one CSV file per object, exactly its columns.

use std::{fs, path::Path, sync::Arc};

use crate::{
    catalogue::Kept,
    error::Error,
    ids::RecordId,
    schema::{Field, Kind, Object, known_field, known_object},
    table::Base,
    value::Owned,
};

/// The objects of an export. A file that is not there is an object without records.
const OBJECTS: [&str; 4] = ["Account", "Product2", "Pricebook2", "PricebookEntry"];

/// Objects and their records.
pub type Loaded = Vec<(Object, Arc<dyn Base>)>;

/// Reads a folder. The number stands for its content, so that the org's id follows from it.
pub fn load(folder: &Path) -> Result<(Loaded, u64), Error> {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut objects = Vec::new();
    for name in OBJECTS {
        let path = folder.join(format!("{name}.csv"));
        let bytes = fs::read(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        for byte in &bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        objects.push(read(name, &path, &bytes)?);
    }
    Ok((objects, digest))
}

fn read(name: &str, path: &Path, bytes: &[u8]) -> Result<(Object, Arc<dyn Base>), Error> {
    let failed = |record: u64, problem: String| Error::Export { path: path.to_owned(), record, problem };
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let headers = reader.headers().map_err(|error| failed(0, error.to_string()))?.clone();
    let mut rows = Vec::new();
    for (at, row) in reader.records().enumerate() {
        rows.push(row.map_err(|error| failed(at as u64 + 1, error.to_string()))?);
    }
    let id_column = headers.iter().position(|header| header == "Id");
    let id_column = id_column.ok_or_else(|| failed(0, "there is no column Id".to_owned()))?;

    // `Id` comes first, the rest as in the file.
    let mut order: Vec<usize> = (0..headers.len()).filter(|column| *column != id_column).collect();
    order.insert(0, id_column);
    let mut object = known_object(name);
    object.fields = order
        .iter()
        .map(|column| {
            let header = &headers[*column];
            known_field(header).unwrap_or_else(|| guessed(header, rows.iter().map(|row| &row[*column])))
        })
        .collect();

    let mut records = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let record = at as u64 + 1;
        let id = RecordId::parse(&row[id_column]);
        let id = id.ok_or_else(|| failed(record, format!("\"{}\" is no record id", &row[id_column])))?;
        let values = order.iter().zip(&object.fields).map(|(column, field)| {
            Owned::from_text(field.kind, &row[*column]).ok_or_else(|| {
                failed(
                    record,
                    format!(
                        "\"{}\" does not fit {}, which is a {}",
                        &row[*column],
                        field.name,
                        field.kind.name()
                    ),
                )
            })
        });
        let mut values: Vec<Owned> = values.collect::<Result<_, _>>()?;
        values[0] = Owned::Id(id);
        records.push((id, values));
    }
    Ok((object, Arc::new(Kept::new(records))))
}

/// The type of a field that only this org has, by what its column holds.
fn guessed<'a>(name: &str, values: impl Iterator<Item = &'a str> + Clone) -> Field {
    let all = |test: &dyn Fn(&str) -> bool| {
        let mut present = values.clone().filter(|value| !value.is_empty()).peekable();
        present.peek().is_some() && present.all(test)
    };
    if all(&|value| matches!(value, "0" | "1")) {
        return Field::new(name, Kind::Boolean);
    }
    if all(&|value| value.ends_with(" 00:00:00") && value.len() == 19) {
        return Field::new(name, Kind::Date);
    }
    if all(&|value| value.contains('.') && value.parse::<rust_decimal::Decimal>().is_ok()) {
        return Field::new(name, Kind::Double);
    }
    let longest = values.map(|value| value.chars().count()).max().unwrap_or(0);
    if longest > 255 {
        return Field::new(name, Kind::TextArea).length(32_768);
    }
    Field::new(name, Kind::Text)
}
