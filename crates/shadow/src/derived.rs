//! What a record shows of other records, which neither its stamp nor its events tell.
//!
//! - **Source:** Salesforce's guides of Change Data Capture and of the objects: formulas and values derived from other
//!   data are in no event; an entry shows its product's name and code, and may follow the standard price.

use crate::describe::FieldInfo;
use crate::ids::ObjectName;

/// Fields that no event carries, whatever the object.
const NEVER: [&str; 6] =
    ["SystemModstamp", "IsDeleted", "LastViewedDate", "LastReferencedDate", "LastActivityDate", "PhotoUrl"];

/// What an entry shows of its product.
const OF_THE_PRODUCT: [&str; 2] = ["Name", "ProductCode"];

/// Whether change events carry a field's changes.
pub fn in_events(object: &ObjectName, field: &FieldInfo) -> bool {
    let is_among = |names: &[&str]| names.iter().any(|name| field.name.eq_ignore_ascii_case(name));
    let derives = *object == ObjectName::pricebook_entry() && is_among(&OF_THE_PRODUCT);
    !field.calculated && !is_among(&NEVER) && !derives
}

/// Which fields of a parent its children show as their own: a change of one makes the children be read again. Empty
/// if the child shows nothing of it.
pub fn shown_by_children(parent: &ObjectName, child: &ObjectName) -> &'static [&'static str] {
    if *parent == ObjectName::product() && *child == ObjectName::pricebook_entry() {
        &["Name", "ProductCode", "IsArchived"]
    } else {
        &[]
    }
}

/// A value that siblings, children of one parent, may take from one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedValue {
    /// The field that says whether a record takes it from its sibling.
    pub follows: &'static str,
    /// The field with the value.
    pub value: &'static str,
}

/// The value that records of an object may take from a sibling: an entry that uses the standard price.
pub fn shared_value(object: &ObjectName) -> Option<SharedValue> {
    let standard_price = SharedValue { follows: "UseStandardPrice", value: "UnitPrice" };
    (*object == ObjectName::pricebook_entry()).then_some(standard_price)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::FieldType;

    fn carried(object: &ObjectName, name: &str) -> bool {
        in_events(object, &FieldInfo::new(name, FieldType::Text))
    }

    #[test]
    fn an_entrys_name_is_its_products_and_in_no_event() {
        assert!(!carried(&ObjectName::pricebook_entry(), "Name"));
        assert!(!carried(&ObjectName::pricebook_entry(), "ProductCode"));
        assert!(carried(&ObjectName::product(), "Name"));
        assert!(!carried(&ObjectName::account(), "systemmodstamp"));
    }

    #[test]
    fn a_formula_is_in_no_event() {
        let mut field = FieldInfo::new("Total__c", FieldType::Decimal);
        assert!(in_events(&ObjectName::account(), &field));
        field.calculated = true;
        assert!(!in_events(&ObjectName::account(), &field));
    }

    #[test]
    fn entries_show_their_products_name_and_may_follow_a_price() {
        let (product, entry) = (ObjectName::product(), ObjectName::pricebook_entry());
        assert!(shown_by_children(&product, &entry).contains(&"Name"));
        assert_eq!(shown_by_children(&entry, &product), [] as [&str; 0]);
        assert!(shared_value(&entry).is_some() && shared_value(&product).is_none());
    }
}
