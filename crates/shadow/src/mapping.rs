//! Which object and fields fill which table and columns.
//!
//! A [`Mapping`] is data: three are built in, more come from the database. [`resolve`] holds it against what the
//! org's describe shows and gives a [`ResolvedMapping`]: the fields to select, and where each value goes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::describe::{FieldInfo, FieldType, ObjectInfo};
use crate::ids::ObjectName;

/// Fields that every read selects, whatever the mapping names.
pub const ALWAYS_READ: [&str; 4] = ["Id", "SystemModstamp", "CreatedDate", "IsDeleted"];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// `text`.
    Text,
    /// `numeric(precision, scale)`: a value that does not fit exactly is refused, never rounded.
    Numeric {
        /// Most digits in all.
        precision: u32,
        /// Digits behind the point.
        scale: u32,
    },
    /// `bigint`.
    Integer,
    /// `boolean`.
    Boolean,
    /// `date`.
    Date,
    /// `timestamptz`.
    Timestamp,
}

/// What fills a column where the org has none of its source fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Null.
    Null,
    /// The org's one currency.
    OrgCurrency,
}

/// One column and the fields that fill it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnMapping {
    /// Column of the shadow table.
    pub name: String,
    /// Fields in order of preference: per record the first that is not empty fills the column.
    pub sources: Vec<String>,
    /// What the column holds.
    pub kind: ColumnKind,
    /// Whether a record without a value is rejected.
    pub required: bool,
    /// What fills it where the org has none of the sources.
    pub fallback: Fallback,
}

/// The column that points to a record of another mapped object, which must be in its shadow table first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentReference {
    /// Column of this mapping's table.
    pub column: String,
    /// The object it points to.
    pub object: ObjectName,
}

/// Which fields `raw_payload` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadFields {
    /// Every field that the sync user may select.
    All,
    /// Those that fill columns.
    Mapped,
    /// Those that fill columns, and these.
    List(Vec<String>),
}

/// Which object and fields fill which table and columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The object.
    pub object: ObjectName,
    /// Its shadow table, without a schema.
    pub table: String,
    /// The column of the record id.
    pub key: String,
    /// The other columns.
    pub columns: Vec<ColumnMapping>,
    /// The column whose values only one record may hold.
    pub unique: Option<String>,
    /// The column that points to a parent.
    pub parent: Option<ParentReference>,
    /// Which fields `raw_payload` holds, besides those of [`ALWAYS_READ`].
    pub payload_fields: PayloadFields,
}

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
        }
    }

    /// The three built-in mappings, parents before their children.
    pub fn built_in() -> Vec<Self> {
        vec![Self::product(), Self::pricebook_entry(), Self::account()]
    }

    /// Where a column stands in `columns`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
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

/// What the org says of its currencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgFacts {
    /// The org's currency, or its default one; `None` if neither the org nor the configuration says.
    pub currency: Option<String>,
    /// Whether the org keeps a currency per record.
    pub multi_currency: bool,
}

/// Something that a person should know about a mapping in this org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object.
    pub object: ObjectName,
    /// The field or column concerned.
    pub field: String,
    /// Whether the object cannot be loaded like this.
    pub blocks: bool,
    /// What is the matter and what follows from it.
    pub message: String,
}

/// The object cannot be loaded with this mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} cannot be mapped: {}", .findings.iter().filter(|f| f.blocks).map(|f| f.message.as_str()).collect::<Vec<_>>().join("; "))]
pub struct Unmappable {
    /// The object.
    pub object: ObjectName,
    /// Everything found, at least one of it blocking.
    pub findings: Vec<Finding>,
}

/// A field that every read of the object selects, and `raw_payload` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedField {
    /// API name in describe's letter case.
    pub name: String,
    /// How its values are read.
    pub field_type: FieldType,
    /// Digits behind the point of a decimal number.
    pub scale: u32,
}

