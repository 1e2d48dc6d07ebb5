//! What readers are answered with: rows of the shadow tables, and why one may be missing.
//!
//! Readers have connections of their own, so that a crowd of them never keeps the sync from one.

mod lanes;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::{ObjectName, RecordId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row, SqlStr};

use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::tables::reading::ReadingShapes;
use lanes::{Asked, Lanes};

/// The way of readers to the shadow tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readers {
    lanes: Lanes,
    shapes: ReadingShapes,
}

/// A row with what its age is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// What the row holds.
    pub value: T,
    /// When we last wrote it.
    pub updated_at: DateTime<Utc>,
    /// The end of the last read that brought it whole, in Salesforce's time.
    pub read_end: DateTime<Utc>,
    /// Where it is dirty: the oldest change that it lacks.
    pub lacks_since: Option<DateTime<Utc>>,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its record.
    #[serde(rename = "product_id")]
    pub id: RecordId,
    /// Its SKU.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// `Item_Class__c`.
    pub item_class: Option<String>,
    /// `Offering_Type__c`.
    pub offering_type: Option<String>,
    /// `Plan_Tier__c`.
    pub plan_tier: Option<String>,
    /// `VPN_Region__c`.
    pub vpn_region: Option<String>,
}

/// A price book entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Its record.
    #[serde(rename = "pricebook_entry_id")]
    pub id: RecordId,
    /// The product.
    pub product_id: RecordId,
    /// The price book.
    pub pricebook_id: RecordId,
    /// The price, every digit of it.
    pub unit_price: String,
    /// Its currency.
    pub currency_iso_code: String,
    /// Whether it is for sale.
    pub is_active: bool,
}

/// What an account may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligibility {
    /// The account.
    pub account_id: RecordId,
    /// `Internet_Eligibility__c`.
    pub internet_eligibility: Option<String>,
    /// `Eligibility_Source__c`.
    pub eligibility_source: Option<String>,
}

/// Which products a catalogue shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ProductFilter {
    /// Its item class.
    pub item_class: Option<String>,
    /// Its offering type.
    pub offering_type: Option<String>,
    /// Its plan tier.
    pub plan_tier: Option<String>,
    /// Its VPN region.
    pub vpn_region: Option<String>,
}

/// Why SKUs may have no row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissingProducts {
    /// Those that have one by now.
    pub arrived: Vec<String>,
    /// Those that a rejected record claims.
    pub rejected: Vec<String>,
    /// Whether any product is dirty: it may take one of these SKUs.
    pub has_dirty: bool,
}

impl Readers {
    /// The readers of a database.
    ///
    /// - `connections`: most of them at one time.
    pub fn of(store: &Store, connections: u32) -> Self {
        let lanes = Lanes::new(store.connect_options(), connections);
        Self { lanes, shapes: ReadingShapes::of(store.tables_schema()) }
    }

    /// Products by SKU, in no order; those that have no row are left out.
    pub async fn products(&self, skus: &[&str]) -> Result<Vec<Kept<Product>>, Error> {
        let skus = owned(skus);
        self.lanes.all(|| ask(&self.shapes.products).bind(skus.clone())).await
    }

    /// Why SKUs may have no row.
    pub async fn missing_products(&self, skus: &[&str]) -> Result<MissingProducts, Error> {
        let skus = owned(skus);
        let found = self.lanes.all(|| ask(&self.shapes.missing_products).bind(skus.clone())).await?;
        let (arrived, rejected, has_dirty) = one(found)?;
        Ok(MissingProducts { arrived, rejected, has_dirty })
    }

    /// Up to `limit` products that match, in the order of their ids, those behind `after`.
    pub async fn matching_products(
        &self,
        filter: &ProductFilter,
        after: Option<&RecordId>,
        limit: i64,
    ) -> Result<Vec<Kept<Product>>, Error> {
        let after = after.map(ToString::to_string);
        let query = || {
            let wanted = filter.clone();
            ask(&self.shapes.matching_products)
                .bind(wanted.item_class)
                .bind(wanted.offering_type)
                .bind(wanted.plan_tier)
                .bind(wanted.vpn_region)
                .bind(after.clone())
                .bind(limit)
        };
        self.lanes.all(query).await
    }

    /// The prices of some products, product by product.
    pub async fn prices(
        &self,
        products: &[RecordId],
        pricebook: Option<&RecordId>,
        currency: Option<&str>,
    ) -> Result<Vec<Kept<Price>>, Error> {
        let ids = ids(products);
        let (pricebook, currency) = (pricebook.map(ToString::to_string), currency.map(str::to_owned));
        let query =
            || ask(&self.shapes.prices).bind(ids.clone()).bind(pricebook.clone()).bind(currency.clone());
        self.lanes.all(query).await
    }

