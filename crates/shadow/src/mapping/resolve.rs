//! A mapping held against one org.

use std::sync::Arc;

use super::{
    ALWAYS_READ, AlwaysRead, ColumnMapping, ColumnSource, Fallback, Finding, Mapping, OrgFacts,
    PayloadFields, ResolvedMapping, SelectedField, Unmappable,
};
use crate::derived;
use crate::describe::ObjectInfo;

/// Holds a mapping against what the org's describe shows to the sync user.
///
/// - **`all`:** every mapping of the environment; parents and children are found among them.
/// - **Errors:** [`Unmappable`] if `Id`, `SystemModstamp`, `CreatedDate`, a required column's fields or the
///   currency are missing. A missing field of another column is a finding; the column stays null.
pub fn resolve(
    mapping: &Mapping,
    all: &[Mapping],
    info: &ObjectInfo,
    org: &OrgFacts,
) -> Result<ResolvedMapping, Unmappable> {
    resolve_keeping(mapping, all, info, org, &[])
}

/// The same for an object that was resolved before: fields that were selected then and that the sync user may no longer
/// see are frozen. Records keep their last values, in column and payload.
///
/// - **`former`:** the fields of the mapping as it was resolved last.
pub fn resolve_keeping(
    mapping: &Mapping,
    all: &[Mapping],
    info: &ObjectInfo,
    org: &OrgFacts,
    former: &[SelectedField],
) -> Result<ResolvedMapping, Unmappable> {
    let mut resolver = Resolver { mapping, info, findings: Vec::new() };
    let fields = resolver.selected_fields(former);
    let columns = mapping.columns.iter().map(|column| resolver.column(column, &fields, org)).collect();
    let place = |name: &str| fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
    let always = AlwaysRead {
        id: place("Id").unwrap_or_default(),
        system_modstamp: place("SystemModstamp").unwrap_or_default(),
        created_date: place("CreatedDate").unwrap_or_default(),
        is_deleted: place("IsDeleted"),
    };
    let Resolver { findings, .. } = resolver;
    if findings.iter().any(|finding| finding.blocks) {
        return Err(Unmappable { object: mapping.object.clone(), findings });
    }
    let parent = mapping
        .parent
        .as_ref()
        .and_then(|parent| all.iter().find(|other| other.object == parent.object).cloned().map(Arc::new));
    let children = all
        .iter()
        .filter(|other| other.parent.as_ref().is_some_and(|parent| parent.object == mapping.object))
        .cloned()
        .map(Arc::new)
        .collect();
    Ok(ResolvedMapping {
        mapping: Arc::new(mapping.clone()),
        parent,
        children,
        fields,
        columns,
        always,
        findings,
    })
}

/// Collects what is found while a mapping is resolved.
struct Resolver<'a> {
    mapping: &'a Mapping,
    info: &'a ObjectInfo,
    findings: Vec<Finding>,
}

