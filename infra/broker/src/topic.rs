//! Topics: which names are allowed and what may be set for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::TOPIC_NAME_MAX;

/// The topic that holds committed offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Why a name cannot be a topic's; none when it can. The rules are Kafka's, and a name is a folder's name.
pub fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the topic name is empty".into());
    }
    if name == "." || name == ".." {
        return Some("the topic name cannot be `.` or `..`".into());
    }
    if name.len() > TOPIC_NAME_MAX {
        return Some(format!("the topic name has {} bytes, but at most {TOPIC_NAME_MAX} are allowed", name.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!name.chars().all(allowed)).then(|| "a topic name consists of ASCII letters, digits, `.`, `_` and `-`".into())
}

/// The settings of a topic that differ from the broker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicConfig {
    set: BTreeMap<String, String>,
}

/// A setting that a topic may have.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in Kafka.
    pub name: &'static str,
    /// Its kind in `DescribeConfigs`.
    pub kind: Kind,
    /// What it does.
    pub about: &'static str,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number not below the first and not above the second.
    Number(i64, i64),
    /// One of these, or several of them with commas between where the flag is set.
    OneOf(&'static [&'static str], bool),
}

/// All settings of a topic.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "cleanup.policy", kind: Kind::OneOf(&["delete", "compact"], true), about: "Remove old records (delete), keep the last of each key (compact), or both." },
    Setting { name: "compression.type", kind: Kind::OneOf(&["producer"], false), about: "Batches are stored as the producer compressed them." },
    Setting { name: "delete.retention.ms", kind: Kind::Number(0, i64::MAX), about: "How long compaction keeps the marks of deleted keys." },
    Setting { name: "max.message.bytes", kind: Kind::Number(1_024, i32::MAX as i64), about: "Largest record batch." },
    Setting { name: "message.timestamp.type", kind: Kind::OneOf(&["CreateTime", "LogAppendTime"], false), about: "Whose clock a record's timestamp is read from." },
    Setting { name: "min.cleanable.dirty.ratio", kind: Kind::Number(0, 1), about: "Share of a partition that must be new before it is compacted again." },
    Setting { name: "min.compaction.lag.ms", kind: Kind::Number(0, i64::MAX), about: "How long a record is safe from compaction." },
    Setting { name: "min.insync.replicas", kind: Kind::Number(1, 1), about: "There is one replica." },
    Setting { name: "retention.bytes", kind: Kind::Number(-1, i64::MAX), about: "Bytes of each partition that are kept; -1 for all." },
    Setting { name: "retention.ms", kind: Kind::Number(-1, i64::MAX), about: "How long records are kept; -1 for ever." },
    Setting { name: "segment.bytes", kind: Kind::Number(1_024, i32::MAX as i64), about: "Size at which a segment file is closed." },
    Setting { name: "segment.ms", kind: Kind::Number(1, i64::MAX), about: "Age at which a segment of a compacted topic is closed." },
];

impl TopicConfig {
    /// Sets one value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(setting) = SETTINGS.iter().find(|s| s.name == name) else {
            return Err(format!("unknown topic setting `{name}`"));
        };
        let ok = match setting.kind {
            // A share.
            Kind::Number(0, 1) => value.parse::<f64>().is_ok_and(|v| (0.0..=1.0).contains(&v)),
            Kind::Number(min, max) => value.parse::<i64>().is_ok_and(|v| (min..=max).contains(&v)),
            Kind::OneOf(all, several) => {
                let known = |v: &str| all.contains(&v);
                if several { !value.is_empty() && value.split(',').all(|v| known(v.trim())) } else { known(value) }
            }
        };
        if !ok {
            return Err(format!("`{value}` is not a value for `{name}`: {}", describe(setting.kind)));
        }
        self.set.insert(name.into(), value.into());
        Ok(())
    }

    /// Back to the broker's value.
    pub fn reset(&mut self, name: &str) {
        self.set.remove(name);
    }

    /// What was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Whether the broker writes its own time into batches.
    pub fn log_append_time(&self) -> bool {
        self.get("message.timestamp.type") == Some("LogAppendTime")
    }

    /// Whether only the last record of each key is kept.
    pub fn compacts(&self) -> bool {
        self.get("cleanup.policy").is_some_and(|p| p.split(',').any(|p| p.trim() == "compact"))
    }

    /// Whether old records are removed.
    pub fn deletes(&self) -> bool {
        self.get("cleanup.policy").is_none_or(|p| p.split(',').any(|p| p.trim() == "delete"))
    }

    /// How long records are kept; none for ever.
    pub fn retention_ms(&self, default: Option<i64>) -> Option<i64> {
        self.number("retention.ms").map_or(default, |v| (v >= 0).then_some(v))
    }

    /// How many bytes are kept; none for all.
    pub fn retention_bytes(&self, default: Option<u64>) -> Option<u64> {
        self.number("retention.bytes").map_or(default, |v| u64::try_from(v).ok())
    }

    /// Largest batch.
    pub fn message_bytes(&self, default: usize) -> usize {
        self.number("max.message.bytes").and_then(|v| usize::try_from(v).ok()).unwrap_or(default)
    }

    /// Size at which a segment is closed.
    pub fn segment_bytes(&self, default: u64) -> u64 {
        self.number("segment.bytes").and_then(|v| u64::try_from(v).ok()).unwrap_or(default)
    }

    /// How long marks of deleted keys are kept.
    pub fn delete_retention_ms(&self) -> i64 {
        self.number("delete.retention.ms").unwrap_or(86_400_000)
    }

    /// How long records are safe from compaction.
    pub fn compaction_lag_ms(&self) -> i64 {
        self.number("min.compaction.lag.ms").unwrap_or(0)
    }

    /// Share of a partition that must be new before it is compacted again.
    pub fn dirty_ratio(&self) -> f64 {
        self.get("min.cleanable.dirty.ratio").and_then(|v| v.parse().ok()).unwrap_or(0.5)
    }

    /// Age at which the open segment of a compacted topic is closed.
    pub fn segment_ms(&self) -> i64 {
        self.number("segment.ms").unwrap_or(7 * 86_400_000)
    }
}

fn describe(kind: Kind) -> String {
    match kind {
        Kind::Number(min, i64::MAX) => format!("a number from {min}"),
        Kind::Number(min, max) => format!("a number from {min} to {max}"),
        Kind::OneOf(all, true) => format!("one or more of {}", all.join(", ")),
        Kind::OneOf(all, false) => format!("one of {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["", ".", "..", "../etc", "a/b", "a\0b", "a b", "水", "a\n", &"x".repeat(250), "a\\b", "C:"] {
            assert!(name_problem(bad).is_some(), "{bad:?}");
        }
        for good in ["raw.sensor", "a", "A-b_c.9", "...", &"x".repeat(249)] {
            assert_eq!(name_problem(good), None, "{good:?}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let mut c = TopicConfig::default();
        assert!(c.set("retention.ms", "-1").is_ok());
        assert!(c.set("retention.ms", "-2").is_err());
        assert!(c.set("retention.ms", "soon").is_err());
        assert!(c.set("cleanup.policy", "compact,delete").is_ok());
        assert!(c.set("cleanup.policy", "compress").is_err());
        assert!(c.set("no.such", "1").is_err());
        assert!(c.compacts() && c.deletes());
        assert_eq!(c.retention_ms(Some(5)), None);
        c.reset("retention.ms");
        assert_eq!(c.retention_ms(Some(5)), Some(5));
    }
}
