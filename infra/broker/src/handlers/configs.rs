//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as AlterResult;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResult;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{blocking, code, text, topic_error};
use crate::server::{NODE_ID, Node};
use crate::topic::{Kind, SETTINGS, TopicConfig};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// A setting with its value now.
#[derive(Debug)]
pub struct Value {
    /// Name.
    pub name: &'static str,
    /// Value.
    pub value: String,
    /// Where it comes from.
    pub source: i8,
    kind: i8,
    about: &'static str,
}

/// All settings of a topic.
pub fn topic_values(node: &Node, settings: &TopicConfig) -> Vec<Value> {
    let values = SETTINGS.iter().map(|s| {
        let (value, source) = match settings.get(s.name) {
            Some(value) => (value.to_owned(), SOURCE_TOPIC),
            None => (default_value(node, s.name), SOURCE_DEFAULT),
        };
        let kind = match s.kind {
            Kind::Number(0, 1) => 6,
            Kind::Number(_, i64::MAX) => 5,
            Kind::Number(..) => 3,
            Kind::OneOf(_, true) => 7,
            Kind::OneOf(_, false) => 2,
        };
        Value { name: s.name, value, source, kind, about: s.about }
    });
    values.collect()
}

fn default_value(node: &Node, name: &str) -> String {
    let c = &node.config;
    match name {
        "cleanup.policy" => "delete".into(),
        "compression.type" => "producer".into(),
        "delete.retention.ms" => "86400000".into(),
        "max.message.bytes" => c.limits.message_bytes.to_string(),
        "message.timestamp.type" => "CreateTime".into(),
        "min.cleanable.dirty.ratio" => "0.5".into(),
        "min.insync.replicas" => "1".into(),
        "retention.bytes" => c.retention_bytes.map_or("-1".into(), |v| v.to_string()),
        "retention.ms" => c.retention.map_or("-1".into(), |v| v.as_millis().to_string()),
        "segment.bytes" => c.segment_bytes.to_string(),
        "segment.ms" => "604800000".into(),
        _ => "0".into(),
    }
}

fn broker_values(node: &Node) -> Vec<Value> {
    let c = &node.config;
    let value = |name, value: String, kind, about| Value { name, value, source: SOURCE_STATIC, kind, about };
    vec![
        value("auto.create.topics.enable", c.auto_create_topics.to_string(), 1, "Create a topic when a client asks for it."),
        value("broker.id", NODE_ID.to_string(), 3, "The only broker."),
        value("default.replication.factor", "1".into(), 3, "There is one replica."),
        value("log.dirs", c.dir.to_string_lossy().into_owned(), 2, "The folder that holds everything."),
        value("log.segment.bytes", c.segment_bytes.to_string(), 5, "Size at which a segment file is closed."),
        value("message.max.bytes", c.limits.message_bytes.to_string(), 3, "Largest record batch."),
        value("num.partitions", c.default_partitions.to_string(), 3, "Partitions of a topic created without a number."),
        value("socket.request.max.bytes", c.limits.request_bytes.to_string(), 3, "Largest request."),
    ]
}

