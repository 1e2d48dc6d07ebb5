//! Accounts: companies, where they are, and whether they can have internet access there.

use std::{fmt::Write, sync::Arc};

use rust_decimal::Decimal;

use super::{SPAN_S, Shape, hash, moment, object_of, people, pick, standard};
use crate::{
    ids::RecordId,
    position::in_memory,
    schema::{Field, Kind, Object},
    table::Base,
    value::Value,
};

const PREFIX: [u8; 3] = *b"001";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    Type,
    Industry,
    ParentId,
    Number,
    Phone,
    Website,
    Employees,
    Revenue,
    Street(bool),
    City(bool),
    State,
    PostalCode(bool),
    Country(bool),
    Compound,
    OwnerId,
    CurrencyIsoCode,
    Eligibility,
    Source,
    CheckedOn,
    Description,
    Created,
    Modified,
    User,
}

/// Account and its records.
pub fn table(shape: &Arc<Shape>) -> (Object, Arc<dyn Base>) {
    let eligibility = Field::new("Internet_Eligibility__c", Kind::Picklist).values(&ELIGIBILITY);
    let source = Field::new("Eligibility_Source__c", Kind::Picklist).values(&SOURCES);
    let label = Field::new("Eligibility_Label__c", Kind::Text).length(1_300).formula(
        "TEXT(Internet_Eligibility__c) & IF(ISBLANK(TEXT(Eligibility_Source__c)), '', ' (' & TEXT(Eligibility_Source__c) & ')')",
    );
    let mut columns = vec![
        (Column::Id, standard("Id")),
        (Column::Name, standard("Name")),
        (Column::Type, standard("Type").values(&TYPES)),
        (Column::ParentId, standard("ParentId")),
    ];
    for prefix in ["Billing", "Shipping"] {
        let billing = prefix == "Billing";
        columns.extend([
            (Column::Street(billing), standard(&format!("{prefix}Street"))),
            (Column::City(billing), standard(&format!("{prefix}City"))),
            (Column::State, standard(&format!("{prefix}State"))),
            (Column::PostalCode(billing), standard(&format!("{prefix}PostalCode"))),
            (Column::Country(billing), standard(&format!("{prefix}Country"))),
            (Column::Compound, standard(&format!("{prefix}Address"))),
        ]);
    }
    columns.extend([
        (Column::Phone, standard("Phone")),
        (Column::Number, Field::new("AccountNumber", Kind::Text).length(40)),
        (Column::Website, standard("Website")),
        (Column::Industry, standard("Industry").values(&INDUSTRIES)),
        (Column::Revenue, standard("AnnualRevenue")),
        (Column::Employees, standard("NumberOfEmployees")),
        (Column::Description, standard("Description").length(32_000)),
        (Column::OwnerId, standard("OwnerId")),
        (Column::Eligibility, eligibility),
        (Column::Source, source),
        (Column::Compound, label),
        (Column::CheckedOn, Field::new("Eligibility_Checked_On__c", Kind::Date)),
        (Column::Compound, standard("IsDeleted")),
        (Column::Created, standard("CreatedDate")),
        (Column::User, standard("CreatedById")),
        (Column::Modified, standard("LastModifiedDate")),
        (Column::User, standard("LastModifiedById")),
        (Column::Modified, standard("SystemModstamp")),
    ]);
    if shape.multi_currency {
        columns.insert(4, (Column::CurrencyIsoCode, standard("CurrencyIsoCode").values(&super::CURRENCIES)));
    }
    let (object, columns) = object_of("Account", columns);
    (object, Arc::new(Accounts { shape: Arc::clone(shape), columns }))
}

const ELIGIBILITY: [&str; 5] = ["Fibre", "Cable", "DSL only", "5G only", "Not eligible"];
const SOURCES: [&str; 4] = ["Network inventory", "Field survey", "Partner feed", "Manual"];
const TYPES: [&str; 3] = ["Customer - Direct", "Customer - Channel", "Prospect"];
const INDUSTRIES: [&str; 8] = [
    "Retail",
    "Manufacturing",
    "Healthcare",
    "Education",
    "Media",
    "Hospitality",
    "Transportation",
    "Construction",
];
const FIRST: [&str; 16] = [
    "Nord", "Harbour", "Alpen", "Linden", "Quarz", "Kestrel", "Merian", "Aurora", "Polder", "Cobalt",
    "Havel", "Juniper", "Rhône", "Sankt", "Tessel", "Umbra",
];
const SECOND: [&str; 16] = [
    "Logistics",
    "Bakeries",
    "Clinics",
    "Print",
    "Hotels",
    "Foods",
    "Optics",
    "Timber",
    "Motors",
    "Schools",
    "Textiles",
    "Studios",
    "Shipping",
    "Farms",
    "Tools",
    "Glass",
];
const FORMS: [&str; 6] = ["GmbH", "AG", "Ltd", "B.V.", "SARL", "A/S"];
const STREETS: [&str; 8] = [
    "Hafenstraße",
    "Market Lane",
    "Rue du Lac",
    "Lindenallee",
    "Canal Road",
    "Nørregade",
    "Via Roma",
    "Mühlenweg",
];
const CITIES: [(&str, &str, &str); 8] = [
    ("Hamburg", "20095", "Germany"),
    ("Leipzig", "04109", "Germany"),
    ("Utrecht", "3511", "Netherlands"),
    ("Lyon", "69002", "France"),
    ("Århus", "8000", "Denmark"),
    ("Leeds", "LS1 4AP", "United Kingdom"),
    ("Zürich", "8001", "Switzerland"),
    ("Graz", "8010", "Austria"),
];

