//! A mapping of our own making, with every kind of column, a unique one and a parent.

use shadow::mapping::{ColumnKind, ColumnMapping, Fallback, ParentReference, PayloadFields};
use shadow::{
    FieldInfo, FieldType, Mapping, ObjectInfo, ObjectName, OrgFacts, ResolvedMapping, RowChunk, resolve,
};
use sqlx::PgPool;
use store::{objects, rejects};

use crate::world::{World, product, product_id};

const TABLE: &str = r#"create table "Bundles ""1""" (
    bundle_id text collate "C" primary key,
    "the code" text not null unique deferrable initially immediate,
    product_id text collate "C" not null references sf_product_shadow on delete cascade,
    from_day date, seen_at timestamptz, rank bigint, weight numeric(6,3), hot boolean,
    updated_at timestamptz not null, raw_payload jsonb not null, as_of bigint not null,
    system_modstamp timestamptz not null, created_date timestamptz not null, read_no bigint not null,
    read_end timestamptz not null, row_hash bytea not null)"#;

fn mappings() -> Vec<Mapping> {
    let column = |name: &str, field: &str, kind, required| ColumnMapping {
        name: name.to_owned(),
        sources: vec![field.to_owned()],
        kind,
        required,
        fallback: Fallback::Null,
    };
    let mut all = Mapping::built_in();
    all.push(Mapping {
        object: ObjectName::parse("Bundle__c").unwrap(),
        table: "Bundles \"1\"".to_owned(),
        key: "bundle_id".to_owned(),
        columns: vec![
            column("the code", "Code__c", ColumnKind::Text, true),
            column("product_id", "Product__c", ColumnKind::Text, true),
            column("from_day", "From__c", ColumnKind::Date, false),
            column("seen_at", "Seen__c", ColumnKind::Timestamp, false),
            column("rank", "Rank__c", ColumnKind::Integer, false),
            column("weight", "Weight__c", ColumnKind::Numeric { precision: 6, scale: 3 }, false),
            column("hot", "Hot__c", ColumnKind::Boolean, false),
        ],
        unique: Some("the code".to_owned()),
        parent: Some(ParentReference { column: "product_id".to_owned(), object: ObjectName::product() }),
        payload_fields: PayloadFields::All,
        active_first: false,
    });
    all
}

fn bundle_mapping() -> ResolvedMapping {
    let all = mappings();
    let fields = [
        ("Id", FieldType::Id),
        ("SystemModstamp", FieldType::DateTime),
        ("CreatedDate", FieldType::DateTime),
        ("Code__c", FieldType::Text),
        ("Product__c", FieldType::Reference),
        ("From__c", FieldType::Date),
        ("Seen__c", FieldType::DateTime),
        ("Rank__c", FieldType::Decimal),
        ("Weight__c", FieldType::Decimal),
        ("Hot__c", FieldType::Boolean),
    ];
    let fields = fields.iter().map(|(name, kind)| FieldInfo::new(name, *kind).digits(18, 0)).collect();
    let info = ObjectInfo { name: all[3].object.clone(), key_prefix: None, fields };
    resolve(&all[3], &all, &info, &OrgFacts::default()).unwrap()
}

fn bundle(mapping: &ResolvedMapping, id: u32, code: &str, product: u32, stamp: u32) -> RowChunk {
    let mut chunk = RowChunk::with_columns(mapping.field_names());
    for column in chunk.columns().clone().iter() {
        let value = match &**column {
            "Id" => format!("a00{id:012}"),
            "SystemModstamp" => format!("2023-01-01T00:00:{stamp:02}Z"),
            "CreatedDate" => format!("2020-01-{:02}T00:00:00Z", id % 28 + 1),
            "Code__c" => code.to_owned(),
            "Product__c" => product_id(product).to_string(),
            "From__c" => "1999-12-31".to_owned(),
            "Seen__c" => "1999-12-31T23:59:59.125+01:00".to_owned(),
            "Rank__c" => "-9007199254740993.0".to_owned(),
            "Weight__c" => "1.25E1".to_owned(),
            _ => "true".to_owned(),
        };
        chunk.push_field(value.as_bytes()).unwrap();
    }
    chunk.end_row().unwrap();
    chunk
}

async fn start(pool: PgPool) -> (World, ResolvedMapping, Vec<Mapping>) {
    let mut world = World::start(pool).await;
    sqlx::query(TABLE).execute(world.store.pool()).await.unwrap();
    let all = mappings();
    objects::register(&world.store, &all).await.unwrap();
    let bundle = bundle_mapping();
    // The products' mapping knows its new child.
    world.product.children.push(bundle.mapping.clone());
    (world, bundle, all)
}

const VALUES: &str = r#"select bundle_id, concat_ws(' ', "the code", product_id, from_day, seen_at at time zone 'UTC',
    rank, weight, hot, raw_payload ->> 'Seen__c', raw_payload -> 'Weight__c') from "Bundles ""1""""#;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn every_kind_of_column_holds_its_value_however_the_row_came_in(pool: PgPool) {
    let (world, mapping, _) = start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    assert_eq!(world.merge(&mapping, &bundle(&mapping, 1, "x", 1, 0)).await.inserted, 1);
    let copied = world.query(VALUES).await;
    let id = product_id(1);
    assert_eq!(
        copied[0].1,
        format!(
            "x {id} 1999-12-31 1999-12-31 22:59:59.125 -9007199254740993 12.500 t 1999-12-31T22:59:59.125Z 12.5"
        )
    );
    // Out with its product, and in again from what was kept of it.
    world.merge_products(&[product(1, "").at(1)]).await;
    assert_eq!(world.query(VALUES).await, []);
    world.merge_products(&[product(1, "A").at(2)]).await;
    assert_eq!(world.query(VALUES).await, copied);
    // Overwritten.
    assert_eq!(world.merge(&mapping, &bundle(&mapping, 1, "y", 1, 1)).await.updated, 1);
    assert_eq!(world.query(VALUES).await[0].1, copied[0].1.replacen('x', "y", 1));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_record_that_waits_for_a_parent_contends_for_its_value_when_that_comes(pool: PgPool) {
    let (world, mapping, all) = start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    // The older one has no parent yet, the younger one takes the value meanwhile.
    world.merge(&mapping, &bundle(&mapping, 1, "x", 2, 0)).await;
    world.merge(&mapping, &bundle(&mapping, 2, "x", 1, 0)).await;
    world.merge_products(&[product(2, "B")]).await;
    assert_eq!(rejects::sweep(&world.store, &all, false).await.unwrap(), 0);
    // Both are to be fetched together; then the older one holds it.
    let ids = store::dirty::next_batch(&world.store, &mapping.mapping, 10).await.unwrap();
    assert_eq!(ids.len(), 2);
    let mut both = bundle(&mapping, 1, "x", 2, 0);
    for field in 0..both.columns().len() {
        let other = bundle(&mapping, 2, "x", 1, 0);
        both.push_field(other.row(0).field(field).unwrap_or_default().as_bytes()).unwrap();
    }
    both.end_row().unwrap();
    world.merge(&mapping, &both).await;
    let held = world.query(r#"select bundle_id, "the code" from "Bundles ""1""""#).await;
    assert_eq!(held.len(), 1);
    assert!(held[0].0.starts_with("a00000000000001"), "{held:?}");
}
