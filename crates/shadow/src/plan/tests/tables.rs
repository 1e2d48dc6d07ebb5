//! A shadow in memory, which does with a plan what the store does.

use super::*;

/// What one object's tables hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) rows: BTreeMap<RecordId, (StoredRow, Option<RecordId>)>,
    pub(super) rejects: BTreeMap<RecordId, (StoredReject, Option<RecordId>)>,
    pub(super) tombstones: BTreeMap<RecordId, StoredTombstone>,
    pub(super) dirty: BTreeMap<RecordId, Option<String>>,
    pub(super) confirmed: i64,
}

/// A shadow in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shadow {
    pub(super) products: Tables,
    pub(super) entries: Tables,
    pub(super) reads: i64,
}

impl Tables {
    pub(super) fn current(
        &self,
        roles: Roles,
        chunk: &PreparedChunk,
        parents: impl Fn(&RecordId) -> bool,
    ) -> Current {
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
    pub(super) fn apply(
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
            read_end: Moment(0),
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
                is_active: record.is_active,
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
                is_active: record.is_active,
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
        }
        for place in &plan.tombstones {
            let tombstone = StoredTombstone { as_of: mark.as_of, read_no: mark.read_no, presumed: false };
            self.tombstones.insert(chunk.records[*place].id, tombstone);
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

    pub(super) fn enter(&mut self, ids: &[RecordId]) -> Vec<RecordId> {
        for id in ids {
            let (reject, parent) = self.rejects.remove(id).unwrap();
            let row = StoredRow {
                version: reject.version,
                created_date: reject.created_date,
                is_active: reject.is_active,
                claim: reject.claim,
            };
            assert!(self.rows.insert(*id, (row, parent)).is_none());
        }
        ids.to_vec()
    }
}

impl Shadow {
    pub(super) fn begin(&mut self) -> ReadMark {
        self.reads += 1;
        ReadMark { as_of: 0, read_no: self.reads }
    }

    pub(super) fn merge_products(
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
            let reject = StoredReject {
                version: row.version,
                created_date: row.created_date,
                is_active: row.is_active,
                reason,
                claim: None,
            };
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

    pub(super) fn merge_entries(&mut self, mapping: &ResolvedMapping, chunk: &PreparedChunk, mark: ReadMark) {
        let roles = Roles::of(&mapping.mapping);
        let current = self.entries.current(roles, chunk, |parent| self.products.rows.contains_key(parent));
        let plan = plan(roles, chunk, mark, &current);
        self.entries.apply(roles, chunk, mark, &plan, false);
        self.check_entries();
    }

    /// The foreign key holds, and nobody waits for what is there.
    pub(super) fn check_entries(&self) {
        for (_, parent) in self.entries.rows.values() {
            assert!(self.products.rows.contains_key(&parent.unwrap()));
        }
        for (_, parent) in self.entries.rejects.values() {
            assert!(!self.products.rows.contains_key(&parent.unwrap()));
        }
    }

    /// Fetches dirty products, some at a time and always with who holds what they claim.
    pub(super) fn fetch_dirty(&mut self, mapping: &ResolvedMapping, org: &[Product], at_once: usize) {
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
    pub(super) fn seen(&self) -> impl PartialEq + std::fmt::Debug + use<> {
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
