//! What the bitmaps need to know of a schema: which field stands at which position, and what lies within it.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};

use super::names;

/// The name of the field that makes a record a change event.
pub(super) const HEADER: &str = "ChangeEventHeader";

/// A change event's fields in the schema's order.
#[derive(Debug)]
pub(super) struct Layout {
    pub fields: Vec<Field>,
    /// Where the header stands; always first in Salesforce's schemas.
    pub header: Option<usize>,
}

/// One field of the event.
#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    /// The fields within, where one of its types is a record: an address, a person's name.
    pub parts: Option<Arc<[Part]>>,
    /// Whether it can also be a plain value, as a business account's name.
    pub plain: bool,
    /// Whether its whole numbers count microseconds.
    pub micros: bool,
}

/// One field within a field.
#[derive(Debug)]
pub(super) struct Part {
    /// Its name within the record.
    pub name: String,
    /// Describe's name for it; none where describe has no such field.
    pub flat: Option<String>,
}

/// The records that were declared so far, by full and by short name: later fields refer to them.
type Declared = HashMap<String, Arc<[String]>>;

impl Layout {
    /// Reads a schema's JSON. The error says what is wrong with it.
    pub fn read(schema: &Value) -> Result<Self, &'static str> {
        let record = schema.as_object().filter(|record| is_record(record)).ok_or("it is not a record")?;
        let mut declared = Declared::new();
        let mut fields = Vec::new();
        for field in fields_of(record)? {
            let (name, field_type) = name_and_type(field)?;
            let mut found = Found::default();
            found.look(field_type, &mut declared)?;
            let parts = found.record.map(|parts| {
                parts
                    .iter()
                    .map(|part| Part { name: part.clone(), flat: names::flat(name, part) })
                    .collect::<Arc<[Part]>>()
            });
            fields.push(Field { name: name.to_owned(), parts, plain: found.plain, micros: found.micros });
        }
        let header = fields.iter().position(|field| field.name == HEADER);
        Ok(Self { fields, header })
    }

    /// The position of a field by its name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

/// What the types of one field come to.
#[derive(Default)]
struct Found {
    record: Option<Arc<[String]>>,
    plain: bool,
    micros: bool,
}

impl Found {
    /// Looks at a type, at all branches of a union, and declares the records it meets.
    fn look(&mut self, avro_type: &Value, declared: &mut Declared) -> Result<(), &'static str> {
        match avro_type {
            Value::String(name) => {
                match declared.get(name.as_str()).or_else(|| declared.get(short(name))) {
                    Some(record) => self.take(record.clone()),
                    None => self.plain |= name != "null",
                }
                Ok(())
            }
            Value::Array(branches) => branches.iter().try_for_each(|branch| self.look(branch, declared)),
            Value::Object(object) if is_record(object) => {
                let parts = declare(object, declared)?;
                self.take(parts);
                Ok(())
            }
            Value::Object(object) => {
                let logical = object.get("logicalType").and_then(Value::as_str).unwrap_or_default();
                self.micros |= logical.ends_with("-micros");
                // What a list holds is no value of ours, but may be declared there.
                if let Some(elements) = object.get("items").or_else(|| object.get("values")) {
                    Found::default().look(elements, declared)?;
                }
                // The type of an object may be a type once more: an object, a union, or the name of a record.
                self.look(object.get("type").ok_or("a type has no name")?, declared)
            }
            _ => Err("a type is neither a name, a union nor an object"),
        }
    }

    /// Of several records within one field the first is the one that bitmaps speak of.
    fn take(&mut self, record: Arc<[String]>) {
        self.record.get_or_insert(record);
    }
}

/// Declares a record, and what is declared within it.
fn declare(record: &Map<String, Value>, declared: &mut Declared) -> Result<Arc<[String]>, &'static str> {
    let mut parts = Vec::new();
    for field in fields_of(record)? {
        let (name, field_type) = name_and_type(field)?;
        Found::default().look(field_type, declared)?;
        parts.push(name.to_owned());
    }
    let parts: Arc<[String]> = parts.into();
    let name = record.get("name").and_then(Value::as_str).ok_or("a record has no name")?;
    if let Some(namespace) = record.get("namespace").and_then(Value::as_str) {
        declared.insert(format!("{namespace}.{name}"), parts.clone());
    }
    declared.insert(name.to_owned(), parts.clone());
    declared.insert(short(name).to_owned(), parts.clone());
    Ok(parts)
}

fn is_record(object: &Map<String, Value>) -> bool {
    object.get("type").and_then(Value::as_str) == Some("record")
}

fn fields_of(record: &Map<String, Value>) -> Result<&Vec<Value>, &'static str> {
    record.get("fields").and_then(Value::as_array).ok_or("a record has no fields")
}

fn name_and_type(field: &Value) -> Result<(&str, &Value), &'static str> {
    let name = field.get("name").and_then(Value::as_str).ok_or("a field has no name")?;
    let field_type = field.get("type").ok_or("a field has no type")?;
    Ok((name, field_type))
}

/// A name without its namespace.
fn short(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, short)| short)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layout(types: &[Value]) -> Result<Layout, &'static str> {
        let fields: Vec<_> = types
            .iter()
            .enumerate()
            .map(|(number, field_type)| json!({ "name": format!("F{number}"), "type": field_type }))
            .collect();
        Layout::read(
            &json!({ "type": "record", "name": "X", "namespace": "com.sforce.eventbus", "fields": fields }),
        )
    }

    fn parts(field: &Field) -> Vec<&str> {
        field.parts.iter().flat_map(|parts| parts.iter().map(|part| part.name.as_str())).collect()
    }

    #[test]
    fn a_record_is_declared_once_and_meant_by_either_name() {
        let city = json!({ "name": "City", "type": ["null", "string"] });
        let address = json!({ "type": "record", "name": "Address", "fields": [city] });
        let layout = layout(&[
            json!(["null", address]),
            json!(["null", "Address"]),
            json!("com.sforce.eventbus.Address"),
            json!({ "type": ["null", { "type": "Address" }] }),
            json!(["null", { "type": "string" }]),
        ])
        .unwrap();
        for field in &layout.fields[..4] {
            assert_eq!((parts(field), field.plain), (vec!["City"], false), "{}", field.name);
        }
        assert_eq!((parts(&layout.fields[4]), layout.fields[4].plain), (Vec::new(), true));
        assert_eq!(layout.header, None);
    }

    #[test]
    fn a_record_within_a_record_is_declared_too() {
        let inner = json!({ "type": "record", "name": "Inner", "fields": [{ "name": "A", "type": "int" }] });
        let outer = json!({ "type": "record", "name": "Outer", "fields": [{ "name": "In", "type": inner }] });
        let layout = layout(&[outer, json!(["string", "Inner"])]).unwrap();
        assert_eq!(parts(&layout.fields[0]), ["In"]);
        assert_eq!((parts(&layout.fields[1]), layout.fields[1].plain), (vec!["A"], true));
    }

    #[test]
    fn what_is_no_schema_is_said_so() {
        for wrong in [json!(7), json!({}), json!({ "type": "record", "name": "R" })] {
            assert!(layout(std::slice::from_ref(&wrong)).is_err(), "{wrong}");
        }
        assert!(Layout::read(&json!({ "type": "enum", "name": "E" })).is_err());
    }
}
