//! Which objects an org has, and which fields they have.

mod describe;
mod standard;

use serde_json::Value as Json;

pub use describe::{describe, global, global_of_events};
pub use standard::{audit_fields, known_field, known_object};

/// The type of a field, by the name that describe gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The record's own id.
    Id,
    /// The id of another record.
    Reference,
    /// One line of text.
    Text,
    /// Several lines of text.
    TextArea,
    /// One of a list of texts.
    Picklist,
    /// A telephone number.
    Phone,
    /// An address on the web.
    Url,
    /// An address for mail.
    Email,
    /// A checkbox.
    Boolean,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// An amount of money.
    Currency,
    /// A day.
    Date,
    /// A moment.
    DateTime,
    /// A compound of street, city and so on; never stored by itself.
    Address,
}

impl Kind {
    /// The name in describe's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Reference => "reference",
            Self::Text => "string",
            Self::TextArea => "textarea",
            Self::Picklist => "picklist",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Email => "email",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Double => "double",
            Self::Currency => "currency",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Address => "address",
        }
    }

    /// The kinds that a field may be added with: those whose records may have nothing in it.
    pub fn addable(name: &str) -> Option<Self> {
        [
            Self::Text,
            Self::TextArea,
            Self::Picklist,
            Self::Phone,
            Self::Url,
            Self::Email,
            Self::Int,
            Self::Double,
            Self::Currency,
            Self::Date,
            Self::DateTime,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }

    /// Reports whether `SUM` and `AVG` are possible.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Currency)
    }

    /// Reports whether values are text, compared without regard to case.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::TextArea | Self::Picklist | Self::Phone | Self::Url | Self::Email)
    }
}

/// Where a field that is not stored gets its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Derived {
    /// From a field of the record that a reference names: (reference field, parent object, parent field).
    Parent(usize, usize, usize),
    /// The stored price, or the standard price book's where this checkbox is set.
    StandardPrice(usize),
    /// A formula: the first field, and the second in brackets.
    Label(usize, usize),
    /// Whether the record is in the recycle bin.
    Deleted,
}

/// One field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    /// The name, in describe's case.
    pub name: String,
    /// The label that people see.
    pub label: String,
    /// The type.
    pub kind: Kind,
    /// Characters, for text and ids; 0 otherwise.
    pub length: u32,
    /// Digits in all, for numbers.
    pub precision: u32,
    /// Digits after the point, for numbers.
    pub scale: u32,
    /// Reports whether the field may be empty.
    pub nillable: bool,
    /// The formula, for a calculated field.
    pub formula: Option<String>,
    /// The compound field that this one is a component of.
    pub compound: Option<String>,
    /// The object that a reference names.
    pub reference_to: Option<String>,
    /// The name of the relationship in a path, such as `Product2` in `Product2.Name`.
    pub relationship: Option<String>,
    /// The values of a picklist.
    pub picklist: Vec<String>,
    /// Reports whether the field names the record.
    pub names_record: bool,
    /// Reports whether values are unique.
    pub unique: bool,
    /// Reports whether the org itself sets the value.
    pub read_only: bool,
    /// How the value is derived, if it is not stored.
    pub derived: Option<Derived>,
    /// For a field that was added later: the field that it stands behind in change events.
    pub added_behind: Option<String>,
}

impl Field {
    /// A field of this kind with nothing special about it.
    pub fn new(name: &str, kind: Kind) -> Self {
        let (length, precision, scale) = match kind {
            Kind::Id | Kind::Reference => (18, 0, 0),
            Kind::Text | Kind::Picklist | Kind::Url => (255, 0, 0),
            Kind::Phone => (40, 0, 0),
            Kind::Email => (80, 0, 0),
            Kind::TextArea => (4_000, 0, 0),
            Kind::Int => (0, 8, 0),
            Kind::Double | Kind::Currency => (0, 18, 2),
            Kind::Boolean | Kind::Date | Kind::DateTime | Kind::Address => (0, 0, 0),
        };
        Self {
            name: name.to_owned(),
            label: label_of(name),
            kind,
            length,
            precision,
            scale,
            nillable: kind != Kind::Boolean,
            formula: None,
            compound: None,
            reference_to: None,
            relationship: None,
            picklist: Vec::new(),
            names_record: false,
            unique: false,
            read_only: false,
            derived: None,
            added_behind: None,
        }
    }

    /// Sets the length in characters.
    #[must_use]
    pub fn length(mut self, characters: u32) -> Self {
        self.length = characters;
        self
    }

    /// Sets precision and scale.
    #[must_use]
    pub fn digits(mut self, precision: u32, scale: u32) -> Self {
        self.precision = precision;
        self.scale = scale;
        self
    }

