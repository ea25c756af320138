//! CreateTopics, DeleteTopics, CreatePartitions.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::{blocking, code, text, topic_error, topic_name};
use crate::handlers::configs;
use crate::log::Topic;
use crate::server::{NODE_ID, Node};
use crate::topic::TopicConfig;

type Refusal = (ResponseError, String);

/// Creates topics; durable before the answer.
pub async fn create_topics(node: &Arc<Node>, request: CreateTopicsRequest, version: i16) -> CreateTopicsResponse {
    let names: Vec<TopicName> = request.topics.iter().map(|t| t.name.clone()).collect();
    let mut results = Vec::with_capacity(names.len());
    for topic in request.topics {
        let name = topic.name.clone();
        let twice = names.iter().filter(|n| **n == name).count() > 1;
        let created = if twice {
            Err((ResponseError::InvalidRequest, "the request names this topic twice".to_owned()))
        } else {
            create(node, topic, request.validate_only).await
        };
        let result = CreatableTopicResult::default().with_name(name);
        results.push(match created {
            Ok(made) => described(result, &made, version),
            Err((e, why)) => result.with_error_code(code(e)).with_error_message(Some(text(why))),
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

struct Made {
    id: u128,
    partitions: i32,
    settings: TopicConfig,
    defaults: Arc<Node>,
}

fn described(result: CreatableTopicResult, made: &Made, version: i16) -> CreatableTopicResult {
    if version < 5 {
        return result;
    }
    let settings = configs::topic_values(&made.defaults, &made.settings).into_iter().map(|v| {
        CreatableTopicConfigs::default()
            .with_name(text(v.name))
            .with_value(Some(text(v.value)))
            .with_config_source(v.source)
    });
    result
        .with_topic_id(if version >= 7 { Uuid::from_u128(made.id) } else { Uuid::nil() })
        .with_num_partitions(made.partitions)
        .with_replication_factor(1)
        .with_configs(Some(settings.collect()))
}

async fn create(node: &Arc<Node>, topic: CreatableTopic, only_check: bool) -> Result<Made, Refusal> {
    let partitions = partitions_wanted(node, &topic)?;
    let mut settings = TopicConfig::default();
    for c in &topic.configs {
        let value = c.value.as_ref().map_or("", |v| v.as_str());
        settings.set(c.name.as_str(), value).map_err(|why| (ResponseError::InvalidConfig, why))?;
    }
    let made = |id| Made { id, partitions, settings: settings.clone(), defaults: node.clone() };
    let name = topic.name.as_str().to_owned();
    if only_check {
        node.store.check_new_topic(&name, partitions).map_err(|e| (topic_error(&e), e.to_string()))?;
        return Ok(made(0));
    }
    let (work, wanted) = (node.clone(), settings.clone());
    match blocking(move || work.store.create_topic(&name, partitions, wanted)).await {
        Some(Ok(topic)) => Ok(made(topic.id)),
        Some(Err(e)) => Err((topic_error(&e), e.to_string())),
        None => Err((ResponseError::UnknownServerError, "the topic could not be created".into())),
    }
}

fn partitions_wanted(node: &Node, topic: &CreatableTopic) -> Result<i32, Refusal> {
    if topic.assignments.is_empty() {
        if !matches!(topic.replication_factor, -1 | 1) {
            let why = format!("replication factor {}, but there is one broker and no replication: use 1 or -1", topic.replication_factor);
            return Err((ResponseError::InvalidReplicationFactor, why));
        }
        return match topic.num_partitions {
            -1 => Ok(node.config.default_partitions),
            n if n >= 1 => Ok(n),
            n => Err((ResponseError::InvalidPartitions, format!("{n} partitions; there must be at least 1"))),
        };
    }
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let why = "with an assignment of replicas, partitions and replication factor must be -1".to_owned();
        return Err((ResponseError::InvalidRequest, why));
    }
    let mut indexes: Vec<i32> = topic.assignments.iter().map(|a| a.partition_index).collect();
    indexes.sort_unstable();
    let consecutive = indexes.iter().zip(0..).all(|(have, want)| *have == want);
    let here = topic.assignments.iter().all(|a| a.broker_ids.iter().map(|b| b.0).eq([NODE_ID]));
    if !consecutive || !here {
        let why = format!("partitions are numbered from 0, and the only broker is {NODE_ID}");
        return Err((ResponseError::InvalidReplicaAssignment, why));
    }
    Ok(indexes.len() as i32)
}

/// Removes topics; durable before the answer.
pub async fn delete_topics(node: &Arc<Node>, request: DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter().map(|n| (Some(n), Uuid::nil()));
    let asked: Vec<_> = by_name.chain(request.topics.into_iter().map(|t| (t.name, t.topic_id))).collect();
    let mut responses = Vec::with_capacity(asked.len());
    for (name, id) in asked {
        let topic: Option<Arc<Topic>> = match &name {
            Some(name) => node.store.topic(name.as_str()),
            None => node.store.topic_by_id(id.as_u128()),
        };
        let unknown = if name.is_some() { ResponseError::UnknownTopicOrPartition } else { ResponseError::UnknownTopicId };
        let deleted = match &topic {
            None => Err((unknown, "there is no such topic".to_owned())),
            Some(topic) => {
                let (work, victim) = (node.clone(), topic.name.to_string());
                match blocking(move || work.store.delete_topic(&victim)).await {
                    Some(Ok(())) => Ok(()),
                    Some(Err(e)) => Err((topic_error(&e), e.to_string())),
                    None => Err((ResponseError::UnknownServerError, "the topic could not be deleted".into())),
                }
            }
        };
        if let (Ok(()), Some(topic)) = (&deleted, &topic) {
            node.coordinator.forget_topic(&topic.name);
        }
        let id = topic.as_ref().map_or(id, |t| Uuid::from_u128(t.id));
        let result = DeletableTopicResult::default()
            .with_name(name.or_else(|| topic.as_ref().map(|t| topic_name(&t.name))))
            .with_topic_id(if version >= 6 { id } else { Uuid::nil() });
        responses.push(match deleted {
            Ok(()) => result,
            Err((e, why)) => {
                result.with_error_code(code(e)).with_error_message(if version >= 5 { Some(text(why)) } else { None })
            }
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

/// Adds partitions; durable before the answer.
pub async fn create_partitions(node: &Arc<Node>, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let elsewhere = topic.assignments.iter().flatten().any(|a| !a.broker_ids.iter().map(|b| b.0).eq([NODE_ID]));
        let (work, name, only_check) = (node.clone(), topic.name.as_str().to_owned(), request.validate_only);
        let grown = if elsewhere {
            Err((ResponseError::InvalidReplicaAssignment, format!("the only broker is {NODE_ID}")))
        } else {
            match blocking(move || work.store.grow_topic(&name, topic.count, only_check)).await {
                Some(Ok(())) => Ok(()),
                Some(Err(e)) => Err((topic_error(&e), e.to_string())),
                None => Err((ResponseError::UnknownServerError, "the partitions could not be added".into())),
            }
        };
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        results.push(match grown {
            Ok(()) => result.with_error_message(None),
            Err((e, why)) => result.with_error_code(code(e)).with_error_message(Some(text(why))),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}
