//! Which topics a reader wants.

use std::collections::BTreeSet;

/// Topics by name, by the beginning of their names, or all. Kafka's own topics (`__...`) never match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    topics: BTreeSet<String>,
    prefixes: Vec<String>,
    except: Vec<String>,
    partition: Option<i32>,
}

impl Filter {
    /// These topics.
    pub fn topics(topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { topics: topics.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// One partition of a topic.
    pub fn partition(topic: impl Into<String>, partition: i32) -> Self {
        Self { partition: Some(partition), ..Self::topics([topic]) }
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

    /// Whether a partition of a topic that is wanted is.
    pub fn wants(&self, partition: i32) -> bool {
        self.partition.is_none_or(|only| only == partition)
    }

    /// Whether a topic is wanted, or some of its partitions are.
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
        let second = Filter::partition("raw.sensor", 1);
        assert!(second.matches("raw.sensor") && second.wants(1) && !second.wants(0) && Filter::all().wants(0));
    }
}
