//! The Avro schema of an object's change events, made from the object's fields.

use apache_avro::Schema as Avro;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::schema::{Derived, Field, Kind, Object};

/// The values of `changeType`, in the order of the schema.
pub const CHANGE_TYPES: [&str; 10] = [
    "CREATE",
    "UPDATE",
    "DELETE",
    "UNDELETE",
    "GAP_CREATE",
    "GAP_UPDATE",
    "GAP_DELETE",
    "GAP_UNDELETE",
    "GAP_OVERFLOW",
    "SNAPSHOT",
];

/// The fields of an `Address` record, by position.
pub const ADDRESS: [&str; 11] = [
    "Street",
    "City",
    "State",
    "PostalCode",
    "Country",
    "StateCode",
    "CountryCode",
    "Latitude",
    "Longitude",
    "Xyz",
    "GeocodeAccuracy",
];

/// The order of Account's standard fields in the events of a standard org.
const ACCOUNT: [&str; 23] = [
    "Name",
    "Type",
    "ParentId",
    "BillingAddress",
    "ShippingAddress",
    "Phone",
    "Fax",
    "AccountNumber",
    "Website",
    "Sic",
    "Industry",
    "AnnualRevenue",
    "NumberOfEmployees",
    "Ownership",
    "TickerSymbol",
    "Description",
    "Rating",
    "Site",
    "OwnerId",
    "CreatedDate",
    "CreatedById",
    "LastModifiedDate",
    "LastModifiedById",
];

/// Fields of any object that no event carries, beside formulas and what derives from other records.
const NEVER: [&str; 8] = [
    "Id",
    "IsDeleted",
    "SystemModstamp",
    "LastActivityDate",
    "LastViewedDate",
    "LastReferencedDate",
    "PhotoUrl",
    "MasterRecordId",
];

/// How the event of an object is written, under one schema id for ever.
pub struct EventSchema {
    /// The id: 22 characters that follow from the schema's text.
    pub id: String,
    /// The schema as clients get it.
    pub json: String,
    /// The schema, parsed.
    pub avro: Avro,
    /// The fields after the header; the first has position 1 in bitmaps.
    pub slots: Vec<Slot>,
}

/// One field of the event.
pub struct Slot {
    /// The name in the schema: a field's, or a compound's.
    pub name: String,
    /// Where its value comes from.
    pub source: Source,
}

/// Where a value of the event comes from: positions are those of the object's fields.
pub enum Source {
    /// One field, in this form.
    Field(usize, Form),
    /// A compound; each entry is the component at that position of [`ADDRESS`].
    Address(Vec<Option<usize>>),
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Text, ids and picklists.
    Text,
    /// A checkbox.
    Boolean,
    /// A whole number of 32 bits.
    Int,
    /// Any other number: Salesforce sends money as a double too.
    Double,
    /// Milliseconds since 1970; days too, as their first moment in UTC.
    Milliseconds,
    /// A day as `2026-05-04`.
    DayText,
    /// A name that persons have in parts and companies as text.
    PersonName,
}

/// The name of an object's change event: `Product2ChangeEvent`, `Promo__ChangeEvent` for `Promo__c`.
pub fn event_name(object: &str) -> String {
    match object.strip_suffix("__c") {
        Some(custom) => format!("{custom}__ChangeEvent"),
        None => format!("{object}ChangeEvent"),
    }
}

/// Reports whether change events carry a field by itself.
fn is_carried(field: &Field) -> bool {
    let derives = match &field.derived {
        // Whether a product is archived is stored with its entries; the other fields of a parent are looked up.
        Some(Derived::Parent(..)) => field.name != "IsArchived",
        Some(Derived::Label(..) | Derived::Deleted) => true,
        Some(Derived::StandardPrice(_)) | None => false,
    };
    !derives && field.formula.is_none() && field.compound.is_none() && !NEVER.contains(&field.name.as_str())
}

/// The positions of the fields that events carry, in the order of the event: standard fields, audit fields, custom
/// fields; a field that was added later stands behind the one it was added behind.
fn order(object: &Object) -> Vec<usize> {
    let rank = |field: &Field| {
        let known = ACCOUNT.iter().position(|name| *name == field.name);
        match (object.name.as_str(), known) {
            _ if field.is_custom() => (3, 0),
            ("Account", Some(at)) => (0, at),
            (_, Some(at)) if at >= 19 => (1, at),
            ("Account", None) => (2, 0),
            _ => (0, 0),
        }
    };
    let carried = |added: bool| {
        let fields = object.fields.iter().enumerate();
        fields.filter(move |(_, field)| is_carried(field) && field.added_behind.is_some() == added)
    };
    let mut positions: Vec<usize> = carried(false).map(|(at, _)| at).collect();
    positions.sort_by_key(|at| (rank(&object.fields[*at]), *at));
    for (at, field) in carried(true) {
        let behind = field.added_behind.as_deref();
        let place = positions.iter().position(|at| Some(object.fields[*at].name.as_str()) == behind);
        positions.insert(place.map_or(0, |place| place + 1), at);
    }
    positions
}

