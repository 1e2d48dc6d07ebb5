//! Describe knows no nested fields: what lies within an address, a name or a place has a flat name of its own.

/// Describe's name for one part of a compound field; `None` where describe has no such field.
///
/// - **Shape:** `BillingAddress` and `City` give `BillingCity`, `Name` and `FirstName` give `FirstName`, `Place__c`
///   and `Latitude` give `Place__Latitude__s`.
/// - **Source:** Salesforce's compound fields.
pub(super) fn flat(parent: &str, part: &str) -> Option<String> {
    // A packed copy of the coordinates, in events only.
    if part == "Xyz" {
        return None;
    }
    if parent == "Name" {
        return Some(part.to_owned());
    }
    if let Some(custom) = parent.strip_suffix("__c") {
        let bare = part.strip_suffix("__s").unwrap_or(part);
        return Some(format!("{custom}__{bare}__s"));
    }
    let prefix = parent.strip_suffix("Address").unwrap_or(parent);
    Some(format!("{prefix}{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_describes_names() {
        for (parent, part, name) in [
            ("BillingAddress", "City", Some("BillingCity")),
            ("ShippingAddress", "GeocodeAccuracy", Some("ShippingGeocodeAccuracy")),
            ("Address", "Street", Some("Street")),
            ("Name", "FirstName", Some("FirstName")),
            ("Place__c", "Latitude", Some("Place__Latitude__s")),
            ("BillingAddress", "Xyz", None),
        ] {
            assert_eq!(flat(parent, part).as_deref(), name, "{parent}.{part}");
        }
    }
}
