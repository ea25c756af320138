//! Which alerts are meant: conditions on their labels, in the form that Alertmanager made common.
//!
//! All conditions of a list have to hold. With `isRegex` a value is a list of alternatives, `d01|d02|west.*`: each is plain
//! text, which may end in `.*`. Whatever else a regular expression can say is refused rather than half understood.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// What it has to be.
    pub value: String,
    /// Whether `value` is a list of alternatives.
    #[serde(default, rename = "isRegex", skip_serializing_if = "std::ops::Not::not")]
    pub is_regex: bool,
    /// `false` turns the condition round.
    #[serde(default = "yes", rename = "isEqual", skip_serializing_if = "Clone::clone")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

impl Matcher {
    /// A condition that the label is `value`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true }
    }

    /// Whether it holds; a label that is missing is empty, as in Alertmanager.
    pub fn holds(&self, label: Option<&str>) -> bool {
        let label = label.unwrap_or_default();
        let found = if self.is_regex { self.value.split('|').any(|alternative| fits(alternative, label)) } else { self.value == label };
        found == self.is_equal
    }

    /// What is wrong with it, given the labels that there are.
    pub fn problem(&self, labels: &[&str]) -> Option<String> {
        if !labels.contains(&self.name.as_str()) {
            return Some(format!("there is no label `{}`; there are {}", self.name, labels.join(", ")));
        }
        let special = |c: char| "\\^$+?()[]{}*.".contains(c);
        let wrong = |alternative: &str| alternative.strip_suffix(".*").unwrap_or(alternative).contains(special);
        (self.is_regex && self.value.split('|').any(wrong))
            .then(|| format!("`{}`: alternatives are plain text, like d01|d02|west.*; for a text with dots leave isRegex out", self.value))
    }
}

fn fits(alternative: &str, label: &str) -> bool {
    match alternative.strip_suffix(".*") {
        Some(beginning) => label.starts_with(beginning),
        None => label == alternative,
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match (self.is_regex, self.is_equal) {
            (false, true) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (true, false) => "!~",
        };
        write!(f, "{}{operator}{}", self.name, self.value)
    }
}

/// The conditions in one line.
pub fn in_words(matchers: &[Matcher]) -> String {
    matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(json: &str) -> Matcher {
        serde_json::from_str(json).expect("a matcher")
    }

    #[test]
    fn conditions_hold_as_in_alertmanager() {
        let equal = matcher(r#"{"name":"district","value":"d01"}"#);
        assert!(equal.holds(Some("d01")) && !equal.holds(Some("d011")) && !equal.holds(None));
        let other = matcher(r#"{"name":"district","value":"d01","isEqual":false}"#);
        assert!(!other.holds(Some("d01")) && other.holds(Some("d02")) && other.holds(None));
        let some = matcher(r#"{"name":"district","value":"d01|west.*","isRegex":true}"#);
        assert!(some.holds(Some("d01")) && some.holds(Some("west-7")) && !some.holds(Some("d012")) && !some.holds(Some("north")));
        let none = matcher(r#"{"name":"district","value":"d01|west.*","isRegex":true,"isEqual":false}"#);
        assert!(!none.holds(Some("west")) && none.holds(Some("north")));
        let any = matcher(r#"{"name":"district","value":".*","isRegex":true}"#);
        assert!(any.holds(None) && any.holds(Some("x")));
        assert_eq!([equal, other, some, none].map(|it| it.to_string()), ["district=d01", "district!=d01", "district=~d01|west.*", "district!~d01|west.*"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let labels = &["district"];
        assert_eq!(Matcher::equal("district", "d.01").problem(labels), None);
        assert!(Matcher::equal("colour", "red").problem(labels).is_some_and(|problem| problem.contains("there are district")));
        for value in ["d(01)", "[a-z]", "a.b", "^d01", "d0*", "x.*y"] {
            let regex = Matcher { is_regex: true, ..Matcher::equal("district", value) };
            assert!(regex.problem(labels).is_some(), "{value}");
        }
    }
}
