//! Finds the records of a plan.

use std::cmp;

use super::{
    aggregate::Group,
    filter::{Filter, Wanted},
    plan::{ColumnSource, GroupSource, Groups, Ordering, Output, Plan, Source},
    tree::Operator,
};
use crate::{
    ids::RecordId,
    selection::Selection,
    snapshot::Snapshot,
    table::Fate,
    value::{Owned, Value},
};

impl Snapshot {
    /// Hands the value of a column to `then`.
    pub fn with_column<T>(
        &self,
        object: usize,
        row: u64,
        column: &ColumnSource,
        scratch: &mut String,
        then: impl FnOnce(Value<'_>) -> T,
    ) -> T {
        let (mut object, mut row) = (object, row);
        for (reference, parent) in &column.hops {
            match self.parent(object, row, *reference, *parent) {
                Some(parent_row) => (object, row) = (*parent, parent_row),
                None => return then(Value::Null),
            }
        }
        then(self.read(object, row, column.field, scratch))
    }

    fn with_source<T>(
        &self,
        object: usize,
        row: u64,
        source: &Source,
        scratch: &mut String,
        then: impl FnOnce(Value<'_>) -> T,
    ) -> T {
        self.with_column(object, row, &source.column, scratch, |value| match source.function {
            None => then(value),
            Some(function) => then(function.of(value).lend()),
        })
    }
}

/// The records that fulfil a plan, in its order. `all_rows` includes the recycle bin.
pub fn select(plan: &Plan, snapshot: &Snapshot, all_rows: bool) -> Selection {
    let found = filtered(plan, snapshot, all_rows);
    let ordered =
        if plan.order.is_empty() { found } else { sorted(&plan.order, plan.object, snapshot, &found) };
    ordered.window(plan.offset, plan.limit)
}

/// The number of records that fulfil a plan of `COUNT()`.
pub fn count(plan: &Plan, snapshot: &Snapshot, all_rows: bool) -> u64 {
    let found = if plan.filter.is_none() && !all_rows {
        snapshot.tables[plan.object].live()
    } else {
        filtered(plan, snapshot, all_rows).len()
    };
    plan.limit.map_or(found, |limit| found.min(limit))
}

/// The groups of a plan: one list of values per group, as its columns are named.
pub fn aggregate(plan: &Plan, groups: &Groups, snapshot: &Snapshot, all_rows: bool) -> Vec<Vec<Owned>> {
    let found = filtered(plan, snapshot, all_rows);
    let mut table = super::aggregate::Grouping::new(&groups.aggregates);
    let mut scratch = String::new();
    for row in found.iter() {
        let keys = groups
            .keys
            .iter()
            .map(|key| snapshot.with_source(plan.object, row, key, &mut scratch, kept))
            .collect();
        let group = table.group(keys);
        for (aggregate, state) in groups.aggregates.iter().zip(&mut group.states) {
            match &aggregate.source {
                None => state.count_record(),
                Some(source) => {
                    snapshot.with_source(plan.object, row, source, &mut scratch, |value| state.add(value));
                }
            }
        }
    }
    let mut found = table.finish(groups.keys.is_empty());
    if let Some(having) = &groups.having {
        found.retain(|group| having.accepts(&mut |source, test| test(of_group(group, *source).lend())));
    }
    found.sort_by(|left, right| compare_groups(&groups.order, left, right));
    let from = usize::try_from(plan.offset).unwrap_or(usize::MAX).min(found.len());
    let limit = plan.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    found[from..]
        .iter()
        .take(limit)
        .map(|group| groups.columns.iter().map(|(_, source)| of_group(group, *source)).collect())
        .collect()
}

/// A function of its own, because a method's lifetime is fixed too early to be passed on.
fn kept(value: Value<'_>) -> Owned {
    value.keep()
}

fn of_group(group: &Group, source: GroupSource) -> Owned {
    match source {
        GroupSource::Key(key) => group.keys[key].clone(),
        GroupSource::Aggregate(at) => group.results[at].clone(),
    }
}

fn compare_groups(order: &[Ordering<GroupSource>], left: &Group, right: &Group) -> cmp::Ordering {
    for part in order {
        let (a, b) = (of_group(left, part.source), of_group(right, part.source));
        let compared = directed(a.lend(), b.lend(), part.descending, part.nulls_last);
        if compared.is_ne() {
            return compared;
        }
    }
    cmp::Ordering::Equal
}

fn filtered(plan: &Plan, snapshot: &Snapshot, all_rows: bool) -> Selection {
    let table = &snapshot.tables[plan.object];
    let Some(filter) = &plan.filter else { return table.rows(all_rows) };
    let mut scratch = String::new();
    let mut accepts = |row: u64| {
        filter.accepts(&mut |source, test| snapshot.with_source(plan.object, row, source, &mut scratch, test))
    };
    match rows_by_id(filter, plan, snapshot, all_rows) {
        Some(rows) => rows.into_iter().filter(|row| accepts(*row)).collect(),
        None => table.rows(all_rows).iter().filter(|row| accepts(*row)).collect(),
    }
}

/// Rows that can be looked up instead of searched: `Id = …`, `Id IN (…)`, alone or with further conditions.
fn rows_by_id(filter: &Filter<Source>, plan: &Plan, snapshot: &Snapshot, all_rows: bool) -> Option<Vec<u64>> {
    let by_id = |source: &Source| {
        source.column.hops.is_empty() && source.column.field == 0 && source.function.is_none()
    };
    match filter {
        Filter::And(parts) => parts.iter().find_map(|part| rows_by_id(part, plan, snapshot, all_rows)),
        Filter::Compare(source, Operator::Equal, Wanted::Id(id)) if by_id(source) => {
            Some(look_up([id], plan, snapshot, all_rows))
        }
        Filter::In(source, false, set) if by_id(source) => {
            let mut ids: Vec<_> = set.only_ids()?.iter().collect();
            ids.sort_unstable();
            Some(look_up(ids, plan, snapshot, all_rows))
        }
        _ => None,
    }
}

fn look_up<'a>(
    ids: impl IntoIterator<Item = &'a RecordId>,
    plan: &Plan,
    snapshot: &Snapshot,
    all_rows: bool,
) -> Vec<u64> {
    let table = &snapshot.tables[plan.object];
    let visible = |row: &u64| match table.fate(*row) {
        Fate::Live => true,
        Fate::Binned => all_rows,
        Fate::Gone => false,
    };
    ids.into_iter().filter_map(|id| table.find(id)).filter(visible).collect()
}

fn sorted(order: &[Ordering<Source>], object: usize, snapshot: &Snapshot, found: &Selection) -> Selection {
    let mut scratch = String::new();
    let mut keyed: Vec<(Vec<Owned>, u64)> = found
        .iter()
        .map(|row| {
            let keys = order
                .iter()
                .map(|part| snapshot.with_source(object, row, &part.source, &mut scratch, kept))
                .collect();
            (keys, row)
        })
        .collect();
    keyed.sort_by(|(left, _), (right, _)| {
        for (part, (a, b)) in order.iter().zip(left.iter().zip(right)) {
            let compared = directed(a.lend(), b.lend(), part.descending, part.nulls_last);
            if compared.is_ne() {
                return compared;
            }
        }
        cmp::Ordering::Equal
    });
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// Nulls come first whatever the direction, unless the query says that they come last.
fn directed(left: Value<'_>, right: Value<'_>, descending: bool, nulls_last: bool) -> cmp::Ordering {
    match (left.is_null(), right.is_null()) {
        (true, true) => cmp::Ordering::Equal,
        (true, false) if nulls_last => cmp::Ordering::Greater,
        (true, false) => cmp::Ordering::Less,
        (false, true) if nulls_last => cmp::Ordering::Less,
        (false, true) => cmp::Ordering::Greater,
        (false, false) if descending => right.order(left),
        (false, false) => left.order(right),
    }
}

/// The columns of a plan that shows records.
impl Plan {
    /// The columns, if the plan shows records.
    pub fn columns(&self) -> &[super::Column] {
        match &self.output {
            Output::Rows(columns) => columns,
            Output::Count | Output::Groups(_) => &[],
        }
    }
}
