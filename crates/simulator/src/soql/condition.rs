//! Checks conditions: whether each field may be filtered, and whether each value fits its field.

use super::{
    Refusal,
    check::Checker,
    date_function::{DateFunction, relative_days},
    filter::{Filter, Wanted, WantedSet},
    plan::{AggregateFunction, GroupSource, Groups, Source},
    tree::{Condition, Literal, LiteralValue, Operand, Operator},
};
use crate::{
    calendar,
    ids::RecordId,
    schema::{Field, Kind},
};

/// Finds what an operand names: the source of its values, their type, and the field they come from.
type Resolve<'a, 'f, S> = dyn FnMut(&Operand) -> Result<(S, Kind, &'f Field), Refusal> + 'a;

impl Checker<'_> {
    /// The condition of `WHERE`.
    pub(super) fn filter(&self, condition: &Condition) -> Result<Filter<Source>, Refusal> {
        self.map_filter(condition, &mut |operand| {
            let source = self.source(operand)?;
            let kind = source.function.map_or(self.field(&source.column).kind, DateFunction::kind);
            Ok((source.clone(), kind, self.field(&source.column)))
        })
    }

    /// The condition of `HAVING`.
    pub(super) fn group_filter(
        &self,
        condition: &Condition,
        groups: &mut Groups,
    ) -> Result<Filter<GroupSource>, Refusal> {
        self.map_filter(condition, &mut |operand| {
            let source = self.group_source(operand, groups)?;
            let column = match source {
                GroupSource::Key(key) => groups.keys.get(key),
                GroupSource::Aggregate(at) => groups.aggregates[at].source.as_ref(),
            };
            let field = column
                .map_or(&self.schema.objects[self.object].fields[0], |source| self.field(&source.column));
            let kind = match source {
                GroupSource::Key(key) => groups.keys[key].function.map_or(field.kind, DateFunction::kind),
                GroupSource::Aggregate(at) => match groups.aggregates[at].function {
                    AggregateFunction::Min | AggregateFunction::Max => field.kind,
                    _ => Kind::Double,
                },
            };
            Ok((source, kind, field))
        })
    }

    fn map_filter<S>(
        &self,
        condition: &Condition,
        resolve: &mut Resolve<'_, '_, S>,
    ) -> Result<Filter<S>, Refusal> {
        Ok(match condition {
            Condition::And(parts) => Filter::And(
                parts.iter().map(|part| self.map_filter(part, resolve)).collect::<Result<_, _>>()?,
            ),
            Condition::Or(parts) => {
                Filter::Or(parts.iter().map(|part| self.map_filter(part, resolve)).collect::<Result<_, _>>()?)
            }
            Condition::Not(part) => Filter::Not(Box::new(self.map_filter(part, resolve)?)),
            Condition::Compare(operand, operator, literal) => {
                let (source, kind, field) = resolve(operand)?;
                self.filterable(field, operand)?;
                Filter::Compare(source, *operator, self.wanted(literal, kind, field, Some(*operator))?)
            }
            Condition::In(operand, negated, literals) => {
                let (source, kind, field) = resolve(operand)?;
                self.filterable(field, operand)?;
                let wanted: Vec<Wanted> = literals
                    .iter()
                    .map(|literal| self.wanted(literal, kind, field, None))
                    .collect::<Result<_, _>>()?;
                Filter::In(source, *negated, WantedSet::new(wanted))
            }
        })
    }

    fn filterable(&self, field: &Field, operand: &Operand) -> Result<(), Refusal> {
        if field.is_filterable() {
            return Ok(());
        }
        let reason = format!("field '{}' can not be filtered in a query call", field.name);
        Err(self.refuse("INVALID_FIELD", operand.at(), &reason))
    }

    fn wanted(
        &self,
        literal: &Literal,
        kind: Kind,
        field: &Field,
        operator: Option<Operator>,
    ) -> Result<Wanted, Refusal> {
        let like = operator == Some(Operator::Like);
        if like && matches!(kind, Kind::Id | Kind::Reference) {
            return Err(Refusal::plain("INVALID_QUERY_FILTER_OPERATOR", "invalid operator on id field"));
        }
        let wanted = match (&literal.value, kind) {
            (LiteralValue::Null, _) => Some(Wanted::Null),
            (LiteralValue::Bool(value), Kind::Boolean) => Some(Wanted::Bool(*value)),
            (LiteralValue::Number(value), kind) if kind.is_number() => Some(Wanted::Number(*value)),
            (LiteralValue::Text(_, pattern), kind) if like && kind.is_text() => {
                Some(Wanted::Like(pattern.clone()))
            }
            (LiteralValue::Text(text, _), kind) if kind.is_text() => Some(Wanted::text(text)),
            (LiteralValue::Text(text, _), Kind::Id | Kind::Reference) => {
                let id = RecordId::parse(text).map(Wanted::Id);
                let reason = format!("invalid ID field: {text}");
                Some(id.ok_or_else(|| self.refuse("INVALID_QUERY_FILTER_OPERATOR", literal.at, &reason))?)
            }
            (LiteralValue::Time(ms), Kind::DateTime) => Some(Wanted::Span(*ms, *ms + 1)),
            (LiteralValue::Date(day), Kind::Date) => Some(Wanted::Span(*day, *day + 1)),
            (LiteralValue::Relative(name, count), Kind::Date | Kind::DateTime) => {
                let (from, to) = relative_days(name, *count, self.now_ms);
                let scale = if kind == Kind::Date { 1 } else { calendar::DAY_MS };
                Some(Wanted::Span(from * scale, to * scale))
            }
            _ => None,
        };
        wanted.ok_or_else(|| {
            let quoted = if kind.is_text() { "should" } else { "should not" };
            let reason = format!(
                "value of filter criterion for field '{}' must be of type {} and {quoted} be enclosed in quotes",
                field.name,
                criterion_type(kind)
            );
            self.refuse("INVALID_FIELD", literal.at, &reason)
        })
    }
}

fn criterion_type(kind: Kind) -> &'static str {
    match kind {
        Kind::DateTime => "dateTime",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Int => "integer",
        Kind::Double | Kind::Currency => "double",
        _ => "string",
    }
}