/// Tells settings.
pub fn describe(node: &Node, request: DescribeConfigsRequest, version: i16) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let name = resource.resource_name.as_str();
        let found = match resource.resource_type {
            TOPIC => match node.store.topic(name) {
                Some(topic) => Ok((topic_values(node, &topic.settings()), false)),
                None => Err((ResponseError::UnknownTopicOrPartition, format!("there is no topic `{name}`"))),
            },
            BROKER if name.is_empty() || name == NODE_ID.to_string() => Ok((broker_values(node), true)),
            BROKER => Err((ResponseError::InvalidRequest, format!("the only broker is {NODE_ID}"))),
            other => Err((ResponseError::InvalidRequest, format!("there are no settings of kind {other}"))),
        };
        let result =
            DescribeConfigsResult::default().with_resource_type(resource.resource_type).with_resource_name(resource.resource_name.clone());
        match found {
            Err((e, why)) => result.with_error_code(code(e)).with_error_message(Some(text(why))),
            Ok((mut values, read_only)) => {
                if let Some(keys) = &resource.configuration_keys {
                    values.retain(|v| keys.iter().any(|k| k.as_str() == v.name));
                }
                let told = values.into_iter().map(|v| tell(v, read_only, request.include_synonyms, request.include_documentation, version));
                result.with_error_message(None).with_configs(told.collect())
            }
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn tell(v: Value, read_only: bool, synonyms: bool, about: bool, version: i16) -> DescribeConfigsResourceResult {
    let value = text(v.value);
    let synonym = DescribeConfigsSynonym::default().with_name(text(v.name)).with_value(Some(value.clone())).with_source(v.source);
    DescribeConfigsResourceResult::default()
        .with_name(text(v.name))
        .with_value(Some(value))
        .with_read_only(read_only)
        .with_config_source(v.source)
        .with_synonyms(if synonyms { vec![synonym] } else { Vec::new() })
        .with_config_type(if version >= 3 { v.kind } else { 0 })
        .with_documentation(if version >= 3 && about { Some(text(v.about)) } else { None })
}

/// Replaces all settings of topics.
pub async fn alter(node: &Arc<Node>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name.clone());
        let change = move |settings: &mut TopicConfig| {
            *settings = TopicConfig::default();
            for c in &resource.configs {
                settings.set(c.name.as_str(), c.value.as_ref().map_or("", |v| v.as_str()))?;
            }
            Ok(())
        };
        let (error, why) = apply(node, kind, &name, request.validate_only, change).await;
        responses.push(
            AlterResult::default().with_error_code(error).with_error_message(why).with_resource_type(kind).with_resource_name(name),
        );
    }
    AlterConfigsResponse::default().with_responses(responses)
}

/// Changes some settings of topics.
pub async fn alter_some(node: &Arc<Node>, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name.clone());
        let change = move |settings: &mut TopicConfig| {
            for c in &resource.configs {
                change_one(settings, c.name.as_str(), c.config_operation, c.value.as_ref().map_or("", |v| v.as_str()))?;
            }
            Ok(())
        };
        let (error, why) = apply(node, kind, &name, request.validate_only, change).await;
        responses.push(
            IncrementalResult::default().with_error_code(error).with_error_message(why).with_resource_type(kind).with_resource_name(name),
        );
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

/// Set, delete, append to or subtract from a list.
fn change_one(settings: &mut TopicConfig, name: &str, operation: i8, value: &str) -> Result<(), String> {
    let list = || -> Vec<String> {
        let now = settings.get(name).unwrap_or(if name == "cleanup.policy" { "delete" } else { "" });
        now.split(',').map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()
    };
    match operation {
        0 => settings.set(name, value),
        1 => {
            settings.reset(name);
            Ok(())
        }
        2 => {
            let mut all = list();
            all.extend(value.split(',').map(|v| v.trim().to_owned()).filter(|v| !list().contains(v)));
            settings.set(name, &all.join(","))
        }
        3 => {
            let mut all = list();
            all.retain(|v| !value.split(',').any(|gone| gone.trim() == v));
            settings.set(name, &all.join(","))
        }
        other => Err(format!("operation {other} on `{name}` is not known")),
    }
}

async fn apply(
    node: &Arc<Node>,
    kind: i8,
    name: &StrBytes,
    only_check: bool,
    change: impl FnOnce(&mut TopicConfig) -> Result<(), String> + Send + 'static,
) -> (i16, Option<StrBytes>) {
    if kind != TOPIC {
        let why = "only topics can be set here; the broker is configured where it is started";
        return (code(ResponseError::InvalidRequest), Some(text(why)));
    }
    let (work, topic) = (node.clone(), name.as_str().to_owned());
    match blocking(move || work.store.configure_topic(&topic, change, only_check)).await {
        Some(Ok(())) => (0, None),
        Some(Err(e)) => (code(topic_error(&e)), Some(text(e.to_string()))),
        None => (code(ResponseError::UnknownServerError), None),
    }
}
