//! Counts, extremes, sums and averages over groups of records.

use std::collections::{BTreeSet, HashMap};

use rust_decimal::Decimal;

use super::plan::{Aggregate, AggregateFunction};
use crate::value::{Owned, Value, folded};

/// Groups under construction, in the order in which they were first met.
pub struct Grouping<'a> {
    aggregates: &'a [Aggregate],
    by_key: HashMap<String, usize>,
    groups: Vec<Group>,
}

/// One group.
#[derive(Debug)]
pub struct Group {
    /// What its records have in common.
    pub keys: Vec<Owned>,
    /// What is computed over them so far.
    pub states: Vec<State>,
    /// The results, once all records are in.
    pub results: Vec<Owned>,
}

/// One value under construction.
#[derive(Debug)]
pub struct State {
    function: AggregateFunction,
    count: u64,
    sum: Decimal,
    extreme: Owned,
    distinct: BTreeSet<String>,
}

impl<'a> Grouping<'a> {
    /// Begins with no group.
    pub fn new(aggregates: &'a [Aggregate]) -> Self {
        Self { aggregates, by_key: HashMap::new(), groups: Vec::new() }
    }

    /// The group of these keys, made when it is first asked for.
    pub fn group(&mut self, keys: Vec<Owned>) -> &mut Group {
        let name = keys.iter().map(|key| spelling(key.lend())).collect::<Vec<_>>().join("\u{1f}");
        let groups = &mut self.groups;
        let aggregates = self.aggregates;
        let at = *self.by_key.entry(name).or_insert_with(|| {
            let states = aggregates.iter().map(|aggregate| State::new(aggregate.function)).collect();
            groups.push(Group { keys, states, results: Vec::new() });
            groups.len() - 1
        });
        &mut self.groups[at]
    }

    /// The finished groups. Without keys there is exactly one, even of no records.
    pub fn finish(mut self, without_keys: bool) -> Vec<Group> {
        if without_keys {
            self.group(Vec::new());
        }
        for group in &mut self.groups {
            group.results = group.states.iter().map(State::result).collect();
        }
        self.groups
    }
}

impl State {
    fn new(function: AggregateFunction) -> Self {
        Self { function, count: 0, sum: Decimal::ZERO, extreme: Owned::Null, distinct: BTreeSet::new() }
    }

    /// Counts a record, whatever its values.
    pub fn count_record(&mut self) {
        self.count += 1;
    }

    /// Takes in the value of one record; what has no value does not count.
    pub fn add(&mut self, value: Value<'_>) {
        if value.is_null() {
            return;
        }
        self.count += 1;
        match self.function {
            AggregateFunction::Count => {}
            AggregateFunction::CountDistinct => {
                self.distinct.insert(spelling(value));
            }
            AggregateFunction::Min => {
                if self.extreme == Owned::Null || value.order(self.extreme.lend()).is_lt() {
                    self.extreme = value.keep();
                }
            }
            AggregateFunction::Max => {
                if self.extreme == Owned::Null || value.order(self.extreme.lend()).is_gt() {
                    self.extreme = value.keep();
                }
            }
            AggregateFunction::Sum | AggregateFunction::Avg => self.sum += value.number().unwrap_or_default(),
        }
    }

    fn result(&self) -> Owned {
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        match self.function {
            AggregateFunction::Count => Owned::Int(count),
            AggregateFunction::CountDistinct => {
                Owned::Int(i64::try_from(self.distinct.len()).unwrap_or(i64::MAX))
            }
            AggregateFunction::Min | AggregateFunction::Max => self.extreme.clone(),
            _ if self.count == 0 => Owned::Null,
            AggregateFunction::Sum => Owned::Decimal(self.sum),
            AggregateFunction::Avg => Owned::Decimal(self.sum / Decimal::from(self.count)),
        }
    }
}

/// A text that is the same for values that count as the same.
fn spelling(value: Value<'_>) -> String {
    match value {
        Value::Text(text) => folded(text).collect(),
        Value::Null => String::new(),
        other => {
            let mut out = Vec::new();
            other.write_json(&mut out);
            String::from_utf8(out).unwrap_or_default()
        }
    }
}
