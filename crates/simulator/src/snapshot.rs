//! All records of the org as of one moment.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::{
    events::{EventSchema, has_events},
    schema::{Derived, Field, Object, Schema},
    table::{Base, Table},
    value::{Owned, Value},
};

/// Schema and tables. A copy shares everything; a later change of the org copies what it touches.
#[derive(Clone)]
pub struct Snapshot {
    /// Objects and fields.
    pub schema: Arc<Schema>,
    /// One table per object, at the same position.
    pub tables: Vec<Arc<Table>>,
    /// How the change events of an object are written, at its position.
    event_schemas: Vec<Option<Arc<EventSchema>>>,
    /// Reports whether change events write days as text.
    day_text: bool,
}

impl Snapshot {
    /// Builds the first snapshot from objects and their bases.
    pub fn new(objects: Vec<(Object, Arc<dyn Base>)>) -> Self {
        let (objects, tables) = objects
            .into_iter()
            .map(|(object, base)| {
                let table = Table::new(base, object.fields.len());
                (object, Arc::new(table))
            })
            .unzip();
        let mut schema = Schema { objects };
        schema.connect();
        Self { schema: Arc::new(schema), tables, event_schemas: Vec::new(), day_text: false }
    }

    /// Makes the schemas of change events; with `day_text`, days are text in them.
    #[must_use]
    pub fn with_events(mut self, day_text: bool) -> Self {
        self.day_text = day_text;
        let schema =
            |object: &Object| has_events(&object.name).then(|| Arc::new(EventSchema::of(object, day_text)));
        self.event_schemas = self.schema.objects.iter().map(schema).collect();
        self
    }

    /// How the change events of an object are written, if it has any.
    pub fn event_schema(&self, object: usize) -> Option<&Arc<EventSchema>> {
        self.event_schemas.get(object)?.as_ref()
    }

    /// All schemas of change events.
    pub fn event_schemas(&self) -> impl Iterator<Item = &Arc<EventSchema>> {
        self.event_schemas.iter().flatten()
    }

    /// Adds a field to an object; its records have nothing in it.
    pub fn add_field(&mut self, object: usize, field: Field, now_ms: i64) {
        let described = &mut Arc::make_mut(&mut self.schema).objects[object];
        described.fields.push(field);
        described.changed_ms = Some(now_ms);
        if let Some(Some(schema)) = self.event_schemas.get_mut(object) {
            *schema = Arc::new(EventSchema::of(described, self.day_text));
        }
    }

    /// One object.
    pub fn object(&self, object: usize) -> &Object {
        &self.schema.objects[object]
    }

    /// The table of an object, to be changed.
    pub fn table_mut(&mut self, object: usize) -> &mut Table {
        Arc::make_mut(&mut self.tables[object])
    }

    /// The value of a field as a query shows it.
    pub fn read<'a>(&'a self, object: usize, row: u64, field: usize, scratch: &'a mut String) -> Value<'a> {
        let table = &self.tables[object];
        let Some(derived) = &self.object(object).fields[field].derived else {
            return table.read(row, field, scratch);
        };
        match derived {
            Derived::Deleted => Value::Bool(table.fate(row) == crate::table::Fate::Binned),
            Derived::Parent(reference, parent, parent_field) => {
                match self.parent(object, row, *reference, *parent) {
                    Some(parent_row) => self.tables[*parent].read(parent_row, *parent_field, scratch),
                    None => Value::Null,
                }
            }
            Derived::StandardPrice(flag) => self.price(object, row, field, *flag),
            Derived::Label(first, second) => {
                let source = self.text(object, row, *second);
                let label = self.text(object, row, *first);
                scratch.clear();
                match (label, source) {
                    (None, _) => return Value::Null,
                    (Some(label), None) => scratch.push_str(&label),
                    (Some(label), Some(source)) => {
                        scratch.push_str(&label);
                        scratch.push_str(" (");
                        scratch.push_str(&source);
                        scratch.push(')');
                    }
                }
                Value::Text(scratch)
            }
        }
    }

    /// The row of the record that a reference names, if the org still has it.
    pub fn parent(&self, object: usize, row: u64, reference: usize, parent: usize) -> Option<u64> {
        let mut scratch = String::new();
        let Value::Id(id) = self.tables[object].read(row, reference, &mut scratch) else { return None };
        let parent_row = self.tables[parent].find(&id)?;
        (self.tables[parent].fate(parent_row) != crate::table::Fate::Gone).then_some(parent_row)
    }

    /// Reports whether a record is in use.
    pub fn is_live(&self, object: usize, id: &crate::ids::RecordId) -> bool {
        let table = &self.tables[object];
        table.find(id).is_some_and(|row| table.fate(row) == crate::table::Fate::Live)
    }

    /// An entry that uses the standard price shows the standard price book's price, without being stamped for it.
    fn price(&self, object: usize, row: u64, field: usize, flag: usize) -> Value<'_> {
        let table = &self.tables[object];
        let stored = |row| {
            let mut scratch = String::new();
            table.read(row, field, &mut scratch).number().unwrap_or(Decimal::ZERO)
        };
        let uses_standard = table.read(row, flag, &mut String::new()) == Value::Bool(true);
        let source = if uses_standard { table.standard_entry(row).unwrap_or(row) } else { row };
        Value::Decimal(stored(source))
    }

    fn text(&self, object: usize, row: u64, field: usize) -> Option<String> {
        let mut scratch = String::new();
        match self.tables[object].read(row, field, &mut scratch).keep() {
            Owned::Text(text) => Some(text.to_string()),
            _ => None,
        }
    }
}
