//! A fresh database with the three built-in mappings, and short ways to say what Salesforce answers.

use chrono::{DateTime, TimeDelta, Utc};
use shadow::{
    FieldInfo, FieldType, JobId, Mapping, ObjectInfo, ObjectName, OrgFacts, ReadMark, RecordId,
    ResolvedMapping, RowChunk, resolve,
};
use sqlx::PgPool;
use store::jobs::{BulkJob, Job, NewJob, PageEnd, PageProgress};
use store::leases::{self, Lease};
use store::merge::{MergeOutcome, merge_chunk};
use store::reads::{self, Read, ReadKind};
use store::{Error, Store, dirty, jobs, objects};

pub struct World {
    pub store: Store,
    pub lease: Lease,
    pub product: ResolvedMapping,
    pub entry: ResolvedMapping,
    pub account: ResolvedMapping,
}

/// One Product2, as the tests speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub id: u32,
    pub sku: &'static str,
    pub name: &'static str,
    /// Day of creation.
    pub created: i64,
    /// Second of the last change.
    pub stamp: i64,
    pub deleted: bool,
}

/// A product created on day `id`, changed in second 0.
pub fn product(id: u32, sku: &'static str) -> Product {
    Product { id, sku, name: "A product", created: i64::from(id), stamp: 0, deleted: false }
}

impl Product {
    pub fn created(self, created: i64) -> Self {
        Self { created, ..self }
    }

    pub fn at(self, stamp: i64) -> Self {
        Self { stamp, ..self }
    }

    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub fn deleted(self) -> Self {
        Self { deleted: true, ..self }
    }
}

/// One PricebookEntry.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: u32,
    pub product: u32,
    pub price: &'static str,
    pub stamp: i64,
}

pub fn entry(id: u32, product: u32, price: &'static str) -> Entry {
    Entry { id, product, price, stamp: 0 }
}

pub fn product_id(id: u32) -> RecordId {
    RecordId::parse(&format!("01t{id:012}")).unwrap()
}

pub fn entry_id(id: u32) -> RecordId {
    RecordId::parse(&format!("01u{id:012}")).unwrap()
}

