//! Reads a query into a tree.

use super::{
    Refusal,
    lexer::{Token, TokenKind, tokens},
    tree::{Condition, Item, Literal, LiteralValue, Name, Operand, Operator, Order, Query},
};

/// Words that end a list of fields, and so can never be an alias.
const KEYWORDS: [&str; 21] = [
    "SELECT", "FROM", "WHERE", "GROUP", "BY", "HAVING", "ORDER", "LIMIT", "OFFSET", "AND", "OR", "NOT", "IN",
    "LIKE", "ASC", "DESC", "NULLS", "FIRST", "LAST", "FOR", "USING",
];

/// The relative spans of days that this org knows.
const RELATIVE: [&str; 12] = [
    "TODAY",
    "YESTERDAY",
    "TOMORROW",
    "THIS_WEEK",
    "LAST_WEEK",
    "THIS_MONTH",
    "LAST_MONTH",
    "THIS_YEAR",
    "LAST_YEAR",
    "LAST_90_DAYS",
    "NEXT_90_DAYS",
    "NEXT_MONTH",
];

/// Reads the text of a query.
pub fn parse(text: &str) -> Result<Query, Refusal> {
    let mut parser = Parser { query: text, tokens: tokens(text)?, next: 0 };
    let query = parser.query()?;
    parser.expect_end()?;
    Ok(query)
}

