//! Why a record cannot be stored.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::RecordId;

/// Why a record cannot be stored. Kept with the rejected record, shown to people, counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Reason {
    /// None of the fields that could give its SKU has a value.
    NoSku,
    /// An older record holds its SKU.
    SkuTaken {
        /// The record that holds it.
        holder: RecordId,
    },
    /// The product it belongs to is not in the shadow table.
    MissingProduct {
        /// The product; none if the record names none.
        product: Option<RecordId>,
    },
    /// The column cannot hold the price exactly.
    PriceNotExact {
        /// The field with the price.
        field: String,
    },
    /// It has no name.
    MissingName,
    /// Another field that the shadow table needs is empty.
    MissingValue {
        /// The empty field.
        field: String,
    },
    /// A value is not of its field's type, or PostgreSQL refuses it.
    BrokenValue {
        /// The field; `*` if the database refused the record without naming one.
        field: String,
    },
}

impl Reason {
    /// The stable word for it: in the database, in metrics, in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSku => "no-sku",
            Self::SkuTaken { .. } => "sku-taken",
            Self::MissingProduct { .. } => "missing-product",
            Self::PriceNotExact { .. } => "price-not-exact",
            Self::MissingName => "missing-name",
            Self::MissingValue { .. } => "missing-value",
            Self::BrokenValue { .. } => "broken-value",
        }
    }

    /// Whether the record can enter without being changed in Salesforce: its cause lies with another record.
    pub fn depends_on_others(&self) -> bool {
        matches!(self, Self::SkuTaken { .. } | Self::MissingProduct { product: Some(_) })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSku => f.write_str("It has no SKU: every field that could give one is empty"),
            Self::SkuTaken { holder } => {
                write!(f, "Its SKU is held by {holder}, which comes first by creation date, then id")
            }
            Self::MissingProduct { product: Some(product) } => {
                write!(f, "Its product {product} is not in the shadow")
            }
            Self::MissingProduct { product: None } => f.write_str("It names no product"),
            Self::PriceNotExact { field } => write!(f, "The column cannot hold {field} exactly"),
            Self::MissingName => f.write_str("It has no name"),
            Self::MissingValue { field } => write!(f, "{field} is empty"),
            Self::BrokenValue { field } if field == "*" => f.write_str("PostgreSQL refuses a value of it"),
            Self::BrokenValue { field } => write!(f, "The value of {field} cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_tag_of_the_json() {
        let id = RecordId::parse("01t000000000001").unwrap();
        for reason in [
            Reason::NoSku,
            Reason::SkuTaken { holder: id },
            Reason::MissingProduct { product: None },
            Reason::PriceNotExact { field: "UnitPrice".to_owned() },
            Reason::MissingName,
            Reason::MissingValue { field: "IsActive".to_owned() },
            Reason::BrokenValue { field: "*".to_owned() },
        ] {
            let json = serde_json::to_value(&reason).unwrap();
            assert_eq!(json["code"], reason.code());
            assert_eq!(serde_json::from_value::<Reason>(json).unwrap(), reason);
        }
    }
}
