//! Plans applied to tables in memory, against every order in which records can arrive.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::describe::{FieldInfo, FieldType, ObjectInfo};
use crate::ids::ObjectName;
use crate::mapping::{OrgFacts, ResolvedMapping, resolve};
use crate::prepare::prepare;
use crate::rows::RowChunk;

mod tables;

use tables::Shadow;

/// A Product2 in the org.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Product {
    id: u8,
    /// 0 is no SKU.
    sku: u8,
    created: u8,
    stamp: u8,
    deleted: bool,
}

/// A PricebookEntry in the org.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: u8,
    product: u8,
    stamp: u8,
}

fn id(prefix: &str, number: u8) -> RecordId {
    RecordId::parse(&format!("{prefix}{number:012}")).unwrap()
}

fn mappings() -> (ResolvedMapping, ResolvedMapping) {
    let info = |object: ObjectName, fields: &[(&str, FieldType)]| ObjectInfo {
        name: object,
        key_prefix: None,
        fields: [
            ("Id", FieldType::Id),
            ("SystemModstamp", FieldType::DateTime),
            ("CreatedDate", FieldType::DateTime),
            ("IsDeleted", FieldType::Boolean),
        ]
        .iter()
        .chain(fields)
        .map(|(name, kind)| FieldInfo::new(name, *kind))
        .collect(),
    };
    let all = Mapping::built_in();
    let org = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
    let product = info(ObjectName::product(), &[("Name", FieldType::Text), ("ProductCode", FieldType::Text)]);
    let entry = info(
        ObjectName::pricebook_entry(),
        &[
            ("Product2Id", FieldType::Reference),
            ("Pricebook2Id", FieldType::Reference),
            ("UnitPrice", FieldType::Decimal),
            ("IsActive", FieldType::Boolean),
        ],
    );
    (resolve(&all[0], &all, &product, &org).unwrap(), resolve(&all[1], &all, &entry, &org).unwrap())
}

fn moment(seconds: u8) -> String {
    format!("2026-01-01T00:{:02}:{:02}.000Z", seconds / 60, seconds % 60)
}

