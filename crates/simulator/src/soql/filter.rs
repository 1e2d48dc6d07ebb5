//! Whether a record or a group fulfils a condition.

use std::collections::HashSet;

use rust_decimal::Decimal;

use super::tree::{Operator, Pattern, PatternPart};
use crate::{
    ids::RecordId,
    value::{Value, folded},
};

/// Finds the value that a source names, and hands it to a question about it.
pub type Ask<'a, S> = dyn FnMut(&S, &dyn Fn(Value<'_>) -> bool) -> bool + 'a;

/// A condition over values that `S` names.
#[derive(Clone, Debug)]
pub enum Filter<S> {
    /// All of them.
    And(Vec<Filter<S>>),
    /// One of them.
    Or(Vec<Filter<S>>),
    /// Not this one.
    Not(Box<Filter<S>>),
    /// A comparison.
    Compare(S, Operator, Wanted),
    /// Whether it is one of several; the flag says that it must not be.
    In(S, bool, WantedSet),
}

/// The value that a condition asks for.
#[derive(Clone, PartialEq, Debug)]
pub enum Wanted {
    /// None.
    Null,
    /// A checkbox.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A text, in lower case.
    Text(String),
    /// A pattern.
    Like(Pattern),
    /// An id.
    Id(RecordId),
    /// From a moment or day to before another.
    Span(i64, i64),
}

impl Wanted {
    /// A text; `''` asks for none, as Salesforce stores no empty text.
    pub fn text(text: &str) -> Self {
        if text.is_empty() { Self::Null } else { Self::Text(folded(text).collect()) }
    }
}

/// The values of `IN`.
#[derive(Clone, Default, Debug)]
pub struct WantedSet {
    ids: HashSet<RecordId>,
    texts: HashSet<String>,
    others: Vec<Wanted>,
}

impl WantedSet {
    /// Sorts the values by how they are looked up.
    pub fn new(wanted: Vec<Wanted>) -> Self {
        let mut set = Self::default();
        for wanted in wanted {
            match wanted {
                Wanted::Id(id) => {
                    set.ids.insert(id);
                }
                Wanted::Text(text) => {
                    set.texts.insert(text);
                }
                other => set.others.push(other),
            }
        }
        set
    }

    /// The ids, if there is nothing else in it.
    pub fn only_ids(&self) -> Option<&HashSet<RecordId>> {
        (self.texts.is_empty() && self.others.is_empty()).then_some(&self.ids)
    }

    fn contains(&self, value: Value<'_>) -> bool {
        match value {
            Value::Id(id) if self.ids.contains(&id) => true,
            Value::Text(text)
                if !self.texts.is_empty() && self.texts.contains(&folded(text).collect::<String>()) =>
            {
                true
            }
            _ => self.others.iter().any(|wanted| matches(value, Operator::Equal, wanted)),
        }
    }
}

impl<S> Filter<S> {
    /// Looks whether the values that `test` is asked about fulfil the condition.
    pub fn accepts(&self, test: &mut Ask<'_, S>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.accepts(test)),
            Self::Or(parts) => parts.iter().any(|part| part.accepts(test)),
            Self::Not(part) => !part.accepts(test),
            Self::Compare(source, operator, wanted) => {
                test(source, &|value| matches(value, *operator, wanted))
            }
            Self::In(source, negated, set) => test(source, &|value| set.contains(value) != *negated),
        }
    }
}

/// One comparison. What has no value is unequal to everything, and neither less nor greater than anything.
fn matches(value: Value<'_>, operator: Operator, wanted: &Wanted) -> bool {
    match operator {
        Operator::Equal => equal(value, wanted),
        Operator::NotEqual => !equal(value, wanted),
        Operator::Like => match (value, wanted) {
            (Value::Text(text), Wanted::Like(pattern)) => like(&folded(text).collect::<Vec<_>>(), &pattern.0),
            _ => false,
        },
        Operator::Less => compare(value, wanted).is_some_and(|(below, _)| below),
        Operator::GreaterOrEqual => compare(value, wanted).is_some_and(|(below, _)| !below),
        Operator::Greater => compare(value, wanted).is_some_and(|(_, above)| above),
        Operator::LessOrEqual => compare(value, wanted).is_some_and(|(_, above)| !above),
    }
}

fn equal(value: Value<'_>, wanted: &Wanted) -> bool {
    match (value, wanted) {
        (Value::Null, Wanted::Null) => true,
        (Value::Bool(value), Wanted::Bool(wanted)) => value == *wanted,
        (Value::Id(value), Wanted::Id(wanted)) => value == *wanted,
        (Value::Text(value), Wanted::Text(wanted)) => folded(value).eq(wanted.chars()),
        (Value::Time(value) | Value::Date(value), Wanted::Span(from, to)) => (*from..*to).contains(&value),
        (value, Wanted::Number(wanted)) => value.number() == Some(*wanted),
        _ => false,
    }
}

/// Whether the value lies below, or above, what is wanted; nothing where they cannot be compared.
fn compare(value: Value<'_>, wanted: &Wanted) -> Option<(bool, bool)> {
    match (value, wanted) {
        (Value::Text(value), Wanted::Text(wanted)) => {
            let order = folded(value).cmp(wanted.chars());
            Some((order.is_lt(), order.is_gt()))
        }
        (Value::Id(value), Wanted::Id(wanted)) => Some((value < *wanted, value > *wanted)),
        (Value::Time(value) | Value::Date(value), Wanted::Span(from, to)) => {
            Some((value < *from, value >= *to))
        }
        (value, Wanted::Number(wanted)) => value.number().map(|value| (value < *wanted, value > *wanted)),
        _ => None,
    }
}

fn like(text: &[char], pattern: &[PatternPart]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [PatternPart::Many, rest @ ..] => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        [PatternPart::One, rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        [PatternPart::Is(letter), rest @ ..] => text.first() == Some(letter) && like(&text[1..], rest),
    }
}
