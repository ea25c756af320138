//! What can go wrong on the bus, told so that one knows what to do.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What went wrong, and what helps.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// Nobody answers.
    #[error("cannot reach Kafka at {bootstrap} after {secs} s ({detail}): start it, or give the address of one that runs")]
    Unreachable {
        /// The address that was tried.
        bootstrap: String,
        /// For how long.
        secs: u64,
        /// The last thing heard.
        detail: String,
    },
    /// A setting that librdkafka does not take.
    #[error("the Kafka option `{key}` = `{value}` is not usable: {problem}")]
    Option {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
        /// What librdkafka says.
        problem: String,
    },
    /// A topic that is not there.
    #[error("there is no topic `{topic}`: create it first, or check the spelling")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// A topic that could not be made or removed.
    #[error("could not {verb} the topic `{topic}`: {problem}")]
    Topic {
        /// What was tried.
        verb: &'static str,
        /// Its name.
        topic: String,
        /// What the broker says.
        problem: String,
    },
    /// A record that is larger than the topic or the bus allows.
    #[error("a record of {bytes} bytes is too large for `{topic}`: send the body by reference, or raise max.message.bytes of the topic")]
    TooLarge {
        /// Where it should have gone.
        topic: String,
        /// Its size.
        bytes: usize,
    },
    /// A record that was not taken.
    #[error("`{topic}` did not take a record")]
    NotTaken {
        /// Where it should have gone.
        topic: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// The producer cannot go on; a new one is needed.
    #[error("the producer stopped for good ({0}): restart the process; what was acknowledged is safe")]
    Fatal(String),
    /// A request that failed.
    #[error("could not {what}")]
    Request {
        /// What was tried on what.
        what: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// The tap or the producer was stopped meanwhile.
    #[error("the {0} was stopped")]
    Stopped(&'static str),
    /// The index against duplicates cannot be read or written.
    #[error("the index against duplicates in {path} failed: {problem}; when it is damaged, remove the folder: it is rebuilt from the log")]
    Index {
        /// Its folder.
        path: String,
        /// What its store says.
        problem: String,
    },
}

impl BusError {
    pub(crate) fn request(what: impl Into<String>, source: KafkaError) -> Self {
        Self::Request { what: what.into(), source }
    }

    /// Whether the same call may succeed later with nothing changed but the state of the brokers.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Request { .. } => true,
            Self::NotTaken { source, .. } => !matches!(
                source.rdkafka_error_code(),
                Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::InvalidTopic | RDKafkaErrorCode::InvalidRecord)
            ),
            Self::Option { .. }
            | Self::NoTopic { .. }
            | Self::Topic { .. }
            | Self::TooLarge { .. }
            | Self::Fatal(_)
            | Self::Stopped(_)
            | Self::Index { .. } => false,
        }
    }
}
