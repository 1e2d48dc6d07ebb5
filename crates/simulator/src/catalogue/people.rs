//! The few records around the catalogue: users, the organization, currencies.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{CURRENCIES, Kept, OrgRecord, moment, standard};
use crate::{
    ids::RecordId,
    schema::{Field, Kind, Object, known_object},
    table::Base,
    value::Owned,
};

/// The user that everybody signs in as, unless told otherwise.
pub const DEMO_USERNAME: &str = "sync.user@simulated-org.example";
/// Another user of the same org, for trying what happens when somebody else signs in.
pub const SECOND_USERNAME: &str = "second.admin@simulated-org.example";

const PREFIX: [u8; 3] = *b"005";

/// The user who made every record of the catalogue.
pub fn catalogue_manager() -> RecordId {
    RecordId::generated(PREFIX, 0)
}

/// The user of [`DEMO_USERNAME`].
pub fn demo_user_id() -> RecordId {
    RecordId::generated(PREFIX, 1)
}

/// User and its records.
pub fn users() -> (Object, Arc<dyn Base>) {
    let mut object = known_object("User");
    object.fields = vec![
        standard("Id"),
        Field::new("Username", Kind::Text).length(80).required(),
        Field::new("LastName", Kind::Text).length(80).required(),
        Field::new("FirstName", Kind::Text).length(40),
        standard("Name").length(121).read_only(),
        standard("Email").required(),
        standard("IsActive"),
        Field::new("UserType", Kind::Picklist).length(40).read_only(),
        Field::new("LanguageLocaleKey", Kind::Picklist).length(40).required(),
        Field::new("LocaleSidKey", Kind::Picklist).length(40).required(),
        Field::new("TimeZoneSidKey", Kind::Picklist).length(40).required(),
        standard("CreatedDate"),
        standard("LastModifiedDate"),
        standard("SystemModstamp"),
    ];
    let records = [
        ("catalogue.manager@simulated-org.example", "Manager", "Catalogue"),
        (DEMO_USERNAME, "User", "Sync"),
        (SECOND_USERNAME, "Admin", "Second"),
    ];
    let records = records.into_iter().enumerate().map(|(index, (username, last, first))| {
        let id = RecordId::generated(PREFIX, index as u64);
        let values = vec![
            Owned::Id(id),
            text(username),
            text(last),
            text(first),
            text(&format!("{first} {last}")),
            text(username),
            Owned::Bool(true),
            text("Standard"),
            text("en_US"),
            text("en_GB"),
            text("Europe/Berlin"),
            Owned::Time(moment(0)),
            Owned::Time(moment(0)),
            Owned::Time(moment(0)),
        ];
        (id, values)
    });
    (object, Arc::new(Kept::new(records.collect())))
}

/// Organization and its one record.
pub fn organization(org: &OrgRecord) -> (Object, Arc<dyn Base>) {
    let mut object = known_object("Organization");
    object.fields = vec![
        standard("Id"),
        standard("Name").length(80),
        Field::new("OrganizationType", Kind::Picklist).length(40).read_only(),
        Field::new("IsSandbox", Kind::Boolean).read_only(),
        Field::new("InstanceName", Kind::Text).length(5).read_only(),
        Field::new("NamespacePrefix", Kind::Text).length(15).read_only(),
        Field::new("LanguageLocaleKey", Kind::Picklist).length(40).required(),
        Field::new("DefaultLocaleSidKey", Kind::Picklist).length(40).required(),
        Field::new("TimeZoneSidKey", Kind::Picklist).length(40).required(),
        Field::new("Country", Kind::Text).length(80),
        standard("CreatedDate"),
        standard("LastModifiedDate"),
        standard("SystemModstamp"),
    ];
    let values = vec![
        Owned::Id(org.id),
        text(&org.name),
        text(&org.edition),
        Owned::Bool(org.is_sandbox),
        text("SIM1"),
        Owned::Null,
        text("en_US"),
        text("en_GB"),
        text("Europe/Berlin"),
        text("Germany"),
        Owned::Time(moment(0)),
        Owned::Time(moment(0)),
        Owned::Time(moment(0)),
    ];
    (object, Arc::new(Kept::new(vec![(org.id, values)])))
}

/// CurrencyType and its records; none in an org of one currency.
pub fn currencies(multi_currency: bool) -> (Object, Arc<dyn Base>) {
    let mut object = known_object("CurrencyType");
    object.fields = vec![
        standard("Id"),
        Field::new("IsoCode", Kind::Picklist).length(3).required(),
        Field::new("ConversionRate", Kind::Double).digits(18, 6).required(),
        Field::new("DecimalPlaces", Kind::Int).required(),
        standard("IsActive"),
        Field::new("IsCorporate", Kind::Boolean),
        standard("CreatedDate"),
        standard("LastModifiedDate"),
        standard("SystemModstamp"),
    ];
    let records = CURRENCIES.into_iter().enumerate().filter(|_| multi_currency).map(|(index, code)| {
        let id = RecordId::generated(object.key_prefix, index as u64);
        let values = vec![
            Owned::Id(id),
            text(code),
            Owned::Decimal(Decimal::new([100, 108, 86][index], 2)),
            Owned::Int(2),
            Owned::Bool(true),
            Owned::Bool(index == 0),
            Owned::Time(moment(0)),
            Owned::Time(moment(0)),
            Owned::Time(moment(0)),
        ];
        (id, values)
    });
    let records = records.collect();
    (object, Arc::new(Kept::new(records)))
}

fn text(value: &str) -> Owned {
    Owned::Text(value.into())
}
