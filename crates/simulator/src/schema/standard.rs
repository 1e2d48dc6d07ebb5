//! The standard objects and fields that more than one catalogue knows.

use super::{Field, Kind, Object};

/// An object by its name, without fields; one that is not known here looks like a custom object.
pub fn known_object(name: &str) -> Object {
    let (label, label_plural, key_prefix, undeletable, bulk) = match name {
        "Account" => ("Account", "Accounts", *b"001", true, true),
        "Product2" => ("Product", "Products", *b"01t", true, true),
        "Pricebook2" => ("Price Book", "Price Books", *b"01s", true, true),
        "PricebookEntry" => ("Price Book Entry", "Price Book Entries", *b"01u", false, true),
        "User" => ("User", "Users", *b"005", false, true),
        "Organization" => ("Organization", "Organizations", *b"00D", false, false),
        "CurrencyType" => ("Currency Type", "Currency Types", *b"01L", false, false),
        other => (other, other, *b"a00", true, true),
    };
    Object {
        name: name.to_owned(),
        label: label.to_owned(),
        label_plural: label_plural.to_owned(),
        key_prefix,
        undeletable,
        bulk,
        fields: Vec::new(),
        changed_ms: None,
    }
}

/// The fields that every record has: who wrote it and when, and whether it is in the recycle bin.
pub fn audit_fields() -> [Field; 6] {
    ["IsDeleted", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp"]
        .map(|name| known_field(name).unwrap_or_else(|| Field::new(name, Kind::Text)))
}

/// A standard field by its name, with the attributes that describe gives it in most orgs.
pub fn known_field(name: &str) -> Option<Field> {
    let field = match name {
        "Id" => Field::new(name, Kind::Id).required().read_only().label("Record ID"),
        "IsDeleted" => Field::new(name, Kind::Boolean).read_only().label("Deleted"),
        "IsArchived" => Field::new(name, Kind::Boolean).read_only().label("Archived"),
        "IsActive" => Field::new(name, Kind::Boolean).label("Active"),
        "IsStandard" => Field::new(name, Kind::Boolean).read_only().label("Is Standard Price Book"),
        "UseStandardPrice" => Field::new(name, Kind::Boolean),
        "CreatedDate" | "LastModifiedDate" | "SystemModstamp" => {
            Field::new(name, Kind::DateTime).required().read_only()
        }
        "CreatedById" => Field::new(name, Kind::Reference).to("User", "CreatedBy").required().read_only(),
        "LastModifiedById" => {
            Field::new(name, Kind::Reference).to("User", "LastModifiedBy").required().read_only()
        }
        "OwnerId" => Field::new(name, Kind::Reference).to("User", "Owner").required(),
        "ParentId" => Field::new(name, Kind::Reference).to("Account", "Parent"),
        "MasterRecordId" => Field::new(name, Kind::Reference).to("Account", "MasterRecord").read_only(),
        "Product2Id" => Field::new(name, Kind::Reference).to("Product2", "Product2").required(),
        "Pricebook2Id" => Field::new(name, Kind::Reference).to("Pricebook2", "Pricebook2").required(),
        "Name" => Field::new(name, Kind::Text).required().naming(),
        "ProductCode" => Field::new(name, Kind::Text).label("Product Code"),
        "StockKeepingUnit" => Field::new(name, Kind::Text).length(180).label("Product SKU"),
        "Description" | "Long_Description__c" => Field::new(name, Kind::TextArea).length(4_000),
        "UnitPrice" => Field::new(name, Kind::Currency).digits(18, 2).required().label("List Price"),
        "AnnualRevenue" => Field::new(name, Kind::Currency).digits(18, 0),
        "NumberOfEmployees" => Field::new(name, Kind::Int).label("Employees"),
        "LastActivityDate" => Field::new(name, Kind::Date).read_only().label("Last Activity"),
        "CurrencyIsoCode" => Field::new(name, Kind::Picklist).length(3).required().label("Currency ISO Code"),
        "Family" | "Type" | "Industry" | "Ownership" | "Rating" | "AccountSource" => {
            Field::new(name, Kind::Picklist)
        }
        "Phone" | "Fax" => Field::new(name, Kind::Phone),
        "Website" => Field::new(name, Kind::Url),
        "Email" => Field::new(name, Kind::Email),
        _ => return address_part(name),
    };
    Some(field)
}

fn address_part(name: &str) -> Option<Field> {
    let prefix = ["Billing", "Shipping"].into_iter().find(|prefix| name.starts_with(prefix))?;
    let compound = format!("{prefix}Address");
    let field = match name.trim_start_matches(prefix) {
        "Street" => Field::new(name, Kind::TextArea).length(255),
        "City" => Field::new(name, Kind::Text).length(40),
        "State" | "Country" => Field::new(name, Kind::Text).length(80),
        "PostalCode" => Field::new(name, Kind::Text).length(20),
        "Address" => return Some(Field::new(name, Kind::Address).read_only()),
        _ => return None,
    };
    Some(field.part_of(&compound))
}
