//! Plans applied to tables in memory, against every order in which records can arrive.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::describe::{FieldInfo, FieldType, ObjectInfo};
use crate::ids::ObjectName;
use crate::mapping::{OrgFacts, ResolvedMapping, resolve};
use crate::prepare::prepare;
use crate::rows::RowChunk;

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

/// What one object's tables hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tables {
    rows: BTreeMap<RecordId, (StoredRow, Option<RecordId>)>,
    rejects: BTreeMap<RecordId, (StoredReject, Option<RecordId>)>,
    tombstones: BTreeMap<RecordId, StoredTombstone>,
    dirty: BTreeMap<RecordId, Option<String>>,
    confirmed: i64,
}

/// A shadow in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shadow {
    products: Tables,
    entries: Tables,
    reads: i64,
}

impl Tables {
    fn current(&self, roles: Roles, chunk: &PreparedChunk, parents: impl Fn(&RecordId) -> bool) -> Current {
        let known = |id: &RecordId| chunk.find(id).is_some();
        let mut current = Current {
            rows: self
                .rows
                .iter()
                .filter(|(id, _)| known(id))
                .map(|(id, row)| (*id, row.0.clone()))
                .collect(),
            rejects: self
                .rejects
                .iter()
                .filter(|(id, _)| known(id))
                .map(|(id, row)| (*id, row.0.clone()))
                .collect(),
            tombstones: self.tombstones.iter().filter(|(id, _)| known(id)).map(|(id, t)| (*id, *t)).collect(),
            confirmed: self.confirmed,
            ..Current::default()
        };
        let claims: Vec<String> =
            claims_at_stake(roles, chunk, &current).into_iter().map(str::to_owned).collect();
        for (id, (row, _)) in &self.rows {
            if let Some(claim) = row.claim.as_ref().filter(|claim| claims.contains(claim)) {
                current.holders.insert(claim.clone(), Holder { id: *id, created_date: row.created_date });
            }
        }
        for (id, (reject, _)) in &self.rejects {
            if reject.claim.as_ref().is_some_and(|claim| claims.contains(claim)) {
                current.rejects.insert(*id, reject.clone());
            }
        }
        current.parents = parents_named(roles, chunk).into_iter().filter(parents).collect();
        current
    }

    /// Does what the store does with a plan; returns records that came into the table and left it.
    fn apply(
        &mut self,
        roles: Roles,
        chunk: &PreparedChunk,
        mark: ReadMark,
        plan: &ApplyPlan,
        fetched: bool,
    ) -> (Vec<RecordId>, Vec<RecordId>) {
        let version = |record: &PreparedRecord| StoredVersion {
            as_of: mark.as_of,
            system_modstamp_ms: record.system_modstamp.0,
            read_no: mark.read_no,
            hash: record.hash,
        };
        let claim = |record: &PreparedRecord| {
            roles.unique.and_then(|column| chunk.column(record, column)).map(str::to_owned)
        };
        let parent =
            |record: &PreparedRecord| roles.parent.and_then(|column| parent_of(chunk, record, column));
        let (mut came, mut left) = (Vec::new(), Vec::new());
        for place in plan.inserts.iter().chain(&plan.updates) {
            let record = &chunk.records[*place];
            let is_new = plan.inserts.contains(place);
            assert_eq!(is_new, !self.rows.contains_key(&record.id), "inserts are new, updates are not");
            let row = StoredRow {
                version: version(record),
                created_date: record.created_date,
                claim: claim(record),
            };
            self.rows.insert(record.id, (row, parent(record)));
            self.rejects.remove(&record.id);
            self.tombstones.remove(&record.id);
            if is_new {
                came.push(record.id);
            }
        }
        for place in &plan.stamp_only {
            let record = &chunk.records[*place];
            self.rows.get_mut(&record.id).unwrap().0.version = version(record);
        }
        for (place, reason) in &plan.rejects {
            let record = &chunk.records[*place];
            if self.rows.remove(&record.id).is_some() {
                left.push(record.id);
            }
            self.tombstones.remove(&record.id);
            let waits = matches!(reason, Reason::SkuTaken { .. });
            let reject = StoredReject {
                version: version(record),
                created_date: record.created_date,
                reason: reason.clone(),
                claim: claim(record).filter(|_| waits),
            };
            self.rejects.insert(record.id, (reject, parent(record)));
        }
        for place in &plan.deleted {
            let record = &chunk.records[*place];
            if self.rows.remove(&record.id).is_some() {
                left.push(record.id);
            }
            self.rejects.remove(&record.id);
            self.tombstones.insert(record.id, StoredTombstone { as_of: mark.as_of, read_no: mark.read_no });
        }
        for (id, reason) in &plan.retold {
            self.rejects.get_mut(id).unwrap().0.reason = reason.clone();
        }
        came.extend(self.enter(&plan.entered));
        if fetched {
            self.dirty.retain(|id, _| chunk.find(id).is_none());
        }
        for (id, reason) in &plan.dirty {
            let claim = match reason {
                DirtyReason::Claim(claim) => Some(claim.clone()),
                DirtyReason::Doubt => None,
            };
            self.dirty.insert(*id, claim);
        }
        if !plan.equal.is_empty() {
            self.confirmed = self.confirmed.max(mark.read_no);
        }
        let claims: Vec<_> = self.rows.values().filter_map(|(row, _)| row.claim.as_ref()).collect();
        assert_eq!(
            claims.len(),
            claims.iter().collect::<BTreeSet<_>>().len(),
            "a unique value has one holder"
        );
        (came, left)
    }

