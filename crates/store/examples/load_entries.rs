//! Loads price book entries through the merge, and the same parsed rows by one COPY and one INSERT … ON CONFLICT,
//! in one run on one database. Prints what each took.
//!
//! `DATABASE_URL=postgres://… cargo run --release -p store --example load_entries -- 1000000`. The database must
//! be empty: its schema is made, filled and dropped again.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and stops where it fails"
)]

use std::cell::Cell;
use std::time::{Duration, Instant};

use chrono::DateTime;
use shadow::{
    FieldInfo, FieldType, Mapping, ObjectInfo, ObjectName, OrgFacts, PreparedChunk, RecordId,
    ResolvedMapping, RowChunk, prepare, resolve,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::jobs::{self, BulkJob, Job, NewJob, PageEnd, PageProgress};
use store::leases::{self, LeaseKey};
use store::merge::merge_prepared;
use store::reads::{self, Read, ReadKind};
use store::{Store, StoreOptions, comparison, objects, stamps};

/// Rows of a chunk, chunks of a page, products that the entries share.
const CHUNK: usize = 5_000;
const CHUNKS_PER_PAGE: usize = 10;
const PRODUCTS: usize = 100_000;

#[tokio::main]
async fn main() {
    let rows: usize = std::env::args().nth(1).map_or(200_000, |text| text.parse().unwrap());
    let url = std::env::var("DATABASE_URL").unwrap();
    let bench = Bench::start(&url).await;
    let chunks = rows.div_ceil(CHUNK);
    let products = time(bench.load_products()).await;
    report("products", PRODUCTS, products);

    let generating = time(async {
        for number in 0..chunks {
            std::hint::black_box(bench.entries(number));
        }
    })
    .await;
    println!("generating the rows alone      {:8.1} s", generating.as_secs_f64());
    let preparing = time(async {
        for number in 0..chunks {
            std::hint::black_box(prepare(&bench.entry, &bench.entries(number)).unwrap());
        }
    })
    .await;
    println!("generating and preparing       {:8.1} s", preparing.as_secs_f64());

    let first = time(bench.backfill(chunks)).await;
    report("backfill", rows, first);
    println!("peak memory so far             {:8.1} MB", peak_memory());
    let again = time(bench.backfill(chunks)).await;
    report("again, whole, nothing changed", rows, again);
    let quick = time(bench.compare_stamps(chunks)).await;
    report("again, by stamps", rows, quick);
    println!("  of it id comparison          {:8.1} s", bench.compared.get().as_secs_f64());
    let plain = bench.plain_load(chunks).await;
    report("plain COPY and INSERT", rows, plain);
    println!("backfill / plain               {:8.2}", first.as_secs_f64() / plain.as_secs_f64());
    println!("backfill / by stamps           {:8.2}", first.as_secs_f64() / quick.as_secs_f64());
    bench.end().await;
}

async fn time(work: impl Future) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

fn report(what: &str, rows: usize, took: Duration) {
    println!("{what:<30} {:8.1} s {:10.0} rows/s", took.as_secs_f64(), rows as f64 / took.as_secs_f64());
}

/// Peak resident memory in megabytes, where the platform says.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

struct Bench {
    store: Store,
    lease: LeaseKey,
    product: ResolvedMapping,
    entry: ResolvedMapping,
    /// How long the last id comparison took.
    compared: Cell<Duration>,
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

fn product_id(number: usize) -> RecordId {
    RecordId::parse(&format!("01t{number:012}")).unwrap()
}

impl Bench {
    async fn start(url: &str) -> Self {
        let store = Store::connect(url, StoreOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        let all = Mapping::built_in();
        objects::register(&store, &all).await.unwrap();
        let mut held = leases::acquire(&store, "load", "load_entries").await.unwrap().unwrap();
        let lease = held.key().clone();
        let keeper = store.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(leases::RENEW_EVERY).await;
                if leases::renew(&keeper, &mut held).await.is_err() {
                    return;
                }
            }
        });
        let org = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
        let product = info(ObjectName::product(), &[("ProductCode", FieldType::Text)]);
        let entry = info(
            ObjectName::pricebook_entry(),
            &[
                ("Product2Id", FieldType::Reference),
                ("Pricebook2Id", FieldType::Reference),
                ("UnitPrice", FieldType::Decimal),
                ("IsActive", FieldType::Boolean),
                ("UseStandardPrice", FieldType::Boolean),
                ("ProductCode", FieldType::Text),
                ("CreatedById", FieldType::Reference),
                ("LastModifiedById", FieldType::Reference),
                ("LastModifiedDate", FieldType::DateTime),
                ("IsArchived", FieldType::Boolean),
                ("Note__c", FieldType::Text),
            ],
        );
        Self {
            product: resolve(&all[0], &all, &product, &org).unwrap(),
            entry: resolve(&all[1], &all, &entry, &org).unwrap(),
            store,
            lease,
            compared: Cell::default(),
        }
    }

    fn entries(&self, number: usize) -> RowChunk {
        entries(&self.entry, number)
    }

    async fn load_products(&self) {
        for first in (0..PRODUCTS).step_by(CHUNK) {
            let mut chunk = RowChunk::with_columns(self.product.field_names());
            let columns = chunk.columns().clone();
            for row in first..first + CHUNK {
                for column in columns.iter() {
                    let field = match &**column {
                        "Id" => product_id(row).to_string(),
                        "Name" | "ProductCode" => format!("P-{row}"),
                        "IsDeleted" => "false".to_owned(),
                        _ => "2021-03-01T08:09:10.000Z".to_owned(),
                    };
                    chunk.push_field(field.as_bytes()).unwrap();
                }
                chunk.end_row().unwrap();
            }
            let mark = reads::begin(&self.store).await.unwrap();
            let kind = ReadKind::Fetch { ids: Vec::new(), job: None };
            let read = Read { mark, end: read_end(), kind };
            let prepared = prepare(&self.product, &chunk).unwrap();
            merge_prepared(&self.store, &self.lease, &self.product, prepared, &read).await.unwrap();
        }
    }

    async fn job(&self, stamps_only: bool) -> Job {
        let object = ObjectName::pricebook_entry();
        let new = NewJob { object: &object, condition: None, started_by: "load_entries" };
        let job = jobs::create(&self.store, new).await.unwrap();
        let bulk = BulkJob {
            id: "750000000000001".to_owned(),
            api_version: "67.0".to_owned(),
            soql: self.entry.soql(None),
            shape: self.entry.shape(),
            stamps_only,
            mark: reads::begin(&self.store).await.unwrap(),
            began_at: None,
        };
        jobs::set_bulk(&self.store, &self.lease, job.id, &bulk).await.unwrap();
        jobs::get(&self.store, job.id).await.unwrap()
    }

    async fn done(&self, job: &Job) {
        let compared = Instant::now();
        let found = comparison::compare_ids(&self.store, &self.lease, &self.entry, job.id).await.unwrap();
        assert_eq!(found.candidates, 0);
        self.compared.set(compared.elapsed());
        let state = jobs::JobState::Done;
        jobs::finish(&self.store, &self.lease, job.id, state, None).await.unwrap();
    }

    /// As a backfill does it: chunks are prepared beside the merge of the one before.
    async fn backfill(&self, chunks: usize) {
        let job = self.job(false).await;
        let mark = job.bulk.as_ref().unwrap().mark;
        std::thread::scope(|scope| {
            let (send, mut receive) = tokio::sync::mpsc::channel::<PreparedChunk>(2);
            let entry = &self.entry;
            scope.spawn(move || {
                for number in 0..chunks {
                    send.blocking_send(prepare(entry, &entries(entry, number)).unwrap()).unwrap();
                }
            });
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let mut number = 0;
                    while let Some(prepared) = receive.recv().await {
                        let kind = ReadKind::Page(progress(&job, number, chunks));
                        let read = Read { mark, end: read_end(), kind };
                        merge_prepared(&self.store, &self.lease, &self.entry, prepared, &read).await.unwrap();
                        number += 1;
                    }
                });
            });
        });
        self.done(&job).await;
    }

    async fn compare_stamps(&self, chunks: usize) {
        let job = self.job(true).await;
        for number in 0..chunks {
            let whole = self.entries(number);
            let (id, stamp) = (whole.column("Id").unwrap(), whole.column("SystemModstamp").unwrap());
            let mut chunk = RowChunk::with_columns(["Id", "SystemModstamp"]);
            for row in whole.rows() {
                chunk.push_field(row.field(id).unwrap().as_bytes()).unwrap();
                chunk.push_field(row.field(stamp).unwrap().as_bytes()).unwrap();
                chunk.end_row().unwrap();
            }
            let progress = progress(&job, number, chunks);
            let outcome = stamps::compare_chunk(&self.store, &self.lease, &self.entry, &chunk, &progress)
                .await
                .unwrap();
            assert_eq!(outcome.differing, 0);
        }
        self.done(&job).await;
    }

    /// What anybody would write: one COPY into an unlogged copy of the table, one INSERT … ON CONFLICT.
    async fn plain_load(&self, chunks: usize) -> Duration {
        let mut connection =
            PgConnection::connect_with(&(*self.store.pool().connect_options()).clone()).await.unwrap();
        run(&mut connection, "truncate sf_pricebook_shadow").await;
        run(&mut connection, "create unlogged table plain_load (like sf_pricebook_shadow)").await;
        run(&mut connection, "checkpoint").await;
        let start = Instant::now();
        let mut copy = connection.copy_in_raw("copy plain_load from stdin").await.unwrap();
        let mut text = Vec::new();
        for number in 0..chunks {
            let prepared = prepare(&self.entry, &self.entries(number)).unwrap();
            text.clear();
            for record in &prepared.records {
                text.extend_from_slice(record.id.as_str().as_bytes());
                for column in 0..prepared.columns_per_record() {
                    text.push(b'\t');
                    text.extend_from_slice(prepared.column(record, column).unwrap_or("\\N").as_bytes());
                }
                text.extend_from_slice(b"\tnow\t");
                for byte in prepared.payload(record) {
                    if *byte == b'\\' {
                        text.push(b'\\');
                    }
                    text.push(*byte);
                }
                text.extend_from_slice(b"\t0\t2021-03-01T08:09:10Z\t2021-03-01T08:09:10Z\t1\tnow\t\\\\x");
                text.extend(record.hash.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
                text.push(b'\n');
            }
            copy.send(&text[..]).await.unwrap();
        }
        copy.finish().await.unwrap();
        let copied = start.elapsed();
        run(
            &mut connection,
            "insert into sf_pricebook_shadow select * from plain_load
             on conflict (pricebook_entry_id) do update set unit_price = excluded.unit_price,
                raw_payload = excluded.raw_payload, updated_at = excluded.updated_at,
                system_modstamp = excluded.system_modstamp, row_hash = excluded.row_hash",
        )
        .await;
        println!("  of it COPY                   {:8.1} s", copied.as_secs_f64());
        start.elapsed()
    }

    async fn end(self) {
        for drop in [
            "drop table plain_load",
            "drop schema shadow_sync cascade",
            "drop table sf_pricebook_shadow, sf_product_shadow, sf_account_eligibility_shadow",
        ] {
            sqlx::query(drop).execute(self.store.pool()).await.unwrap();
        }
        self.store.close().await;
    }
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

fn read_end() -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn progress(job: &Job, number: usize, chunks: usize) -> PageProgress {
    let place = number % CHUNKS_PER_PAGE;
    let is_last = number + 1 == chunks;
    let ends = is_last || place + 1 == CHUNKS_PER_PAGE;
    PageProgress {
        job: job.id,
        page: i32::try_from(number / CHUNKS_PER_PAGE + 1).unwrap(),
        merged: i32::try_from((place + 1) * CHUNK).unwrap(),
        end: ends.then(|| PageEnd { next_locator: (!is_last).then(|| "next".to_owned()) }),
    }
}

/// The rows of one chunk.
fn entries(mapping: &ResolvedMapping, number: usize) -> RowChunk {
    let mut chunk = RowChunk::with_columns(mapping.field_names());
    let columns = chunk.columns().clone();
    for row in number * CHUNK..(number + 1) * CHUNK {
        // A Bulk job's rows come in no order of ours; neighbours have different products.
        let product = product_id(row.wrapping_mul(2_654_435_761) % PRODUCTS);
        for column in columns.iter() {
            let field = match &**column {
                "Id" => RecordId::parse(&format!("01u{row:012}")).unwrap().to_string(),
                "Name" => format!("Internet 1000 business, access {product}"),
                "Product2Id" => product.to_string(),
                "Pricebook2Id" => "01sE0000000K9otIAC".to_owned(),
                "UnitPrice" => format!("{}.{:02}", row % 4000, row % 100),
                "SystemModstamp" | "CreatedDate" | "LastModifiedDate" => {
                    "2021-03-01T08:09:10.000Z".to_owned()
                }
                "CreatedById" | "LastModifiedById" => "005E0000001eioKIAQ".to_owned(),
                "ProductCode" => format!("INT-{row}"),
                "Note__c" => "Renewed by the yearly price run; see the offer for terms".to_owned(),
                "IsActive" => "true".to_owned(),
                _ => "false".to_owned(),
            };
            chunk.push_field(field.as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
    }
    chunk
}