/// What fills a column in this org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnSource {
    /// The first non-empty of these fields, by their places in [`ResolvedMapping::fields`].
    Fields(Vec<usize>),
    /// The same text for every record.
    Constant(String),
    /// Nothing.
    Null,
}

/// Where the fields stand that every read selects, in [`ResolvedMapping::fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlwaysRead {
    /// `Id`.
    pub id: usize,
    /// `SystemModstamp`.
    pub system_modstamp: usize,
    /// `CreatedDate`.
    pub created_date: usize,
    /// `IsDeleted`; an object without a recycle bin has none.
    pub is_deleted: Option<usize>,
}

/// A mapping held against one org's describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedMapping {
    /// The mapping itself.
    pub mapping: Arc<Mapping>,
    /// The mapping that its parent column points to.
    pub parent: Option<Arc<Mapping>>,
    /// The mappings whose parent this one is.
    pub children: Vec<Arc<Mapping>>,
    /// The fields to select, sorted by name; their order is that of `raw_payload`.
    pub fields: Vec<SelectedField>,
    /// What fills each column of the mapping.
    pub columns: Vec<ColumnSource>,
    /// Where the always-read fields stand.
    pub always: AlwaysRead,
    /// What a person should know; none of it blocks.
    pub findings: Vec<Finding>,
}

impl ResolvedMapping {
    /// The object.
    pub fn object(&self) -> &ObjectName {
        &self.mapping.object
    }

    /// The names of the fields to select.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// The query that reads every record whole: `SELECT … FROM …`, with a condition if given.
    pub fn soql(&self, condition: Option<&str>) -> String {
        let fields = self.field_names().collect::<Vec<_>>().join(",");
        select(&fields, self.object(), condition)
    }

    /// The query that reads only what tells whether a record changed: `SELECT Id,SystemModstamp FROM …`.
    pub fn stamps_soql(&self, condition: Option<&str>) -> String {
        select("Id,SystemModstamp", self.object(), condition)
    }

    /// What the rows' content depends on besides the records: 16 hexadecimal digits that change when the fields
    /// to select or the ways into the columns do. Rows of another shape must be read again.
    pub fn shape(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}{:?}{:?}", self.fields, self.columns, self.mapping.columns).as_bytes());
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

fn select(fields: &str, object: &ObjectName, condition: Option<&str>) -> String {
    match condition {
        Some(condition) => format!("SELECT {fields} FROM {object} WHERE {condition}"),
        None => format!("SELECT {fields} FROM {object}"),
    }
}

/// Holds a mapping against what the org's describe shows to the sync user.
///
/// - **`all`:** every mapping of the environment; parents and children are found among them.
/// - **Errors:** [`Unmappable`] if `Id`, `SystemModstamp`, `CreatedDate`, a required column's fields or the
///   currency are missing. A missing field of another column is a finding; the column stays null.
pub fn resolve(
    mapping: &Mapping,
    all: &[Mapping],
    info: &ObjectInfo,
    org: &OrgFacts,
) -> Result<ResolvedMapping, Unmappable> {
    let mut resolver = Resolver { mapping, info, findings: Vec::new() };
    let fields = resolver.selected_fields();
    let columns = mapping.columns.iter().map(|column| resolver.column(column, &fields, org)).collect();
    let place = |name: &str| fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
    let always = AlwaysRead {
        id: place("Id").unwrap_or_default(),
        system_modstamp: place("SystemModstamp").unwrap_or_default(),
        created_date: place("CreatedDate").unwrap_or_default(),
        is_deleted: place("IsDeleted"),
    };
    let Resolver { findings, .. } = resolver;
    if findings.iter().any(|finding| finding.blocks) {
        return Err(Unmappable { object: mapping.object.clone(), findings });
    }
    let parent = mapping
        .parent
        .as_ref()
        .and_then(|parent| all.iter().find(|other| other.object == parent.object).cloned().map(Arc::new));
    let children = all
        .iter()
        .filter(|other| other.parent.as_ref().is_some_and(|parent| parent.object == mapping.object))
        .cloned()
        .map(Arc::new)
        .collect();
    Ok(ResolvedMapping {
        mapping: Arc::new(mapping.clone()),
        parent,
        children,
        fields,
        columns,
        always,
        findings,
    })
}

/// Collects what is found while a mapping is resolved.
struct Resolver<'a> {
    mapping: &'a Mapping,
    info: &'a ObjectInfo,
    findings: Vec<Finding>,
}

