//! The JSON of describe: what a client learns about an object and its fields.

use serde_json::{Value as Json, json};

use super::{Field, Kind, Object, text_or_null};

/// The entry of one object in the list of all.
pub fn global(object: &Object, version: &str) -> Json {
    let base = format!("/services/data/v{version}/sobjects/{}", object.name);
    json!({
        "activateable": false,
        "associateEntityType": null,
        "associateParentEntity": null,
        "createable": true,
        "custom": object.name.ends_with("__c"),
        "customSetting": false,
        "deepCloneable": false,
        "deletable": true,
        "deprecatedAndHidden": false,
        "feedEnabled": false,
        "hasSubtypes": false,
        "isInterface": false,
        "isSubtype": false,
        "keyPrefix": String::from_utf8_lossy(&object.key_prefix),
        "label": object.label,
        "labelPlural": object.label_plural,
        "layoutable": true,
        "mergeable": object.name == "Account",
        "mruEnabled": true,
        "name": object.name,
        "queryable": true,
        "replicateable": true,
        "retrieveable": true,
        "searchable": true,
        "triggerable": true,
        "undeletable": object.undeletable,
        "updateable": true,
        "urls": {
            "rowTemplate": format!("{base}/{{ID}}"),
            "describe": format!("{base}/describe"),
            "sobject": base,
        },
    })
}

/// The entry of an object's change events in the list of all: nothing can be queried there.
pub fn global_of_events(object: &Object, version: &str) -> Json {
    let name = crate::events::event_name(&object.name);
    let base = format!("/services/data/v{version}/sobjects/{name}");
    let mut entry = global(object, version);
    let own = json!({
        "associateEntityType": "ChangeEvent",
        "associateParentEntity": object.name,
        "createable": false,
        "deletable": false,
        "keyPrefix": null,
        "label": format!("{} Change Event", object.label),
        "labelPlural": format!("{} Change Events", object.label),
        "layoutable": false,
        "mergeable": false,
        "mruEnabled": false,
        "name": name,
        "queryable": false,
        "replicateable": false,
        "retrieveable": false,
        "searchable": false,
        "undeletable": false,
        "updateable": false,
        "urls": {
            "rowTemplate": format!("{base}/{{ID}}"),
            "eventSchema": format!("{base}/eventSchema"),
            "describe": format!("{base}/describe"),
            "sobject": base,
        },
    });
    if let (Json::Object(entry), Json::Object(own)) = (&mut entry, own) {
        entry.extend(own);
    }
    entry
}

/// The whole description of one object: only the fields for which `visible` is true.
pub fn describe(object: &Object, version: &str, visible: impl Fn(usize) -> bool) -> Json {
    let fields: Vec<Json> = object
        .fields
        .iter()
        .enumerate()
        .filter(|(at, _)| visible(*at))
        .map(|(_, field)| describe_field(field))
        .collect();
    let mut description = global(object, version);
    if let Json::Object(entries) = &mut description {
        entries.insert("actionOverrides".to_owned(), json!([]));
        entries.insert("childRelationships".to_owned(), json!([]));
        entries.insert("fields".to_owned(), Json::Array(fields));
        entries.insert("namedLayoutInfos".to_owned(), json!([]));
        entries.insert("recordTypeInfos".to_owned(), json!([]));
        entries.insert("supportedScopes".to_owned(), json!([{"label": "All", "name": "everything"}]));
    }
    description
}

fn describe_field(field: &Field) -> Json {
    let writable = !field.read_only && field.derived.is_none() && field.kind != Kind::Address;
    let picklist: Vec<Json> = field
        .picklist
        .iter()
        .map(|value| json!({"active": true, "defaultValue": false, "label": value, "validFor": null, "value": value}))
        .collect();
    let mut description = unvarying();
    let varying = json!({
        "aggregatable": !matches!(field.kind, Kind::Address | Kind::TextArea | Kind::Boolean),
        "byteLength": field.length * 3,
        "calculated": field.formula.is_some(),
        "calculatedFormula": text_or_null(field.formula.as_deref()),
        "caseSensitive": field.kind == Kind::Id,
        "compoundFieldName": text_or_null(field.compound.as_deref()),
        "createable": writable,
        "custom": field.is_custom(),
        "defaultValue": if field.kind == Kind::Boolean { Json::Bool(false) } else { Json::Null },
        "defaultedOnCreate": field.read_only || field.kind == Kind::Boolean,
        "digits": if field.kind == Kind::Int { field.precision } else { 0 },
        "extraTypeInfo": if field.kind == Kind::TextArea { json!("plaintextarea") } else { Json::Null },
        "filterable": field.is_filterable(),
        "groupable": field.is_groupable(),
        "idLookup": field.kind == Kind::Id,
        "label": field.label,
        "length": field.length,
        "name": field.name,
        "nameField": field.names_record,
        "nillable": field.nillable,
        "permissionable": field.nillable && !field.read_only,
        "picklistValues": picklist,
        "precision": if field.kind == Kind::Int { 0 } else { field.precision },
        "referenceTo": field.reference_to.iter().collect::<Vec<_>>(),
        "relationshipName": text_or_null(field.relationship.as_deref()),
        "scale": field.scale,
        "soapType": soap_type(field.kind),
        "sortable": field.is_filterable() && field.kind != Kind::TextArea,
        "type": field.kind.name(),
        "unique": field.unique,
        "updateable": writable && !matches!(field.name.as_str(), "Product2Id" | "Pricebook2Id"),
    });
    if let (Json::Object(all), Json::Object(varying)) = (&mut description, varying) {
        all.extend(varying);
    }
    description
}

/// The attributes that no field of this org has.
fn unvarying() -> Json {
    json!({
        "aiPredictionField": false,
        "autoNumber": false,
        "cascadeDelete": false,
        "controllerName": null,
        "defaultValueFormula": null,
        "dependentPicklist": false,
        "deprecatedAndHidden": false,
        "displayLocationInDecimal": false,
        "encrypted": false,
        "externalId": false,
        "filteredLookupInfo": null,
        "formulaTreatNullNumberAsZero": false,
        "highScaleNumber": false,
        "htmlFormatted": false,
        "inlineHelpText": null,
        "mask": null,
        "maskType": null,
        "namePointing": false,
        "polymorphicForeignKey": false,
        "queryByDistance": false,
        "referenceTargetField": null,
        "relationshipOrder": null,
        "restrictedDelete": false,
        "restrictedPicklist": false,
        "searchPrefilterable": false,
        "writeRequiresMasterRead": false,
    })
}

fn soap_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Reference => "tns:ID",
        Kind::Text | Kind::TextArea | Kind::Picklist | Kind::Phone | Kind::Url | Kind::Email => "xsd:string",
        Kind::Boolean => "xsd:boolean",
        Kind::Int => "xsd:int",
        Kind::Double | Kind::Currency => "xsd:double",
        Kind::Date => "xsd:date",
        Kind::DateTime => "xsd:dateTime",
        Kind::Address => "urn:address",
    }
}
