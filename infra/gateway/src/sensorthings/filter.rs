//! Filters: comparisons of properties with literals (`eq ne gt ge lt le`), joined with `and`, `or` and parentheses. Pure.
//!
//! A filter is evaluated over JSON, or written as SQL for observations.

use std::cmp::Ordering;

use serde_json::Value;

use super::Wrong;
use super::latest::observation_place;
use crate::limits::FILTER_DEPTH_MAX;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// One of them or both.
    Or(Box<Filter>, Box<Filter>),
    /// A property compared with a value.
    Compare(String, Operator, Literal),
}

/// How to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `eq`
    Equal,
    /// `ne`
    Unequal,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

/// A value in a filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A number, and how it was written: an id may be one.
    Number(f64, String),
    /// A text.
    Text(String),
    /// A time, µs since 1970.
    Time(i64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

impl Operator {
    fn of(word: &str) -> Option<Operator> {
        Some(match word {
            "eq" => Operator::Equal,
            "ne" => Operator::Unequal,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterOrEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessOrEqual,
            _ => return None,
        })
    }

    fn sql(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::Unequal => "<>",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::Unequal => order.is_ne(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
        }
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn parse(text: &str) -> Result<Filter, Wrong> {
        let mut parser = Parser { text, rest: text, depth: 0 };
        let filter = parser.either()?;
        if parser.peek().is_some() {
            return Err(parser.wrong("the end", "结尾"));
        }
        Ok(filter)
    }

    /// Whether an entity, as JSON, fits.
    pub fn fits(&self, entity: &Value) -> bool {
        match self {
            Filter::And(left, right) => left.fits(entity) && right.fits(entity),
            Filter::Or(left, right) => left.fits(entity) || right.fits(entity),
            Filter::Compare(property, operator, literal) => match compare(property_of(entity, property), literal) {
                Some(order) => operator.holds(order),
                None => *operator == Operator::Unequal,
            },
        }
    }

    /// The condition on rows of `silver.sensor_observation`.
    ///
    /// # Errors
    /// When a property is none of an observation, or is compared with a value of another kind.
    pub fn sql(&self) -> Result<String, Wrong> {
        Ok(match self {
            Filter::And(left, right) => format!("({} AND {})", left.sql()?, right.sql()?),
            Filter::Or(left, right) => format!("({} OR {})", left.sql()?, right.sql()?),
            Filter::Compare(property, operator, literal) => sql_comparison(property, *operator, literal)?,
        })
    }
}

/// Columns of observations by the names of the standard.
fn column(property: &str) -> Option<&'static str> {
    Some(match property {
        "phenomenonTime" => "event_time",
        "resultTime" => "result_time",
        "result" => "result",
        "resultQuality" => "quality",
        "Datastream/id" | "Datastream/@iot.id" => "datastream",
        _ => return None,
    })
}

fn is_id(property: &str) -> bool {
    matches!(property, "id" | "@iot.id")
}

fn sql_comparison(property: &str, operator: Operator, literal: &Literal) -> Result<String, Wrong> {
    let wrong_kind = || Wrong::bad(format!("{property} cannot be compared with this value"), format!("{property} 不能与该值比较"));
    if is_id(property) {
        let Literal::Text(id) = literal else { return Err(wrong_kind()) };
        let there = observation_place(id).map(|(partition, offset)| format!("(\"partition\" = {partition} AND \"offset\" = {offset})"));
        let there = there.unwrap_or_else(|| "false".to_owned());
        return match operator {
            Operator::Equal => Ok(there),
            Operator::Unequal => Ok(format!("NOT {there}")),
            _ => Err(Wrong::absent("ids of observations are compared with eq and ne only", "观测编号只支持 eq 与 ne")),
        };
    }
    let column = column(property).ok_or_else(|| no_property(property))?;
    if *literal == Literal::Null {
        return match operator {
            Operator::Equal => Ok(format!("{column} IS NULL")),
            Operator::Unequal => Ok(format!("{column} IS NOT NULL")),
            _ => Err(wrong_kind()),
        };
    }
    let value = match (column, literal) {
        ("event_time" | "result_time", Literal::Time(us)) => sql_time(*us),
        ("result", Literal::Number(number, _)) => format!("CAST({number:?} AS DOUBLE)"),
        ("result", Literal::Bool(truth)) => format!("CAST({} AS DOUBLE)", u8::from(*truth)),
        ("quality", Literal::Text(text)) | ("datastream", Literal::Text(text) | Literal::Number(_, text)) => sql_text(text),
        _ => return Err(wrong_kind()),
    };
    Ok(format!("{column} {} {value}", operator.sql()))
}

fn no_property(property: &str) -> Wrong {
    Wrong::bad(
        format!("{property:?} is no property of observations to ask for; there are phenomenonTime, resultTime, result, resultQuality, id, Datastream/id"),
        format!("观测没有可查询的属性 {property:?}；可用：phenomenonTime、resultTime、result、resultQuality、id、Datastream/id"),
    )
}

/// A text as an SQL literal.
pub fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn sql_time(us: i64) -> String {
    format!("arrow_cast({us}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// The order of observations as SQL, unique at its end.
///
/// # Errors
/// When a property is none of an observation.
pub fn sql_order(order: &[(String, bool)]) -> Result<String, Wrong> {
    let mut parts = Vec::new();
    for (property, descending) in order {
        let direction = if *descending { "DESC" } else { "ASC" };
        if is_id(property) {
            parts.push(format!("\"partition\" {direction}, \"offset\" {direction}"));
        } else {
            let column = column(property).ok_or_else(|| no_property(property))?;
            parts.push(format!("{column} {direction} NULLS LAST"));
        }
    }
    parts.push("\"partition\", \"offset\"".to_owned());
    Ok(parts.join(", "))
}

/// A property by its path, as in `properties/district`; null when it is not there.
pub(super) fn property_of<'a>(entity: &'a Value, path: &str) -> &'a Value {
    let path = if is_id(path) { "@iot.id" } else { path };
    path.split('/').fold(entity, |value, name| &value[name])
}

/// The order of a value and a literal of the same kind.
fn compare(value: &Value, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::Number(value), Literal::Number(number, _)) => value.as_f64()?.partial_cmp(number),
        (Value::String(value), Literal::Text(text) | Literal::Number(_, text)) => Some(value.as_str().cmp(text)),
        (Value::Number(value), Literal::Text(text)) => Some(value.to_string().as_str().cmp(text)),
        (Value::String(value), Literal::Time(us)) => schemas::time::parse_us(value).ok().map(|value| value.cmp(us)),
        (Value::Bool(value), Literal::Bool(truth)) => Some(value.cmp(truth)),
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn either(&mut self) -> Result<Filter, Wrong> {
        let mut left = self.both()?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Filter, Wrong> {
        let mut left = self.single()?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.single()?));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Filter, Wrong> {
        self.depth += 1;
        if self.depth > FILTER_DEPTH_MAX {
            return Err(Wrong::bad(format!("the filter has more than {FILTER_DEPTH_MAX} comparisons and parentheses"), format!("$filter 的比较与括号超过 {FILTER_DEPTH_MAX} 个")));
        }
        if self.peek() == Some('(') {
            self.rest = &self.rest.trim_start()[1..];
            let inner = self.either()?;
            if self.peek() != Some(')') {
                return Err(self.wrong("`)`", "“)”"));
            }
            self.rest = &self.rest.trim_start()[1..];
            return Ok(inner);
        }
        let property = self.token().filter(|token| token.starts_with(|c: char| c.is_alphabetic() || c == '@'));
        let property = property.ok_or_else(|| self.wrong("a property", "属性"))?.to_owned();
        let operator = self.token().and_then(Operator::of).ok_or_else(|| self.wrong("eq, ne, gt, ge, lt or le", "eq、ne、gt、ge、lt 或 le"))?;
        let literal = self.literal().ok_or_else(|| self.wrong("a number, a 'text' or a time", "数字、'文本' 或时间"))?;
        Ok(Filter::Compare(property, operator, literal))
    }

    fn peek(&self) -> Option<char> {
        self.rest.trim_start().chars().next()
    }

    /// Whether this word comes next; then it is passed.
    fn word(&mut self, word: &str) -> bool {
        let mut ahead = Parser { text: self.text, rest: self.rest, depth: 0 };
        let there = ahead.token() == Some(word);
        if there {
            self.rest = ahead.rest;
        }
        there
    }

    /// What comes next, up to a space or a parenthesis.
    fn token(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '\'')).unwrap_or(rest.len());
        let (token, rest) = rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn literal(&mut self) -> Option<Literal> {
        let rest = self.rest.trim_start();
        if let Some(mut quoted) = rest.strip_prefix('\'') {
            let mut text = String::new();
            loop {
                let (part, after) = quoted.split_once('\'')?;
                text.push_str(part);
                match after.strip_prefix('\'') {
                    Some(after) => {
                        text.push('\'');
                        quoted = after;
                    }
                    None => {
                        self.rest = after;
                        // Some clients quote times.
                        return Some(schemas::time::parse_us(&text).map_or(Literal::Text(text), Literal::Time));
                    }
                }
            }
        }
        Some(match self.token()? {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            "null" => Literal::Null,
            token => match schemas::time::parse_us(token) {
                Ok(us) => Literal::Time(us),
                Err(_) => Literal::Number(token.parse().ok().filter(|number: &f64| number.is_finite())?, token.to_owned()),
            },
        })
    }

    fn wrong(&self, en: &str, zh: &str) -> Wrong {
        let at = self.text.len() - self.rest.trim_start().len();
        let shown: String = self.rest.trim_start().chars().take(40).collect();
        Wrong::bad(format!("$filter: expected {en} at byte {at}, found {shown:?}"), format!("$filter：第 {at} 字节处应为{zh}，实为 {shown:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fits(filter: &str) -> bool {
        let entity = json!({"@iot.id": 7, "name": "it's", "result": 21.5, "phenomenonTime": "2026-11-23T08:00:00Z", "properties": {"district": "d01"}});
        Filter::parse(filter).unwrap().fits(&entity)
    }

    #[test]
    fn filters_say_what_fits() {
        for (filter, expected) in [
            ("result gt 21", true),
            ("result gt 21 and result lt 21.5", false),
            ("result le 21.5 and (name eq 'x' or name eq 'it''s')", true),
            ("name eq 'x' or name eq 'it''s' and result eq 0", false),
            ("phenomenonTime ge 2026-11-23T16:00:00+08:00", true),
            ("phenomenonTime lt '2026-11-23T08:00:00Z'", false),
            ("id eq 7 and @iot.id ne 8", true),
            ("id eq '7'", true),
            ("properties/district eq 'd01'", true),
            ("properties/street eq null", true),
            ("result eq 'wet'", false),
            ("result ne 'wet'", true),
        ] {
            assert_eq!(fits(filter), expected, "{filter}");
        }
    }

    #[test]
    fn filters_become_sql_that_nobody_can_break_out_of() {
        let sql = |filter: &str| Filter::parse(filter).unwrap().sql();
        assert_eq!(sql("result gt 21 and Datastream/id eq 'a'' OR ''1'").unwrap(), "(result > CAST(21.0 AS DOUBLE) AND datastream = 'a'' OR ''1')");
        assert!(sql("phenomenonTime gt 1970-01-01T00:00:01Z").unwrap().starts_with("event_time > arrow_cast(1000000,"));
        assert_eq!(sql("id eq '3-14'").unwrap(), "(\"partition\" = 3 AND \"offset\" = 14)");
        assert_eq!(sql("id eq 'x'").unwrap(), "false");
        assert_eq!(sql("resultTime eq null").unwrap(), "result_time IS NULL");
        for wrong in ["colour eq 'red'", "result gt 'x'", "phenomenonTime gt 3", "result gt null"] {
            assert_eq!(sql(wrong).unwrap_err().status, 400, "{wrong}");
        }
        assert_eq!(sql_order(&[("phenomenonTime".into(), true)]).unwrap(), "event_time DESC NULLS LAST, \"partition\", \"offset\"");
    }

    #[test]
    fn wrong_filters_say_where() {
        for wrong in ["", "result", "result gt", "result above 3", "result gt 3 and", "(result gt 3", "result gt 3)", "3 lt result", "name eq 'x", "result gt NaN", "result gt inf"] {
            let problem = Filter::parse(wrong).unwrap_err();
            assert!(problem.status == 400 && problem.en.contains("expected"), "{wrong}: {problem:?}");
        }
        assert_eq!(Filter::parse(&"(".repeat(100_000)).unwrap_err().status, 400);
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_sent_breaks_the_parser(text in "\\PC{0,60}", words in "[a-z0-9'() :@/.-]{0,60}") {
            let _ = Filter::parse(&text).map(|filter| filter.sql());
            let _ = Filter::parse(&words).map(|filter| filter.sql());
        }
    }
}
