//! Topics: created, changed, removed, many of them, and names that mean harm.

use crate::common::*;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::records::Compression;

fn start() -> (tempfile::TempDir, TestBroker, Client) {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = TestBroker::start(config(dir.path()));
    let client = broker.client();
    (dir, broker, client)
}

fn metadata(client: &mut Client, name: &str, create: bool) -> metadata_response::MetadataResponseTopic {
    let asked = MetadataRequestTopic::default().with_name(Some(topic(name)));
    let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(create);
    client.call(&request, 12).topics.remove(0)
}

#[test]
fn a_topic_is_created_deleted_and_created_anew() {
    let (dir, broker, mut client) = start();
    assert_eq!(client.create("t", 2, &[]), 0);
    assert_eq!(client.create("t", 2, &[]), 36, "TOPIC_ALREADY_EXISTS");
    client.put("t", 1, &["old"]);
    let old = metadata(&mut client, "t", false);
    assert_eq!((old.error_code, old.partitions.len()), (0, 2));
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic("t"), topic("no")]);
    let answer = client.call(&delete, 5);
    assert_eq!(answer.responses.iter().map(|r| r.error_code).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(client.produce("t", 1, batch(vec![record(None, None)], Compression::None)).error_code, 3);
    assert_eq!(client.create("t", 2, &[]), 0);
    assert_eq!(client.values("t", 1), Vec::<String>::new());
    assert_ne!(metadata(&mut client, "t", false).topic_id, old.topic_id);
    client.put("t", 1, &["new"]);
    broker.crash();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().values("t", 1), ["new"], "nothing of the old topic comes back");
}

#[test]
fn partitions_can_be_added_only() {
    let (dir, broker, mut client) = start();
    client.create("t", 1, &[]);
    let grow = |client: &mut Client, count: i32| {
        let t = CreatePartitionsTopic::default().with_name(topic("t")).with_count(count).with_assignments(None);
        client.call(&CreatePartitionsRequest::default().with_topics(vec![t]), 3).results[0].error_code
    };
    assert_eq!(grow(&mut client, 4), 0);
    assert_eq!(grow(&mut client, 2), 37);
    assert_eq!(grow(&mut client, 1_000_000), 37);
    client.put("t", 3, &["x"]);
    broker.stop();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().values("t", 3), ["x"]);
}

#[test]
fn replication_is_refused_with_a_reason() {
    let (_dir, _broker, mut client) = start();
    let mut ask = |replication: i16| {
        let t = CreatableTopic::default().with_name(topic("t")).with_num_partitions(1).with_replication_factor(replication);
        client.call(&CreateTopicsRequest::default().with_topics(vec![t]).with_validate_only(true), 7).topics.remove(0)
    };
    let refused = ask(3);
    assert_eq!(refused.error_code, 38, "INVALID_REPLICATION_FACTOR");
    assert!(refused.error_message.expect("why").contains("no replication"));
    assert_eq!(ask(1).error_code, 0);
    assert_eq!(ask(-1).error_code, 0);
}

#[test]
fn hostile_names_make_no_files() {
    let (dir, _broker, mut client) = start();
    let long = "x".repeat(250);
    for name in ["", ".", "..", "../../etc/passwd", "a/b", "a\0b", "水", "a b", long.as_str()] {
        assert_eq!(client.create(name, 1, &[]), 17, "{name:?}");
        assert_eq!(metadata(&mut client, name, true).error_code, 17, "{name:?}");
        assert_ne!(client.produce(name, 0, batch(vec![record(None, None)], Compression::None)).error_code, 0);
    }
    assert_eq!(client.create("t", 0, &[]), 37);
    assert_eq!(client.create("t", 10_001, &[]), 37);
    assert_eq!(client.create("t", 1, &[("retention.ms", "yesterday")]), 40);
    assert_eq!(client.create("t", 1, &[("no.such.thing", "1")]), 40);
    assert_eq!(std::fs::read_dir(dir.path().join("topics")).expect("a folder").count(), 0);
    assert_eq!(client.create(&"y".repeat(249), 1, &[]), 0);
}

