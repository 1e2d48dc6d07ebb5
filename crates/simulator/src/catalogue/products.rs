//! Products: SIM cards, internet access, private networks, and what is added to them.

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

pub const PREFIX: [u8; 3] = *b"01t";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    ProductCode,
    StockKeepingUnit,
    Description,
    Family,
    IsActive,
    IsArchived,
    CurrencyIsoCode,
    ItemClass,
    OfferingType,
    PlanTier,
    VpnRegion,
    Bandwidth,
    ContractMonths,
    LaunchedOn,
    Notes,
    IsDeleted,
    CreatedDate,
    CreatedById,
    LastModifiedDate,
    LastModifiedById,
    SystemModstamp,
}

/// Product2 and its records.
pub fn table(shape: &Arc<Shape>) -> (Object, Arc<dyn Base>) {
    let mut columns = vec![
        (Column::Id, standard("Id")),
        (Column::Name, standard("Name")),
        (Column::ProductCode, standard("ProductCode")),
        (Column::StockKeepingUnit, standard("StockKeepingUnit")),
        (Column::Description, standard("Description")),
        (Column::Family, standard("Family").values(&["SIM", "Internet", "VPN", "Add-on"])),
        (Column::IsActive, standard("IsActive")),
        (Column::IsArchived, standard("IsArchived")),
        (Column::ItemClass, Field::new("Item_Class__c", Kind::Picklist).values(&CLASSES)),
        (Column::OfferingType, Field::new("Offering_Type__c", Kind::Picklist).values(&OFFERINGS)),
        (Column::PlanTier, Field::new("Plan_Tier__c", Kind::Picklist).values(&TIERS)),
        (Column::VpnRegion, Field::new("VPN_Region__c", Kind::Picklist).values(&REGIONS)),
        (Column::Bandwidth, Field::new("Bandwidth_Mbit__c", Kind::Double).digits(9, 1)),
        (Column::ContractMonths, Field::new("Contract_Months__c", Kind::Double).digits(3, 0)),
        (Column::LaunchedOn, Field::new("Launched_On__c", Kind::Date)),
        (Column::Notes, Field::new("Notes__c", Kind::TextArea).length(131_072)),
        (Column::IsDeleted, standard("IsDeleted")),
        (Column::CreatedDate, standard("CreatedDate")),
        (Column::CreatedById, standard("CreatedById")),
        (Column::LastModifiedDate, standard("LastModifiedDate")),
        (Column::LastModifiedById, standard("LastModifiedById")),
        (Column::SystemModstamp, standard("SystemModstamp")),
    ];
    if shape.multi_currency {
        columns.insert(8, (Column::CurrencyIsoCode, standard("CurrencyIsoCode").values(&super::CURRENCIES)));
    }
    let (object, columns) = object_of("Product2", columns);
    let long_text = if shape.long_text {
        "Coverage by street. ".repeat(6_554)[..131_072].to_owned()
    } else {
        String::new()
    };
    (object, Arc::new(Products { shape: Arc::clone(shape), columns, long_text }))
}

const CLASSES: [&str; 4] = ["SIM", "Internet", "VPN", "Add-on"];
const OFFERINGS: [&str; 3] = ["Plan", "Option", "Device"];
const TIERS: [&str; 5] = ["Start", "Flex", "Plus", "Pro", "Max"];
const REGIONS: [&str; 6] = ["EU Central", "EU North", "EU West", "UK", "US East", "APAC"];
const VOLUMES: [&str; 8] = ["1 GB", "2 GB", "5 GB", "10 GB", "20 GB", "50 GB", "100 GB", "Unlimited"];
const SPEEDS: [u32; 8] = [16, 50, 100, 250, 500, 1_000, 2_500, 10_000];
const ACCESS: [&str; 4] = ["Fibre", "Cable", "DSL", "5G Access"];
const ADD_ONS: [&str; 8] = [
    "Static IP address",
    "Second line",
    "Router rental",
    "On-site installation",
    "Service level Gold",
    "Roaming pass EU",
    "Voicemail to text",
    "DDoS protection",
];

/// What a product is, before it gets a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Sim,
    Internet,
    Vpn,
    AddOn,
}

struct Products {
    shape: Arc<Shape>,
    columns: Vec<Column>,
    long_text: String,
}

