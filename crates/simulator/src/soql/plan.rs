//! A query that fits the org: positions instead of names.

use std::collections::HashSet;

use super::{date_function::DateFunction, filter::Filter};

/// What one user may not see.
#[derive(Clone, Default, Debug)]
pub struct Access {
    /// Objects that look as if they did not exist.
    pub hidden_objects: HashSet<usize>,
    /// Fields that look as if they did not exist: (object, field).
    pub hidden_fields: HashSet<(usize, usize)>,
}

/// A query that fits the org.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The object.
    pub object: usize,
    /// What comes out.
    pub output: Output,
    /// Which records.
    pub filter: Option<Filter<Source>>,
    /// In which order; empty is the order of ids.
    pub order: Vec<Ordering<Source>>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Without the first so many.
    pub offset: u64,
    /// Reports whether the query says `GROUP BY`, `OFFSET` or anything else that the Bulk API refuses, and which.
    pub not_in_bulk: Option<&'static str>,
}

/// What comes out of a query.
#[derive(Clone, Debug)]
pub enum Output {
    /// Their number.
    Count,
    /// The records, with these columns.
    Rows(Vec<Column>),
    /// Groups of records.
    Groups(Box<Groups>),
}

/// How records are grouped, and what is shown of each group.
#[derive(Clone, Debug)]
pub struct Groups {
    /// What records of a group have in common. Without any, all records are one group.
    pub keys: Vec<Source>,
    /// What is computed over a group.
    pub aggregates: Vec<Aggregate>,
    /// What is shown, and under which name.
    pub columns: Vec<(String, GroupSource)>,
    /// Which groups.
    pub having: Option<Filter<GroupSource>>,
    /// In which order.
    pub order: Vec<Ordering<GroupSource>>,
}

/// A part of `ORDER BY`.
#[derive(Clone, Debug)]
pub struct Ordering<S> {
    /// By what.
    pub source: S,
    /// From the greatest to the least.
    pub descending: bool,
    /// Nulls at the end.
    pub nulls_last: bool,
}

/// One column of a result.
#[derive(Clone, Debug)]
pub struct Column {
    /// The header, in describe's case.
    pub header: String,
    /// Where the value comes from.
    pub source: ColumnSource,
}

/// A field of the record, or of a parent at the end of some references.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ColumnSource {
    /// Each reference field, and the object that it leads to.
    pub hops: Vec<(usize, usize)>,
    /// The object that has the field.
    pub object: usize,
    /// The field.
    pub field: usize,
}

/// A value of a record: a field, or a part of its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The field.
    pub column: ColumnSource,
    /// What is taken of it.
    pub function: Option<DateFunction>,
}

/// A value of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupSource {
    /// What its records have in common.
    Key(usize),
    /// What was computed over them.
    Aggregate(usize),
}

/// Something computed over a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// How.
    pub function: AggregateFunction,
    /// Of what; `COUNT()` of nothing counts records.
    pub source: Option<Source>,
}

/// How a value is computed over a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AggregateFunction {
    /// How many have a value.
    Count,
    /// How many different values.
    CountDistinct,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The sum.
    Sum,
    /// The average.
    Avg,
}

impl AggregateFunction {
    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "COUNT" => Self::Count,
            "COUNT_DISTINCT" => Self::CountDistinct,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            "SUM" => Self::Sum,
            "AVG" => Self::Avg,
            _ => return None,
        })
    }
}
