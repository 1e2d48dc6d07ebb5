//! Applies a stored backlog of change events to price book entries, and prints how many a second that was.
//!
//! `DATABASE_URL=postgres://… cargo run --release -p store --example apply_backlog -- 100000`. The database must be
//! empty: its schema is made, filled and dropped again.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and stops where it fails"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::DateTime;
use shadow::{
    ChangeEvent, ChangeKind, ChannelName, EventBody, EventHeader, EventValue, FieldChange, FieldInfo,
    FieldType, Mapping, ObjectInfo, ObjectName, OrgFacts, RecordId, Records, ReplayId, ResolvedMapping,
    RowChunk, resolve,
};
use store::apply_events::{self, Decoded};
use store::change_log::{self, NewEvent};
use store::leases::{self, LeaseKey, LeaseTimes};
use store::merge::merge_chunk;
use store::reads::{self, Read, ReadKind};
use store::{Store, StoreOptions, objects};

/// Events of a message, events applied at once, rows of a chunk.
const MESSAGE: usize = 100;
const BATCH: i64 = 2_000;
const CHUNK: usize = 5_000;
/// Characters of the text that makes a row about 500 bytes.
const NOTE: usize = 200;

#[tokio::main]
async fn main() {
    let events: usize = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let url = std::env::var("DATABASE_URL").unwrap();
    let store = Store::connect(&url, StoreOptions::default()).await.unwrap();
    store.migrate().await.unwrap();
    let all = Mapping::built_in();
    objects::register(&store, &all).await.unwrap();
    let lease = leases::acquire_for(&store, "stream", "the measurement", LeaseTimes::STREAM).await;
    let lease = lease.unwrap().unwrap();
    sqlx::query("update shadow_sync.leases set expires_at = now() + interval '1 day'")
        .execute(store.pool())
        .await
        .unwrap();
    let key = lease.key();
    let mappings = mappings(&all);
    load(&store, key, &mappings, events).await;
    let appending = Instant::now();
    let channel = ChannelName::parse(ChannelName::ALL_CHANGES).unwrap();
    for first in (0..events).step_by(MESSAGE) {
        let message: Vec<NewEvent> =
            (first..(first + MESSAGE).min(events)).map(|number| new_event(number, events)).collect();
        change_log::append(&store, key, &channel, &message, &[], &[]).await.unwrap();
    }
    report("appended", events, appending.elapsed());
    let mut applying = Duration::ZERO;
    let (mut after, mut batches) = (0, 0_u32);
    loop {
        let began = Instant::now();
        let stored = change_log::next_batch(&store, &channel, after, BATCH).await.unwrap();
        let Some(last) = stored.last() else { break };
        after = last.position;
        let decoded: Vec<Decoded<'_>> = stored
            .iter()
            .map(|stored| {
                let number = usize::try_from(stored.position).unwrap() - 1;
                Decoded { stored, event: Ok(event(number, events)) }
            })
            .collect();
        let applied = apply_events::apply(&store, key, &channel, &mappings, &decoded, after).await.unwrap();
        assert_eq!(applied.rows, decoded.len() as u64);
        applying += began.elapsed();
        batches += 1;
    }
    report("applied", events, applying);
    println!("{:.1} ms per batch of {BATCH}", applying.as_secs_f64() * 1000.0 / f64::from(batches));
    for table in ["sf_pricebook_shadow", "sf_product_shadow", "sf_account_eligibility_shadow"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop table {table}")))
            .execute(store.pool())
            .await
            .unwrap();
    }
    sqlx::raw_sql("drop schema shadow_sync cascade").execute(store.pool()).await.unwrap();
}

fn report(what: &str, events: usize, took: Duration) {
    println!("{what:<10} {:8.1} s {:10.0} events/s", took.as_secs_f64(), events as f64 / took.as_secs_f64());
}

