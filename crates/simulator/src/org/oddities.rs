//! Which records of the org a shop cannot store: found by looking at all of them, so that a test can compare.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;

use super::Org;
use crate::{
    ids::RecordId,
    snapshot::Snapshot,
    value::{Owned, Value},
};

/// A record that a shop cannot store, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oddity {
    /// The object.
    pub object: &'static str,
    /// The record.
    pub id: RecordId,
    /// Why.
    pub why: Why,
}

/// Why a record cannot be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// A product with neither `StockKeepingUnit` nor `ProductCode`.
    NoCode,
    /// A product whose code belongs to another one: the oldest `CreatedDate`, then the smallest id, holds it.
    CodeTaken {
        /// The code.
        code: String,
        /// The product that holds it.
        holder: RecordId,
    },
    /// A price book entry of a product that cannot be stored, or is not there.
    ProductMissing,
    /// A price that two decimals and ten digits before the point cannot hold exactly.
    PriceNotExact,
}

impl Org {
    /// Every record in use that a table with unique codes and `numeric(12,2)` prices cannot hold.
    ///
    /// - **Shape:** products first, then price book entries, each in id order; one reason per record.
    /// - **Errors:** none; an object or field that the org lacks makes no oddity.
    /// - **Source:** computed from the records as they are now, by rules of its own.
    pub fn oddities(&self) -> Vec<Oddity> {
        let data = self.snapshot();
        let mut oddities = odd_products(&data);
        let odd: HashSet<RecordId> = oddities.iter().map(|oddity| oddity.id).collect();
        oddities.extend(odd_entries(&data, &odd));
        oddities
    }
}

fn odd_products(data: &Snapshot) -> Vec<Oddity> {
    let Some(object) = data.schema.object("Product2") else { return Vec::new() };
    let described = data.object(object);
    let codes: Vec<usize> =
        ["StockKeepingUnit", "ProductCode"].iter().filter_map(|name| described.field(name)).collect();
    let created = described.field("CreatedDate");
    let mut scratch = String::new();
    let mut products = Vec::new();
    for row in data.tables[object].rows(false).iter() {
        let code = codes.iter().find_map(|field| match data.read(object, row, *field, &mut scratch).keep() {
            Owned::Text(text) => Some(text),
            _ => None,
        });
        let since = match created.map(|field| data.read(object, row, field, &mut scratch)) {
            Some(Value::Time(since)) => since,
            _ => 0,
        };
        products.push((code, since, data.tables[object].id(row)));
    }
    let mut holders = HashMap::new();
    for (code, since, id) in &products {
        let Some(code) = code else { continue };
        let holder = holders.entry(code).or_insert((*since, *id));
        *holder = (*holder).min((*since, *id));
    }
    let odd = products.iter().filter_map(|(code, _, id)| {
        let why = match code {
            None => Why::NoCode,
            Some(code) => {
                let (_, holder) = holders[code];
                if holder == *id {
                    return None;
                }
                Why::CodeTaken { code: code.to_string(), holder }
            }
        };
        Some(Oddity { object: "Product2", id: *id, why })
    });
    odd.collect()
}

fn odd_entries(data: &Snapshot, odd_products: &HashSet<RecordId>) -> Vec<Oddity> {
    let Some(object) = data.schema.object("PricebookEntry") else { return Vec::new() };
    let described = data.object(object);
    let (Some(reference), Some(price)) = (described.field("Product2Id"), described.field("UnitPrice")) else {
        return Vec::new();
    };
    let products = data.schema.object("Product2");
    let most = Decimal::from(10_u64.pow(10));
    let mut scratch = String::new();
    let rows = data.tables[object].rows(false);
    let odd = rows.iter().filter_map(|row| {
        let product = data.read(object, row, reference, &mut scratch);
        let missing = match product {
            Value::Id(id) => {
                let live = products.is_some_and(|products| data.is_live(products, &id));
                !live || odd_products.contains(&id)
            }
            _ => true,
        };
        let price = data.read(object, row, price, &mut scratch).number();
        let exact = price.is_some_and(|price| price.normalize().scale() <= 2 && price.abs() < most);
        let why = match (missing, exact) {
            (true, _) => Why::ProductMissing,
            (false, false) => Why::PriceNotExact,
            (false, true) => return None,
        };
        Some(Oddity { object: "PricebookEntry", id: data.tables[object].id(row), why })
    });
    odd.collect()
}