struct Accounts {
    shape: Arc<Shape>,
    columns: Vec<Column>,
}

impl Accounts {
    fn hash(&self, purpose: u64, row: u64) -> u64 {
        hash(self.shape.seed, purpose, row)
    }

    fn place(&self, row: u64, billing: bool) -> (&'static str, &'static str, &'static str) {
        CITIES[in_memory(self.hash(if billing { 40 } else { 41 }, row) % CITIES.len() as u64)]
    }

    fn name<'a>(&self, row: u64, out: &'a mut String) -> Value<'a> {
        out.clear();
        match row {
            2 => out.push_str("O'Brien \"Quick\" Couriers, Ltd"),
            4 => out.push_str("🚲 Fahrradkurier Übersee"),
            6 => out.push_str("=HYPERLINK(\"x\") Holdings"),
            _ => {
                let (first, second) = (pick(&FIRST, self.hash(42, row)), pick(&SECOND, self.hash(43, row)));
                let form = pick(&FORMS, self.hash(44, row));
                write!(out, "{first} {second} {form} {row}").expect("writing to a string cannot fail");
            }
        }
        Value::Text(out)
    }

    fn created(&self, row: u64) -> i64 {
        let batches = self.shape.accounts.div_ceil(10).max(1);
        moment(row / 10 * SPAN_S / batches)
    }

    fn modified(&self, row: u64) -> i64 {
        self.created(row) + i64::try_from(self.hash(45, row) % 3 * 86_400 * 9).unwrap_or(0) * 1_000
    }
}

impl Base for Accounts {
    fn len(&self) -> u64 {
        self.shape.accounts
    }

    fn id(&self, row: u64) -> RecordId {
        RecordId::generated(PREFIX, row)
    }

    fn find(&self, id: &RecordId) -> Option<u64> {
        id.generated_index(PREFIX).filter(|row| *row < self.shape.accounts)
    }

    fn read<'a>(&'a self, row: u64, field: usize, scratch: &'a mut String) -> Value<'a> {
        let unchecked = row % 13 == 12;
        match self.columns[field] {
            Column::Id => Value::Id(self.id(row)),
            Column::Name => self.name(row, scratch),
            Column::Type => Value::Text(pick(&TYPES, self.hash(46, row))),
            Column::Industry => Value::Text(pick(&INDUSTRIES, self.hash(47, row))),
            Column::ParentId if row % 25 == 24 => Value::Id(self.id(row - 24)),
            Column::Description if row == 5 => {
                Value::Text("Line one\r\nLine two with \"quotes\"\n\nLine four, after a gap")
            }
            Column::ParentId | Column::Compound | Column::State | Column::Description => Value::Null,
            Column::Number => compose(scratch, format_args!("AC{:06}", row + 100)),
            Column::Phone => compose(scratch, format_args!("+49 40 {:07}", self.hash(48, row) % 10_000_000)),
            Column::Website => compose(scratch, format_args!("https://www.account-{row}.example")),
            Column::Employees if row.is_multiple_of(9) => Value::Null,
            Column::Employees => Value::Int(i64::try_from(self.hash(49, row) % 4_000).unwrap_or(0) + 1),
            Column::Revenue => Value::Decimal(Decimal::from(self.hash(50, row) % 9_000 * 10_000)),
            Column::Street(billing) => {
                let street = pick(&STREETS, self.hash(if billing { 51 } else { 52 }, row));
                let number = self.hash(53, row) % 180 + 1;
                if row == 3 {
                    compose(
                        scratch,
                        format_args!("{street} {number}\r\nBuilding C, 2nd floor\nRear entrance"),
                    )
                } else {
                    compose(scratch, format_args!("{street} {number}"))
                }
            }
            Column::City(billing) => Value::Text(self.place(row, billing).0),
            Column::PostalCode(billing) => Value::Text(self.place(row, billing).1),
            Column::Country(billing) => Value::Text(self.place(row, billing).2),
            Column::OwnerId | Column::User => Value::Id(people::catalogue_manager()),
            Column::CurrencyIsoCode => Value::Text(super::CURRENCIES[0]),
            Column::Eligibility | Column::Source | Column::CheckedOn if unchecked => Value::Null,
            Column::Eligibility => Value::Text(pick(&ELIGIBILITY, self.hash(54, row))),
            Column::Source if row % 10 == 7 => Value::Null,
            Column::Source => Value::Text(pick(&SOURCES, self.hash(55, row))),
            Column::CheckedOn => Value::Date(self.modified(row).div_euclid(crate::calendar::DAY_MS)),
            Column::Created => Value::Time(self.created(row)),
            Column::Modified => Value::Time(self.modified(row)),
        }
    }
}

fn compose<'a>(out: &'a mut String, text: std::fmt::Arguments<'_>) -> Value<'a> {
    out.clear();
    out.write_fmt(text).expect("writing to a string cannot fail");
    Value::Text(out)
}
