//! The query options of the standard: `$filter`, `$orderby`, `$top`, `$skip`, `$count`, `$select`, `$expand`. Pure.

use std::cmp::Ordering;

use serde_json::Value;

use super::filter::{Filter, property_of};
use super::{Set, Wrong};
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};

/// Which entities, in which order, and what of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Only those that fit.
    pub filter: Option<Filter>,
    /// Properties to sort by, each with whether the largest comes first.
    pub order: Vec<(String, bool)>,
    /// At most this many.
    pub top: usize,
    /// Without the first ones.
    pub skip: usize,
    /// Whether to say how many there are in all.
    pub count: bool,
    /// Only these properties.
    pub select: Option<Vec<String>>,
    /// Links to follow, each with options of its own.
    pub expand: Vec<(String, Options)>,
}

impl Default for Options {
    fn default() -> Options {
        Options { filter: None, order: Vec::new(), top: PAGE_ITEMS_DEFAULT, skip: 0, count: false, select: None, expand: Vec::new() }
    }
}

impl Options {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// Which option is wrong, or is none.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Options, Wrong> {
        Options::read(parameters, true)
    }

    fn read<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>, may_expand: bool) -> Result<Options, Wrong> {
        let mut options = Options::default();
        for (name, value) in parameters {
            let value = value.trim();
            match name.trim() {
                "$filter" => options.filter = Some(Filter::parse(value)?),
                "$orderby" => options.order = value.split(',').map(order).collect::<Result<_, _>>()?,
                "$top" => options.top = number(name, value)?.min(PAGE_ITEMS_MAX),
                "$skip" => options.skip = number(name, value)?,
                "$count" => {
                    options.count = match value {
                        "true" => true,
                        "false" => false,
                        _ => return Err(Wrong::bad(format!("$count {value:?} is neither true nor false"), format!("$count {value:?} 应为 true 或 false"))),
                    }
                }
                "$select" => options.select = Some(value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()),
                "$expand" if may_expand => options.expand = expansions(value)?,
                "$expand" => return Err(Wrong::absent("$expand follows one link, not several", "$expand 只支持一级")),
                // What is not of the standard is for proxies and caches.
                other if !other.starts_with('$') => {}
                other => {
                    return Err(Wrong::absent(
                        format!("there is no option {other:?}; there are $filter, $orderby, $top, $skip, $count, $select, $expand"),
                        format!("没有选项 {other:?}；可用：$filter、$orderby、$top、$skip、$count、$select、$expand"),
                    ));
                }
            }
        }
        Ok(options)
    }

    /// Whether exactly the latest observation is asked for.
    pub fn is_latest(&self) -> bool {
        let newest_first = matches!(self.order.first(), Some((property, true)) if property == "phenomenonTime");
        newest_first && self.top == 1 && self.skip == 0 && self.filter.is_none() && !self.count
    }
}

fn number(name: &str, value: &str) -> Result<usize, Wrong> {
    value.parse().map_err(|_| Wrong::bad(format!("{name} {value:?} is no whole number from 0 on"), format!("{name} {value:?} 不是非负整数")))
}

fn order(part: &str) -> Result<(String, bool), Wrong> {
    let mut words = part.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(property), None | Some("asc"), None) => Ok((property.to_owned(), false)),
        (Some(property), Some("desc"), None) => Ok((property.to_owned(), true)),
        _ => Err(Wrong::bad(format!("$orderby {part:?} is not of the form `property asc|desc`"), format!("$orderby {part:?} 应为“属性 asc|desc”"))),
    }
}

/// `Thing,Observations($top=1;$orderby=phenomenonTime desc)`
fn expansions(text: &str) -> Result<Vec<(String, Options)>, Wrong> {
    let mut expansions = Vec::new();
    for part in split(text, ',') {
        let part = part.trim();
        let (name, inner) = match part.split_once('(') {
            Some((name, inner)) => match inner.strip_suffix(')') {
                Some(inner) => (name, inner),
                None => return Err(Wrong::bad(format!("$expand {part:?} has no closing parenthesis"), format!("$expand {part:?} 缺少右括号"))),
            },
            None => (part, ""),
        };
        if name.contains('/') {
            return Err(Wrong::absent(format!("$expand {name:?}: one link is followed, not several"), format!("$expand {name:?}：只支持一级")));
        }
        let mut parameters = Vec::new();
        for option in split(inner, ';').into_iter().filter(|option| !option.trim().is_empty()) {
            let pair = option.split_once('=').ok_or_else(|| Wrong::bad(format!("$expand: {option:?} is no option"), format!("$expand：{option:?} 不是选项")))?;
            parameters.push(pair);
        }
        expansions.push((name.to_owned(), Options::read(parameters, false)?));
    }
    Ok(expansions)
}

/// Splits outside of parentheses and quotes.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut depth, mut quoted, mut start) = (Vec::new(), 0_i32, false, 0);
    for (index, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ if c == at && !quoted && depth == 0 => {
                parts.push(&text[start..index]);
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Sorts entities, as JSON, by the properties asked for.
pub fn sort(entities: &mut [Value], order: &[(String, bool)]) {
    entities.sort_by(|left, right| {
        let by = |(property, descending): &(String, bool)| {
            let order = compare_values(property_of(left, property), property_of(right, property));
            if *descending { order.reverse() } else { order }
        };
        order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
}

fn compare_values(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        // Numbers first, then texts, and what is not there last.
        (left, right) => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) | Value::Object(_) => 3,
        Value::Null => 4,
    }
}

/// Says that an expansion is none of a set.
pub fn no_link(set: Set, name: &str) -> Wrong {
    let names: Vec<&str> = set.links().iter().map(|link| link.name()).collect();
    Wrong::bad(
        format!("{name:?} is no link of {}; there are {}", set.plural(), names.join(", ")),
        format!("{} 没有关联 {name:?}；可用：{}", set.plural(), names.join("、")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let query = [("$top", "5"), ("$skip", "10"), ("$count", "true"), ("$select", "name,id"), ("$orderby", "name desc, @iot.id"),
            ("$expand", "Thing,Observations($top=1;$orderby=phenomenonTime desc;$filter=Datastream/id eq ';,')"), ("page", "x")];
        let options = Options::parse(query).unwrap();
        assert_eq!((options.top, options.skip, options.count), (5, 10, true));
        assert_eq!(options.order, [("name".to_owned(), true), ("@iot.id".to_owned(), false)]);
        assert_eq!(options.expand[1].1.top, 1);
        assert!(!options.expand[1].1.is_latest() && options.expand[1].1.filter.is_some());
        assert_eq!(Options::parse([("$top", "100000")]).unwrap().top, PAGE_ITEMS_MAX);
        for (name, value, status) in [("$top", "-1", 400), ("$skip", "x", 400), ("$count", "1", 400), ("$search", "x", 501), ("$expand", "Thing/Locations", 501),
            ("$expand", "Thing($expand=Locations)", 501), ("$expand", "Thing(x", 400), ("$orderby", "name up", 400)] {
            assert_eq!(Options::parse([(name, value)]).unwrap_err().status, status, "{name} {value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_sent_breaks_the_parser(text in "\\PC{0,60}", words in "[a-z0-9'() :@/.-]{0,60}") {
            let _ = Options::parse([("$expand", text.as_str()), ("$orderby", words.as_str())]);
            let _ = super::super::path::parse(&text);
            let _ = super::super::path::parse(&words);
        }
    }
}