    fn enter(&mut self, ids: &[RecordId]) -> Vec<RecordId> {
        for id in ids {
            let (reject, parent) = self.rejects.remove(id).unwrap();
            let row =
                StoredRow { version: reject.version, created_date: reject.created_date, claim: reject.claim };
            assert!(self.rows.insert(*id, (row, parent)).is_none());
        }
        ids.to_vec()
    }
}

impl Shadow {
    fn begin(&mut self) -> ReadMark {
        self.reads += 1;
        ReadMark { as_of: 0, read_no: self.reads }
    }

    fn merge_products(
        &mut self,
        mapping: &ResolvedMapping,
        chunk: &PreparedChunk,
        mark: ReadMark,
        fetched: bool,
    ) {
        let roles = Roles::of(&mapping.mapping);
        let current = self.products.current(roles, chunk, |_| true);
        let plan = plan(roles, chunk, mark, &current);
        let (came, left) = self.products.apply(roles, chunk, mark, &plan, fetched);
        // What the store does in the same commit: entries move out with their product and enter with it.
        let gone: Vec<RecordId> = self
            .entries
            .rows
            .iter()
            .filter(|(_, (_, parent))| parent.is_some_and(|parent| left.contains(&parent)))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            let (row, product) = self.entries.rows.remove(&id).unwrap();
            let reason = Reason::MissingProduct { product };
            let reject =
                StoredReject { version: row.version, created_date: row.created_date, reason, claim: None };
            self.entries.rejects.insert(id, (reject, product));
        }
        let cured: Vec<RecordId> = self
            .entries
            .rejects
            .iter()
            .filter(|(_, (_, parent))| parent.is_some_and(|parent| came.contains(&parent)))
            .map(|(id, _)| *id)
            .collect();
        self.entries.enter(&cured);
        self.check_entries();
    }

    fn merge_entries(&mut self, mapping: &ResolvedMapping, chunk: &PreparedChunk, mark: ReadMark) {
        let roles = Roles::of(&mapping.mapping);
        let current = self.entries.current(roles, chunk, |parent| self.products.rows.contains_key(parent));
        let plan = plan(roles, chunk, mark, &current);
        self.entries.apply(roles, chunk, mark, &plan, false);
        self.check_entries();
    }

    /// The foreign key holds, and nobody waits for what is there.
    fn check_entries(&self) {
        for (_, parent) in self.entries.rows.values() {
            assert!(self.products.rows.contains_key(&parent.unwrap()));
        }
        for (_, parent) in self.entries.rejects.values() {
            assert!(!self.products.rows.contains_key(&parent.unwrap()));
        }
    }

    /// Fetches dirty products, some at a time and always with who holds what they claim.
    fn fetch_dirty(&mut self, mapping: &ResolvedMapping, org: &[Product], at_once: usize) {
        for _ in 0..200 {
            let mut ids: BTreeSet<RecordId> = self.products.dirty.keys().take(at_once).copied().collect();
            if ids.is_empty() {
                return;
            }
            // All who have a part in the contests, as the store finds them.
            loop {
                let dirty = &self.products.dirty;
                let claims: BTreeSet<&String> = ids.iter().filter_map(|id| dirty.get(id)?.as_ref()).collect();
                let claims_one =
                    |claim: &Option<String>| claim.as_ref().is_some_and(|claim| claims.contains(claim));
                let holders = self
                    .products
                    .rows
                    .iter()
                    .filter(|(_, (row, _))| claims_one(&row.claim))
                    .map(|(id, _)| *id);
                let claimants = dirty.iter().filter(|(_, claim)| claims_one(claim)).map(|(id, _)| *id);
                let new: Vec<RecordId> = holders.chain(claimants).filter(|id| !ids.contains(id)).collect();
                if new.is_empty() {
                    break;
                }
                ids.extend(new);
            }
            let found: Vec<Product> =
                org.iter().filter(|product| ids.contains(&id("01t", product.id))).cloned().collect();
            let mark = self.begin();
            self.merge_products(mapping, &products(mapping, &found), mark, true);
        }
        panic!("the records stay dirty: {:?}", self.products.dirty);
    }

    /// What people see: who holds which SKU, who is rejected for what, and who is gone.
    fn seen(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let rows = |tables: &Tables| {
            tables
                .rows
                .iter()
                .map(|(id, (row, _))| (*id, row.claim.clone(), row.version.hash))
                .collect::<Vec<_>>()
        };
        let rejects = |tables: &Tables| {
            tables
                .rejects
                .iter()
                .map(|(id, (reject, _))| (*id, reject.reason.clone(), reject.version.hash))
                .collect::<Vec<_>>()
        };
        (
            rows(&self.products),
            rejects(&self.products),
            rows(&self.entries),
            rejects(&self.entries),
            self.products.tombstones.keys().copied().collect::<Vec<_>>(),
        )
    }
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
