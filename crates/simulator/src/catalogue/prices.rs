//! Price books, and one entry per product, price book and currency.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{CURRENCIES, Kept, SPAN_S, Shape, hash, moment, object_of, people, products, standard};
use crate::{
    ids::RecordId,
    position::in_memory,
    schema::{Field, Kind, Object, audit_fields, known_object},
    table::Base,
    value::{Owned, Value},
};

const BOOK_PREFIX: [u8; 3] = *b"01s";
const ENTRY_PREFIX: [u8; 3] = *b"01u";
const BOOKS: [&str; 4] = ["Standard Price Book", "Retail", "Business", "Partners"];
/// Entries were loaded in batches that share one second: at most so many, and no fewer than 24 batches.
const STORM: u64 = 5_000;
const BATCHES: u64 = 24;
/// The price of this entry has more decimals than a currency shows: an API call once wrote it so.
const ODD_DECIMALS: u64 = 7;
/// The price of this entry has eleven digits before the point.
const TOO_LARGE: u64 = 11;

/// Pricebook2 and its records: the standard one, a few for sale, and one per customer contract where many are needed.
pub fn books(shape: &Shape) -> (Object, Arc<dyn Base>) {
    let mut object = known_object("Pricebook2");
    object.fields = ["Id", "Name", "Description", "IsActive", "IsArchived", "IsStandard"]
        .map(standard)
        .into_iter()
        .collect();
    object.fields.extend(audit_fields());
    let records = (0..book_count(shape)).map(|book| {
        let id = RecordId::generated(BOOK_PREFIX, book);
        let name = match BOOKS.get(in_memory(book)) {
            Some(name) => (*name).to_owned(),
            None => format!("Customer contract {book:05}"),
        };
        let user = Owned::Id(people::catalogue_manager());
        let values = vec![
            Owned::Id(id),
            Owned::Text(name.into()),
            Owned::Null,
            Owned::Bool(true),
            Owned::Bool(false),
            Owned::Bool(book == 0),
            Owned::Bool(false),
            Owned::Time(moment(0)),
            user.clone(),
            Owned::Time(moment(0)),
            user,
            Owned::Time(moment(0)),
        ];
        (id, values)
    });
    (object, Arc::new(Kept::new(records.collect())))
}

fn currencies(shape: &Shape) -> u64 {
    if shape.multi_currency { CURRENCIES.len() as u64 } else { 1 }
}

/// How many entries each product has: price books times currencies, as far as they are needed.
fn entries_per_product(shape: &Shape) -> u64 {
    shape.prices.div_ceil(shape.products.max(1)).max(1)
}

fn book_count(shape: &Shape) -> u64 {
    entries_per_product(shape).div_ceil(currencies(shape)).max(BOOKS.len() as u64)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Derived,
    Pricebook2Id,
    Product2Id,
    CurrencyIsoCode,
    UnitPrice,
    IsActive,
    UseStandardPrice,
    BillingPeriod,
    ChargeType,
    ValidFrom,
    ValidUntil,
    MinimumTerm,
    TaxClass,
    OfferText,
    Created,
    Modified,
    User,
}

/// PricebookEntry and its records.
pub fn entries(shape: &Arc<Shape>) -> (Object, Arc<dyn Base>) {
    let mut columns = vec![
        (Column::Id, standard("Id")),
        (Column::Derived, standard("Name").read_only()),
        (Column::Pricebook2Id, standard("Pricebook2Id")),
        (Column::Product2Id, standard("Product2Id")),
        (Column::UnitPrice, standard("UnitPrice")),
        (Column::IsActive, standard("IsActive")),
        (Column::UseStandardPrice, standard("UseStandardPrice")),
        (Column::Derived, standard("ProductCode").read_only()),
        (Column::Derived, standard("IsArchived")),
        (Column::BillingPeriod, Field::new("Billing_Period__c", Kind::Picklist).values(&PERIODS)),
        (Column::ChargeType, Field::new("Charge_Type__c", Kind::Picklist).values(&CHARGES)),
        (Column::ValidFrom, Field::new("Valid_From__c", Kind::Date)),
        (Column::ValidUntil, Field::new("Valid_Until__c", Kind::Date)),
        (Column::MinimumTerm, Field::new("Minimum_Term_Months__c", Kind::Double).digits(3, 0)),
        (Column::TaxClass, Field::new("Tax_Class__c", Kind::Text).length(40)),
        (Column::OfferText, Field::new("Offer_Text__c", Kind::Text).length(255)),
        (Column::Derived, standard("IsDeleted")),
        (Column::Created, standard("CreatedDate")),
        (Column::User, standard("CreatedById")),
        (Column::Modified, standard("LastModifiedDate")),
        (Column::User, standard("LastModifiedById")),
        (Column::Modified, standard("SystemModstamp")),
    ];
    if shape.multi_currency {
        columns.insert(4, (Column::CurrencyIsoCode, standard("CurrencyIsoCode").values(&CURRENCIES)));
    }
    let (object, columns) = object_of("PricebookEntry", columns);
    let per_product = entries_per_product(shape);
    let book_ids = (0..book_count(shape)).map(|book| RecordId::generated(BOOK_PREFIX, book)).collect();
    let storm = shape.prices.div_ceil(BATCHES).clamp(1, STORM);
    let entries = Entries {
        shape: Arc::clone(shape),
        columns,
        per_product,
        currencies: currencies(shape),
        book_ids,
        storm,
    };
    (object, Arc::new(entries))
}

