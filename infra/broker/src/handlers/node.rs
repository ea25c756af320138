//! Who we are: ApiVersions, Metadata, DescribeCluster, FindCoordinator, InitProducerId.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, MetadataResponse, ProducerId,
};
use uuid::Uuid;

use super::{blocking, code, text, topic_error, topic_name};
use crate::api::OFFERS;
use crate::log::partition::LEADER_EPOCH;
use crate::log::{Topic, TopicError};
use crate::server::{NODE_ID, Node};
use crate::topic::{TopicConfig, name_problem};

const NOT_ASKED: i32 = i32::MIN;
const NO_TRANSACTIONS: &str = "this broker offers no transactions; use an idempotent producer without a transactional.id";

/// What we can do.
pub fn api_versions(_request: ApiVersionsRequest) -> ApiVersionsResponse {
    let keys = OFFERS.iter().map(|o| ApiVersion::default().with_api_key(o.key as i16).with_min_version(o.min).with_max_version(o.max));
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// The same for a version we do not know: in version 0, which every client can read.
pub fn api_versions_unknown() -> ApiVersionsResponse {
    let mut response = api_versions(ApiVersionsRequest::default());
    response.error_code = code(ResponseError::UnsupportedVersion);
    response
}

/// Topics and where they are: all of them here.
pub async fn metadata(node: &Arc<Node>, request: MetadataRequest, version: i16) -> MetadataResponse {
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    let mut topics = Vec::new();
    if all {
        topics.extend(node.store.topics().iter().map(|t| describe(t, version)));
    } else {
        let create = (version < 4 || request.allow_auto_topic_creation) && node.config.auto_create_topics;
        for asked in request.topics.unwrap_or_default() {
            let answer = match &asked.name {
                Some(name) => match node.store.topic(name.as_str()) {
                    Some(topic) => Ok(topic),
                    None if create => auto_create(node, name.as_str()).await,
                    None => Err(name_problem(name.as_str())
                        .map_or(ResponseError::UnknownTopicOrPartition, |_| ResponseError::InvalidTopicException)),
                },
                None => node.store.topic_by_id(asked.topic_id.as_u128()).ok_or(ResponseError::UnknownTopicId),
            };
            topics.push(match answer {
                Ok(topic) => describe(&topic, version),
                Err(e) => {
                    let mut refused = MetadataResponseTopic::default()
                        .with_error_code(code(e))
                        .with_topic_id(asked.topic_id)
                        // Before version 12 a name is required.
                        .with_name(asked.name.or_else(|| (version < 12).then(|| topic_name(""))));
                    if version >= 8 {
                        refused.topic_authorized_operations = NOT_ASKED;
                    }
                    refused
                }
            });
        }
    }
    MetadataResponse::default()
        .with_brokers(vec![
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(NODE_ID))
                .with_host(text(node.advertised_host()))
                .with_port(i32::from(node.advertised_port()))
                .with_rack(None),
        ])
        .with_cluster_id(Some(text(node.store.cluster_id.as_str())))
        .with_controller_id(BrokerId(NODE_ID))
        .with_cluster_authorized_operations(NOT_ASKED)
        .with_topics(topics)
}

fn describe(topic: &Topic, version: i16) -> MetadataResponseTopic {
    let partitions = (0..topic.partition_count()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(if version >= 7 { LEADER_EPOCH } else { -1 })
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)])
    });
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(if version >= 10 { Uuid::from_u128(topic.id) } else { Uuid::nil() })
        .with_is_internal(topic.is_internal())
        .with_topic_authorized_operations(NOT_ASKED)
        .with_partitions(partitions.collect())
}

async fn auto_create(node: &Arc<Node>, name: &str) -> Result<Arc<Topic>, ResponseError> {
    let (store, wanted, partitions) = (node.clone(), name.to_owned(), node.config.default_partitions);
    let created = blocking(move || store.store.create_topic(&wanted, partitions, TopicConfig::default())).await;
    match created {
        Some(Ok(topic)) => Ok(topic),
        // Somebody else was faster.
        Some(Err(TopicError::Exists(_))) => node.store.topic(name).ok_or(ResponseError::UnknownTopicOrPartition),
        Some(Err(e)) => Err(topic_error(&e)),
        None => Err(ResponseError::UnknownServerError),
    }
}

/// One node.
pub fn describe_cluster(node: &Node, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let mut response = DescribeClusterResponse::default()
        .with_cluster_id(text(node.store.cluster_id.as_str()))
        .with_controller_id(BrokerId(NODE_ID))
        .with_endpoint_type(1)
        .with_cluster_authorized_operations(NOT_ASKED);
    if request.endpoint_type > 1 {
        response.error_code = code(ResponseError::MismatchedEndpointType);
        response.error_message = Some(text("this node has no endpoint for controllers; ask the broker"));
        return response;
    }
    response.with_brokers(vec![
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(NODE_ID))
            .with_host(text(node.advertised_host()))
            .with_port(i32::from(node.advertised_port())),
    ])
}

/// The coordinator of every group is here; of transactions there is none.
pub fn find_coordinator(node: &Node, request: FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let (error, message) = match request.key_type {
        0 => (0, None),
        1 => (code(ResponseError::TransactionalIdAuthorizationFailed), Some(text(NO_TRANSACTIONS))),
        _ => (code(ResponseError::InvalidRequest), Some(text("this broker coordinates consumer groups only"))),
    };
    let (id, host, port) = if error == 0 {
        (NODE_ID, text(node.advertised_host()), i32::from(node.advertised_port()))
    } else {
        (-1, text(""), -1)
    };
    if version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error)
            .with_error_message(if version >= 1 { message } else { None })
            .with_node_id(BrokerId(id))
            .with_host(host)
            .with_port(port);
    }
    let answer = |key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(error)
            .with_error_message(message.clone())
            .with_node_id(BrokerId(id))
            .with_host(host.clone())
            .with_port(port)
    };
    FindCoordinatorResponse::default().with_coordinators(request.coordinator_keys.into_iter().map(answer).collect())
}

/// A new identity for an idempotent producer.
pub async fn init_producer_id(node: &Arc<Node>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let refused = |e| {
        InitProducerIdResponse::default().with_error_code(code(e)).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
    };
    if let Some(id) = request.transactional_id {
        tracing::warn!(transactional_id = %id.as_str(), "refused a producer: {NO_TRANSACTIONS}");
        return refused(ResponseError::TransactionalIdAuthorizationFailed);
    }
    let store = node.clone();
    match blocking(move || store.store.new_producer_id()).await {
        Some(Ok(id)) => InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0),
        Some(Err(e)) => {
            tracing::error!(error = %e, "could not reserve producer ids");
            refused(ResponseError::CoordinatorNotAvailable)
        }
        None => refused(ResponseError::UnknownServerError),
    }
}