#[test]
fn topics_come_into_being_when_asked_for_unless_forbidden() {
    let (_dir, broker, mut client) = start();
    assert_eq!(metadata(&mut client, "asked.for", false).error_code, 3);
    assert_eq!(metadata(&mut client, "asked.for", true).error_code, 0);
    broker.stop();
    let dir = tempfile::tempdir().expect("a folder");
    let mut strict = config(dir.path());
    strict.auto_create_topics = false;
    strict.default_partitions = 7;
    let broker = TestBroker::start(strict);
    let mut client = broker.client();
    assert_eq!(metadata(&mut client, "asked.for", true).error_code, 3);
    assert_eq!(client.create("t", -1, &[]), 0);
    assert_eq!(metadata(&mut client, "t", true).partitions.len(), 7);
}

#[test]
fn settings_are_told_and_changed() {
    let (dir, broker, mut client) = start();
    client.create("t", 1, &[("retention.ms", "5000")]);
    fn told(client: &mut Client, name: &str) -> (String, i8) {
        let r = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("t")).with_configuration_keys(None);
        let answer = client.call(&DescribeConfigsRequest::default().with_resources(vec![r]), 4);
        assert_eq!(answer.results[0].error_code, 0);
        let found = answer.results[0].configs.iter().find(|c| c.name.as_str() == name).expect("a setting");
        (found.value.as_ref().expect("a value").to_string(), found.config_source)
    }
    fn change(client: &mut Client, name: &str, operation: i8, value: Option<&str>) -> i16 {
        let c = AlterableConfig::default().with_name(text(name)).with_config_operation(operation).with_value(value.map(text));
        let r = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("t")).with_configs(vec![c]);
        client.call(&IncrementalAlterConfigsRequest::default().with_resources(vec![r]), 1).responses[0].error_code
    }
    assert_eq!(told(&mut client, "retention.ms"), ("5000".into(), 1));
    assert_eq!(told(&mut client, "cleanup.policy"), ("delete".into(), 5));
    assert_eq!(change(&mut client, "retention.ms", 0, Some("7000")), 0);
    assert_eq!(change(&mut client, "cleanup.policy", 2, Some("compact")), 0);
    assert_eq!(change(&mut client, "cleanup.policy", 0, Some("burn")), 40);
    assert_eq!(change(&mut client, "max.message.bytes", 0, Some("2000")), 0);
    assert_eq!(client.produce("t", 0, batch(vec![record(None, Some(&[1; 3000]))], Compression::None)).error_code, 10);
    broker.stop();
    let broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    assert_eq!(told(&mut client, "retention.ms"), ("7000".into(), 1));
    assert_eq!(told(&mut client, "cleanup.policy"), ("delete,compact".into(), 1));
    assert_eq!(change(&mut client, "retention.ms", 1, None), 0);
    assert_eq!(told(&mut client, "retention.ms"), ("-1".into(), 5));
}

#[test]
fn a_thousand_partitions_with_few_files_open() {
    let (dir, broker, mut client) = start();
    assert_eq!(client.create("wide", 1_000, &[]), 0);
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("linux").count();
    let threads = || std::fs::read_dir("/proc/self/task").expect("linux").count();
    let (files_before, threads_before) = (descriptors(), threads());
    for p in 0..1_000 {
        client.put("wide", p, &[&format!("in {p}")]);
    }
    assert!(broker.broker().stats().open_files <= 256);
    // Other tests run in the same process, so there is some room in the numbers.
    assert!(descriptors() < files_before + 500, "{} descriptors", descriptors());
    assert!(threads() < threads_before + 100, "{} threads", threads());
    // One fetch over all of them.
    let partitions = (0..1_000).map(|p| fetch_request::FetchPartition::default().with_partition(p).with_partition_max_bytes(1000));
    let asked = fetch_request::FetchTopic::default().with_topic(topic("wide")).with_partitions(partitions.collect());
    let request = FetchRequest::default().with_max_bytes(10_000_000).with_min_bytes(1).with_session_epoch(-1).with_topics(vec![asked]);
    let answer = client.call(&request, 12);
    let got: usize = answer.responses[0].partitions.iter().map(|p| decode(p.records.clone().expect("records")).len()).sum();
    assert_eq!(got, 1_000);
    broker.crash();
    let broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    for p in [0, 1, 499, 998, 999] {
        assert_eq!(client.values("wide", p), [format!("in {p}")]);
        assert_eq!(client.put("wide", p, &["more"]), 1);
    }
    broker.stop();
}
