//! Looks whether the org has what a query names, and whether its parts go together.

use super::{
    Refusal,
    date_function::DateFunction,
    plan::{
        Access, Aggregate, AggregateFunction, Column, ColumnSource, GroupSource, Groups, Ordering, Output,
        Plan, Source,
    },
    tree::{Item, Name, Operand, Query},
};
use crate::schema::{Field, Kind, Schema};

/// Checks a query. `now_ms` is what `TODAY` is counted from.
pub fn check(query: &Query, schema: &Schema, access: &Access, now_ms: i64) -> Result<Plan, Refusal> {
    let object = schema
        .object(&query.from.text)
        .filter(|object| !access.hidden_objects.contains(object))
        .ok_or_else(|| unknown_object(&query.text, &query.from))?;
    let checker = Checker { query, schema, access, object, now_ms };
    let output = checker.output()?;
    let order = match &output {
        Output::Rows(_) => checker.order()?,
        Output::Count if !query.order_by.is_empty() => {
            let reason = "Ordered field must be grouped or aggregated";
            return Err(checker.refuse("MALFORMED_QUERY", query.order_by[0].operand.at(), reason));
        }
        Output::Count | Output::Groups(_) => Vec::new(),
    };
    Ok(Plan {
        object,
        filter: query.filter.as_ref().map(|filter| checker.filter(filter)).transpose()?,
        order,
        limit: query.limit,
        offset: query.offset.unwrap_or(0),
        not_in_bulk: checker.not_in_bulk(&output),
        output,
    })
}

/// A query under examination.
pub(super) struct Checker<'a> {
    pub(super) query: &'a Query,
    pub(super) schema: &'a Schema,
    pub(super) access: &'a Access,
    pub(super) object: usize,
    pub(super) now_ms: i64,
}