const PERIODS: [&str; 3] = ["Monthly", "Quarterly", "Yearly"];
const CHARGES: [&str; 3] = ["Recurring", "One-time", "Usage"];
const TAXES: [&str; 3] = ["Standard rate", "Reduced rate", "Exempt"];
const OFFER_TEXTS: [&str; 5] = [
    "Price per month, plus connection fee; valid for new contracts and for renewals of at least twelve months.",
    "Introductory price for the first six months, afterwards the list price of the current catalogue applies.",
    "Volume price from ten sites; billed together with the main contract, payable within thirty days of invoice.",
    "Includes support on working days from eight to eighteen; support round the clock is an option of its own.",
    "Framework agreement: discounts are already in this price and cannot be combined with other promotions.",
];

struct Entries {
    shape: Arc<Shape>,
    columns: Vec<Column>,
    per_product: u64,
    currencies: u64,
    book_ids: Vec<RecordId>,
    storm: u64,
}

impl Entries {
    fn product(&self, row: u64) -> u64 {
        row / self.per_product
    }

    fn book(&self, row: u64) -> u64 {
        row % self.per_product / self.currencies
    }

    fn currency(&self, row: u64) -> u64 {
        row % self.per_product % self.currencies
    }

    fn uses_standard_price(&self, row: u64) -> bool {
        self.book(row) > 0 && self.hash(21, row).is_multiple_of(8)
    }

    fn price(&self, row: u64) -> Decimal {
        match row {
            ODD_DECIMALS => return Decimal::new(4_995, 3),
            TOO_LARGE => return Decimal::new(1_234_567_890_150, 2),
            _ => {}
        }
        let base = products::base_cents(self.shape.seed, self.product(row));
        let base_cents = i64::try_from(base.mantissa()).unwrap_or(0);
        let percent = [100, 108, 86][in_memory(self.currency(row))];
        let rebate =
            i64::try_from(self.hash(22, self.book(row)) % 30).unwrap_or(0) * i64::from(self.book(row) > 0);
        Decimal::new((base_cents * percent / 100) * (100 - rebate) / 100, 2)
    }

    fn created(&self, row: u64) -> i64 {
        let batches = self.shape.prices.div_ceil(self.storm).max(1);
        moment(row / self.storm * SPAN_S / batches)
    }

    fn modified(&self, row: u64) -> i64 {
        let later = match (row / self.storm % 3, self.hash(23, row) % 20) {
            (_, 0) => self.hash(24, row) % (30 * 86_400),
            (1, _) => 40 * 86_400,
            _ => 0,
        };
        self.created(row) + i64::try_from(later).unwrap_or(0) * 1_000
    }

    fn hash(&self, purpose: u64, position: u64) -> u64 {
        hash(self.shape.seed, purpose, position)
    }
}

impl Base for Entries {
    fn len(&self) -> u64 {
        self.shape.prices
    }

    fn id(&self, row: u64) -> RecordId {
        RecordId::generated(ENTRY_PREFIX, row)
    }

    fn find(&self, id: &RecordId) -> Option<u64> {
        id.generated_index(ENTRY_PREFIX).filter(|row| *row < self.shape.prices)
    }

    fn read<'a>(&'a self, row: u64, field: usize, _scratch: &'a mut String) -> Value<'a> {
        match self.columns[field] {
            Column::Id => Value::Id(self.id(row)),
            Column::Derived => Value::Null,
            Column::Pricebook2Id => Value::Id(self.book_ids[in_memory(self.book(row))]),
            Column::Product2Id => Value::Id(RecordId::generated(products::PREFIX, self.product(row))),
            Column::CurrencyIsoCode => Value::Text(CURRENCIES[in_memory(self.currency(row))]),
            Column::UnitPrice => Value::Decimal(self.price(row)),
            Column::IsActive => Value::Bool(row % 29 != 28),
            Column::UseStandardPrice => Value::Bool(self.uses_standard_price(row)),
            Column::BillingPeriod => Value::Text(super::pick(&PERIODS, self.hash(25, row))),
            Column::ChargeType => Value::Text(super::pick(&CHARGES, self.hash(26, self.product(row)))),
            Column::ValidFrom => Value::Date(self.created(row).div_euclid(crate::calendar::DAY_MS) + 1),
            Column::ValidUntil if row % 11 == 3 => Value::Null,
            Column::ValidUntil => Value::Date(self.created(row).div_euclid(crate::calendar::DAY_MS) + 1_096),
            Column::MinimumTerm => Value::Decimal([1_u64, 12, 24][in_memory(self.hash(27, row) % 3)].into()),
            Column::TaxClass => Value::Text(super::pick(&TAXES, self.hash(28, self.product(row)))),
            Column::OfferText => Value::Text(super::pick(&OFFER_TEXTS, self.hash(29, row))),
            Column::Created => Value::Time(self.created(row)),
            Column::Modified => Value::Time(self.modified(row)),
            Column::User => Value::Id(people::catalogue_manager()),
        }
    }

    fn standard_entry(&self, row: u64) -> Option<u64> {
        Some(row - row % self.per_product + self.currency(row))
    }
}
