//! The prices of a basket: every entry of each SKU's product.
//!
//! Prices are texts with every digit: a number of JSON would pass through a float in most shops.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shadow::{Mapping, ObjectName, PreparedRecord, RecordId};
use store::readers::{Price, Readers};

use super::fallback::Asker;
use super::flights::Flights;
use super::products::{by_skus, can_be_sku};
use super::question::{Differences, ObjectPlace, Question, Shadowed};
use super::standing::Standing;
use super::{Found, Reads};
use crate::config;

/// The prices of some SKUs.
#[derive(Debug, Clone)]
pub(crate) struct Prices {
    /// The SKUs, each once.
    pub skus: Vec<String>,
    /// Only those of this price book.
    pub pricebook: Option<RecordId>,
    /// Only those in this currency.
    pub currency: Option<String>,
}

/// Prices, and the SKUs that nobody has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basket {
    /// The prices, SKU by SKU in the order asked for.
    pub prices: Vec<SkuPrice>,
    /// SKUs that no product has.
    pub unknown: Vec<String>,
}

/// A price and the SKU that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuPrice {
    /// The SKU.
    pub sku: String,
    /// The price.
    #[serde(flatten)]
    pub price: Price,
}

impl Question for Prices {
    type Value = Basket;
    const WORD: &'static str = "prices";

    fn objects() -> &'static [ObjectPlace] {
        &[ObjectPlace::Product, ObjectPlace::Entry]
    }

    fn key(&self) -> String {
        format!("{self:?}")
    }

    fn flights(reads: &Reads) -> &Flights<Self> {
        &reads.flights.prices
    }

    fn limit(settings: &config::Reads) -> Duration {
        settings.catalogue_max_age
    }

    async fn in_shadow(
        &self,
        readers: &Readers,
        standing: &Standing,
    ) -> Result<Shadowed<Basket>, store::Error> {
        let skus = self.possible();
        let rows = readers.products(&skus).await?;
        let (product, entry) = (standing.of(ObjectPlace::Product), standing.of(ObjectPlace::Entry));
        let found: BTreeSet<&str> = rows.iter().map(|row| row.value.sku.as_str()).collect();
        let missing: Vec<&str> = skus.iter().copied().filter(|sku| !found.contains(sku)).collect();
        if !missing.is_empty() {
            let why = readers.missing_products(&missing).await?;
            if why.has_dirty || !why.rejected.is_empty() || !why.arrived.is_empty() {
                return Ok(Shadowed::Doubtful);
            }
        }
        let ids: Vec<RecordId> = rows.iter().map(|row| row.value.id).collect();
        let prices = readers.prices(&ids, self.pricebook.as_ref(), self.currency.as_deref()).await?;
        if readers.has_rejected_prices(&ids).await? {
            return Ok(Shadowed::Doubtful);
        }
        // Which entries a product has is known up to live through; a row may be newer, the list is not. Both objects'
        // say, because a SKU may have moved.
        let through = standing.through(&[ObjectPlace::Product, ObjectPlace::Entry]);
        let of_rows =
            rows.iter().map(|row| product.as_of(row)).chain(prices.iter().map(|row| entry.as_of(row)));
        let as_of = through.map(|through| of_rows.min().map_or(through, |oldest| oldest.min(through)));
        let sku_of: BTreeMap<RecordId, &str> =
            rows.iter().map(|row| (row.value.id, row.value.sku.as_str())).collect();
        let with_sku = prices.into_iter().filter_map(|row| {
            let sku = (*sku_of.get(&row.value.product_id)?).to_owned();
            Some(SkuPrice { sku, price: row.value })
        });
        let known = found.iter().map(|sku| (*sku).to_owned()).collect();
        Ok(Shadowed::Found { value: self.basket(with_sku.collect(), &known), as_of })
    }

    async fn in_salesforce(&self, asker: &Asker) -> Found<Basket> {
        let products = by_skus(asker, &self.possible()).await?;
        let known: BTreeSet<String> = products.iter().map(|product| product.sku.clone()).collect();
        let sku_of: BTreeMap<RecordId, String> =
            products.into_iter().map(|product| (product.id, product.sku)).collect();
        let mut prices = Vec::new();
        let ids: Vec<&RecordId> = sku_of.keys().collect();
        let mapping = asker.mapping(Mapping::pricebook_entry()).await?;
        for ids in ids.chunks(200) {
            let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
            let mut condition = format!("Product2Id IN ({list})");
            if let Some(pricebook) = &self.pricebook {
                condition += &format!(" AND Pricebook2Id = '{pricebook}'");
            }
            let chunk = asker.records(&mapping, &condition).await?;
            for record in chunk.records.iter().filter(|record| !record.is_deleted) {
                let column = |name: &str| {
                    let place = mapping.mapping.column(name)?;
                    chunk.column(record, place).map(str::to_owned)
                };
                let Some(price) = price(record, chunk.payload(record), column) else { continue };
                // In an org of one currency the records do not say which.
                if self.currency.as_ref().is_some_and(|wanted| *wanted != price.currency_iso_code) {
                    continue;
                }
                let Some(sku) = sku_of.get(&price.product_id) else { continue };
                prices.push(SkuPrice { sku: sku.clone(), price });
            }
        }
        Ok(Some(self.basket(prices, &known)))
    }

    fn differences(shadow: Option<&Basket>, live: Option<&Basket>) -> Differences {
        let mut found = Differences::default();
        let side = |basket: Option<&Basket>| -> BTreeMap<RecordId, SkuPrice> {
            let prices = basket.map_or(&[][..], |basket| &basket.prices);
            prices.iter().map(|price| (price.price.id, price.clone())).collect()
        };
        let (rows, live) = (side(shadow), side(live));
        let entry = ObjectName::pricebook_entry;
        for (id, row) in &rows {
            match live.get(id) {
                None => found.add(entry(), *id, "only in the shadow"),
                Some(live) if !is_same(row, live) => found.add(entry(), *id, what_differs(row, live)),
                Some(_) => {}
            }
        }
        for id in live.keys().filter(|id| !rows.contains_key(id)) {
            found.add(entry(), *id, "only in Salesforce");
        }
        found
    }
}