impl Checker<'_> {
    fn output(&self) -> Result<Output, Refusal> {
        if let [Item { operand: Operand::Call(name, None), .. }] = self.query.select.as_slice()
            && name.text.eq_ignore_ascii_case("COUNT")
            && self.query.group_by.is_empty()
        {
            return Ok(Output::Count);
        }
        let grouped = !self.query.group_by.is_empty()
            || self.query.select.iter().any(|item| matches!(aggregate_name(&item.operand), Some((_, _))));
        if grouped {
            self.groups().map(Box::new).map(Output::Groups)
        } else {
            self.columns().map(Output::Rows)
        }
    }

    fn columns(&self) -> Result<Vec<Column>, Refusal> {
        let mut columns: Vec<Column> = Vec::new();
        for item in &self.query.select {
            match &item.operand {
                Operand::Subquery(at) => {
                    let reason = "Didn't understand relationship in FROM part of query call";
                    return Err(self.refuse("INVALID_TYPE", *at, reason));
                }
                Operand::Call(name, argument) => self.expand(name, argument.as_deref(), &mut columns)?,
                Operand::Path(path) => {
                    if let Some(alias) = &item.alias {
                        let reason = "only aggregate expressions use field aliasing";
                        return Err(self.refuse("MALFORMED_QUERY", alias.at, reason));
                    }
                    let column = self.column(path)?;
                    if columns.iter().any(|earlier| earlier.header == column.header) {
                        let reason = format!("duplicate field selected: {}", column.header);
                        return Err(Refusal::plain("MALFORMED_QUERY", reason));
                    }
                    columns.push(column);
                }
            }
        }
        Ok(columns)
    }

    /// `FIELDS(ALL)` and its like; `toLabel`, `FORMAT` and other functions of one field are not offered.
    fn expand(
        &self,
        name: &Name,
        argument: Option<&Operand>,
        columns: &mut Vec<Column>,
    ) -> Result<(), Refusal> {
        let Some(Operand::Path(which)) = argument.filter(|_| name.text.eq_ignore_ascii_case("FIELDS")) else {
            return Err(self.refuse(
                "MALFORMED_QUERY",
                name.at,
                &format!("Invalid function: '{}'", name.text),
            ));
        };
        let wanted: fn(&Field) -> bool = match which.text.to_ascii_uppercase().as_str() {
            "ALL" => |_| true,
            "STANDARD" => |field| !field.is_custom(),
            "CUSTOM" => Field::is_custom,
            _ => return Err(self.refuse("MALFORMED_QUERY", which.at, "unexpected argument of FIELDS()")),
        };
        if !which.text.eq_ignore_ascii_case("STANDARD") && self.query.limit.is_none_or(|limit| limit > 200) {
            let reason = "The SOQL FIELDS function must have a LIMIT of at most 200";
            return Err(Refusal::plain("MALFORMED_QUERY", reason));
        }
        let fields = &self.schema.objects[self.object].fields;
        for (at, field) in
            fields.iter().enumerate().filter(|(at, field)| wanted(field) && self.visible(self.object, *at))
        {
            let source = ColumnSource { hops: Vec::new(), object: self.object, field: at };
            columns.push(Column { header: field.name.clone(), source });
        }
        Ok(())
    }

    fn groups(&self) -> Result<Groups, Refusal> {
        let query = self.query;
        if query.group_by.is_empty() && query.limit.is_some() {
            let reason = "Non-grouped query that uses overall aggregate functions cannot also use LIMIT";
            return Err(self.refuse(
                "MALFORMED_QUERY",
                query.text.to_uppercase().rfind("LIMIT").unwrap_or(0),
                reason,
            ));
        }
        let mut groups = Groups {
            keys: Vec::new(),
            aggregates: Vec::new(),
            columns: Vec::new(),
            having: None,
            order: Vec::new(),
        };
        for operand in &query.group_by {
            let source = self.source(operand)?;
            let field = self.field(&source.column);
            if source.function.is_none() && !field.is_groupable() {
                let reason = format!("field '{}' can not be grouped in a query call", field.name);
                return Err(self.refuse("MALFORMED_QUERY", operand.at(), &reason));
            }
            groups.keys.push(source);
        }
        let mut unnamed = 0;
        for item in &query.select {
            let source = self.group_source(&item.operand, &mut groups)?;
            let name = match (&item.alias, source) {
                (Some(alias), _) => alias.text.clone(),
                (None, GroupSource::Key(key)) if groups.keys[key].function.is_none() => {
                    self.field(&groups.keys[key].column).name.clone()
                }
                (None, _) => {
                    unnamed += 1;
                    format!("expr{}", unnamed - 1)
                }
            };
            groups.columns.push((name, source));
        }
        if let Some(having) = &query.having {
            groups.having = Some(self.group_filter(having, &mut groups)?);
        }
        for order in &query.order_by {
            let source = self.group_source(&order.operand, &mut groups)?;
            groups.order.push(Ordering {
                source,
                descending: order.descending,
                nulls_last: order.nulls_last,
            });
        }
        Ok(groups)
    }

    pub(super) fn group_source(
        &self,
        operand: &Operand,
        groups: &mut Groups,
    ) -> Result<GroupSource, Refusal> {
        if let Some((function, argument)) = aggregate_name(operand) {
            let source = argument.map(|argument| self.source(argument)).transpose()?;
            if let Some(source) = &source {
                self.aggregatable(function, source, operand)?;
            }
            let aggregate = Aggregate { function, source };
            let known = groups.aggregates.iter().position(|earlier| *earlier == aggregate);
            let at = known.unwrap_or_else(|| {
                groups.aggregates.push(aggregate);
                groups.aggregates.len() - 1
            });
            return Ok(GroupSource::Aggregate(at));
        }
        let source = self.source(operand)?;
        if let Some(key) = groups.keys.iter().position(|key| *key == source) {
            return Ok(GroupSource::Key(key));
        }
        let shown = match operand {
            Operand::Path(name) => name.text.as_str(),
            _ => self.field(&source.column).name.as_str(),
        };
        let reason = format!("Field must be grouped or aggregated: {shown}");
        Err(self.refuse("MALFORMED_QUERY", operand.at(), &reason))
    }

    fn aggregatable(
        &self,
        function: AggregateFunction,
        source: &Source,
        operand: &Operand,
    ) -> Result<(), Refusal> {
        let field = self.field(&source.column);
        let possible = match function {
            AggregateFunction::Sum | AggregateFunction::Avg => field.kind.is_number(),
            AggregateFunction::Min | AggregateFunction::Max => {
                !matches!(field.kind, Kind::Boolean | Kind::TextArea | Kind::Address)
            }
            AggregateFunction::Count | AggregateFunction::CountDistinct => {
                !matches!(field.kind, Kind::TextArea | Kind::Address)
            }
        };
        if possible {
            return Ok(());
        }
        let shown = format!("{function:?}").to_uppercase();
        let reason = format!("field {} does not support aggregate operator {shown}", field.name);
        Err(self.refuse("MALFORMED_QUERY", operand.at(), &reason))
    }

    fn order(&self) -> Result<Vec<Ordering<Source>>, Refusal> {
        self.query
            .order_by
            .iter()
            .map(|order| {
                let source = self.source(&order.operand)?;
                let field = self.field(&source.column);
                if matches!(field.kind, Kind::TextArea | Kind::Address) {
                    let reason = format!("field '{}' can not be sorted in a query call", field.name);
                    return Err(self.refuse("MALFORMED_QUERY", order.operand.at(), &reason));
                }
                Ok(Ordering { source, descending: order.descending, nulls_last: order.nulls_last })
            })
            .collect()
    }

    pub(super) fn source(&self, operand: &Operand) -> Result<Source, Refusal> {
        match operand {
            Operand::Path(path) => Ok(Source { column: self.column(path)?.source, function: None }),
            Operand::Call(name, Some(argument)) => {
                let Some(function) = DateFunction::named(&name.text) else {
                    return Err(self.refuse(
                        "MALFORMED_QUERY",
                        name.at,
                        &format!("unexpected token: '{}'", name.text),
                    ));
                };
                // The org's users live in UTC, so that a converted time is the time itself.
                let inner = match argument.as_ref() {
                    Operand::Call(inner, Some(path))
                        if inner.text.eq_ignore_ascii_case("convertTimezone") =>
                    {
                        path
                    }
                    other => other,
                };
                let column = self.source(inner)?.column;
                match self.field(&column).kind {
                    Kind::DateTime => {}
                    Kind::Date if function.takes_dates() => {}
                    _ => {
                        let reason = format!("{} requires a date or dateTime field", name.text);
                        return Err(self.refuse("MALFORMED_QUERY", name.at, &reason));
                    }
                }
                Ok(Source { column, function: Some(function) })
            }
            Operand::Call(name, None) => {
                Err(self.refuse("MALFORMED_QUERY", name.at, &format!("unexpected token: '{}'", name.text)))
            }
            Operand::Subquery(at) => Err(self.refuse("MALFORMED_QUERY", *at, "unexpected token: '('")),
        }
    }

    /// Follows `Product2.Name` from the query's object; the object's own name or alias may stand first.
    fn column(&self, path: &Name) -> Result<Column, Refusal> {
        let mut words: Vec<&str> = path.text.split('.').collect();
        let object_name = self.schema.objects[self.object].name.as_str();
        let own = |word: &str| {
            word.eq_ignore_ascii_case(object_name)
                || self.query.from_alias.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(word))
        };
        if words.len() > 1 && own(words[0]) {
            words.remove(0);
        }
        let mut object = self.object;
        let mut hops = Vec::new();
        let mut header = String::new();
        let (last, parents) = words.split_last().unwrap_or((&"", &[]));
        if parents.len() > 5 {
            return Err(self.refuse(
                "MALFORMED_QUERY",
                path.at,
                "SELECT list relationship depth must not exceed 5",
            ));
        }
        for word in parents {
            let found = self.schema.objects[object].relationship(word).filter(|at| self.visible(object, *at));
            let parent = found.and_then(|at| {
                let field = &self.schema.objects[object].fields[at];
                let parent = self.schema.object(field.reference_to.as_deref()?)?;
                header.push_str(field.relationship.as_deref()?);
                header.push('.');
                (!self.access.hidden_objects.contains(&parent)).then_some((at, parent))
            });
            let Some((at, parent)) = parent else { return Err(self.unknown_relationship(word, path)) };
            hops.push((at, parent));
            object = parent;
        }
        let field = self.schema.objects[object].field(last).filter(|at| self.visible(object, *at));
        let Some(field) = field else { return Err(self.unknown_field(last, object, path)) };
        header.push_str(&self.schema.objects[object].fields[field].name);
        Ok(Column { header, source: ColumnSource { hops, object, field } })
    }

    fn visible(&self, object: usize, field: usize) -> bool {
        !self.access.hidden_fields.contains(&(object, field))
    }

    pub(super) fn field(&self, column: &ColumnSource) -> &Field {
        &self.schema.objects[column.object].fields[column.field]
    }

    fn not_in_bulk(&self, output: &Output) -> Option<&'static str> {
        let selects_compound = |columns: &[Column]| {
            columns.iter().any(|column| self.field(&column.source).kind == Kind::Address)
        };
        match output {
            Output::Count | Output::Groups(_) => Some("Aggregate Relationships not supported in Bulk Query"),
            Output::Rows(_) if self.query.offset.is_some() => {
                Some("OFFSET clause not supported in Bulk Query")
            }
            Output::Rows(columns) if selects_compound(columns) => {
                Some("Selecting compound data not supported in Bulk Query")
            }
            Output::Rows(_) => None,
        }
    }

    pub(super) fn refuse(&self, code: &'static str, at: usize, reason: &str) -> Refusal {
        Refusal::at(code, &self.query.text, at, reason)
    }

    fn unknown_field(&self, field: &str, object: usize, path: &Name) -> Refusal {
        let reason = format!(
            "No such column '{field}' on entity '{}'. If you are attempting to use a custom field, be sure to append \
             the '__c' after the custom field name. Please reference your WSDL or the describe call for the \
             appropriate names.",
            self.schema.objects[object].name
        );
        self.refuse("INVALID_FIELD", path.at, &reason)
    }

    fn unknown_relationship(&self, word: &str, path: &Name) -> Refusal {
        let reason = format!(
            "Didn't understand relationship '{word}' in field path. If you are attempting to use a custom \
             relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL \
             or the describe call for the appropriate names."
        );
        self.refuse("INVALID_FIELD", path.at, &reason)
    }
}

fn unknown_object(query: &str, name: &Name) -> Refusal {
    let reason = format!(
        "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the \
         '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
        name.text
    );
    Refusal::at("INVALID_TYPE", query, name.at, &reason)
}

fn aggregate_name(operand: &Operand) -> Option<(AggregateFunction, Option<&Operand>)> {
    let Operand::Call(name, argument) = operand else { return None };
    AggregateFunction::named(&name.text).map(|function| (function, argument.as_deref()))
}
