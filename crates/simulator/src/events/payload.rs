//! From a change to the bytes of its event.

use apache_avro::{Schema as Avro, types::Value as Datum, writer::datum::GenericDatumWriter};
use rust_decimal::prelude::ToPrimitive;

use super::{
    bitmap,
    diff::text_diff,
    schema::{ADDRESS, CHANGE_TYPES, EventSchema, Form, Slot, Source},
};
use crate::{
    calendar::{self, DAY_MS},
    value::Owned,
};

/// How records changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// They came into being.
    Create,
    /// Some of their fields changed.
    Update,
    /// They moved to the recycle bin.
    Delete,
    /// They came back from the recycle bin.
    Undelete,
    /// They changed in one of these ways, and the event does not say how.
    Gap(Change),
    /// More changed in one transaction than events are sent for.
    Overflow,
    /// A kind that is reserved and that nobody uses.
    Snapshot,
}

/// The ways in which a record changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It came into being.
    Create,
    /// Some of its fields changed.
    Update,
    /// It moved to the recycle bin.
    Delete,
    /// It came back from the recycle bin.
    Undelete,
}

impl Kind {
    /// The name in `changeType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Undelete => "UNDELETE",
            Self::Gap(Change::Create) => "GAP_CREATE",
            Self::Gap(Change::Update) => "GAP_UPDATE",
            Self::Gap(Change::Delete) => "GAP_DELETE",
            Self::Gap(Change::Undelete) => "GAP_UNDELETE",
            Self::Overflow => "GAP_OVERFLOW",
            Self::Snapshot => "SNAPSHOT",
        }
    }

    /// The gap that stands for this change.
    pub fn as_gap(self) -> Self {
        match self {
            Self::Create => Self::Gap(Change::Create),
            Self::Update => Self::Gap(Change::Update),
            Self::Delete => Self::Gap(Change::Delete),
            Self::Undelete => Self::Gap(Change::Undelete),
            Self::Gap(_) | Self::Overflow | Self::Snapshot => self,
        }
    }
}

/// What an event says of where it comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Groups the events of one transaction.
    pub transaction_key: String,
    /// Order within the transaction, from 1.
    pub sequence_number: i32,
    /// When it was committed, in milliseconds since 1970.
    pub commit_timestamp: i64,
    /// The number of the commit in this instance.
    pub commit_number: i64,
    /// Who changed the records.
    pub commit_user: String,
    /// What changed them.
    pub by: String,
}

/// One change of one or several records of one object.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The object.
    pub entity: String,
    /// How it changed.
    pub kind: Kind,
    /// The records: ids, a wildcard, or the empty id.
    pub ids: Vec<String>,
    /// Values by field position: every field that is not null (CREATE, UNDELETE), or the changed ones (UPDATE).
    pub values: Vec<(usize, Owned)>,
    /// Reports whether the bitmap of changed fields marks one that the schema does not have.
    pub stray_bit: bool,
    /// The texts before the change of those values that may be sent as a difference, by field position.
    pub before: Vec<(usize, String)>,
}

/// How the open questions of the format are answered.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Reports whether the bit of a nulled field is set in `changedFields` too: samples of real events differ.
    pub nulled_in_changed: bool,
    /// Reports whether a long text is sent as a difference where that is shorter.
    pub text_diffs: bool,
}

/// The bytes of one event: a bare Avro datum.
pub fn encode(schema: &EventSchema, origin: &Origin, draft: &Draft, style: Style) -> Vec<u8> {
    let mut bits = Bits::default();
    let mut fields = vec![(String::new(), Datum::Null)];
    for (at, slot) in schema.slots.iter().enumerate() {
        fields.push((slot.name.clone(), slot_datum(slot, at + 1, draft, style, &mut bits)));
    }
    if draft.stray_bit {
        bits.changed.push(schema.slots.len() + 8);
    }
    fields[0] = ("ChangeEventHeader".to_owned(), header(origin, draft, &bits));
    write(&schema.avro, &Datum::Record(fields))
}

/// Writes one datum of a schema made here.
pub fn write(schema: &Avro, datum: &Datum) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().expect("a schema made here is whole");
    let mut out = Vec::with_capacity(512);
    writer.write_value_ref(&mut out, datum).expect("an event is built after its own schema");
    out
}

/// Positions of changed, nulled and differing fields; those inside a compound with the compound's own position.
#[derive(Default)]
struct Bits {
    changed: Vec<usize>,
    changed_inside: Vec<(usize, usize)>,
    nulled: Vec<usize>,
    nulled_inside: Vec<(usize, usize)>,
    differing: Vec<usize>,
}

