//! Where a record stands: topic, partition and offset. The end of every "why".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::TOPIC_CHARS_MAX;

/// One record's place in the log. Ordered by topic, partition, offset.
///
/// As text it is `topic/partition/offset`, as JSON `{"topic": .., "partition": .., "offset": ..}`.
///
/// ```
/// let position: schemas::Position = "raw.sensor/3/1042".parse().unwrap();
/// assert_eq!(position.offset, 1042);
/// assert_eq!(position.to_string(), "raw.sensor/3/1042");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The record's offset in the partition.
    pub offset: i64,
}

impl Position {
    /// The position of `offset` in `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32, offset: i64) -> Self {
        Self { topic: topic.into(), partition, offset }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// Why a text is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a position such as raw.sensor/0/42: {problem}")]
pub struct PositionError {
    text: String,
    problem: &'static str,
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let refuse = |problem| PositionError { text: text.chars().take(300).collect(), problem };
        let mut parts = text.rsplitn(3, '/');
        let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
        let (Some(offset), Some(partition), Some(topic)) = (offset, partition, topic) else {
            return Err(refuse("it needs a topic, a partition and an offset"));
        };
        if let Some(problem) = topic_problem(topic) {
            return Err(refuse(problem));
        }
        let partition = whole(partition).ok_or_else(|| refuse("the partition is not a whole number from 0"))?;
        let offset = whole(offset).ok_or_else(|| refuse("the offset is not a whole number from 0"))?;
        Ok(Self { topic: topic.to_owned(), partition, offset })
    }
}

/// Digits only, so that each position has one spelling: no sign, no leading zero.
fn whole<N: FromStr>(text: &str) -> Option<N> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// What is wrong with a topic's name under Kafka's rules, or `None`.
pub fn topic_problem(topic: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match topic {
        "" => Some("the topic has no name"),
        "." | ".." => Some("`.` and `..` are not names of topics"),
        _ if topic.len() > TOPIC_CHARS_MAX => Some("the topic's name is longer than 249 characters"),
        _ if !topic.bytes().all(allowed) => Some("a topic's name has only letters, digits, `.`, `_` and `-`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_the_object_of_three() {
        let position = Position::new("raw.sensor", 3, 1042);
        let json = serde_json::to_string(&position).unwrap();
        assert_eq!(json, r#"{"topic":"raw.sensor","partition":3,"offset":1042}"#);
        assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("", "it needs a topic"),
            ("raw.sensor", "it needs a topic"),
            ("/0/1", "no name"),
            ("../0/1", "not names"),
            ("raw sensor/0/1", "only letters"),
            ("a/b/0/1", "only letters"),
            ("raw.sensor/x/1", "the partition"),
            ("raw.sensor/0/-1", "the offset"),
            ("raw.sensor/0/+1", "the offset"),
            ("raw.sensor/00/1", "the partition"),
            ("raw.sensor/0/99999999999999999999", "the offset"),
        ] {
            let error = text.parse::<Position>().expect_err(text).to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(topic in "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,40}", partition in 0i32.., offset in 0i64..) {
            let position = Position::new(topic, partition, offset);
            prop_assert_eq!(position.to_string().parse::<Position>(), Ok(position));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Position>();
        }
    }
}
