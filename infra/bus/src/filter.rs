//! Which topics a reader wants.

use std::collections::BTreeSet;

/// Topics by name, by the beginning of their names, or all. Kafka's own topics (`__...`) never match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    topics: BTreeSet<String>,
    prefixes: Vec<String>,
    except: Vec<String>,
}

impl Filter {
    /// These topics.
    pub fn topics(topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { topics: topics.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Topics whose names begin so, such as `alert.`.
    pub fn prefixes(prefixes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { prefixes: prefixes.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Every topic.
    pub fn all() -> Self {
        Self::prefixes([""])
    }

    /// These, and the ones that begin so.
    pub fn and_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// These, and one more.
    pub fn and_topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.insert(topic.into());
        self
    }

    /// These without the ones that begin so.
    pub fn except(mut self, prefix: impl Into<String>) -> Self {
        self.except.push(prefix.into());
        self
    }

    /// Whether a topic is wanted.
    pub fn matches(&self, topic: &str) -> bool {
        let begins = |prefix: &String| topic.starts_with(prefix.as_str());
        !topic.starts_with("__")
            && !self.except.iter().any(begins)
            && (self.topics.contains(topic) || self.prefixes.iter().any(begins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_it_names() {
        let filter = Filter::topics(["city.signal"]).and_prefix("alert.").except("alert.test");
        for (topic, wanted) in
            [("city.signal", true), ("city.signals", false), ("alert.crowd", true), ("alert.test", false), ("alert", false)]
        {
            assert_eq!(filter.matches(topic), wanted, "{topic}");
        }
        assert!(Filter::all().matches("raw.sensor"));
        assert!(!Filter::all().matches("__consumer_offsets"));
        assert!(!Filter::default().matches("raw.sensor"));
    }
}