impl Resolver<'_> {
    fn find(&mut self, field: &str, blocks: bool, message: String) {
        self.findings.push(Finding {
            object: self.mapping.object.clone(),
            field: field.to_owned(),
            blocks,
            message,
        });
    }

    /// The fields to select: always-read ones, sources of columns, and those for the payload alone.
    fn selected_fields(&mut self) -> Vec<SelectedField> {
        for name in ALWAYS_READ {
            if self.info.field(name).is_none() && name != "IsDeleted" {
                let message = format!(
                    "the sync user cannot see {}.{name}, without which nothing can be loaded",
                    self.mapping.object
                );
                self.find(name, true, message);
            }
        }
        if let PayloadFields::List(list) = &self.mapping.payload_fields {
            for name in list {
                if self.info.field(name).is_none() {
                    let message = format!(
                        "{}.{name} does not exist or is hidden from the sync user: raw_payload goes without it",
                        self.mapping.object
                    );
                    self.find(name, false, message);
                }
            }
        }
        let mut fields: Vec<SelectedField> = self
            .info
            .fields
            .iter()
            .filter(|field| field.field_type.is_selectable() && self.is_selected(field))
            .map(|field| SelectedField {
                name: field.name.clone(),
                field_type: field.field_type,
                scale: field.scale,
            })
            .collect();
        // Describe's own order may differ between two calls; the order of names does not.
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields
    }

    fn is_selected(&self, field: &FieldInfo) -> bool {
        let named = |name: &str| field.name.eq_ignore_ascii_case(name);
        let mapped =
            || self.mapping.columns.iter().flat_map(|column| &column.sources).any(|source| named(source));
        ALWAYS_READ.into_iter().any(named)
            || match &self.mapping.payload_fields {
                PayloadFields::All => true,
                PayloadFields::Mapped => mapped(),
                PayloadFields::List(list) => mapped() || list.iter().any(|name| named(name)),
            }
    }

    /// What fills a column; notes what the org lacks.
    fn column(&mut self, column: &ColumnMapping, fields: &[SelectedField], org: &OrgFacts) -> ColumnSource {
        let object = &self.mapping.object;
        let places: Vec<usize> = column
            .sources
            .iter()
            .filter_map(|source| fields.iter().position(|field| field.name.eq_ignore_ascii_case(source)))
            .collect();
        if !places.is_empty() {
            return ColumnSource::Fields(places);
        }
        let named =
            column.sources.iter().map(|source| format!("{object}.{source}")).collect::<Vec<_>>().join(" or ");
        match (column.fallback, &org.currency) {
            (Fallback::OrgCurrency, _) if org.multi_currency => {
                self.find(
                    &column.name,
                    true,
                    format!("the org keeps a currency per record, but {named} is hidden from the sync user"),
                );
            }
            (Fallback::OrgCurrency, Some(currency)) => return ColumnSource::Constant(currency.clone()),
            (Fallback::OrgCurrency, None) => {
                self.find(&column.name, true, format!("{named} does not exist and the org does not say its currency: set `currency` in the configuration"));
            }
            (Fallback::Null, _) if column.required => {
                self.find(&column.name, true, format!("{named} does not exist or is hidden from the sync user, and the column {} cannot be empty", column.name));
            }
            (Fallback::Null, _) => {
                self.find(
                    &column.name,
                    false,
                    format!(
                        "{named} does not exist or is hidden from the sync user: the column {} stays null",
                        column.name
                    ),
                );
            }
        }
        ColumnSource::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(object: &str, fields: &[(&str, FieldType)]) -> ObjectInfo {
        ObjectInfo {
            name: ObjectName::parse(object).unwrap(),
            key_prefix: None,
            fields: fields.iter().map(|(name, field_type)| FieldInfo::new(name, *field_type)).collect(),
        }
    }

    fn product_info() -> ObjectInfo {
        info(
            "Product2",
            &[
                ("Id", FieldType::Id),
                ("Name", FieldType::Text),
                ("ProductCode", FieldType::Text),
                ("CreatedDate", FieldType::DateTime),
                ("SystemModstamp", FieldType::DateTime),
                ("IsDeleted", FieldType::Boolean),
                ("Family", FieldType::Text),
                ("Where__c", FieldType::Compound),
            ],
        )
    }

    fn entry_info() -> ObjectInfo {
        info(
            "PricebookEntry",
            &[
                ("Id", FieldType::Id),
                ("CreatedDate", FieldType::DateTime),
                ("SystemModstamp", FieldType::DateTime),
                ("IsDeleted", FieldType::Boolean),
                ("Product2Id", FieldType::Reference),
                ("Pricebook2Id", FieldType::Reference),
                ("UnitPrice", FieldType::Decimal),
                ("IsActive", FieldType::Boolean),
            ],
        )
    }

    #[test]
    fn fields_are_selected_by_name_order_without_compound_ones() {
        let all = Mapping::built_in();
        let resolved = resolve(&all[0], &all, &product_info(), &OrgFacts::default()).unwrap();
        assert_eq!(
            resolved.soql(None),
            "SELECT CreatedDate,Family,Id,IsDeleted,Name,ProductCode,SystemModstamp FROM Product2"
        );
        assert_eq!(resolved.children[0].object.as_str(), "PricebookEntry");
    }

    #[test]
    fn a_field_that_the_org_lacks_leaves_its_column_null_and_is_told() {
        let all = Mapping::built_in();
        let resolved = resolve(&all[0], &all, &product_info(), &OrgFacts::default()).unwrap();
        assert_eq!(resolved.columns[2], ColumnSource::Null);
        assert_eq!(resolved.findings.len(), 4);
        assert!(resolved.findings.iter().all(|finding| !finding.blocks));
    }

    #[test]
    fn an_object_without_a_stamp_cannot_be_loaded() {
        let mut info = product_info();
        info.fields.retain(|field| field.name != "SystemModstamp");
        let all = Mapping::built_in();
        let error = resolve(&all[0], &all, &info, &OrgFacts::default()).unwrap_err();
        assert!(error.to_string().contains("SystemModstamp"), "{error}");
    }

    #[test]
    fn the_currency_is_never_guessed() {
        let all = Mapping::built_in();
        let euro = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
        let resolved = resolve(&all[1], &all, &entry_info(), &euro).unwrap();
        assert_eq!(resolved.columns[3], ColumnSource::Constant("EUR".to_owned()));
        assert!(resolve(&all[1], &all, &entry_info(), &OrgFacts::default()).is_err());
        let hidden = OrgFacts { multi_currency: true, ..euro };
        assert!(resolve(&all[1], &all, &entry_info(), &hidden).is_err());
    }

    #[test]
    fn an_account_shows_only_its_mapped_fields() {
        let all = Mapping::built_in();
        let mut account = product_info();
        account.name = ObjectName::account();
        account.fields.push(FieldInfo::new("Internet_Eligibility__c", FieldType::Text));
        let resolved = resolve(&all[2], &all, &account, &OrgFacts::default()).unwrap();
        assert_eq!(
            resolved.field_names().collect::<Vec<_>>(),
            ["CreatedDate", "Id", "Internet_Eligibility__c", "IsDeleted", "SystemModstamp"]
        );
    }
}
