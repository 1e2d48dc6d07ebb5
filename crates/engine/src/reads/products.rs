//! A product by its SKU.

use std::time::Duration;

use salesforce::soql;
use shadow::{Mapping, ObjectName, PreparedChunk, PreparedRecord, ResolvedMapping};
use store::readers::{Product, Readers};

use super::fallback::{Asker, fields_of};
use super::flights::Flights;
use super::question::{Differences, ObjectPlace, Question, Shadowed};
use super::standing::Standing;
use super::{Found, Reads};
use crate::config;
use crate::problem::Answer;

/// No text field that can be searched for holds more characters: what is longer is nobody's SKU.
const LONGEST_SKU: usize = 255;
/// So many characters of SKUs fit into one query's address.
const QUERY_CHARACTERS: usize = 3_000;
/// So many SKUs of ordinary length go into one query.
const QUERY_SKUS: usize = 100;

/// A product by its SKU.
#[derive(Debug, Clone)]
pub(crate) struct ProductBySku(pub String);

/// Whether a text can be a SKU at all: neither side holds NUL, and Salesforce nothing longer.
pub(crate) fn can_be_sku(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= LONGEST_SKU
}

impl Question for ProductBySku {
    type Value = Product;
    const WORD: &'static str = "product";

    fn objects() -> &'static [ObjectPlace] {
        &[ObjectPlace::Product]
    }

    fn key(&self) -> String {
        self.0.clone()
    }

    fn flights(reads: &Reads) -> &Flights<Self> {
        &reads.flights.product
    }

    fn cache_key(&self, standing: &Standing) -> Option<String> {
        standing.cache_key(ObjectPlace::Product, "sku", &self.0)
    }

    fn limit(settings: &config::Reads) -> Duration {
        settings.catalogue_max_age
    }

    async fn in_shadow(
        &self,
        readers: &Readers,
        standing: &Standing,
    ) -> Result<Shadowed<Product>, store::Error> {
        let object = standing.of(ObjectPlace::Product);
        // Twice: the row may have come between the two looks.
        for _ in 0..2 {
            if let Some(row) = readers.products(&[&self.0]).await?.pop() {
                let as_of = Some(object.as_of(&row));
                return Ok(Shadowed::Found { value: row.value, as_of });
            }
            let missing = readers.missing_products(&[&self.0]).await?;
            if missing.arrived.is_empty() {
                let may_exist = missing.has_dirty || !missing.rejected.is_empty();
                return Ok(if may_exist {
                    Shadowed::Doubtful
                } else {
                    Shadowed::Absent(object.live_through)
                });
            }
        }
        Ok(Shadowed::Doubtful)
    }

    async fn in_salesforce(&self, asker: &Asker) -> Found<Product> {
        Ok(by_skus(asker, &[&self.0]).await?.pop())
    }

    fn differences(shadow: Option<&Product>, live: Option<&Product>) -> Differences {
        differences(shadow, live)
    }
}

/// Where two answers about one product differ.
pub(super) fn differences(shadow: Option<&Product>, live: Option<&Product>) -> Differences {
    let mut found = Differences::default();
    let mut add = |product: &Product, name: &str| found.add(ObjectName::product(), product.id, name);
    match (shadow, live) {
        (None, None) => {}
        (Some(row), None) => add(row, "only in the shadow"),
        (None, Some(live)) => add(live, "only in Salesforce"),
        (Some(row), Some(live)) if row.id != live.id => {
            add(row, "another record");
            add(live, "another record");
        }
        (Some(row), Some(live)) => {
            for (name, is_equal) in [
                ("sku", row.sku == live.sku),
                ("name", row.name == live.name),
                ("item_class", row.item_class == live.item_class),
                ("offering_type", row.offering_type == live.offering_type),
                ("plan_tier", row.plan_tier == live.plan_tier),
                ("vpn_region", row.vpn_region == live.vpn_region),
            ] {
                if !is_equal {
                    add(row, name);
                }
            }
        }
    }
    found
}

/// The products of some SKUs as Salesforce has them, each SKU's rightful holder.
pub(super) async fn by_skus(asker: &Asker, skus: &[&str]) -> Answer<Vec<Product>> {
    let mapping = asker.mapping(Mapping::product()).await?;
    let fields = fields_of(&mapping, "sku");
    let mut found = Vec::new();
    if fields.is_empty() {
        return Ok(found);
    }
    for skus in portions(skus) {
        let list = skus.iter().map(|sku| soql::quoted(sku)).collect::<Vec<_>>().join(",");
        let alternatives: Vec<String> = fields.iter().map(|field| format!("{field} IN ({list})")).collect();
        let chunk = asker.records(&mapping, &alternatives.join(" OR ")).await?;
        // SOQL compares texts without regard to case; a SKU is what it is.
        let is_wanted = |product: &Product| skus.contains(&product.sku.as_str());
        found.extend(holders(&mapping, &chunk).into_iter().filter(is_wanted));
    }
    Ok(found)
}

/// SKUs in portions that fit into one query.
fn portions<'a>(skus: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut portions: Vec<Vec<&str>> = Vec::new();
    let mut room = 0;
    for sku in skus {
        let size = sku.len() + 3;
        match portions.last_mut() {
            Some(portion) if size <= room && portion.len() < QUERY_SKUS => {
                room -= size;
                portion.push(sku);
            }
            _ => {
                room = QUERY_CHARACTERS.saturating_sub(size);
                portions.push(vec![sku]);
            }
        }
    }
    portions
}

/// Of several records that claim a SKU the one that holds it: the oldest, then the smallest id (design 4).
pub(super) fn holders(mapping: &ResolvedMapping, chunk: &PreparedChunk) -> Vec<Product> {
    let mut records: Vec<&PreparedRecord> =
        chunk.records.iter().filter(|record| !record.is_deleted).collect();
    let active_first = mapping.mapping.active_first;
    records.sort_by_key(|record| (active_first && !record.is_active, record.created_date, record.id));
    let mut taken = std::collections::HashSet::new();
    let mut products = Vec::new();
    for record in records {
        let column = |name: &str| {
            let place = mapping.mapping.column(name)?;
            chunk.column(record, place).map(str::to_owned)
        };
        let Some(sku) = column("sku") else { continue };
        if !taken.insert(sku.clone()) {
            continue;
        }
        products.push(Product {
            id: record.id,
            sku,
            name: column("name").unwrap_or_default(),
            item_class: column("item_class"),
            offering_type: column("offering_type"),
            plan_tier: column("plan_tier"),
            vpn_region: column("vpn_region"),
        });
    }
    products
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_record_can_hold_is_nobodys_sku() {
        assert!(can_be_sku("O'Neil\n\"5\""));
        for text in ["", "a\0b", &"x".repeat(256)] {
            assert!(!can_be_sku(text));
        }
    }

    #[test]
    fn skus_are_asked_for_in_portions_that_fit_into_an_address() {
        let long = "x".repeat(255);
        let skus: Vec<&str> = std::iter::repeat_n(long.as_str(), 200).collect();
        let portions = portions(&skus);
        assert_eq!(portions.iter().map(Vec::len).sum::<usize>(), 200);
        assert!(portions.iter().all(|portion| portion.len() * 258 <= QUERY_CHARACTERS));
        assert_eq!(super::portions(&["a"; 200]).len(), 2);
    }
}
