//! One file for each family of requests; each handler takes a decoded request and returns the response.

pub mod configs;
pub mod fetch;
pub mod groups;
pub mod node;
pub mod offsets;
pub mod produce;
pub mod records;
pub mod sasl;
pub mod topics;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use uuid::Uuid;

use crate::log::{Topic, TopicError};
use crate::server::Node;

/// A code of the protocol.
pub(crate) fn code(e: ResponseError) -> i16 {
    e.code()
}

/// Text of the protocol.
pub(crate) fn text(s: impl Into<String>) -> StrBytes {
    StrBytes::from_string(s.into())
}

/// A topic's name in the protocol's type.
pub(crate) fn topic_name(s: &str) -> TopicName {
    TopicName(text(s))
}

/// The topic that a request names, by identity where the version has one.
pub(crate) fn resolve(node: &Node, name: &TopicName, id: Uuid) -> Result<Arc<Topic>, ResponseError> {
    if !id.is_nil() {
        return node.store.topic_by_id(id.as_u128()).ok_or(ResponseError::UnknownTopicId);
    }
    node.store.topic(name.as_str()).ok_or(ResponseError::UnknownTopicOrPartition)
}

/// The code for what went wrong with a topic.
pub(crate) fn topic_error(e: &TopicError) -> ResponseError {
    match e {
        TopicError::Name(_) | TopicError::Internal(_) => ResponseError::InvalidTopicException,
        TopicError::Exists(_) => ResponseError::TopicAlreadyExists,
        TopicError::Unknown(_) => ResponseError::UnknownTopicOrPartition,
        TopicError::Partitions(_) => ResponseError::InvalidPartitions,
        TopicError::Config(_) => ResponseError::InvalidConfig,
        TopicError::Storage(_) => ResponseError::KafkaStorageError,
    }
}

/// Runs something that blocks where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => Some(answer),
        Err(e) => {
            tracing::error!(error = %e, "a request's work on the disk did not end");
            None
        }
    }
}