    /// Says that every record has a value.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.nillable = false;
        self
    }

    /// Says that only the org writes the field.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Says that the field names the record.
    #[must_use]
    pub fn naming(mut self) -> Self {
        self.names_record = true;
        self
    }

    /// Names the compound field that this one belongs to.
    #[must_use]
    pub fn part_of(mut self, compound: &str) -> Self {
        self.compound = Some(compound.to_owned());
        self
    }

    /// Names the object that the reference leads to, and the relationship.
    #[must_use]
    pub fn to(mut self, object: &str, relationship: &str) -> Self {
        self.reference_to = Some(object.to_owned());
        self.relationship = Some(relationship.to_owned());
        self
    }

    /// Lists the values of a picklist.
    #[must_use]
    pub fn values(mut self, values: &[&str]) -> Self {
        self.picklist = values.iter().map(|&value| value.to_owned()).collect();
        self
    }

    /// Sets the label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// Makes the field a formula.
    #[must_use]
    pub fn formula(mut self, formula: &str) -> Self {
        self.formula = Some(formula.to_owned());
        self.read_only = true;
        self
    }

    /// Reports whether an admin added the field.
    pub fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }

    /// Reports whether `GROUP BY` may name the field.
    pub fn is_groupable(&self) -> bool {
        !matches!(self.kind, Kind::DateTime | Kind::TextArea | Kind::Address | Kind::Double | Kind::Currency)
    }

    /// Reports whether `WHERE` may name the field.
    pub fn is_filterable(&self) -> bool {
        self.kind != Kind::Address && !(self.kind == Kind::TextArea && self.length > 4_000)
    }
}

/// One object of the org.
#[derive(Clone, Debug)]
pub struct Object {
    /// The name, in describe's case.
    pub name: String,
    /// The label of one record.
    pub label: String,
    /// The label of several.
    pub label_plural: String,
    /// The first three characters of its ids.
    pub key_prefix: [u8; 3],
    /// Reports whether a deleted record may be restored.
    pub undeletable: bool,
    /// Reports whether the Bulk API answers for it.
    pub bulk: bool,
    /// Its fields; position 0 is always `Id`.
    pub fields: Vec<Field>,
    /// When a field was last added, in milliseconds since 1970.
    pub changed_ms: Option<i64>,
}

impl Object {
    /// The position of a field by its name, whatever the case.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The position of the reference whose relationship has this name.
    pub fn relationship(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| {
            field.relationship.as_deref().is_some_and(|relationship| relationship.eq_ignore_ascii_case(name))
        })
    }

    /// The positions and components of a compound field, each with its key in JSON (`BillingCity` is `city`).
    pub fn components(&self, compound: &str) -> Vec<(usize, String)> {
        let prefix = compound.trim_end_matches("Address");
        let mut parts: Vec<_> = self
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.compound.as_deref() == Some(compound))
            .map(|(at, field)| (at, lower_first(field.name.trim_start_matches(prefix))))
            .collect();
        parts.sort_by(|left, right| left.1.cmp(&right.1));
        parts
    }
}

/// All objects.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The objects; a table has the same position.
    pub objects: Vec<Object>,
}

impl Schema {
    /// The position of an object by its name, whatever the case.
    pub fn object(&self, name: &str) -> Option<usize> {
        self.objects.iter().position(|object| object.name.eq_ignore_ascii_case(name))
    }

    /// Fills in how derived fields get their values, once all objects are known.
    pub fn connect(&mut self) {
        let parents: Vec<_> = [
            ("PricebookEntry", "Name", "Product2Id", "Product2", "Name"),
            ("PricebookEntry", "ProductCode", "Product2Id", "Product2", "ProductCode"),
            ("PricebookEntry", "IsArchived", "Product2Id", "Product2", "IsArchived"),
        ]
        .into_iter()
        .filter_map(|(object, field, reference, parent, parent_field)| {
            let object = self.object(object)?;
            let parent = self.object(parent)?;
            let derived = Derived::Parent(
                self.objects[object].field(reference)?,
                parent,
                self.objects[parent].field(parent_field)?,
            );
            Some((object, self.objects[object].field(field)?, derived))
        })
        .collect();
        for (object, field, derived) in parents {
            self.objects[object].fields[field].derived = Some(derived);
        }
        for object in &mut self.objects {
            let label = object.field("Internet_Eligibility__c").zip(object.field("Eligibility_Source__c"));
            if let (Some(field), Some((first, second))) = (object.field("Eligibility_Label__c"), label) {
                object.fields[field].derived = Some(Derived::Label(first, second));
            }
            if let Some(deleted) = object.field("IsDeleted") {
                object.fields[deleted].derived = Some(Derived::Deleted);
            }
            if let (Some(price), Some(flag)) = (object.field("UnitPrice"), object.field("UseStandardPrice")) {
                object.fields[price].derived = Some(Derived::StandardPrice(flag));
            }
        }
    }
}

/// Turns `StockKeepingUnit` into `Stock Keeping Unit`, and `VPN_Region__c` into `VPN Region`.
fn label_of(name: &str) -> String {
    let plain = name.trim_end_matches("__c");
    if plain.contains('_') {
        return plain.replace('_', " ");
    }
    let mut label = String::new();
    let mut last_lower = false;
    for letter in plain.chars() {
        if letter.is_uppercase() && last_lower {
            label.push(' ');
        }
        last_lower = letter.is_lowercase();
        label.push(letter);
    }
    label
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// A JSON text, for the many optional attributes of describe.
fn text_or_null(text: Option<&str>) -> Json {
    text.map_or(Json::Null, |text| Json::String(text.to_owned()))
}