fn mappings(all: &[Mapping]) -> Vec<Arc<ResolvedMapping>> {
    let info = |name: ObjectName, fields: &[(&str, FieldType)]| {
        let always = [
            ("Id", FieldType::Id),
            ("Name", FieldType::Text),
            ("SystemModstamp", FieldType::DateTime),
            ("LastModifiedDate", FieldType::DateTime),
            ("CreatedDate", FieldType::DateTime),
            ("IsDeleted", FieldType::Boolean),
        ];
        let field = |(name, kind): &(&str, FieldType)| FieldInfo::new(name, *kind).digits(18, 2);
        ObjectInfo { name, key_prefix: None, fields: always.iter().chain(fields).map(field).collect() }
    };
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
            ("Note__c", FieldType::Text),
        ],
    );
    [(0, &product), (1, &entry)]
        .map(|(place, info)| Arc::new(resolve(&all[place], all, info, &org).unwrap()))
        .into()
}

fn id(prefix: &str, number: usize) -> RecordId {
    RecordId::parse(&format!("{prefix}{number:012}")).unwrap()
}

/// Loads as many entries as there are events, ten of each product.
async fn load(store: &Store, key: &LeaseKey, mappings: &[Arc<ResolvedMapping>], entries: usize) {
    let moment = "2026-01-01T00:00:00.000Z";
    let note = "n".repeat(NOTE);
    for (mapping, prefix, count) in
        [(&mappings[0], "01t", entries.div_ceil(10)), (&mappings[1], "01u", entries)]
    {
        for first in (0..count).step_by(CHUNK) {
            let mut chunk = RowChunk::with_columns(mapping.field_names());
            for number in first..(first + CHUNK).min(count) {
                for column in chunk.columns().clone().iter() {
                    let text = match &**column {
                        "Id" => id(prefix, number).to_string(),
                        "ProductCode" => format!("SKU-{number}"),
                        "Product2Id" => id("01t", number / 10).to_string(),
                        "Pricebook2Id" => "01sE0000000K9otIAC".to_owned(),
                        "UnitPrice" => "10.00".to_owned(),
                        "IsActive" => "true".to_owned(),
                        "IsDeleted" | "UseStandardPrice" => "false".to_owned(),
                        "Name" => format!("A name {number}"),
                        "Note__c" => note.clone(),
                        _ => moment.to_owned(),
                    };
                    chunk.push_field(text.as_bytes()).unwrap();
                }
                chunk.end_row().unwrap();
            }
            let mark = reads::begin(store).await.unwrap();
            let end = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
            let read = Read { mark, end, kind: ReadKind::Window { job: None } };
            merge_chunk(store, key, mapping, &chunk, &read).await.unwrap();
        }
    }
    sqlx::query("vacuum analyze").execute(store.pool()).await.unwrap();
}

fn event(number: usize, entries: usize) -> ChangeEvent {
    let price = EventValue::Double(11.0 + (number % 97) as f64);
    let change = |name: &str, value| FieldChange { name: name.to_owned(), value };
    ChangeEvent {
        header: EventHeader {
            object: ObjectName::pricebook_entry(),
            kind: ChangeKind::Update,
            // Not in the order of the table.
            records: Records::Ids(vec![id("01u", number * 7919 % entries)]),
            transaction_key: format!("transaction-{}", number / 10),
            sequence_number: i32::try_from(number % 10).unwrap() + 1,
            committed_at: shadow::value::Moment(1_777_886_101_000),
            commit_number: 1,
            commit_user: "005000000000001".to_owned(),
            change_origin: String::new(),
        },
        body: EventBody::Patch(vec![
            change("UnitPrice", price),
            change("LastModifiedDate", EventValue::Whole(1_777_886_101_000)),
        ]),
    }
}

fn new_event(number: usize, entries: usize) -> NewEvent {
    NewEvent {
        replay_id: ReplayId::new(number.to_be_bytes().to_vec()),
        schema_id: "q3nVJ8m0Tz2-uYcL5aXRkw".to_owned(),
        payload: Bytes::from(vec![7_u8; 400]),
        header: Ok(event(number, entries).header),
    }
}
