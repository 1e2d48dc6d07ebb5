//! A change event as the core sees it: who changed, how, and what is known of the new values.
//!
//! What an event does not say is as important as what it says: a field that is not listed is *unchanged*, and an event
//! whose body cannot be relied on says so, so that the record is fetched whole (design 2.3).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidId, ObjectName, RecordId};
use crate::value::Moment;

/// A channel of change events, such as `/data/ChangeEvents`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The channel of every selected object.
    pub const ALL_CHANGES: &'static str = "/data/ChangeEvents";

    /// Reads a channel's name: a path of two parts, letters, digits and underscores.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let name = text.strip_prefix("/data/").or_else(|| text.strip_prefix("/event/")).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.len() > 120 || !name.chars().all(plain) {
            return Err(InvalidId::Name(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The one object's own topic: `/data/Product2ChangeEvent`, `/data/Promo__ChangeEvent` for `Promo__c`.
    pub fn of_object(object: &ObjectName) -> Self {
        let name = object.as_str();
        let topic = match name.strip_suffix("__c") {
            Some(custom) => format!("/data/{custom}__ChangeEvent"),
            None => format!("/data/{name}ChangeEvent"),
        };
        Self(topic.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether objects that were not selected, or that the user may not see, are silently absent from it.
    pub fn hides_absent_objects(&self) -> bool {
        &*self.0 == Self::ALL_CHANGES || self.0.ends_with("__chn")
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ChannelName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// Salesforce's opaque position of a message: stored and echoed, never compared or computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplayId(Box<[u8]>);

impl ReplayId {
    /// Takes the bytes as they came.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as hexadecimal digits, for people.
    pub fn to_hex(&self) -> String {
        use fmt::Write as _;

        self.0.iter().fold(String::with_capacity(self.0.len() * 2), |mut hex, byte| {
            // Writing into a text cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// How a record changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Came into being.
    Create,
    /// Some fields changed.
    Update,
    /// Moved to the recycle bin.
    Delete,
    /// Came back from the recycle bin.
    Undelete,
    /// Came into being; the event does not say how.
    GapCreate,
    /// Changed; the event does not say how.
    GapUpdate,
    /// Deleted; the event carries nothing else.
    GapDelete,
    /// Came back; the event does not say how.
    GapUndelete,
    /// More changed in one transaction than events are sent for.
    Overflow,
    /// A kind that this version does not know: treated as a gap.
    Unknown,
}

impl ChangeKind {
    /// Reads `changeType` of the event's header.
    pub fn of(salesforce: &str) -> Self {
        match salesforce {
            "CREATE" => Self::Create,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "UNDELETE" => Self::Undelete,
            "GAP_CREATE" => Self::GapCreate,
            "GAP_UPDATE" => Self::GapUpdate,
            "GAP_DELETE" => Self::GapDelete,
            "GAP_UNDELETE" => Self::GapUndelete,
            "GAP_OVERFLOW" => Self::Overflow,
            _ => Self::Unknown,
        }
    }

    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Undelete,
        Self::GapCreate,
        Self::GapUpdate,
        Self::GapDelete,
        Self::GapUndelete,
        Self::Overflow,
        Self::Unknown,
    ];

    /// The word in the database, in metrics and on screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::GapCreate => "gap-create",
            Self::GapUpdate => "gap-update",
            Self::GapDelete => "gap-delete",
            Self::GapUndelete => "gap-undelete",
            Self::Overflow => "overflow",
            Self::Unknown => "unknown",
        }
    }

    /// Reads [`Self::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it says that the record is gone.
    pub const fn is_deletion(self) -> bool {
        matches!(self, Self::Delete | Self::GapDelete)
    }
}

/// Which records an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// These, each with the same change.
    Ids(Vec<RecordId>),
    /// All of the object, or nobody knows which: a wildcard id, or an overflow. No record can be named.
    All,
}

impl Records {
    /// The ids, none if no record can be named.
    pub fn ids(&self) -> &[RecordId] {
        match self {
            Self::Ids(ids) => ids,
            Self::All => &[],
        }
    }
}

/// What every change event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHeader {
    /// The object.
    pub object: ObjectName,
    /// How its records changed.
    pub kind: ChangeKind,
    /// Which records.
    pub records: Records,
    /// Groups the events of one transaction.
    pub transaction_key: String,
    /// Order within the transaction, from 1, with holes.
    pub sequence_number: i32,
    /// When the transaction was committed, in Salesforce's time.
    pub committed_at: Moment,
    /// Salesforce's own number of the commit; not comparable across instances.
    pub commit_number: i64,
    /// Who changed it: a user's id, as it came.
    pub commit_user: String,
    /// What changed it, as it came.
    pub change_origin: String,
}

/// A value of an event's body, as Avro carries it. Its text form depends on the field's type and scale, which only
/// describe knows.
#[derive(Debug, Clone, PartialEq)]
pub enum EventValue {
    /// Set to nothing.
    Null,
    /// Text, ids, picklists; days and times where the writer sends them as text.
    Text(String),
    /// Money and other decimals: 15 to 16 digits are right, so it is rounded to the field's scale.
    Double(f64),
    /// Whole numbers; moments as milliseconds since 1970; times as milliseconds of the day; days as days or
    /// milliseconds since 1970.
    Whole(i64),
    /// A checkbox.
    Boolean(bool),
    /// The field changed, and the event does not say to what: who subscribed may not see it.
    Withheld,
}

/// One field's new value.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// The field's flat API name as describe has it: `BillingCity`, not `BillingAddress.City`.
    pub name: String,
    /// Its new value.
    pub value: EventValue,
}

/// What an event says of its records' values.
#[derive(Debug, Clone, PartialEq)]
pub enum EventBody {
    /// Every field that is not null (CREATE, UNDELETE); fields that no event carries are not among them.
    Whole(Vec<FieldChange>),
    /// These fields changed and no others (UPDATE): changed and nulled ones.
    Patch(Vec<FieldChange>),
    /// Nothing, and nothing is needed (DELETE).
    Nothing,
    /// Something changed that the event does not show: the records must be fetched whole.
    Fetch(WhyFetch),
}

/// Why an event's body cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum WhyFetch {
    /// A gap or overflow event, or a kind that we do not know.
    Gap,
    /// A long text came as a difference.
    Difference {
        /// The field.
        field: String,
    },
    /// A bitmap names a field that the writer's schema does not have, or is no bitmap.
    Bitmap,
}

/// One decoded change event.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent {
    /// Who changed, how and when.
    pub header: EventHeader,
    /// The new values.
    pub body: EventBody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_own_topic_follows_salesforces_naming() {
        let topic = |name: &str| ChannelName::of_object(&ObjectName::parse(name).unwrap()).to_string();
        assert_eq!(topic("Product2"), "/data/Product2ChangeEvent");
        assert_eq!(topic("Promo__c"), "/data/Promo__ChangeEvent");
    }

    #[test]
    fn a_channel_is_a_path_of_two_parts() {
        for name in ["/data/ChangeEvents", "/data/ShadowSync__chn", "/event/Order_Placed__e"] {
            assert_eq!(ChannelName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "/data/", "ChangeEvents", "/data/a/b", "/data/a b", "/topic/X"] {
            assert!(ChannelName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn kinds_are_read_back_from_their_words() {
        for kind in ChangeKind::ALL {
            assert_eq!(ChangeKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ChangeKind::of("SNAPSHOT"), ChangeKind::Unknown);
    }
}
