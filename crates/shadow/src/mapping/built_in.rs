//! The three built-in mappings.

use super::{ColumnKind, ColumnMapping, Fallback, Mapping, ParentReference, PayloadFields};
use crate::ids::ObjectName;

impl Mapping {
    /// `Product2` to `sf_product_shadow`.
    pub fn product() -> Self {
        Self {
            object: ObjectName::product(),
            table: "sf_product_shadow".to_owned(),
            key: "product_id".to_owned(),
            columns: vec![
                required("sku", &["StockKeepingUnit", "ProductCode"], ColumnKind::Text),
                required("name", &["Name"], ColumnKind::Text),
                optional("item_class", "Item_Class__c"),
                optional("offering_type", "Offering_Type__c"),
                optional("plan_tier", "Plan_Tier__c"),
                optional("vpn_region", "VPN_Region__c"),
            ],
            unique: Some("sku".to_owned()),
            parent: None,
            payload_fields: PayloadFields::All,
            active_first: false,
        }
    }

    /// `PricebookEntry` to `sf_pricebook_shadow`.
    pub fn pricebook_entry() -> Self {
        Self {
            object: ObjectName::pricebook_entry(),
            table: "sf_pricebook_shadow".to_owned(),
            key: "pricebook_entry_id".to_owned(),
            columns: vec![
                required("product_id", &["Product2Id"], ColumnKind::Text),
                required("pricebook_id", &["Pricebook2Id"], ColumnKind::Text),
                required("unit_price", &["UnitPrice"], ColumnKind::Numeric { precision: 12, scale: 2 }),
                ColumnMapping {
                    fallback: Fallback::OrgCurrency,
                    ..required("currency_iso_code", &["CurrencyIsoCode"], ColumnKind::Text)
                },
                required("is_active", &["IsActive"], ColumnKind::Boolean),
            ],
            unique: None,
            parent: Some(ParentReference { column: "product_id".to_owned(), object: ObjectName::product() }),
            payload_fields: PayloadFields::All,
            active_first: false,
        }
    }

    /// `Account` to `sf_account_eligibility_shadow`. Its payload holds only mapped fields: accounts hold
    /// people's data.
    pub fn account() -> Self {
        Self {
            object: ObjectName::account(),
            table: "sf_account_eligibility_shadow".to_owned(),
            key: "account_id".to_owned(),
            columns: vec![
                optional("internet_eligibility", "Internet_Eligibility__c"),
                optional("eligibility_source", "Eligibility_Source__c"),
            ],
            unique: None,
            parent: None,
            payload_fields: PayloadFields::Mapped,
            active_first: false,
        }
    }

    /// The three built-in mappings, parents before their children.
    pub fn built_in() -> Vec<Self> {
        vec![Self::product(), Self::pricebook_entry(), Self::account()]
    }
}

fn required(name: &str, sources: &[&str], kind: ColumnKind) -> ColumnMapping {
    ColumnMapping {
        name: name.to_owned(),
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        kind,
        required: true,
        fallback: Fallback::Null,
    }
}

fn optional(name: &str, source: &str) -> ColumnMapping {
    ColumnMapping { required: false, ..required(name, &[source], ColumnKind::Text) }
}