    /// Whether an entry of some products is rejected: then their price list is not whole.
    pub async fn has_rejected_prices(&self, products: &[RecordId]) -> Result<bool, Error> {
        let ids = ids(products);
        let found = self.lanes.all(|| ask(&self.shapes.rejected_prices).bind(ids.clone())).await?;
        one::<(bool,)>(found).map(|(is_one,)| is_one)
    }

    /// An account's eligibility; none if it has no row.
    pub async fn eligibility(&self, account: &RecordId) -> Result<Option<Kept<Eligibility>>, Error> {
        let id = account.to_string();
        Ok(self.lanes.all(|| ask(&self.shapes.eligibility).bind(id.clone())).await?.pop())
    }

    /// Whether an account that has no row may exist all the same: it is rejected or dirty.
    pub async fn may_exist(&self, account: &RecordId) -> Result<bool, Error> {
        let id = account.to_string();
        let found = self.lanes.all(|| ask(&self.shapes.missing_account).bind(id.clone())).await?;
        one::<(bool,)>(found).map(|(is_one,)| is_one)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.lanes.close().await;
    }
}

/// A question by one of the kept statements.
fn ask<T: for<'r> FromRow<'r, PgRow>>(statement: &SqlStr) -> Asked<T> {
    sqlx::query_as(statement.clone())
}

/// The row of a statement that always has one.
fn one<T>(mut rows: Vec<T>) -> Result<T, Error> {
    rows.pop().ok_or_else(|| sqlx::Error::RowNotFound.into())
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn ids(records: &[RecordId]) -> Vec<String> {
    records.iter().map(ToString::to_string).collect()
}

fn record(row: &PgRow, place: usize) -> Result<RecordId, sqlx::Error> {
    let id: &str = row.try_get(place)?;
    RecordId::parse(id).map_err(|_| sqlx::Error::Decode(corrupt("record id", id).into()))
}

/// The age of a row, whose columns follow those of its value.
fn kept<T>(row: &PgRow, value: T, place: usize) -> Result<Kept<T>, sqlx::Error> {
    Ok(Kept {
        value,
        updated_at: row.try_get(place)?,
        read_end: row.try_get(place + 1)?,
        lacks_since: row.try_get(place + 2)?,
    })
}

impl FromRow<'_, PgRow> for Kept<Product> {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let product = Product {
            id: record(row, 0)?,
            sku: row.try_get(1)?,
            name: row.try_get(2)?,
            item_class: row.try_get(3)?,
            offering_type: row.try_get(4)?,
            plan_tier: row.try_get(5)?,
            vpn_region: row.try_get(6)?,
        };
        kept(row, product, 7)
    }
}

impl FromRow<'_, PgRow> for Kept<Price> {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let price = Price {
            id: record(row, 0)?,
            product_id: record(row, 1)?,
            pricebook_id: record(row, 2)?,
            unit_price: row.try_get(3)?,
            currency_iso_code: row.try_get(4)?,
            is_active: row.try_get(5)?,
        };
        kept(row, price, 6)
    }
}

impl FromRow<'_, PgRow> for Kept<Eligibility> {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let eligibility = Eligibility {
            account_id: record(row, 0)?,
            internet_eligibility: row.try_get(1)?,
            eligibility_source: row.try_get(2)?,
        };
        kept(row, eligibility, 3)
    }
}

/// Up to when an object's table is complete, for who reads it by SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStanding {
    /// The object.
    pub object: ObjectName,
    /// In Salesforce's time; none: not known.
    pub live_through: Option<DateTime<Utc>>,
    /// Whether a column that readers see is carried by no event.
    pub by_reads: bool,
}

/// Tells the readers by SQL up to when the tables are complete.
pub async fn stand(store: &Store, standing: &[ReadStanding]) -> Result<(), Error> {
    let objects: Vec<&str> = standing.iter().map(|one| one.object.as_str()).collect();
    let through: Vec<Option<DateTime<Utc>>> = standing.iter().map(|one| one.live_through).collect();
    let by_reads: Vec<bool> = standing.iter().map(|one| one.by_reads).collect();
    sqlx::query!(
        "insert into shadow_sync.read_standing as old (object, live_through, by_reads)
         select * from unnest($1::text[], $2::timestamptz[], $3::boolean[])
         on conflict (object) do update
            set live_through = excluded.live_through, by_reads = excluded.by_reads, at = clock_timestamp()",
        &objects as &[&str],
        &through as &[Option<DateTime<Utc>>],
        &by_reads,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Has records fetched because Salesforce answered a reader with something else. One that is dirty already stays as it
/// is: readers must not hurry what is fetched again and again.
pub async fn doubt(store: &Store, object: &ObjectName, ids: &[RecordId]) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.dirty (object, record_id, reason, as_of, sources)
         select $1, new.id, 'reader', head.position, '{reader}'
           from shadow_sync.log_head as head, (select distinct unnest($2::text[]) as id) as new
         on conflict (object, record_id) do nothing",
        object.as_str(),
        &ids as &[&str],
    )
    .execute(store.pool())
    .await?;
    Ok(())
}
