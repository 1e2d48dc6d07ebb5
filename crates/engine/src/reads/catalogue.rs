//! Products that match, page by page, in the order of their ids.
//!
//! Ids, because both sides can go on behind one; rejected records, which have no SKU of their own, are in no page.

use std::collections::BTreeSet;
use std::time::Duration;

use salesforce::soql;
use serde::{Deserialize, Serialize};
use shadow::{Mapping, RecordId};
use store::readers::{Product, ProductFilter, Readers};

use super::fallback::{Asker, fields_of};
use super::flights::Flights;
use super::products::{by_skus, differences, holders};
use super::question::{Differences, ObjectPlace, Question, Shadowed};
use super::standing::Standing;
use super::{Found, Reads};
use crate::config;

/// A page of products.
#[derive(Debug, Clone)]
pub(crate) struct Products {
    /// Which.
    pub filter: ProductFilter,
    /// Those behind this one.
    pub after: Option<RecordId>,
    /// Most of them.
    pub limit: u16,
}

/// Products that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductPage {
    /// The products, by id.
    pub products: Vec<Product>,
    /// Where the next page begins; none behind the last.
    pub next: Option<RecordId>,
}

impl Question for Products {
    type Value = ProductPage;
    const WORD: &'static str = "products";

    fn objects() -> &'static [ObjectPlace] {
        &[ObjectPlace::Product]
    }

    fn key(&self) -> String {
        format!("{self:?}")
    }

    fn flights(reads: &Reads) -> &Flights<Self> {
        &reads.flights.catalogue
    }

    fn limit(settings: &config::Reads) -> Duration {
        settings.catalogue_max_age
    }

    async fn in_shadow(
        &self,
        readers: &Readers,
        standing: &Standing,
    ) -> Result<Shadowed<ProductPage>, store::Error> {
        let limit = usize::from(self.limit);
        let most = i64::from(self.limit) + 1;
        let mut rows = readers.matching_products(&self.filter, self.after.as_ref(), most).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(|row| row.value.id);
        // A page also says which products are not in it, so it is complete only up to live through.
        let as_of = standing.of(ObjectPlace::Product).live_through;
        let products = rows.into_iter().map(|row| row.value).collect();
        Ok(Shadowed::Found { value: ProductPage { products, next }, as_of })
    }

    async fn in_salesforce(&self, asker: &Asker) -> Found<ProductPage> {
        let mapping = asker.mapping(Mapping::product()).await?;
        let mut conditions = Vec::new();
        if let Some(after) = &self.after {
            conditions.push(format!("Id > '{after}'"));
        }
        let wanted = [
            ("item_class", &self.filter.item_class),
            ("offering_type", &self.filter.offering_type),
            ("plan_tier", &self.filter.plan_tier),
            ("vpn_region", &self.filter.vpn_region),
        ];
        for (column, value) in wanted {
            let Some(value) = value else { continue };
            let fields = fields_of(&mapping, column);
            let Some(field) = fields.first() else {
                // The org has no such field, so its column is empty everywhere.
                return Ok(Some(ProductPage { products: Vec::new(), next: None }));
            };
            conditions.push(format!("{field} = {}", soql::quoted(value)));
        }
        if conditions.is_empty() {
            conditions.push("Id != null".to_owned());
        }
        let condition =
            format!("{} ORDER BY Id LIMIT {}", conditions.join(" AND "), u32::from(self.limit) + 1);
        let chunk = asker.records(&mapping, &condition).await?;
        let limit = usize::from(self.limit);
        let next = (chunk.records.len() > limit).then(|| chunk.records[limit - 1].id);
        let mut products = holders(&mapping, &chunk);
        products.retain(|product| next.is_none_or(|next| product.id <= next) && self.matches(product));
        products.sort_by_key(|product| product.id);
        // Who else claims a SKU may stand on another page: only its holder has it.
        let skus: Vec<&str> = products.iter().map(|product| product.sku.as_str()).collect();
        let holding: BTreeSet<RecordId> =
            by_skus(asker, &skus).await?.into_iter().map(|product| product.id).collect();
        products.retain(|product| holding.contains(&product.id));
        Ok(Some(ProductPage { products, next }))
    }

    fn differences(shadow: Option<&ProductPage>, live: Option<&ProductPage>) -> Differences {
        let mut found = Differences::default();
        let none = Vec::new();
        let side = |page: Option<&ProductPage>| page.map_or(none.clone(), |page| page.products.clone());
        let (rows, live) = (side(shadow), side(live));
        for row in &rows {
            let other = live.iter().find(|live| live.id == row.id);
            let differing = differences(Some(row), other);
            found.records.extend(differing.records);
            found.names.extend(differing.names);
        }
        for live in live.iter().filter(|live| rows.iter().all(|row| row.id != live.id)) {
            let differing = differences(None, Some(live));
            found.records.extend(differing.records);
            found.names.extend(differing.names);
        }
        found
    }
}

impl Products {
    /// SOQL compares without regard to case; the shadow does not.
    fn matches(&self, product: &Product) -> bool {
        let fits = |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
        fits(&self.filter.item_class, &product.item_class)
            && fits(&self.filter.offering_type, &product.offering_type)
            && fits(&self.filter.plan_tier, &product.plan_tier)
            && fits(&self.filter.vpn_region, &product.vpn_region)
    }
}
