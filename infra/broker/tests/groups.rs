//! Consumer groups over the wire.

use bytes::Bytes;
use crate::common::*;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

fn start() -> (tempfile::TempDir, TestBroker) {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().create("t", 2, &[]), 0);
    (dir, broker)
}

fn join_request(member: &str, instance: Option<&str>, session_ms: i32) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"topics"));
    JoinGroupRequest::default()
        .with_group_id(group("g"))
        .with_session_timeout_ms(session_ms)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
        .with_reason(None)
}

/// Asks for a name, as clients do, and answers it.
fn name(client: &mut Client) -> String {
    let first = client.call(&join_request("", None, 10_000), 9);
    assert_eq!(first.error_code, 79, "MEMBER_ID_REQUIRED");
    first.member_id.to_string()
}

fn sync_request(member: &str, generation: i32, assignments: &[(&str, &str)]) -> SyncGroupRequest {
    let assigned = assignments.iter().map(|(m, a)| {
        SyncGroupRequestAssignment::default().with_member_id(text(m)).with_assignment(Bytes::copy_from_slice(a.as_bytes()))
    });
    SyncGroupRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(member))
        .with_generation_id(generation)
        .with_group_instance_id(None)
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(assigned.collect())
}

fn beat(client: &mut Client, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(member))
        .with_generation_id(generation)
        .with_group_instance_id(None);
    client.call(&request, 4).error_code
}

fn commit(client: &mut Client, id: &str, member: &str, generation: i32, partition: i32, offset: i64) -> i16 {
    let p = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let t = OffsetCommitRequestTopic::default().with_name(topic("t")).with_partitions(vec![p]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group(id))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_group_instance_id(None)
        .with_topics(vec![t]);
    client.call(&request, 8).topics[0].partitions[0].error_code
}

fn committed(client: &mut Client, id: &str, partition: i32) -> (i64, Option<StrBytes>) {
    let t = OffsetFetchRequestTopics::default().with_name(topic("t")).with_partition_indexes(vec![partition]);
    let g = OffsetFetchRequestGroup::default().with_group_id(group(id)).with_topics(Some(vec![t])).with_member_id(None);
    let answer = client.call(&OffsetFetchRequest::default().with_groups(vec![g]), 8);
    let p = &answer.groups[0].topics[0].partitions[0];
    (p.committed_offset, p.metadata.clone())
}

#[test]
fn two_members_share_and_one_takes_over() {
    let (_dir, broker) = start();
    let (mut a, mut b) = (broker.client(), broker.client());
    let first = name(&mut a);
    let joined = a.call(&join_request(&first, None, 10_000), 9);
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 1, 1));
    assert_eq!(joined.leader, joined.member_id);
    let synced = a.call(&sync_request(&first, 1, &[(&first, "both")]), 5);
    assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"both"[..]));
    assert_eq!(beat(&mut a, &first, 1), 0);

    let second = name(&mut b);
    let b_joins = b.send(&join_request(&second, None, 10_000), 9);
    eventually("the rebalance", || beat(&mut a, &first, 1) == 27);
    assert_eq!(commit(&mut a, "g", &first, 1, 0, 5), 0, "what was read may still be committed");
    let joined = a.call(&join_request(&first, None, 10_000), 9);
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 2, 2));
    let other = b.receive::<JoinGroupRequest>(b_joins, 9);
    assert_eq!((other.error_code, other.generation_id, other.members.len()), (0, 2, 0));
    let b_syncs = b.send(&sync_request(&second, 2, &[]), 5);
    let synced = a.call(&sync_request(&first, 2, &[(&first, "one"), (&second, "two")]), 5);
    assert_eq!(&synced.assignment[..], b"one");
    assert_eq!(&b.receive::<SyncGroupRequest>(b_syncs, 5).assignment[..], b"two");
    assert_eq!(beat(&mut b, &second, 1), 22, "ILLEGAL_GENERATION");
    assert_eq!(commit(&mut a, "g", &first, 1, 0, 6), 22);
    assert_eq!(commit(&mut a, "g", "stranger", 2, 0, 6), 25);

    let leaving = MemberIdentity::default().with_member_id(text(&first)).with_group_instance_id(None).with_reason(None);
    let left = a.call(&LeaveGroupRequest::default().with_group_id(group("g")).with_members(vec![leaving]), 5);
    assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
    assert_eq!(beat(&mut b, &second, 2), 27);
    let joined = b.call(&join_request(&second, None, 10_000), 9);
    assert_eq!((joined.generation_id, joined.leader.as_str()), (3, second.as_str()));
    assert_eq!(committed(&mut b, "g", 0).0, 5);
}