fn chunk(mapping: &ResolvedMapping, rows: &[BTreeMap<&str, String>]) -> PreparedChunk {
    let mut chunk = RowChunk::with_columns(mapping.field_names());
    for row in rows {
        for column in chunk.columns().clone().iter() {
            chunk.push_field(row.get(&**column).map_or("", String::as_str).as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
    }
    prepare(mapping, &chunk).unwrap()
}

fn products(mapping: &ResolvedMapping, products: &[Product]) -> PreparedChunk {
    let row = |product: &Product| {
        BTreeMap::from([
            ("Id", id("01t", product.id).to_string()),
            ("Name", "A product".to_owned()),
            ("ProductCode", if product.sku == 0 { String::new() } else { format!("S{}", product.sku) }),
            ("CreatedDate", moment(product.created)),
            ("SystemModstamp", moment(product.stamp)),
            ("IsDeleted", product.deleted.to_string()),
        ])
    };
    chunk(mapping, &products.iter().map(row).collect::<Vec<_>>())
}

fn entries(mapping: &ResolvedMapping, entries: &[Entry]) -> PreparedChunk {
    let row = |entry: &Entry| {
        BTreeMap::from([
            ("Id", id("01u", entry.id).to_string()),
            ("Product2Id", id("01t", entry.product).to_string()),
            ("Pricebook2Id", "01s000000000001".to_owned()),
            ("UnitPrice", "1".to_owned()),
            ("IsActive", "true".to_owned()),
            ("CreatedDate", moment(0)),
            ("SystemModstamp", moment(entry.stamp)),
            ("IsDeleted", "false".to_owned()),
        ])
    };
    chunk(mapping, &entries.iter().map(row).collect::<Vec<_>>())
}

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Products(Vec<Product>),
    Entries(Vec<Entry>),
}

fn any_product() -> impl Strategy<Value = Product> {
    (1..=6_u8, 0..=3_u8, 0..=2_u8, prop::bool::weighted(0.1))
        .prop_map(|(id, sku, created, deleted)| Product { id, sku, created, stamp: 0, deleted })
}

/// An org: products with different ids, and entries of products that may be there or not.
fn any_org() -> impl Strategy<Value = (Vec<Product>, Vec<Entry>)> {
    let products = prop::collection::vec(any_product(), 1..=6).prop_map(|products| {
        let by_id: BTreeMap<u8, Product> =
            products.into_iter().map(|product| (product.id, product)).collect();
        by_id.into_values().collect::<Vec<_>>()
    });
    let entries = prop::collection::vec(1..=6_u8, 0..=5).prop_map(|products| {
        let entry =
            |(place, product): (usize, u8)| Entry { id: u8::try_from(place).unwrap(), product, stamp: 0 };
        products.into_iter().enumerate().map(entry).collect::<Vec<_>>()
    });
    (products, entries)
}

/// Cuts an org into pages of some size and mixes them.
fn pages(org: &(Vec<Product>, Vec<Entry>), size: usize, seed: u64) -> Vec<Step> {
    let mut steps: Vec<Step> = org.0.iter().cloned().map(|product| Step::Products(vec![product])).collect();
    steps.extend(org.1.iter().cloned().map(|entry| Step::Entries(vec![entry])));
    let mut seed = seed;
    for place in (1..steps.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        steps.swap(place, usize::try_from(seed >> 33).unwrap() % (place + 1));
    }
    // Neighbours of one object join until a page is full.
    let mut joined: Vec<Step> = Vec::new();
    for step in steps {
        match (joined.last_mut(), step) {
            (Some(Step::Products(page)), Step::Products(more)) if page.len() < size => page.extend(more),
            (Some(Step::Entries(page)), Step::Entries(more)) if page.len() < size => page.extend(more),
            (_, step) => joined.push(step),
        }
    }
    joined
}

fn load(shadow: &mut Shadow, steps: &[Step]) {
    let (product, entry) = mappings();
    let mark = shadow.begin();
    for step in steps {
        match step {
            Step::Products(page) => shadow.merge_products(&product, &products(&product, page), mark, false),
            Step::Entries(page) => shadow.merge_entries(&entry, &entries(&entry, page), mark),
        }
    }
}

/// What the tables must hold in the end, said without any order: of the live products with a SKU the senior of
/// each SKU holds it, and entries stand where their product does.
fn expected(org: &(Vec<Product>, Vec<Entry>)) -> (BTreeMap<String, RecordId>, BTreeSet<RecordId>) {
    let mut live: Vec<&Product> =
        org.0.iter().filter(|product| !product.deleted && product.sku > 0).collect();
    live.sort_by_key(|product| (product.created, product.id));
    let mut holders = BTreeMap::new();
    for product in live {
        holders.entry(format!("S{}", product.sku)).or_insert(id("01t", product.id));
    }
    let stored = |entry: &&Entry| holders.values().any(|holder| *holder == id("01t", entry.product));
    let entries = org.1.iter().filter(stored).map(|entry| id("01u", entry.id)).collect();
    (holders, entries)
}

fn check(shadow: &Shadow, org: &(Vec<Product>, Vec<Entry>)) {
    let (holders, stored) = expected(org);
    let found: BTreeMap<String, RecordId> =
        shadow.products.rows.iter().map(|(id, (row, _))| (row.claim.clone().unwrap(), *id)).collect();
    assert_eq!(found, holders);
    assert_eq!(shadow.entries.rows.keys().copied().collect::<BTreeSet<_>>(), stored);
    // Every record is in exactly one place.
    let live = org.0.iter().filter(|product| !product.deleted).count();
    assert_eq!(shadow.products.rows.len() + shadow.products.rejects.len(), live);
    assert_eq!(shadow.entries.rows.len() + shadow.entries.rejects.len(), org.1.len());
}

#[test]
fn a_freed_value_is_not_taken_past_a_senior_who_waits_for_it() {
    let (mapping, _) = mappings();
    let product = |id, sku, stamp| Product { id, sku, created: id, stamp, deleted: false };
    let mut shadow = Shadow::default();
    let mark = shadow.begin();
    shadow.merge_products(&mapping, &products(&mapping, &[product(1, 1, 0), product(2, 1, 0)]), mark, false);
    // The first gives its value up in the call that brings a third who claims it; the second waits for it longer.
    let mark = shadow.begin();
    shadow.merge_products(&mapping, &products(&mapping, &[product(1, 2, 1), product(3, 1, 1)]), mark, false);
    assert_eq!(shadow.products.dirty.keys().copied().collect::<Vec<_>>(), [id("01t", 2), id("01t", 3)]);
    let org = (vec![product(1, 2, 1), product(2, 1, 0), product(3, 1, 1)], Vec::new());
    shadow.fetch_dirty(&mapping, &org.0, 6);
    check(&shadow, &org);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_order_of_arrival_gives_the_same_tables(
        org in any_org(), size in 1..4_usize, other_size in 1..4_usize, seeds in any::<(u64, u64)>(), at_once in 1..4_usize,
    ) {
        let (product, _) = mappings();
        let mut first = Shadow::default();
        load(&mut first, &pages(&org, size, seeds.0));
        first.fetch_dirty(&product, &org.0, at_once);
        check(&first, &org);
        let mut second = Shadow::default();
        load(&mut second, &pages(&org, other_size, seeds.1));
        second.fetch_dirty(&product, &org.0, 6);
        prop_assert_eq!(first.seen(), second.seen());
    }

    #[test]
    fn a_changed_org_ends_like_a_fresh_load_of_it(
        before in any_org(), after in any_org(), size in 1..4_usize, seeds in any::<(u64, u64)>(), at_once in 1..7_usize,
    ) {
        // Products and entries of the first org that the second lacks stay as they are; stamps move on.
        let mut org = after;
        for product in &mut org.0 {
            product.stamp = 1;
        }
        for entry in &mut org.1 {
            entry.stamp = 1;
        }
        let ids: BTreeSet<u8> = org.0.iter().map(|product| product.id).collect();
        org.0.extend(before.0.iter().filter(|product| !ids.contains(&product.id)).cloned());
        let ids: BTreeSet<u8> = org.1.iter().map(|entry| entry.id).collect();
        org.1.extend(before.1.iter().filter(|entry| !ids.contains(&entry.id)).cloned());
        let (product, _) = mappings();
        let mut shadow = Shadow::default();
        load(&mut shadow, &pages(&before, size, seeds.0));
        shadow.fetch_dirty(&product, &before.0, at_once);
        load(&mut shadow, &pages(&org, size, seeds.1));
        shadow.fetch_dirty(&product, &org.0, at_once);
        check(&shadow, &org);
    }

    #[test]
    fn planning_the_outcome_again_changes_nothing(org in any_org(), seed in any::<u64>()) {
        let (product, entry) = mappings();
        let mut shadow = Shadow::default();
        load(&mut shadow, &pages(&org, 2, seed));
        shadow.fetch_dirty(&product, &org.0, 6);
        let chunk = products(&product, &org.0);
        let mark = shadow.begin();
        let roles = Roles::of(&product.mapping);
        let again = plan(roles, &chunk, mark, &shadow.products.current(roles, &chunk, |_| true));
        // A deletion that is seen again moves its tombstone on at most.
        prop_assert!(ApplyPlan { deleted: Vec::new(), ..again.clone() }.is_idle(), "{again:?}");
        let chunk = entries(&entry, &org.1);
        let roles = Roles::of(&entry.mapping);
        let again = plan(roles, &chunk, mark, &shadow.entries.current(roles, &chunk, |id| shadow.products.rows.contains_key(id)));
        prop_assert!(again.is_idle(), "{again:?}");
    }

    #[test]
    fn states_of_one_record_in_any_order_end_at_the_newest(
        states in prop::collection::vec((0..4_u8, 1..4_u8), 1..6), seed in any::<u64>(),
    ) {
        // Each state is what one request saw, requests being numbered in order; they arrive mixed.
        let (product, _) = mappings();
        let state = |(place, (stamp, sku)): (usize, &(u8, u8))| {
            let seen = Product { id: 1, sku: *sku, created: 0, stamp: *stamp, deleted: false };
            (i64::try_from(place).unwrap() + 1, seen)
        };
        let states: Vec<(i64, Product)> = states.iter().enumerate().map(state).collect();
        let newest = states.iter().max_by_key(|(no, seen)| (seen.stamp, *no)).unwrap().1.clone();
        let mut arrival = states.clone();
        let mut seed = seed;
        for place in (1..arrival.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            arrival.swap(place, usize::try_from(seed >> 33).unwrap() % (place + 1));
        }
        let mut shadow = Shadow { reads: 10, ..Shadow::default() };
        for (read_no, seen) in arrival {
            shadow.merge_products(&product, &products(&product, &[seen]), ReadMark { as_of: 0, read_no }, false);
        }
        shadow.fetch_dirty(&product, std::slice::from_ref(&newest), 6);
        let sku = shadow.products.rows.values().next().unwrap().0.claim.clone();
        prop_assert_eq!(sku, Some(format!("S{}", newest.sku)));
    }
}
