//! What users may see: object and field permissions, taken away and given back at run time.

use std::collections::HashSet;

use super::Org;
use crate::{error::Error, ids::RecordId, lock::lock, schema::Schema, soql::Access};

/// What is hidden, by names in lower case; without a user, from everybody.
#[derive(Default)]
pub(super) struct Permissions {
    objects: HashSet<(Option<RecordId>, String)>,
    fields: HashSet<(Option<RecordId>, String, String)>,
    /// Objects of which only some records may be seen; their events come to nobody.
    some_records: HashSet<String>,
}

impl Permissions {
    pub(super) fn access(&self, user: RecordId, schema: &Schema) -> Access {
        let concerns = |whom: &Option<RecordId>| whom.is_none_or(|whom| whom == user);
        let hidden_objects = self
            .objects
            .iter()
            .filter(|(whom, _)| concerns(whom))
            .filter_map(|(_, object)| schema.object(object));
        let hidden_fields =
            self.fields.iter().filter(|(whom, ..)| concerns(whom)).filter_map(|(_, object, field)| {
                let object = schema.object(object)?;
                Some((object, schema.objects[object].field(field)?))
            });
        Access { hidden_objects: hidden_objects.collect(), hidden_fields: hidden_fields.collect() }
    }
}

impl Org {
    /// Takes an object away from everybody, or gives it back.
    pub fn set_object_visible(&self, object: &str, visible: bool) {
        set(&mut lock(&self.permissions).objects, (None, object.to_lowercase()), !visible);
    }

    /// Takes *View All Records* of an object from everybody, or gives it back: queries go on, events do not.
    pub fn set_view_all(&self, object: &str, all: bool) {
        set(&mut lock(&self.permissions).some_records, object.to_lowercase(), !all);
    }

    /// The objects of which users may not see all records, in lower case.
    pub(crate) fn without_view_all(&self) -> Vec<String> {
        lock(&self.permissions).some_records.iter().cloned().collect()
    }

    /// Takes a field away from everybody, or gives it back.
    pub fn set_field_visible(&self, object: &str, field: &str, visible: bool) {
        let entry = (None, object.to_lowercase(), field.to_lowercase());
        set(&mut lock(&self.permissions).fields, entry, !visible);
    }

    /// Takes a field away from one user, or gives it back.
    pub fn set_field_visible_to(
        &self,
        username: &str,
        object: &str,
        field: &str,
        visible: bool,
    ) -> Result<(), Error> {
        let user = self
            .user_by_name(username)
            .ok_or_else(|| Error::NoRecord { object: "User".to_owned(), id: username.to_owned() })?;
        let entry = (Some(user), object.to_lowercase(), field.to_lowercase());
        set(&mut lock(&self.permissions).fields, entry, !visible);
        Ok(())
    }

    /// What is hidden from everybody, as `Object` or `Object.Field`, in the names of describe.
    pub fn hidden(&self) -> Vec<String> {
        let data = self.snapshot();
        let access = lock(&self.permissions).access(RecordId::org(0), &data.schema);
        let name = |object: usize| data.object(object).name.clone();
        let objects = access.hidden_objects.iter().map(|object| name(*object));
        let fields = access
            .hidden_fields
            .iter()
            .map(|(object, field)| format!("{}.{}", name(*object), data.object(*object).fields[*field].name));
        let mut hidden: Vec<String> = objects.chain(fields).collect();
        hidden.sort();
        hidden
    }
}

fn set<T: std::hash::Hash + Eq>(all: &mut HashSet<T>, entry: T, present: bool) {
    if present {
        all.insert(entry);
    } else {
        all.remove(&entry);
    }
}