/// The product whose code is the same as that of `row`, where codes are doubled on purpose: the row itself otherwise.
///
/// Rows 23 and 24 share a code, and so do 31, 47 and 58, and 70 and 71. Row 36 has no SKU, and its product code is
/// the SKU of row 34.
fn code_of(row: u64) -> u64 {
    match row {
        24 => 23,
        47 | 58 => 31,
        71 => 70,
        36 => 34,
        other => other,
    }
}

/// Reports whether a product has no code at all.
fn is_without_code(row: u64) -> bool {
    matches!(row, 12 | 90)
}

/// Reports whether a product has a `ProductCode`, but no `StockKeepingUnit`.
fn has_product_code_only(row: u64) -> bool {
    row == 36 || (row % 9 == 8 && code_of(row) == row && !matches!(row, 23 | 31 | 70))
}

impl Products {
    fn class(&self, row: u64) -> Class {
        match hash(self.shape.seed, 1, row) % 12 {
            0..=4 => Class::Sim,
            5..=8 => Class::Internet,
            9 | 10 => Class::Vpn,
            _ => Class::AddOn,
        }
    }

    fn tier(&self, row: u64) -> u64 {
        hash(self.shape.seed, 2, row) % TIERS.len() as u64
    }

    fn months(&self, row: u64) -> u64 {
        [1, 12, 24, 36][in_memory(hash(self.shape.seed, 3, row) % 4)]
    }

    fn region(&self, row: u64) -> &'static str {
        pick(&REGIONS, hash(self.shape.seed, 4, row))
    }

    fn speed(&self, row: u64) -> u32 {
        SPEEDS[in_memory(hash(self.shape.seed, 5, row) % SPEEDS.len() as u64)]
    }

    fn name<'a>(&self, row: u64, out: &'a mut String) -> Value<'a> {
        out.clear();
        match row {
            3 => out.push_str("SIM \"Reise\" 5 GB, \"EU & UK\""),
            5 => out.push_str("Internet for 🏠 and 🏢, 日本語 ready"),
            7 => out.push_str("=SUM(A1:A2) starter kit"),
            8 => out.push_str("null"),
            11 => out.push_str("VPN d'entreprise\u{a0}– Genève\ttrial"),
            _ => self.compose_name(row, out),
        }
        Value::Text(out)
    }

    fn compose_name(&self, row: u64, out: &mut String) {
        let tier = TIERS[in_memory(self.tier(row))];
        let months = self.months(row);
        let written = match self.class(row) {
            Class::Sim => {
                write!(out, "SIM {tier} {} {months}M", pick(&VOLUMES, hash(self.shape.seed, 6, row)))
            }
            Class::Internet => {
                let access = pick(&ACCESS, hash(self.shape.seed, 7, row));
                write!(out, "{access} {tier} {} Mbit/s {months}M", self.speed(row))
            }
            Class::Vpn => write!(out, "Site VPN {tier} {} {} Mbit/s", self.region(row), self.speed(row)),
            Class::AddOn => write!(out, "{} {tier}", pick(&ADD_ONS, hash(self.shape.seed, 8, row))),
        };
        written.and_then(|()| write!(out, " #{row}")).expect("writing to a string cannot fail");
    }

    fn code<'a>(&self, row: u64, dash: &str, out: &'a mut String) -> Value<'a> {
        let row = code_of(row);
        let class = match self.class(row) {
            Class::Sim => "SIM",
            Class::Internet => "INT",
            Class::Vpn => "VPN",
            Class::AddOn => "ADD",
        };
        out.clear();
        let tier = TIERS[in_memory(self.tier(row))].as_bytes()[0] as char;
        write!(out, "{class}{dash}{tier}{dash}{row:06}").expect("writing to a string cannot fail");
        Value::Text(out)
    }

    fn description<'a>(&self, row: u64, out: &'a mut String) -> Value<'a> {
        out.clear();
        match row {
            4 => out.push_str("First line\r\nsecond line\nthird \"quoted\", with a comma\rand a lone return"),
            6 => out.push_str("#N/A"),
            10 if self.shape.nul_text => out.push_str("before\0after"),
            _ if hash(self.shape.seed, 9, row).is_multiple_of(5) => return Value::Null,
            _ => {
                let tier = TIERS[in_memory(self.tier(row))];
                write!(out, "{tier} offer, minimum term {} months, ", self.months(row))
                    .expect("writing to a string cannot fail");
                out.push_str(match self.class(row) {
                    Class::Sim => "voice flat rate and data, number porting included.",
                    Class::Internet => {
                        "symmetric where the building has fibre, otherwise as the line allows."
                    }
                    Class::Vpn => "managed router, monitored day and night.",
                    Class::AddOn => "only together with a plan.",
                });
            }
        }
        Value::Text(out)
    }

    /// Products came in batches of 25 that share a second.
    fn created(&self, row: u64) -> i64 {
        let row = match row {
            // The third claimant of a code is the oldest, though its id is not the smallest.
            47 => 0,
            71 => 70,
            other => other,
        };
        let batches = self.shape.products.div_ceil(25).max(1);
        moment(row / 25 * SPAN_S / batches)
    }

    fn modified(&self, row: u64) -> i64 {
        let later = match hash(self.shape.seed, 10, row) % 4 {
            0 => 0,
            // A storm: everything that a nightly job touched has one second.
            1 => 20 * 86_400,
            _ => hash(self.shape.seed, 11, row) % (60 * 86_400),
        };
        self.created(row) + i64::try_from(later).unwrap_or(0) * 1_000
    }
}

