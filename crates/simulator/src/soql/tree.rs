//! What a query says, before anybody looked whether the org has what it names.

use rust_decimal::Decimal;

/// A whole query.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// The text, for messages.
    pub text: String,
    /// What to show.
    pub select: Vec<Item>,
    /// The object.
    pub from: Name,
    /// The name that paths may start with instead of the object's.
    pub from_alias: Option<String>,
    /// `WHERE`.
    pub filter: Option<Condition>,
    /// `GROUP BY`.
    pub group_by: Vec<Operand>,
    /// `HAVING`.
    pub having: Option<Condition>,
    /// `ORDER BY`.
    pub order_by: Vec<Order>,
    /// `LIMIT`.
    pub limit: Option<u64>,
    /// `OFFSET`.
    pub offset: Option<u64>,
}

/// A word and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The word, or words with dots between them.
    pub text: String,
    /// The byte at which it starts.
    pub at: usize,
}

/// One thing to show.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// What.
    pub operand: Operand,
    /// Under which name.
    pub alias: Option<Name>,
}

/// Something that has a value per record or per group.
#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    /// A field, or one of a parent.
    Path(Name),
    /// A function of an operand, or of nothing.
    Call(Name, Option<Box<Operand>>),
    /// A query inside the query, which only says where it stands.
    Subquery(usize),
}

impl Operand {
    /// Where it stands.
    pub fn at(&self) -> usize {
        match self {
            Self::Path(name) | Self::Call(name, _) => name.at,
            Self::Subquery(at) => *at,
        }
    }
}

/// What a record must fulfil.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    /// All of them.
    And(Vec<Condition>),
    /// One of them.
    Or(Vec<Condition>),
    /// Not this one.
    Not(Box<Condition>),
    /// A comparison with one value.
    Compare(Operand, Operator, Literal),
    /// Whether it is one of several; the flag says that it must not be.
    In(Operand, bool, Vec<Literal>),
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=` and `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`
    Like,
}

/// A value in a query, and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Literal {
    /// The value.
    pub value: LiteralValue,
    /// The byte at which it starts.
    pub at: usize,
}

/// A value in a query.
#[derive(Clone, PartialEq, Debug)]
pub enum LiteralValue {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A quoted text, with its escapes resolved. `LIKE` needs to know which `%` and `_` were escaped.
    Text(String, Pattern),
    /// A moment.
    Time(i64),
    /// A day.
    Date(i64),
    /// A span relative to now, such as `TODAY` or `LAST_N_DAYS:3`.
    Relative(String, i64),
}

/// A text as `LIKE` reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(pub Vec<PatternPart>);

/// A part of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatternPart {
    /// This character, in lower case.
    Is(char),
    /// `_`
    One,
    /// `%`
    Many,
}

/// One part of `ORDER BY`.
#[derive(Clone, PartialEq, Debug)]
pub struct Order {
    /// What to order by.
    pub operand: Operand,
    /// `DESC`
    pub descending: bool,
    /// `NULLS LAST`; nulls come first in both directions unless it is said.
    pub nulls_last: bool,
}
