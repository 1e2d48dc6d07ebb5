//! What an event says of its records' values, and when it says too little.

use shadow::event::{ChangeKind, EventBody, EventValue, FieldChange, WhyFetch};

use super::{
    bitmap::{self, Misfit},
    datum::{Datum, Raw},
    layout::{Field, Layout},
};

/// Decides what of an event's values counts. `datum` loses its values and keeps its header.
pub(super) fn of(layout: &Layout, datum: &mut Datum) -> EventBody {
    let values = Values(std::mem::take(&mut datum.values));
    let body = match datum.header.kind() {
        ChangeKind::Create | ChangeKind::Undelete => whole(layout, values),
        ChangeKind::Update => patch(layout, datum, values),
        ChangeKind::Delete => Ok(EventBody::Nothing),
        ChangeKind::GapCreate
        | ChangeKind::GapUpdate
        | ChangeKind::GapDelete
        | ChangeKind::GapUndelete
        | ChangeKind::Overflow
        | ChangeKind::Unknown => Err(WhyFetch::Gap),
    };
    body.unwrap_or_else(EventBody::Fetch)
}

impl From<Misfit> for WhyFetch {
    fn from(_: Misfit) -> Self {
        Self::Bitmap
    }
}

/// The event's values that are not null, sorted by position.
struct Values(Vec<(usize, Raw)>);

impl Values {
    /// Takes the value of a field out; null where there is none.
    fn take(&mut self, position: usize) -> Raw {
        match self.0.binary_search_by_key(&position, |(position, _)| *position) {
            Ok(found) => std::mem::take(&mut self.0[found].1),
            Err(_) => Raw::Null,
        }
    }

    /// Takes the value of a part out.
    fn take_part(&mut self, position: usize, part: usize) -> Result<Raw, WhyFetch> {
        let Ok(found) = self.0.binary_search_by_key(&position, |(position, _)| *position) else {
            return Ok(Raw::Null);
        };
        match &mut self.0[found].1 {
            Raw::Null => Ok(Raw::Null),
            Raw::Parts(parts) => Ok(match parts.binary_search_by_key(&part, |(part, _)| *part) {
                Ok(found) => std::mem::take(&mut parts[found].1),
                Err(_) => Raw::Null,
            }),
            _ => Err(WhyFetch::Bitmap),
        }
    }
}

/// Every value that is there.
fn whole(layout: &Layout, values: Values) -> Result<EventBody, WhyFetch> {
    let mut changes = Vec::with_capacity(values.0.len());
    for (position, value) in values.0 {
        let field = layout.fields.get(position).ok_or(WhyFetch::Bitmap)?;
        match value {
            Raw::Parts(parts) => {
                for (part, value) in parts {
                    push_part(field, part, value, &mut changes)?;
                }
            }
            value => push(field, value, &mut changes)?,
        }
    }
    Ok(EventBody::Whole(changes))
}

/// The changed and the nulled fields, and no others: everything else is null in the event without having changed.
fn patch(layout: &Layout, datum: &Datum, mut values: Values) -> Result<EventBody, WhyFetch> {
    let header = &datum.header;
    if let Some(first) = bitmap::read(&header.differences, layout)?.first() {
        return Err(in_pieces(&layout.fields[first.field]));
    }
    let nulled = bitmap::read(&header.nulled, layout)?;
    let mut places = bitmap::read(&header.changed, layout)?;
    places.extend_from_slice(&nulled);
    places.sort_unstable();
    places.dedup();
    // An update always names its time at least. One that names nothing does not say what changed.
    if places.is_empty() || places.iter().any(|place| Some(place.field) == layout.header) {
        return Err(WhyFetch::Bitmap);
    }

    let mut changes = Vec::with_capacity(places.len());
    let mut whole_field = None;
    for place in places {
        let field = &layout.fields[place.field];
        let is_nulled = nulled.binary_search(&place).is_ok();
        let before = changes.len();
        let value = match place.part {
            None => values.take(place.field),
            // The field as a whole sorts before its parts, and has brought them all.
            Some(_) if whole_field == Some(place.field) => continue,
            Some(part) => values.take_part(place.field, part)?,
        };
        // What became null is listed as nulled. A changed field without a value that is not listed there is hidden from
        // who subscribed: its bit stays, its value does not come.
        let is_withheld = value == Raw::Null && !is_nulled;
        match place.part {
            None => {
                whole_field = Some(place.field);
                patch_field(field, value, is_nulled, &mut changes)?;
            }
            Some(part) => {
                refuse_contradiction(&value, is_nulled)?;
                push_part(field, part, value, &mut changes)?;
            }
        }
        if is_withheld {
            changes[before..].iter_mut().for_each(|change| change.value = EventValue::Withheld);
        }
    }
    Ok(EventBody::Patch(changes))
}

fn patch_field(
    field: &Field,
    value: Raw,
    is_nulled: bool,
    changes: &mut Vec<FieldChange>,
) -> Result<(), WhyFetch> {
    refuse_contradiction(&value, is_nulled)?;
    let (Some(parts), Raw::Parts(_) | Raw::Null) = (&field.parts, &value) else {
        return push(field, value, changes);
    };
    let mut present = match value {
        Raw::Parts(present) => present,
        _ => Vec::new(),
    };
    for part in 0..parts.len() {
        let value = match present.binary_search_by_key(&part, |(part, _)| *part) {
            Ok(found) => std::mem::take(&mut present[found].1),
            Err(_) => Raw::Null,
        };
        push_part(field, part, value, changes)?;
    }
    Ok(())
}

/// A value that is there and was nulled at the same time: nobody knows which of the two holds.
fn refuse_contradiction(value: &Raw, is_nulled: bool) -> Result<(), WhyFetch> {
    if is_nulled && *value != Raw::Null { Err(WhyFetch::Bitmap) } else { Ok(()) }
}

fn push(field: &Field, value: Raw, changes: &mut Vec<FieldChange>) -> Result<(), WhyFetch> {
    let value = event_value(field, value)?;
    changes.push(FieldChange { name: field.name.clone(), value });
    Ok(())
}

fn push_part(field: &Field, part: usize, value: Raw, changes: &mut Vec<FieldChange>) -> Result<(), WhyFetch> {
    // A person's whole name is put together by Salesforce, in an order that the event does not tell.
    if field.plain || field.name == "Name" {
        return Err(in_pieces(field));
    }
    let part = field.parts.as_deref().and_then(|parts| parts.get(part)).ok_or(WhyFetch::Bitmap)?;
    if let Some(name) = part.flat.clone() {
        changes.push(FieldChange { name, value: event_value(field, value)? });
    }
    Ok(())
}

fn event_value(field: &Field, value: Raw) -> Result<EventValue, WhyFetch> {
    Ok(match value {
        Raw::Null => EventValue::Null,
        Raw::Boolean(value) => EventValue::Boolean(value),
        Raw::Whole(value) if field.micros => EventValue::Whole(value.div_euclid(1000)),
        Raw::Whole(value) => EventValue::Whole(value),
        Raw::Double(value) => EventValue::Double(value),
        Raw::Text(value) => EventValue::Text(value),
        Raw::Parts(_) | Raw::List(_) | Raw::Other => return Err(in_pieces(field)),
    })
}

/// The field came in a form from which its value cannot be made.
fn in_pieces(field: &Field) -> WhyFetch {
    WhyFetch::Difference { field: field.name.clone() }
}