impl EventSchema {
    /// The schema of an object as it is now. With `day_text`, days are text instead of a number.
    pub fn of(object: &Object, day_text: bool) -> Self {
        let mut slots = Vec::new();
        let mut fields = vec![header()];
        let mut address_known = false;
        for at in order(object) {
            let field = &object.fields[at];
            let (source, kind) = if field.kind == Kind::Address {
                let parts = ADDRESS.map(|part| {
                    let prefix = field.name.trim_end_matches("Address");
                    object.field(&format!("{prefix}{part}"))
                });
                let kind = if address_known { json!("Address") } else { address() };
                address_known = true;
                (Source::Address(parts.to_vec()), kind)
            } else {
                let form = form(object, field, day_text);
                (Source::Field(at, form), avro_type(form))
            };
            let mut union = vec![json!("null")];
            match kind {
                Json::Array(kinds) => union.extend(kinds),
                kind => union.push(kind),
            }
            fields.push(json!({
                "name": field.name, "type": union, "doc": doc(object, field), "default": null,
            }));
            slots.push(Slot { name: field.name.clone(), source });
        }
        let text = json!({
            "type": "record",
            "name": event_name(&object.name),
            "namespace": "com.sforce.eventbus",
            "fields": fields,
        });
        Self::parse(&text.to_string(), slots)
    }

    fn parse(json: &str, slots: Vec<Slot>) -> Self {
        let digest = Sha256::digest(json.as_bytes());
        Self {
            id: URL_SAFE_NO_PAD.encode(&digest[..16]),
            avro: Avro::parse_str(json).expect("a schema made here is well formed"),
            json: json.to_owned(),
            slots,
        }
    }
}

fn form(object: &Object, field: &Field, day_text: bool) -> Form {
    match field.kind {
        Kind::Text if field.names_record && object.name == "Account" => Form::PersonName,
        Kind::Boolean => Form::Boolean,
        Kind::Int => Form::Int,
        Kind::Double | Kind::Currency => Form::Double,
        Kind::Date if day_text => Form::DayText,
        Kind::Date | Kind::DateTime => Form::Milliseconds,
        _ => Form::Text,
    }
}

fn avro_type(form: Form) -> Json {
    match form {
        Form::Text | Form::DayText => json!("string"),
        Form::Boolean => json!("boolean"),
        Form::Int => json!("int"),
        Form::Double => json!("double"),
        Form::Milliseconds => json!("long"),
        Form::PersonName => json!(["string", {
            "type": "record",
            "name": "Switchable_PersonName",
            "fields": (["Salutation", "FirstName", "LastName"].map(text_field)),
        }]),
    }
}

fn text_field(name: &str) -> Json {
    json!({"name": name, "type": ["null", "string"], "default": null})
}

fn address() -> Json {
    let fields = ADDRESS.map(|part| match part {
        "Latitude" | "Longitude" => json!({"name": part, "type": ["null", "double"], "default": null}),
        _ => text_field(part),
    });
    json!({"type": "record", "name": "Address", "fields": fields})
}

/// The header that every change event begins with.
fn header() -> Json {
    let bitmaps = |name: &str| json!({"name": name, "type": {"type": "array", "items": "string"}});
    json!({"name": "ChangeEventHeader", "type": {
        "type": "record",
        "name": "ChangeEventHeader",
        "fields": [
            {"name": "entityName", "type": "string"},
            {"name": "recordIds", "type": {"type": "array", "items": "string"}},
            {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": CHANGE_TYPES}},
            {"name": "changeOrigin", "type": "string"},
            {"name": "transactionKey", "type": "string"},
            {"name": "sequenceNumber", "type": "int"},
            {"name": "commitTimestamp", "type": "long"},
            {"name": "commitNumber", "type": "long"},
            {"name": "commitUser", "type": "string"},
            bitmaps("nulledFields"),
            bitmaps("diffFields"),
            bitmaps("changedFields"),
        ],
    }})
}

/// The tag that tells a field's type in Salesforce; a custom field's carries the id of its definition.
fn doc(object: &Object, field: &Field) -> String {
    let kind = match field.name.as_str() {
        "CreatedDate" | "LastModifiedDate" => return format!("{}:DateTime", field.name),
        "CreatedById" | "LastModifiedById" => {
            return format!("{}:EntityId", field.name.trim_end_matches("Id"));
        }
        _ => match field.kind {
            Kind::Id | Kind::Reference => "EntityId",
            Kind::Text if field.names_record => "Name",
            Kind::Text => "Text",
            Kind::TextArea => "StringPlusClob",
            Kind::Picklist => "DynamicEnum",
            Kind::Phone => "Phone",
            Kind::Url => "Url",
            Kind::Email => "Email",
            Kind::Boolean => "Boolean",
            Kind::Int => "Integer",
            Kind::Double => "Double",
            Kind::Currency => "Currency",
            Kind::Date => "DateOnly",
            Kind::DateTime => "DateTime",
            Kind::Address => "Address",
        },
    };
    if !field.is_custom() {
        return format!("Data:{kind}");
    }
    let digest = Sha256::digest(format!("{}.{}", object.name, field.name));
    let number = u64::from_be_bytes([0, 0, 0, digest[0], digest[1], digest[2], digest[3], digest[4]]);
    let definition = crate::ids::RecordId::generated(*b"00N", number);
    format!("Data:{kind}:{}", definition.short())
}
