//! What Salesforce says of an object and its fields.
//!
//! The types read the answer of `/sobjects/<Name>/describe` as it is; what they do not name is passed over.

use serde::{Deserialize, Serialize};

use crate::ids::ObjectName;

/// How a field's values are read. Salesforce's many text types are one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(from = "String", rename_all = "camelCase")]
pub enum FieldType {
    /// The record's own id.
    Id,
    /// The id of another record.
    Reference,
    /// Text of any kind: string, textarea, picklist, email, phone, url and the like.
    Text,
    /// true or false, never null.
    Boolean,
    /// A whole number.
    Integer,
    /// A decimal number: double, currency, percent.
    Decimal,
    /// A day.
    Date,
    /// A moment.
    DateTime,
    /// A time of day.
    Time,
    /// Cannot be selected by a Bulk query: address, location, base64, complexvalue, json.
    Compound,
}

impl FieldType {
    /// Reads describe's `type`. A type that we do not know is read as text.
    pub fn of(salesforce: &str) -> Self {
        match salesforce.to_ascii_lowercase().as_str() {
            "id" => Self::Id,
            "reference" | "masterrecord" => Self::Reference,
            "boolean" => Self::Boolean,
            "int" | "integer" | "long" => Self::Integer,
            "double" | "currency" | "percent" | "decimal" => Self::Decimal,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "time" => Self::Time,
            "address" | "location" | "base64" | "complexvalue" | "json" | "compound" => Self::Compound,
            _ => Self::Text,
        }
    }

    /// Whether a Bulk query may select fields of this type.
    pub fn is_selectable(self) -> bool {
        self != Self::Compound
    }
}

impl From<String> for FieldType {
    fn from(salesforce: String) -> Self {
        Self::of(&salesforce)
    }
}

/// One field, as describe shows it to the signed-in user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldInfo {
    /// API name, in describe's letter case.
    pub name: String,
    /// What people call it.
    #[serde(default)]
    pub label: String,
    /// How its values are read.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Most characters of a text.
    #[serde(default)]
    pub length: u32,
    /// Most digits of a decimal number.
    #[serde(default)]
    pub precision: u32,
    /// Digits behind the point of a decimal number.
    #[serde(default)]
    pub scale: u32,
    /// Whether it may be null. Real data does not keep to it.
    #[serde(default = "yes")]
    pub nillable: bool,
    /// Whether it is a formula, whose changes move no `SystemModstamp`.
    #[serde(default)]
    pub calculated: bool,
    /// Whether it is a field of the org's own.
    #[serde(default)]
    pub custom: bool,
    /// The compound field that it is a part of, such as `BillingAddress`.
    #[serde(default)]
    pub compound_field_name: Option<String>,
    /// The objects that a reference may point to.
    #[serde(default)]
    pub reference_to: Vec<String>,
}

/// serde's default of `nillable`.
fn yes() -> bool {
    true
}

impl FieldInfo {
    /// A field of this name and type; the rest as describe says of a plain field.
    pub fn new(name: &str, field_type: FieldType) -> Self {
        Self {
            name: name.to_owned(),
            label: name.to_owned(),
            field_type,
            length: 0,
            precision: 0,
            scale: 0,
            nillable: true,
            calculated: false,
            custom: name.ends_with("__c"),
            compound_field_name: None,
            reference_to: Vec::new(),
        }
    }

    /// The same with so many digits in all and behind the point.
    #[must_use]
    pub fn digits(self, precision: u32, scale: u32) -> Self {
        Self { precision, scale, ..self }
    }
}

/// One object, as describe shows it to the signed-in user. Fields that the user may not see are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectInfo {
    /// API name.
    pub name: ObjectName,
    /// How the ids of its records begin.
    #[serde(default)]
    pub key_prefix: Option<String>,
    /// Its fields, in describe's order.
    pub fields: Vec<FieldInfo>,
}

impl ObjectInfo {
    /// The field of this name, letter case ignored.
    pub fn field(&self, name: &str) -> Option<&FieldInfo> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describe_is_read_as_salesforce_sends_it() {
        let info: ObjectInfo = serde_json::from_str(
            r#"{"name":"PricebookEntry","keyPrefix":"01u","queryable":true,"fields":[
                {"name":"Id","type":"id","nillable":false,"label":"Entry ID","compoundFieldName":null},
                {"name":"UnitPrice","type":"currency","precision":18,"scale":2,"calculated":false},
                {"name":"ShippingAddress","type":"address"},
                {"name":"Novelty","type":"newkind"}]}"#,
        )
        .unwrap();
        let price = info.field("unitprice").unwrap();
        assert_eq!((price.field_type, price.precision, price.scale), (FieldType::Decimal, 18, 2));
        assert!(!info.field("ShippingAddress").unwrap().field_type.is_selectable());
        assert_eq!(info.field("Novelty").unwrap().field_type, FieldType::Text);
    }
}
