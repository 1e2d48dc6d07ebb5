//! The fields of a mapping, and how an event's values are laid over a record's.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::event::{EventValue, FieldChange};
use crate::event_text::event_text;
use crate::ids::RecordId;
use crate::mapping::{ResolvedMapping, SelectedField};
use crate::rows::{FieldText, json_fields};
use crate::value::parse_moment;

/// The fields of a mapping, by name.
#[derive(Debug)]
pub struct Fields<'m> {
    pub(super) mapping: &'m ResolvedMapping,
    columns: Vec<Box<str>>,
    by_name: HashMap<String, usize>,
    last_modified_date: &'static str,
    /// Whether events carry everything that is selected, but for what every event lacks and we know.
    whole_in_events: bool,
}

impl<'m> Fields<'m> {
    /// The fields of a mapping.
    pub fn of(mapping: &'m ResolvedMapping) -> Self {
        let known = |place: usize| {
            place == mapping.always.system_modstamp
                || place == mapping.always.id
                || Some(place) == mapping.always.is_deleted
        };
        let whole =
            |(place, field): (usize, &SelectedField)| field.in_events || field.is_frozen || known(place);
        Self {
            mapping,
            columns: mapping.payload_names().map(Box::from).collect(),
            by_name: mapping
                .payload_names()
                .enumerate()
                .map(|(place, name)| (name.to_ascii_lowercase(), place))
                .collect(),
            last_modified_date: "LastModifiedDate",
            whole_in_events: mapping.fields.iter().enumerate().all(whole),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// Whether a value that events carry is withheld: the field is seen no more, and nobody was told yet. Of fields that are
    /// known to be out of sight nothing else is expected.
    pub(super) fn misses(&self, changes: &[FieldChange]) -> bool {
        changes
            .iter()
            .filter(|change| change.value == EventValue::Withheld)
            .any(|change| self.place(&change.name).is_some_and(|place| self.mapping.fields[place].in_events))
    }

    /// Lays changed values over a record. Fields that are not selected, and those that no event carries, stay.
    pub(super) fn lay_over<'a>(
        &self,
        changes: &'a [FieldChange],
        texts: &mut [Option<Cow<'a, str>>],
        moved: &mut Vec<usize>,
    ) {
        for change in changes {
            let Some(place) = self.place(&change.name) else { continue };
            let field = &self.mapping.fields[place];
            let text = event_text(field.field_type, field.scale, &change.value);
            // Without its id and its times there is no record; they are never changed to what cannot be read.
            let is_lost = place == self.mapping.always.id
                || (place == self.mapping.always.created_date && !is_moment(text.as_deref()));
            if field.in_events && !is_lost && texts[place] != text {
                texts[place] = text;
                moved.push(place);
            }
        }
    }

    /// The texts of a stored record; `None` if it lacks a field that is selected now. A frozen one that it never had is
    /// null.
    pub(super) fn texts_of<'a>(&self, payload: &'a str) -> Option<Vec<Option<Cow<'a, str>>>> {
        let fields = json_fields(&self.columns, payload).ok()?;
        fields
            .into_iter()
            .zip(&self.mapping.fields)
            .map(|(field, selected)| match field {
                FieldText::Absent if selected.is_frozen => Some(None),
                FieldText::Absent => None,
                FieldText::Null => Some(None),
                FieldText::Text(text) => Some(Some(text)),
            })
            .collect()
    }

    /// A record from an event that carries all of it; `None` if it does not.
    pub(super) fn whole<'a>(
        &self,
        id: &RecordId,
        body: &'a [FieldChange],
    ) -> Option<Vec<Option<Cow<'a, str>>>> {
        if !self.whole_in_events {
            return None;
        }
        let mut texts = vec![None; self.columns.len()];
        self.lay_over(body, &mut texts, &mut Vec::new());
        let always = &self.mapping.always;
        texts[always.id] = Some(Cow::Owned(id.to_string()));
        // No event carries the stamp. That of the last change by a user is never later than it.
        let modified =
            body.iter().find(|change| change.name.eq_ignore_ascii_case(self.last_modified_date))?;
        let stamp = &self.mapping.fields[always.system_modstamp];
        let stamp = event_text(stamp.field_type, 0, &modified.value);
        texts[always.system_modstamp] = Some(stamp.filter(|text| is_moment(Some(text)))?);
        if let Some(place) = always.is_deleted {
            texts[place] = Some(Cow::Borrowed("false"));
        }
        texts[always.created_date].is_some().then_some(texts)
    }
}

fn is_moment(text: Option<&str>) -> bool {
    text.and_then(parse_moment).is_some()
}
