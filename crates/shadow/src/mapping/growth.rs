//! What a mapping gained since the rows of its table were read: fields that came can be read on the side.

use serde::{Deserialize, Serialize};

use super::{ColumnMapping, ColumnSource, ResolvedMapping, SelectedField};
use crate::describe::FieldType;
use crate::side;

/// What the rows of a table hold: kept beside them, so that what a mapping gained later can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFields {
    fields: Vec<HeldField>,
    deciding: Vec<HeldColumn>,
    active_first: bool,
}

/// A field that every row's payload has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HeldField {
    name: String,
    field_type: FieldType,
    scale: u32,
}

/// A column that decides where a record stands, and the fields that filled it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HeldColumn {
    column: ColumnMapping,
    sources: Vec<String>,
}

impl HeldField {
    fn of(field: &SelectedField) -> Self {
        Self { name: field.name.clone(), field_type: field.field_type, scale: field.scale }
    }
}

impl ResolvedMapping {
    /// What rows hold that are written with this mapping.
    pub fn held(&self) -> HeldFields {
        let mapping = &self.mapping;
        let parent = mapping.parent.as_ref().map(|parent| parent.column.as_str());
        let decides = |column: &ColumnMapping| {
            mapping.unique.as_deref() == Some(column.name.as_str()) || parent == Some(column.name.as_str())
        };
        let deciding = mapping.columns.iter().zip(&self.columns).filter(|(column, _)| decides(column));
        let named = |source: &ColumnSource| match source {
            ColumnSource::Fields(places) => {
                places.iter().map(|place| self.fields[*place].name.clone()).collect()
            }
            ColumnSource::Constant(_) | ColumnSource::Null => Vec::new(),
        };
        HeldFields {
            fields: self.fields.iter().map(HeldField::of).collect(),
            deciding: deciding
                .map(|(column, source)| HeldColumn { column: column.clone(), sources: named(source) })
                .collect(),
            active_first: mapping.active_first,
        }
    }

    /// The fields that this mapping has beside those that its rows hold. None if more than that is different: a field
    /// went or is of another type, or what decides on unique values and parents changed; then records are read whole.
    pub fn gained(&self, held: &HeldFields) -> Option<Vec<&str>> {
        let now = self.held();
        let is_kept = held.fields.iter().all(|field| now.fields.contains(field));
        if !is_kept || now.deciding != held.deciding || now.active_first != held.active_first {
            return None;
        }
        let is_new = |field: &&SelectedField| !held.fields.iter().any(|known| known.name == field.name);
        let gained: Vec<&str> = self.fields.iter().filter(is_new).map(|field| field.name.as_str()).collect();
        side::may_bring(self, &gained).then_some(gained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{FieldInfo, ObjectInfo};
    use crate::ids::ObjectName;
    use crate::mapping::{Mapping, OrgFacts, resolve};

    fn product(more: &[FieldInfo]) -> ResolvedMapping {
        let mut fields = vec![
            FieldInfo::new("Id", FieldType::Id),
            FieldInfo::new("SystemModstamp", FieldType::DateTime),
            FieldInfo::new("CreatedDate", FieldType::DateTime),
            FieldInfo::new("Name", FieldType::Text),
            FieldInfo::new("ProductCode", FieldType::Text),
        ];
        fields.extend(more.iter().cloned());
        let info = ObjectInfo { name: ObjectName::product(), key_prefix: None, fields };
        let all = Mapping::built_in();
        resolve(&all[0], &all, &info, &OrgFacts::default()).unwrap()
    }

    #[test]
    fn fields_that_came_are_gained_columns_among_them() {
        let held = product(&[]).held();
        let tier = FieldInfo::new("Plan_Tier__c", FieldType::Text);
        let more = product(&[tier.clone(), FieldInfo::new("Note__c", FieldType::Text)]);
        assert_eq!(more.gained(&held).unwrap(), ["Note__c", "Plan_Tier__c"]);
        assert_eq!(more.gained(&more.held()).unwrap(), [] as [&str; 0]);
        // It is kept as JSON.
        let kept: HeldFields = serde_json::from_value(serde_json::to_value(&held).unwrap()).unwrap();
        assert_eq!(kept, held);
    }

    #[test]
    fn what_went_or_changed_or_decides_on_a_sku_wants_whole_records() {
        let number = |kind: FieldType, scale| product(&[FieldInfo::new("Number__c", kind).digits(18, scale)]);
        let held = number(FieldType::Decimal, 2).held();
        assert_eq!(product(&[]).gained(&held), None);
        assert_eq!(number(FieldType::Integer, 2).gained(&held), None);
        assert_eq!(number(FieldType::Decimal, 3).gained(&held), None);
        let sku = product(&[FieldInfo::new("StockKeepingUnit", FieldType::Text)]);
        assert_eq!(sku.gained(&product(&[]).held()), None);
    }
}