fn slot_datum(slot: &Slot, position: usize, draft: &Draft, style: Style, bits: &mut Bits) -> Datum {
    let update = draft.kind == Kind::Update;
    let value_of = |field: usize| draft.values.iter().find(|(at, _)| *at == field).map(|(_, value)| value);
    match &slot.source {
        Source::Field(field, form) => {
            let Some(value) = value_of(*field) else { return null() };
            if update {
                let nulled = *value == Owned::Null;
                if nulled {
                    bits.nulled.push(position);
                }
                if !nulled || style.nulled_in_changed {
                    bits.changed.push(position);
                }
                let before = draft.before.iter().find(|(at, _)| at == field);
                if let (Some((_, before)), Owned::Text(after), true) = (before, value, style.text_diffs)
                    && let Some(diff) = text_diff(before, after)
                {
                    bits.differing.push(position);
                    return some(1, Datum::String(diff));
                }
            }
            datum(*form, value)
        }
        Source::Address(parts) => {
            let mut any = false;
            let fields = ADDRESS.iter().zip(parts).enumerate().map(|(inside, (name, field))| {
                let value = field.and_then(value_of);
                if let (Some(value), true) = (value, update) {
                    if *value == Owned::Null {
                        bits.nulled_inside.push((position, inside));
                    }
                    if *value != Owned::Null || style.nulled_in_changed {
                        bits.changed_inside.push((position, inside));
                    }
                }
                let form = if matches!(*name, "Latitude" | "Longitude") { Form::Double } else { Form::Text };
                let datum = value.map_or_else(null, |value| datum(form, value));
                any |= datum != null();
                ((*name).to_owned(), datum)
            });
            let fields = fields.collect();
            if any { some(1, Datum::Record(fields)) } else { null() }
        }
    }
}

fn null() -> Datum {
    some(0, Datum::Null)
}

fn some(branch: u32, datum: Datum) -> Datum {
    Datum::Union(branch, Box::new(datum))
}

/// A value as the schema's form of it; a value that is not there, or of another kind, is null.
fn datum(form: Form, value: &Owned) -> Datum {
    let datum = match (form, value) {
        (Form::Boolean, Owned::Bool(value)) => Datum::Boolean(*value),
        (Form::Int, Owned::Int(value)) => Datum::Int(i32::try_from(*value).unwrap_or(i32::MAX)),
        (Form::Double, Owned::Decimal(value)) => Datum::Double(value.to_f64().unwrap_or(f64::NAN)),
        (Form::Double, Owned::Int(value)) => Datum::Double(*value as f64),
        (Form::Milliseconds, Owned::Time(value)) => Datum::Long(*value),
        (Form::Milliseconds, Owned::Date(value)) => Datum::Long(value * DAY_MS),
        (Form::DayText, Owned::Date(value)) => {
            let mut text = Vec::with_capacity(10);
            calendar::write_date(&mut text, *value);
            Datum::String(String::from_utf8_lossy(&text).into_owned())
        }
        (Form::Text | Form::PersonName, Owned::Text(value)) => Datum::String(value.to_string()),
        (Form::Text, Owned::Id(value)) => Datum::String(value.to_string()),
        _ => return null(),
    };
    some(1, datum)
}

fn header(origin: &Origin, draft: &Draft, bits: &Bits) -> Datum {
    let text = |text: &str| Datum::String(text.to_owned());
    let list = |texts: Vec<String>| Datum::Array(texts.into_iter().map(Datum::String).collect());
    let name = draft.kind.name();
    let symbol = CHANGE_TYPES.iter().position(|symbol| *symbol == name).unwrap_or(0);
    let entries = [
        ("entityName", text(&draft.entity)),
        ("recordIds", list(draft.ids.clone())),
        ("changeType", Datum::Enum(u32::try_from(symbol).unwrap_or(0), name.to_owned())),
        ("changeOrigin", text(&origin.by)),
        ("transactionKey", text(&origin.transaction_key)),
        ("sequenceNumber", Datum::Int(origin.sequence_number)),
        ("commitTimestamp", Datum::Long(origin.commit_timestamp)),
        ("commitNumber", Datum::Long(origin.commit_number)),
        ("commitUser", text(&origin.commit_user)),
        ("nulledFields", list(bitmap::elements(&bits.nulled, &bits.nulled_inside))),
        ("diffFields", list(bitmap::elements(&bits.differing, &[]))),
        ("changedFields", list(bitmap::elements(&bits.changed, &bits.changed_inside))),
    ];
    Datum::Record(entries.map(|(name, datum)| (name.to_owned(), datum)).to_vec())
}

