//! Names of things in Salesforce: records, orgs, users, objects.
//!
//! Parsing happens at the border, so that whatever carries one of these types has been checked.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The alphabet of an id's checksum: one letter or digit for each 5-bit number.
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// Why a text is not an id or a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Neither 15 nor 18 characters.
    #[error("a Salesforce id has 15 or 18 characters, this has {0}")]
    Length(usize),
    /// Something else than ASCII letters and digits.
    #[error("a Salesforce id consists of letters and digits, `{0}` does not")]
    Characters(String),
    /// The last three characters do not belong to the first fifteen.
    #[error("the checksum of the id `{0}` is wrong: it was cut, mistyped or changed in case")]
    Checksum(String),
    /// An id of another kind of record.
    #[error("`{id}` is not the id of {expected}: that begins with `{prefix}`")]
    Prefix {
        /// The id as given.
        id: String,
        /// What was expected, in words.
        expected: &'static str,
        /// The key prefix it would have.
        prefix: &'static str,
    },
    /// Not the API name of an object.
    #[error("`{0}` is not an object's API name: letters, digits and underscores, a letter first, at most 80")]
    Name(String),
}

/// A record's id in its 18-character form, whatever form it came in.
///
/// Compares and sorts by bytes, as the shadow tables do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct RecordId(#[cfg_attr(feature = "specta", specta(type = String))] [u8; 18]);

impl RecordId {
    /// Reads an id of 15 or 18 characters; 15 are completed, the checksum of 18 is verified.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let bytes = text.as_bytes();
        if bytes.len() != 15 && bytes.len() != 18 {
            return Err(InvalidId::Length(text.chars().count()));
        }
        if !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(InvalidId::Characters(text.to_owned()));
        }
        let mut id = [0; 18];
        id[..15].copy_from_slice(&bytes[..15]);
        for group in 0..3 {
            id[15 + group] = checksum_of(&bytes[group * 5..group * 5 + 5]);
        }
        // Checksums are compared without case: some tools write them in lower case.
        if bytes.len() == 18 && !bytes[15..].eq_ignore_ascii_case(&id[15..]) {
            return Err(InvalidId::Checksum(text.to_owned()));
        }
        Ok(Self(id))
    }

    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII letters and digits are accepted")
    }

    /// The first three characters, which tell the kind of record.
    pub fn key_prefix(&self) -> &str {
        &self.as_str()[..3]
    }

    /// Whether this is Salesforce's way to say "no record": fifteen zeros.
    pub fn is_empty_id(&self) -> bool {
        self.0[..15].iter().all(|byte| *byte == b'0')
    }
}

/// The checksum character of five characters: bit *k* is set where character *k* is an upper-case letter.
fn checksum_of(five: &[u8]) -> u8 {
    let bits = five
        .iter()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_uppercase())
        .fold(0_usize, |bits, (k, _)| bits | 1 << k);
    CHECKSUM[bits]
}

impl FromStr for RecordId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl AsRef<str> for RecordId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// Writes one newtype over [`RecordId`] whose key prefix is known.
macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[cfg_attr(feature = "specta", derive(specta::Type))]
        #[serde(transparent)]
        pub struct $name(RecordId);

        impl $name {
            /// Reads an id of 15 or 18 characters and checks its key prefix.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let id = RecordId::parse(text)?;
                if id.key_prefix() != $prefix {
                    return Err(InvalidId::Prefix { id: text.to_owned(), expected: $what, prefix: $prefix });
                }
                Ok(Self(id))
            }

            /// The 18 characters.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The same id without its kind.
            pub fn record_id(&self) -> RecordId {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

prefixed_id!(
    /// An org's id.
    OrgId,
    "00D",
    "an org"
);
prefixed_id!(
    /// A user's id.
    UserId,
    "005",
    "a user"
);

impl OrgId {
    /// How the ids of simulated orgs begin. No real org has such an id, so that demo data is known as such.
    pub const SIMULATED_PREFIX: &'static str = "00DSIM";

    /// Whether the org is a simulated one.
    pub fn is_simulated(&self) -> bool {
        self.as_str().starts_with(Self::SIMULATED_PREFIX)
    }
}

/// An object's API name, in describe's letter case: `Product2`, `Invoice__c`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
pub struct ObjectName(#[cfg_attr(feature = "specta", specta(type = String))] Arc<str>);

impl ObjectName {
    /// Reads a name: letters, digits and underscores, a letter first, at most 80.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let consists = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !starts || !consists || text.len() > 80 {
            return Err(InvalidId::Name(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// `Product2`.
    pub fn product() -> Self {
        Self("Product2".into())
    }

    /// `PricebookEntry`.
    pub fn pricebook_entry() -> Self {
        Self("PricebookEntry".into())
    }

    /// `Account`.
    pub fn account() -> Self {
        Self("Account".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl AsRef<str> for ObjectName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for ObjectName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ObjectName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ObjectName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// The number of one of our jobs, counted from 1 per database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(transparent)]
pub struct JobId(pub i32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_characters_are_completed_to_eighteen() {
        for (short, long) in [
            ("001D000000KnaXj", "001D000000KnaXjIAJ"),
            ("003RO0000035WQg", "003RO0000035WQgYAM"),
            ("0015f00002JUWMV", "0015f00002JUWMVAA5"),
            ("00D58000000arpq", "00D58000000arpqEAA"),
            ("0014H00002LbR7Q", "0014H00002LbR7QQAV"),
        ] {
            assert_eq!(RecordId::parse(short).unwrap().as_str(), long);
            assert_eq!(RecordId::parse(long).unwrap().as_str(), long);
        }
    }

    #[test]
    fn an_id_that_was_changed_in_case_is_refused() {
        assert_eq!(
            RecordId::parse("001d000000KnaXjIAJ"),
            Err(InvalidId::Checksum("001d000000KnaXjIAJ".to_owned()))
        );
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!(RecordId::parse(""), Err(InvalidId::Length(0)));
        assert!(RecordId::parse("001D000000KnaX'").is_err());
        assert!(RecordId::parse("001D000000Knaé").is_err());
    }

    #[test]
    fn the_empty_id_is_known_as_such() {
        assert!(RecordId::parse("000000000000000AAA").unwrap().is_empty_id());
        assert!(!RecordId::parse("001D000000KnaXj").unwrap().is_empty_id());
    }

    #[test]
    fn a_simulated_org_is_known_by_its_prefix() {
        assert!(OrgId::parse("00DSIM000000001").unwrap().is_simulated());
        assert!(!OrgId::parse("00D58000000arpq").unwrap().is_simulated());
        assert!(OrgId::parse("001D000000KnaXj").is_err());
    }

    #[test]
    fn an_object_name_cannot_carry_soql() {
        assert!(ObjectName::parse("Invoice__c").is_ok());
        for bad in ["", "1st", "Product2 ", "a'b", "_x", "Größe"] {
            assert!(ObjectName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_travel_as_text() {
        let id: RecordId = serde_json::from_str("\"001D000000KnaXj\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"001D000000KnaXjIAJ\"");
        assert!(serde_json::from_str::<RecordId>("\"nonsense\"").is_err());
    }
}