struct Parser<'a> {
    query: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Query, Refusal> {
        self.expect_word("SELECT")?;
        let select = self.items()?;
        self.expect_word("FROM")?;
        let from = self.name()?;
        let from_alias = match &self.peek().kind {
            TokenKind::Word(word) if !is_keyword(word) && !word.eq_ignore_ascii_case("WITH") => {
                Some(self.name()?.text)
            }
            _ => None,
        };
        let filter = if self.take_word("WHERE") { Some(self.condition()?) } else { None };
        if self.take_word("WITH") {
            self.expect_word("SECURITY_ENFORCED")?;
        }
        let group_by = if self.take_word("GROUP") { self.by_operands()? } else { Vec::new() };
        let having = if self.take_word("HAVING") { Some(self.condition()?) } else { None };
        let order_by = if self.take_word("ORDER") { self.orders()? } else { Vec::new() };
        let limit = if self.take_word("LIMIT") { Some(self.whole_number()?) } else { None };
        let offset = if self.take_word("OFFSET") { Some(self.whole_number()?) } else { None };
        Ok(Query {
            text: self.query.to_owned(),
            select,
            from,
            from_alias,
            filter,
            group_by,
            having,
            order_by,
            limit,
            offset,
        })
    }

    fn items(&mut self) -> Result<Vec<Item>, Refusal> {
        let mut items = Vec::new();
        loop {
            let operand = self.operand()?;
            let alias = match &self.peek().kind {
                TokenKind::Word(word) if !is_keyword(word) => Some(self.name()?),
                _ => None,
            };
            items.push(Item { operand, alias });
            if !self.take_sign(",") {
                return Ok(items);
            }
        }
    }

    fn operand(&mut self) -> Result<Operand, Refusal> {
        if self.peek().kind == TokenKind::Sign("(") {
            return self.subquery();
        }
        let name = self.name()?;
        if !self.take_sign("(") {
            return Ok(Operand::Path(name));
        }
        let argument =
            if self.peek().kind == TokenKind::Sign(")") { None } else { Some(Box::new(self.operand()?)) };
        self.expect_sign(")")?;
        Ok(Operand::Call(name, argument))
    }

    /// Skips a query inside the query: the org's objects have no children to show.
    fn subquery(&mut self) -> Result<Operand, Refusal> {
        let at = self.peek().at;
        let mut depth = 0_usize;
        loop {
            let token = self.advance();
            match token.kind {
                TokenKind::Sign("(") => depth += 1,
                TokenKind::Sign(")") => depth -= 1,
                TokenKind::End => return Err(self.unexpected(&token)),
                _ => {}
            }
            if depth == 0 {
                return Ok(Operand::Subquery(at));
            }
        }
    }

    fn by_operands(&mut self) -> Result<Vec<Operand>, Refusal> {
        self.expect_word("BY")?;
        let mut operands = vec![self.operand()?];
        while self.take_sign(",") {
            operands.push(self.operand()?);
        }
        Ok(operands)
    }

    fn orders(&mut self) -> Result<Vec<Order>, Refusal> {
        self.expect_word("BY")?;
        let mut orders = Vec::new();
        loop {
            let operand = self.operand()?;
            let descending = self.take_word("DESC");
            if !descending {
                self.take_word("ASC");
            }
            let mut nulls_last = false;
            if self.take_word("NULLS") {
                nulls_last = self.take_word("LAST");
                if !nulls_last {
                    self.expect_word("FIRST")?;
                }
            }
            orders.push(Order { operand, descending, nulls_last });
            if !self.take_sign(",") {
                return Ok(orders);
            }
        }
    }

    /// `a AND b AND c`, or `a OR b OR c`: mixing both needs parentheses, as in Salesforce.
    fn condition(&mut self) -> Result<Condition, Refusal> {
        let mut terms = vec![self.term()?];
        let joint = if self.is_word("AND") {
            "AND"
        } else if self.is_word("OR") {
            "OR"
        } else {
            return Ok(terms.remove(0));
        };
        while self.take_word(joint) {
            terms.push(self.term()?);
        }
        if self.is_word("AND") || self.is_word("OR") {
            let token = self.peek().clone();
            return Err(self.unexpected(&token));
        }
        Ok(if joint == "AND" { Condition::And(terms) } else { Condition::Or(terms) })
    }

    fn term(&mut self) -> Result<Condition, Refusal> {
        if self.take_word("NOT") {
            return Ok(Condition::Not(Box::new(self.term()?)));
        }
        if self.take_sign("(") {
            let condition = self.condition()?;
            self.expect_sign(")")?;
            return Ok(condition);
        }
        let operand = self.operand()?;
        if self.take_word("NOT") {
            self.expect_word("IN")?;
            return Ok(Condition::In(operand, true, self.literals()?));
        }
        if self.take_word("IN") {
            return Ok(Condition::In(operand, false, self.literals()?));
        }
        let operator = self.operator()?;
        Ok(Condition::Compare(operand, operator, self.literal()?))
    }

    fn operator(&mut self) -> Result<Operator, Refusal> {
        let token = self.advance();
        Ok(match &token.kind {
            TokenKind::Sign("=") => Operator::Equal,
            TokenKind::Sign("!=") => Operator::NotEqual,
            TokenKind::Sign("<") => Operator::Less,
            TokenKind::Sign("<=") => Operator::LessOrEqual,
            TokenKind::Sign(">") => Operator::Greater,
            TokenKind::Sign(">=") => Operator::GreaterOrEqual,
            TokenKind::Word(word) if word.eq_ignore_ascii_case("LIKE") => Operator::Like,
            _ => return Err(self.unexpected(&token)),
        })
    }

    fn literals(&mut self) -> Result<Vec<Literal>, Refusal> {
        self.expect_sign("(")?;
        let mut literals = vec![self.literal()?];
        while self.take_sign(",") {
            literals.push(self.literal()?);
        }
        self.expect_sign(")")?;
        Ok(literals)
    }

    fn literal(&mut self) -> Result<Literal, Refusal> {
        let token = self.advance();
        let value = match &token.kind {
            TokenKind::Number(number) => LiteralValue::Number(*number),
            TokenKind::Time(ms) => LiteralValue::Time(*ms),
            TokenKind::Date(day) => LiteralValue::Date(*day),
            TokenKind::Text(text, pattern) => LiteralValue::Text(text.clone(), pattern.clone()),
            TokenKind::Word(word) => match word_literal(word) {
                Some(value) => value,
                None => return Err(self.unexpected(&token)),
            },
            _ => return Err(self.unexpected(&token)),
        };
        Ok(Literal { value, at: token.at })
    }

    fn whole_number(&mut self) -> Result<u64, Refusal> {
        let token = self.advance();
        match &token.kind {
            TokenKind::Number(number) if number.is_integer() => {
                u64::try_from(*number).map_err(|_| self.unexpected(&token))
            }
            _ => Err(self.unexpected(&token)),
        }
    }

    fn name(&mut self) -> Result<Name, Refusal> {
        let token = self.advance();
        match &token.kind {
            TokenKind::Word(word) if !is_keyword(word) => Ok(Name { text: word.clone(), at: token.at }),
            _ => Err(self.unexpected(&token)),
        }
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &'static str) -> bool {
        let found = self.peek().kind == TokenKind::Sign(sign);
        self.next += usize::from(found);
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Refusal> {
        if self.take_word(word) {
            return Ok(());
        }
        let token = self.peek().clone();
        Err(self.unexpected(&token))
    }

    fn expect_sign(&mut self, sign: &'static str) -> Result<(), Refusal> {
        if self.take_sign(sign) {
            return Ok(());
        }
        let token = self.peek().clone();
        Err(self.unexpected(&token))
    }

    fn expect_end(&self) -> Result<(), Refusal> {
        match self.peek() {
            Token { kind: TokenKind::End, .. } => Ok(()),
            token => Err(self.unexpected(token)),
        }
    }

    fn unexpected(&self, token: &Token) -> Refusal {
        let shown = match &token.kind {
            TokenKind::End => "<EOF>".to_owned(),
            TokenKind::Word(word) => format!("'{word}'"),
            TokenKind::Sign(sign) => format!("'{sign}'"),
            TokenKind::Text(text, _) => format!("'{text}'"),
            TokenKind::Number(number) => format!("'{number}'"),
            TokenKind::Time(_) | TokenKind::Date(_) => {
                let rest = &self.query[token.at..];
                format!("'{}'", rest.split([' ', ',', ')']).next().unwrap_or_default())
            }
        };
        Refusal::at("MALFORMED_QUERY", self.query, token.at, &format!("unexpected token: {shown}"))
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn word_literal(word: &str) -> Option<LiteralValue> {
    if word.eq_ignore_ascii_case("null") {
        return Some(LiteralValue::Null);
    }
    if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") {
        return Some(LiteralValue::Bool(word.eq_ignore_ascii_case("true")));
    }
    let upper = word.to_ascii_uppercase();
    if let Some((name, count)) = upper.split_once(':') {
        let known = matches!(name, "LAST_N_DAYS" | "NEXT_N_DAYS" | "N_DAYS_AGO");
        return known
            .then(|| count.parse().ok().map(|count| LiteralValue::Relative(name.to_owned(), count)))
            .flatten();
    }
    RELATIVE.contains(&upper.as_str()).then_some(LiteralValue::Relative(upper, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_with_everything_is_read() {
        let query = parse(
            "select CALENDAR_YEAR(SystemModstamp) y, count(Id) c FROM Product2 \
             WHERE (Name LIKE 'a\\_%' OR Id NOT IN ('x','y')) AND NOT IsActive = true \
             GROUP BY CALENDAR_YEAR(SystemModstamp) HAVING COUNT(Id) > 1 \
             ORDER BY CALENDAR_YEAR(SystemModstamp) DESC NULLS LAST LIMIT 10 OFFSET 2",
        )
        .unwrap();
        assert_eq!(query.select.len(), 2);
        assert_eq!(query.select[1].alias.as_ref().unwrap().text, "c");
        assert_eq!((query.limit, query.offset), (Some(10), Some(2)));
        assert!(query.order_by[0].descending && query.order_by[0].nulls_last);
    }

    #[test]
    fn and_beside_or_needs_parentheses() {
        let refusal =
            parse("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'").unwrap_err();
        assert_eq!(refusal.code, "MALFORMED_QUERY");
        assert!(refusal.message.ends_with("unexpected token: 'OR'"), "{}", refusal.message);
    }

    #[test]
    fn an_unescaped_plus_in_a_time_is_refused() {
        // In a query string `+01:00` arrives as ` 01:00`.
        assert!(parse("SELECT Id FROM Account WHERE SystemModstamp > 2026-03-01T01:00:00 01:00").is_err());
        assert!(parse("SELECT Id FROM Account WHERE SystemModstamp > 2026-03-01T01:00:00+01:00").is_ok());
    }

    #[test]
    fn an_unfinished_query_says_where_it_ends() {
        let refusal = parse("SELECT Id FROM").unwrap_err();
        assert!(refusal.message.ends_with("unexpected token: <EOF>"), "{}", refusal.message);
    }
}