impl Resolver<'_> {
    fn find(&mut self, field: &str, blocks: bool, message: String) {
        self.findings.push(Finding {
            object: self.mapping.object.clone(),
            field: field.to_owned(),
            blocks,
            message,
        });
    }

    /// The fields to select: always-read ones, sources of columns, and those for the payload alone.
    fn selected_fields(&mut self, former: &[SelectedField]) -> Vec<SelectedField> {
        for name in ALWAYS_READ {
            if self.info.field(name).is_none() && name != "IsDeleted" {
                let message = format!(
                    "the sync user cannot see {}.{name}, without which nothing can be loaded",
                    self.mapping.object
                );
                self.find(name, true, message);
            }
        }
        if let PayloadFields::List(list) = &self.mapping.payload_fields {
            for name in list {
                if self.info.field(name).is_none() {
                    let message = format!(
                        "{}.{name} does not exist or is hidden from the sync user: raw_payload goes without it",
                        self.mapping.object
                    );
                    self.find(name, false, message);
                }
            }
        }
        let mut fields: Vec<SelectedField> = self
            .info
            .fields
            .iter()
            .filter(|field| field.field_type.is_selectable() && self.is_selected(&field.name))
            .map(|field| SelectedField {
                name: field.name.clone(),
                field_type: field.field_type,
                scale: field.scale,
                in_events: derived::in_events(&self.mapping.object, field),
                is_frozen: false,
            })
            .collect();
        for field in former {
            if self.info.field(&field.name).is_none() && self.is_selected(&field.name) {
                let message = format!(
                    "{}.{} is hidden from the sync user: it keeps its last values",
                    self.mapping.object, field.name
                );
                self.find(&field.name, false, message);
                fields.push(SelectedField { in_events: false, is_frozen: true, ..field.clone() });
            }
        }
        // Describe's own order may differ between two calls; the order of names does not.
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields
    }

    fn is_selected(&self, field: &str) -> bool {
        let named = |name: &str| field.eq_ignore_ascii_case(name);
        let mapped =
            || self.mapping.columns.iter().flat_map(|column| &column.sources).any(|source| named(source));
        ALWAYS_READ.into_iter().any(named)
            || match &self.mapping.payload_fields {
                PayloadFields::All => true,
                PayloadFields::Mapped => mapped(),
                PayloadFields::List(list) => mapped() || list.iter().any(|name| named(name)),
            }
    }

    /// What fills a column; notes what the org lacks.
    fn column(&mut self, column: &ColumnMapping, fields: &[SelectedField], org: &OrgFacts) -> ColumnSource {
        let object = &self.mapping.object;
        let places: Vec<usize> = column
            .sources
            .iter()
            .filter_map(|source| fields.iter().position(|field| field.name.eq_ignore_ascii_case(source)))
            .collect();
        // A column that must not be empty needs a field that new records bring, too.
        if places.iter().any(|place| !column.required || !fields[*place].is_frozen) {
            return ColumnSource::Fields(places);
        }
        let named =
            column.sources.iter().map(|source| format!("{object}.{source}")).collect::<Vec<_>>().join(" or ");
        match (column.fallback, &org.currency) {
            (Fallback::OrgCurrency, _) if org.multi_currency => {
                self.find(
                    &column.name,
                    true,
                    format!("the org keeps a currency per record, but {named} is hidden from the sync user"),
                );
            }
            (Fallback::OrgCurrency, Some(currency)) => return ColumnSource::Constant(currency.clone()),
            (Fallback::OrgCurrency, None) => {
                self.find(&column.name, true, format!("{named} does not exist and the org does not say its currency: set `currency` in the configuration"));
            }
            (Fallback::Null, _) if column.required => {
                self.find(&column.name, true, format!("{named} does not exist or is hidden from the sync user, and the column {} cannot be empty", column.name));
            }
            (Fallback::Null, _) => {
                self.find(
                    &column.name,
                    false,
                    format!(
                        "{named} does not exist or is hidden from the sync user: the column {} stays null",
                        column.name
                    ),
                );
            }
        }
        ColumnSource::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{FieldInfo, FieldType};
    use crate::ids::ObjectName;

    fn info(object: &str, fields: &[(&str, FieldType)]) -> ObjectInfo {
        ObjectInfo {
            name: ObjectName::parse(object).unwrap(),
            key_prefix: None,
            fields: fields.iter().map(|(name, field_type)| FieldInfo::new(name, *field_type)).collect(),
        }
    }

    fn product_info() -> ObjectInfo {
        info(
            "Product2",
            &[
                ("Id", FieldType::Id),
                ("Name", FieldType::Text),
                ("ProductCode", FieldType::Text),
                ("CreatedDate", FieldType::DateTime),
                ("SystemModstamp", FieldType::DateTime),
                ("IsDeleted", FieldType::Boolean),
                ("Family", FieldType::Text),
                ("Where__c", FieldType::Compound),
            ],
        )
    }

    fn entry_info() -> ObjectInfo {
        info(
            "PricebookEntry",
            &[
                ("Id", FieldType::Id),
                ("CreatedDate", FieldType::DateTime),
                ("SystemModstamp", FieldType::DateTime),
                ("IsDeleted", FieldType::Boolean),
                ("Product2Id", FieldType::Reference),
                ("Pricebook2Id", FieldType::Reference),
                ("UnitPrice", FieldType::Decimal),
                ("IsActive", FieldType::Boolean),
            ],
        )
    }

    #[test]
    fn fields_are_selected_by_name_order_without_compound_ones() {
        let all = Mapping::built_in();
        let resolved = resolve(&all[0], &all, &product_info(), &OrgFacts::default()).unwrap();
        assert_eq!(
            resolved.soql(None),
            "SELECT CreatedDate,Family,Id,IsDeleted,Name,ProductCode,SystemModstamp FROM Product2"
        );
        assert_eq!(resolved.children[0].object.as_str(), "PricebookEntry");
    }

    #[test]
    fn a_field_that_the_org_lacks_leaves_its_column_null_and_is_told() {
        let all = Mapping::built_in();
        let resolved = resolve(&all[0], &all, &product_info(), &OrgFacts::default()).unwrap();
        assert_eq!(resolved.columns[2], ColumnSource::Null);
        assert_eq!(resolved.findings.len(), 4);
        assert!(resolved.findings.iter().all(|finding| !finding.blocks));
    }

    #[test]
    fn an_object_without_a_stamp_cannot_be_loaded() {
        let mut info = product_info();
        info.fields.retain(|field| field.name != "SystemModstamp");
        let all = Mapping::built_in();
        let error = resolve(&all[0], &all, &info, &OrgFacts::default()).unwrap_err();
        assert!(error.to_string().contains("SystemModstamp"), "{error}");
    }

    #[test]
    fn the_currency_is_never_guessed() {
        let all = Mapping::built_in();
        let euro = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
        let resolved = resolve(&all[1], &all, &entry_info(), &euro).unwrap();
        assert_eq!(resolved.columns[3], ColumnSource::Constant("EUR".to_owned()));
        assert!(resolve(&all[1], &all, &entry_info(), &OrgFacts::default()).is_err());
        let hidden = OrgFacts { multi_currency: true, ..euro };
        assert!(resolve(&all[1], &all, &entry_info(), &hidden).is_err());
    }

    #[test]
    fn an_account_shows_only_its_mapped_fields() {
        let all = Mapping::built_in();
        let mut account = product_info();
        account.name = ObjectName::account();
        account.fields.push(FieldInfo::new("Internet_Eligibility__c", FieldType::Text));
        let resolved = resolve(&all[2], &all, &account, &OrgFacts::default()).unwrap();
        assert_eq!(
            resolved.field_names().collect::<Vec<_>>(),
            ["CreatedDate", "Id", "Internet_Eligibility__c", "IsDeleted", "SystemModstamp"]
        );
    }

    #[test]
    fn a_field_that_the_user_may_no_longer_see_is_frozen_and_not_selected() {
        let all = Mapping::built_in();
        let mut info = product_info();
        info.fields.push(FieldInfo::new("Plan_Tier__c", FieldType::Text));
        let before = resolve(&all[0], &all, &info, &OrgFacts::default()).unwrap();
        info.fields.retain(|field| !matches!(field.name.as_str(), "Plan_Tier__c" | "Family"));
        let after = resolve_keeping(&all[0], &all, &info, &OrgFacts::default(), &before.fields).unwrap();
        assert_eq!(after.frozen_names().collect::<Vec<_>>(), ["Family", "Plan_Tier__c"]);
        assert_eq!(after.payload_names().collect::<Vec<_>>(), before.payload_names().collect::<Vec<_>>());
        assert!(!after.soql(None).contains("Family"), "{}", after.soql(None));
        // Rows are not read again because of it, and the column keeps its source.
        assert_eq!((after.shape(), &after.columns[4]), (before.shape(), &before.columns[4]));
        // Frozen stays frozen, seen again thaws.
        let again = resolve_keeping(&all[0], &all, &info, &OrgFacts::default(), &after.fields).unwrap();
        assert_eq!(again.fields, after.fields);
        info.fields.push(FieldInfo::new("Family", FieldType::Text));
        let seen = resolve_keeping(&all[0], &all, &info, &OrgFacts::default(), &after.fields).unwrap();
        assert_eq!(seen.frozen_names().collect::<Vec<_>>(), ["Plan_Tier__c"]);
    }

    #[test]
    fn a_column_that_must_not_be_empty_is_not_filled_by_a_frozen_field_alone() {
        let all = Mapping::built_in();
        let euro = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
        let before = resolve(&all[1], &all, &entry_info(), &euro).unwrap();
        let mut info = entry_info();
        info.fields.retain(|field| field.name != "UnitPrice");
        assert!(resolve_keeping(&all[1], &all, &info, &euro, &before.fields).is_err());
    }
}