/// Long before any read of a test.
fn moment(days: i64, seconds: i64) -> String {
    let base = DateTime::from_timestamp(1_600_000_000, 0).unwrap();
    (base + TimeDelta::days(days) + TimeDelta::seconds(seconds)).format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

pub fn read_end() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn info(object: ObjectName, fields: &[(&str, FieldType)]) -> ObjectInfo {
    let always = [
        ("Id", FieldType::Id),
        ("Name", FieldType::Text),
        ("SystemModstamp", FieldType::DateTime),
        ("CreatedDate", FieldType::DateTime),
        ("IsDeleted", FieldType::Boolean),
    ];
    let field = |(name, kind): &(&str, FieldType)| FieldInfo::new(name, *kind).digits(18, 2);
    ObjectInfo { name: object, key_prefix: None, fields: always.iter().chain(fields).map(field).collect() }
}

impl World {
    pub async fn start(pool: PgPool) -> Self {
        let store = Store::on_pool(pool).await.unwrap();
        let all = Mapping::built_in();
        objects::register(&store, &all).await.unwrap();
        let lease = leases::acquire(&store, "load", "the test").await.unwrap().unwrap();
        let org = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
        let product = info(
            ObjectName::product(),
            &[("ProductCode", FieldType::Text), ("StockKeepingUnit", FieldType::Text)],
        );
        let entry = info(
            ObjectName::pricebook_entry(),
            &[
                ("Product2Id", FieldType::Reference),
                ("Pricebook2Id", FieldType::Reference),
                ("UnitPrice", FieldType::Decimal),
                ("IsActive", FieldType::Boolean),
            ],
        );
        let account = info(ObjectName::account(), &[("Internet_Eligibility__c", FieldType::Text)]);
        let resolved = |place: usize, info| resolve(&all[place], &all, info, &org).unwrap();
        Self {
            product: resolved(0, &product),
            entry: resolved(1, &entry),
            account: resolved(2, &account),
            store,
            lease,
        }
    }

    pub fn products(&self, products: &[Product]) -> RowChunk {
        let rows = products.iter().map(|product| {
            vec![
                ("Id", product_id(product.id).to_string()),
                ("Name", product.name.to_owned()),
                ("ProductCode", product.sku.to_owned()),
                ("CreatedDate", moment(product.created, 0)),
                ("SystemModstamp", moment(1000, product.stamp)),
                ("IsDeleted", product.deleted.to_string()),
            ]
        });
        chunk(&self.product, rows)
    }

    pub fn entries(&self, entries: &[Entry]) -> RowChunk {
        let rows = entries.iter().map(|entry| {
            vec![
                ("Id", entry_id(entry.id).to_string()),
                ("Name", "An entry".to_owned()),
                ("Product2Id", product_id(entry.product).to_string()),
                ("Pricebook2Id", "01sE0000000K9otIAC".to_owned()),
                ("UnitPrice", entry.price.to_owned()),
                ("IsActive", "true".to_owned()),
                ("CreatedDate", moment(0, 0)),
                ("SystemModstamp", moment(1000, entry.stamp)),
                ("IsDeleted", "false".to_owned()),
            ]
        });
        chunk(&self.entry, rows)
    }

    pub async fn begin(&self) -> ReadMark {
        reads::begin(&self.store).await.unwrap()
    }

    /// Merges what a read brought that asked for exactly these records.
    pub async fn merge(&self, mapping: &ResolvedMapping, chunk: &RowChunk) -> MergeOutcome {
        let mark = self.begin().await;
        self.merge_at(mapping, chunk, mark).await.unwrap()
    }

    pub async fn merge_at(
        &self,
        mapping: &ResolvedMapping,
        chunk: &RowChunk,
        mark: ReadMark,
    ) -> Result<MergeOutcome, Error> {
        let ids = chunk.rows().map(|row| RecordId::parse(row.get("Id").unwrap()).unwrap()).collect();
        let kind = ReadKind::Fetch { ids, job: None };
        merge_chunk(&self.store, self.lease.key(), mapping, chunk, &Read { mark, end: read_end(), kind })
            .await
    }

    pub async fn merge_products(&self, products: &[Product]) -> MergeOutcome {
        self.merge(&self.product, &self.products(products)).await
    }

    pub async fn merge_entries(&self, entries: &[Entry]) -> MergeOutcome {
        self.merge(&self.entry, &self.entries(entries)).await
    }

    /// Fetches dirty products until none is left; `org` is what Salesforce holds.
    pub async fn fetch_dirty(&self, org: &[Product]) {
        for _ in 0..20 {
            let ids = dirty::next_batch(&self.store, &self.product.mapping, 2000).await.unwrap();
            if ids.is_empty() {
                return;
            }
            let mark = self.begin().await;
            let found: Vec<Product> =
                org.iter().filter(|product| ids.contains(&product_id(product.id))).cloned().collect();
            let kind = ReadKind::Fetch { ids, job: None };
            let read = Read { mark, end: read_end(), kind };
            let chunk = self.products(&found);
            merge_chunk(&self.store, self.lease.key(), &self.product, &chunk, &read).await.unwrap();
        }
        panic!("the records stay dirty");
    }

    /// SKUs in the table, each with its holder, by SKU.
    pub async fn skus(&self) -> Vec<(String, String)> {
        self.query("select sku, product_id from sf_product_shadow order by sku").await
    }

    /// Rejected records: id and reason, by id.
    pub async fn rejects(&self) -> Vec<(String, String)> {
        self.query("select record_id, reason from shadow_sync.rejects order by record_id").await
    }

    pub async fn query(&self, sql: &'static str) -> Vec<(String, String)> {
        sqlx::query_as(sql).fetch_all(self.store.pool()).await.unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.store.pool()).await.unwrap()
    }

    /// A running job of an object, with a Bulk job.
    pub async fn job(&self, mapping: &ResolvedMapping, stamps_only: bool) -> Job {
        let object = mapping.object();
        let job = jobs::create(&self.store, NewJob { object, condition: None, started_by: "the test" }).await;
        let job = job.unwrap();
        let mark = self.begin().await;
        jobs::started(&self.store, self.lease.key(), job.id).await.unwrap();
        let bulk = BulkJob {
            id: "750000000000001".to_owned(),
            api_version: "67.0".to_owned(),
            soql: mapping.soql(None),
            shape: mapping.shape(),
            stamps_only,
            mark,
            began_at: None,
        };
        jobs::set_bulk(&self.store, self.lease.key(), job.id, &bulk).await.unwrap();
        jobs::get(&self.store, job.id).await.unwrap()
    }

    /// Merges a whole page of a job.
    pub async fn page(
        &self,
        mapping: &ResolvedMapping,
        job: &Job,
        page: i32,
        chunk: &RowChunk,
        last: bool,
    ) -> MergeOutcome {
        let mark = job.bulk.as_ref().unwrap().mark;
        let kind = ReadKind::Page(page_progress(job.id, page, chunk, last));
        let read = Read { mark, end: read_end(), kind };
        merge_chunk(&self.store, self.lease.key(), mapping, chunk, &read).await.unwrap()
    }
}

pub fn page_progress(job: JobId, page: i32, chunk: &RowChunk, last: bool) -> PageProgress {
    let next_locator = (!last).then(|| format!("after-{page}"));
    PageProgress {
        job,
        page,
        merged: i32::try_from(chunk.len()).unwrap(),
        end: Some(PageEnd { next_locator }),
    }
}

fn chunk(mapping: &ResolvedMapping, rows: impl Iterator<Item = Vec<(&'static str, String)>>) -> RowChunk {
    let mut chunk = RowChunk::with_columns(mapping.field_names());
    for row in rows {
        for column in chunk.columns().clone().iter() {
            let value = row.iter().find(|(name, _)| *name == &**column).map_or("", |(_, value)| value);
            chunk.push_field(value.as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
    }
    chunk
}