/// The same event for somebody who may not see some fields: their values are null, their bits stay set.
///
/// `hidden` says of a slot's name, and of a component's position in it, whether it is hidden.
pub fn mask(
    schema: &EventSchema,
    payload: &[u8],
    hidden: impl Fn(&Source, Option<usize>) -> bool,
) -> Option<Vec<u8>> {
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema.avro).build().ok()?;
    let Datum::Record(mut fields) = reader.read_value(&mut &payload[..]).ok()? else { return None };
    for (slot, (_, datum)) in schema.slots.iter().zip(fields.iter_mut().skip(1)) {
        if hidden(&slot.source, None) {
            *datum = null();
            continue;
        }
        let Datum::Union(_, inner) = datum else { continue };
        if let (Source::Address(_), Datum::Record(parts)) = (&slot.source, inner.as_mut()) {
            for (inside, (_, part)) in parts.iter_mut().enumerate() {
                if hidden(&slot.source, Some(inside)) {
                    *part = null();
                }
            }
        }
    }
    Some(write(&schema.avro, &Datum::Record(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            transaction_key: "tx-1".to_owned(),
            sequence_number: 1,
            commit_timestamp: 1_777_886_101_000,
            commit_number: 11_101_546_841_929,
            commit_user: "00558000000yFyDAAU".to_owned(),
            by: String::new(),
        }
    }

    fn schema() -> EventSchema {
        let names = ["Id", "Name", "Family", "IsActive", "LastModifiedDate", "SystemModstamp"];
        let mut object = crate::schema::known_object("Product2");
        object.fields = names.map(|name| crate::schema::known_field(name).unwrap()).to_vec();
        EventSchema::of(&object, false)
    }

    fn update() -> Draft {
        Draft {
            entity: "Product2".to_owned(),
            kind: Kind::Update,
            ids: vec!["01t58000003xYzAAAU".to_owned()],
            values: vec![
                (1, Owned::Text("Fibre 2G".into())),
                (2, Owned::Null),
                (3, Owned::Bool(true)),
                (4, Owned::Time(1_777_886_101_000)),
            ],
            stray_bit: false,
            before: Vec::new(),
        }
    }

    #[test]
    fn the_worked_bytes_come_out_as_written() {
        let style = Style { nulled_in_changed: false, text_diffs: true };
        let bytes = encode(&schema(), &origin(), &update(), style);
        let worked = "10 50 72 6f 64 75 63 74 32 \
                      02 24 30 31 74 35 38 30 30 30 30 30 33 78 59 7a 41 41 41 55 00 02 00 08 74 78 2d 31 02 \
                      90 f8 a7 a4 be 67 92 9d 8c fc 98 86 05 \
                      24 30 30 35 35 38 30 30 30 30 30 30 79 46 79 44 41 41 55 \
                      02 08 30 78 30 34 00 00 02 08 30 78 31 41 00 \
                      02 10 46 69 62 72 65 20 32 47 00 02 01 02 90 f8 a7 a4 be 67";
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.join(" "), worked);
        assert_eq!(bytes.len(), 105);
    }

    #[test]
    fn a_nulled_field_is_changed_too_where_that_is_the_style() {
        let style = Style { nulled_in_changed: true, text_diffs: true };
        let bytes = encode(&schema(), &origin(), &update(), style);
        assert!(bytes.windows(4).any(|text| text == b"0x1E"));
    }

    #[test]
    fn a_masked_event_differs_in_nothing_but_the_value() {
        let style = Style { nulled_in_changed: false, text_diffs: true };
        let schema = schema();
        let whole = encode(&schema, &origin(), &update(), style);
        let masked = mask(&schema, &whole, |source, _| matches!(source, Source::Field(1, _))).unwrap();
        let mut without = update();
        without.values.retain(|(at, _)| *at != 1);
        let unnamed = encode(&schema, &origin(), &without, style);
        assert_eq!(masked.len(), unnamed.len());
        assert!(masked.windows(4).any(|text| text == b"0x1A"));
        assert!(!masked.windows(5).any(|text| text == b"Fibre"));
        assert_eq!(mask(&schema, &whole[..20], |_, _| false), None);
    }
}