#[test]
fn a_member_whose_process_died_is_noticed() {
    let (_dir, broker) = start();
    let (mut a, mut b) = (broker.client(), broker.client());
    let first = name(&mut a);
    a.call(&join_request(&first, None, 300), 9);
    a.call(&sync_request(&first, 1, &[]), 5);
    drop(a);
    let second = name(&mut b);
    let joined = b.call(&join_request(&second, None, 10_000), 9);
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 2, 1));
}

#[test]
fn a_static_member_comes_back_to_its_assignment() {
    let (_dir, broker) = start();
    let mut a = broker.client();
    let joined = a.call(&join_request("", Some("pump-7"), 10_000), 9);
    assert_eq!(joined.error_code, 0, "a static member needs no name first");
    let old = joined.member_id.to_string();
    let mut request = sync_request(&old, 1, &[(&old, "mine")]);
    request.group_instance_id = Some(text("pump-7"));
    assert_eq!(a.call(&request, 5).error_code, 0);
    let mut b = broker.client();
    let again = b.call(&join_request("", Some("pump-7"), 10_000), 9);
    assert_eq!((again.error_code, again.generation_id, again.skip_assignment), (0, 1, true));
    let new = again.member_id.to_string();
    assert_ne!(old, new);
    let mut request = sync_request(&new, 1, &[]);
    request.group_instance_id = Some(text("pump-7"));
    assert_eq!(&b.call(&request, 5).assignment[..], b"mine");
    let mut request = sync_request(&old, 1, &[]);
    request.group_instance_id = Some(text("pump-7"));
    assert_eq!(a.call(&request, 5).error_code, 82, "FENCED_INSTANCE_ID");
}

#[test]
fn committed_offsets_survive_restarts_of_both_kinds() {
    let (dir, mut broker) = start();
    for round in 0..4i64 {
        let mut client = broker.client();
        if round > 0 {
            assert_eq!(committed(&mut client, "g", 1), (round * 10, Some(text("note"))));
        }
        assert_eq!(committed(&mut client, "g", 0), (-1, Some(text(""))));
        assert_eq!(commit(&mut client, "g", "", -1, 1, (round + 1) * 10), 0);
        assert_eq!(commit(&mut client, "g", "", -1, 9, 1), 3, "UNKNOWN_TOPIC_OR_PARTITION");
        if round % 2 == 0 {
            broker.crash();
        } else {
            broker.stop();
        }
        broker = TestBroker::start(config(dir.path()));
    }
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let (dir, broker) = start();
    let mut a = broker.client();
    let first = name(&mut a);
    a.call(&join_request(&first, None, 10_000), 9);
    a.call(&sync_request(&first, 1, &[(&first, "all")]), 5);
    assert_eq!(commit(&mut a, "idle", "", -1, 0, 3), 0);
    let listed = a.call(&ListGroupsRequest::default(), 5);
    let states: Vec<_> = listed.groups.iter().map(|g| (g.group_id.as_str().to_owned(), g.group_state.to_string())).collect();
    assert_eq!(states, [("g".to_owned(), "Stable".to_owned()), ("idle".to_owned(), "Empty".to_owned())]);
    let told = a.call(&DescribeGroupsRequest::default().with_groups(vec![group("g"), group("none")]), 6);
    assert_eq!(told.groups[0].members[0].client_id.as_str(), "test");
    assert_eq!(&told.groups[0].members[0].member_assignment[..], b"all");
    assert_eq!(told.groups[1].error_code, 69);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("g"), group("idle"), group("none")]);
    let answer = a.call(&delete, 2);
    assert_eq!(answer.results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [68, 0, 69]);
    broker.crash();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(committed(&mut broker.client(), "idle", 0).0, -1);
}

#[test]
fn the_offsets_of_a_deleted_topic_go_with_it() {
    let (dir, broker) = start();
    let mut client = broker.client();
    assert_eq!(commit(&mut client, "g", "", -1, 0, 7), 0);
    client.call(&DeleteTopicsRequest::default().with_topic_names(vec![topic("t")]), 5);
    client.create("t", 2, &[]);
    assert_eq!(committed(&mut client, "g", 0).0, -1);
    broker.stop();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(committed(&mut broker.client(), "g", 0).0, -1);
}

#[test]
fn nonsense_is_refused() {
    let (_dir, broker) = start();
    let mut client = broker.client();
    let mut request = join_request("", None, 10_000);
    request.group_id = group("");
    assert_eq!(client.call(&request, 9).error_code, 24);
    assert_eq!(client.call(&join_request("", None, 5), 9).error_code, 26);
    assert_eq!(client.call(&join_request("ghost", None, 10_000), 9).error_code, 25);
    assert_eq!(beat(&mut client, "ghost", 1), 25);
    assert_eq!(commit(&mut client, "new", "ghost", 3, 0, 1), 22);
}