impl Base for Products {
    fn len(&self) -> u64 {
        self.shape.products
    }

    fn id(&self, row: u64) -> RecordId {
        RecordId::generated(PREFIX, row)
    }

    fn find(&self, id: &RecordId) -> Option<u64> {
        id.generated_index(PREFIX).filter(|row| *row < self.shape.products)
    }

    fn read<'a>(&'a self, row: u64, field: usize, scratch: &'a mut String) -> Value<'a> {
        let class = self.class(row);
        match self.columns[field] {
            Column::Id => Value::Id(self.id(row)),
            Column::Name => self.name(row, scratch),
            Column::ProductCode if is_without_code(row) => Value::Null,
            Column::ProductCode => self.code(row, if has_product_code_only(row) { "-" } else { "" }, scratch),
            Column::StockKeepingUnit if is_without_code(row) || has_product_code_only(row) => Value::Null,
            Column::StockKeepingUnit => self.code(row, "-", scratch),
            Column::Description => self.description(row, scratch),
            Column::Family | Column::ItemClass => Value::Text(CLASSES[class as usize]),
            Column::IsActive => Value::Bool(row % 17 != 16 && row % 83 != 13),
            Column::IsArchived => Value::Bool(row % 83 == 13),
            Column::CurrencyIsoCode => Value::Text(super::CURRENCIES[0]),
            Column::OfferingType => Value::Text(OFFERINGS[usize::from(class == Class::AddOn)]),
            Column::PlanTier if class == Class::AddOn => Value::Null,
            Column::PlanTier => Value::Text(TIERS[in_memory(self.tier(row))]),
            Column::VpnRegion if class == Class::Vpn => Value::Text(self.region(row)),
            Column::Bandwidth if matches!(class, Class::Internet | Class::Vpn) => {
                Value::Decimal(self.speed(row).into())
            }
            Column::ContractMonths => Value::Decimal(self.months(row).into()),
            Column::LaunchedOn => Value::Date(self.created(row).div_euclid(crate::calendar::DAY_MS) + 14),
            Column::Notes if row == 9 && !self.long_text.is_empty() => Value::Text(&self.long_text),
            Column::VpnRegion | Column::Bandwidth | Column::Notes => Value::Null,
            Column::IsDeleted => Value::Bool(false),
            Column::CreatedDate => Value::Time(self.created(row)),
            Column::CreatedById | Column::LastModifiedById => Value::Id(people::catalogue_manager()),
            Column::LastModifiedDate | Column::SystemModstamp => Value::Time(self.modified(row)),
        }
    }
}

/// A monthly price in cents that suits a product: the same for every seed that makes the same product.
pub fn base_cents(seed: u64, product: u64) -> Decimal {
    let steps = 4 + hash(seed, 12, product) % 240;
    Decimal::new(i64::try_from(steps * 50).unwrap_or(0) - 1, 2)
}