impl Prices {
    /// The SKUs that a product can have at all.
    fn possible(&self) -> Vec<&str> {
        self.skus.iter().map(String::as_str).filter(|sku| can_be_sku(sku)).collect()
    }

    /// Prices in the order of the SKUs, and the SKUs that nobody has.
    fn basket(&self, mut prices: Vec<SkuPrice>, known: &BTreeSet<String>) -> Basket {
        let place: BTreeMap<&str, usize> =
            self.skus.iter().enumerate().map(|(place, sku)| (sku.as_str(), place)).collect();
        prices.sort_by_key(|price| (place.get(price.sku.as_str()).copied(), price.price.id));
        let unknown = self.skus.iter().filter(|sku| !known.contains(*sku)).cloned().collect();
        Basket { prices, unknown }
    }
}

/// An entry as Salesforce has it; none if it lacks what every entry has.
fn price(record: &PreparedRecord, payload: &[u8], column: impl Fn(&str) -> Option<String>) -> Option<Price> {
    /// The price as it is, also where the column could not hold it.
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Payload<'a> {
        #[serde(borrow)]
        unit_price: Option<&'a serde_json::value::RawValue>,
    }
    let payload: Payload<'_> = serde_json::from_slice(payload).ok()?;
    let exact = payload.unit_price.map(|price| price.get().trim_matches('"').to_owned());
    Some(Price {
        id: record.id,
        product_id: RecordId::parse(&column("product_id")?).ok()?,
        pricebook_id: RecordId::parse(&column("pricebook_id")?).ok()?,
        unit_price: column("unit_price").or(exact.filter(|price| price != "null"))?,
        currency_iso_code: column("currency_iso_code")?,
        is_active: column("is_active")? == "true",
    })
}

/// Whether two answers mean the same: `12.5` is `12.50`.
fn is_same(row: &SkuPrice, live: &SkuPrice) -> bool {
    what_differs(row, live).is_empty()
}

fn what_differs(row: &SkuPrice, live: &SkuPrice) -> String {
    let (a, b) = (&row.price, &live.price);
    let names = [
        ("sku", row.sku == live.sku),
        ("product_id", a.product_id == b.product_id),
        ("pricebook_id", a.pricebook_id == b.pricebook_id),
        ("unit_price", digits(&a.unit_price) == digits(&b.unit_price)),
        ("currency_iso_code", a.currency_iso_code == b.currency_iso_code),
        ("is_active", a.is_active == b.is_active),
    ];
    let differing: Vec<&str> = names.iter().filter(|(_, equal)| !equal).map(|(name, _)| *name).collect();
    differing.join(", ")
}

/// A decimal without the zeros that say nothing.
fn digits(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(unit_price: &str) -> SkuPrice {
        let id = |number: u32| RecordId::parse(&format!("01u{number:012}")).unwrap();
        SkuPrice {
            sku: "A".to_owned(),
            price: Price {
                id: id(1),
                product_id: id(2),
                pricebook_id: id(3),
                unit_price: unit_price.to_owned(),
                currency_iso_code: "EUR".to_owned(),
                is_active: true,
            },
        }
    }

    #[test]
    fn prices_are_compared_by_what_they_are_worth() {
        for (row, live, differs) in [
            ("12.50", "12.5", ""),
            ("100", "100.00", ""),
            ("100", "10", "unit_price"),
            ("0.10", "0.01", "unit_price"),
        ] {
            assert_eq!(what_differs(&priced(row), &priced(live)), differs, "{row} {live}");
        }
    }

    #[test]
    fn a_price_is_a_text_with_every_digit() {
        let json = serde_json::to_value(priced("9999999999.99")).unwrap();
        assert_eq!(json["unit_price"], "9999999999.99");
    }
}
