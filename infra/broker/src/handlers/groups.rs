//! Consumer groups: membership, committed offsets, and what tools ask about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::{code, text, topic_name};
use crate::coordinator::{CommitError, Committed, Place, RemoveError};
use crate::group::{Join, Refusal};
use crate::limits::{OFFSET_METADATA_BYTES, SESSION_TIMEOUT_MS};
use crate::log::random_id;
use crate::server::Node;

/// Who asks.
#[derive(Debug)]
pub struct Client {
    /// Its address.
    pub host: String,
    /// Its name for itself.
    pub id: String,
}

fn error(why: Refusal) -> ResponseError {
    match why {
        Refusal::UnknownMember => ResponseError::UnknownMemberId,
        Refusal::IllegalGeneration => ResponseError::IllegalGeneration,
        Refusal::Rebalancing => ResponseError::RebalanceInProgress,
        Refusal::Inconsistent => ResponseError::InconsistentGroupProtocol,
        Refusal::Fenced => ResponseError::FencedInstanceId,
        Refusal::NameNeeded => ResponseError::MemberIdRequired,
        Refusal::Full => ResponseError::GroupMaxSizeReached,
    }
}

fn given(s: &Option<StrBytes>) -> Option<&str> {
    s.as_ref().map(|s| s.as_str())
}

/// Joins; waits for the new generation.
pub async fn join(node: &Node, request: JoinGroupRequest, version: i16, client: Client) -> JoinGroupResponse {
    let refused = |e: ResponseError, member: &str| {
        JoinGroupResponse::default()
            .with_error_code(code(e))
            .with_generation_id(-1)
            .with_protocol_type(None)
            .with_protocol_name(if version >= 7 { None } else { Some(text("")) })
            .with_member_id(text(member))
    };
    let member = request.member_id.as_str().to_owned();
    if request.group_id.as_str().is_empty() {
        return refused(ResponseError::InvalidGroupId, &member);
    }
    if !SESSION_TIMEOUT_MS.contains(&request.session_timeout_ms) {
        return refused(ResponseError::InvalidSessionTimeout, &member);
    }
    let rebalance_ms = if version >= 1 { request.rebalance_timeout_ms } else { request.session_timeout_ms };
    let prefix: String = given(&request.group_instance_id).unwrap_or(&client.id).chars().take(64).collect();
    let wish = Join {
        member: member.clone(),
        instance: request.group_instance_id.as_ref().map(|i| i.as_str().to_owned()),
        new_name: format!("{prefix}-{:032x}", random_id()),
        name_first: version >= 4,
        can_skip_assignment: version >= 9,
        session_ms: i64::from(request.session_timeout_ms),
        rebalance_ms: i64::from(rebalance_ms.max(0)),
        protocol_type: request.protocol_type.as_str().to_owned(),
        protocols: request.protocols.iter().map(|p| (p.name.as_str().to_owned(), p.metadata.clone())).collect(),
        client_id: client.id,
        client_host: format!("/{}", client.host),
    };
    match node.or_stopping(node.coordinator.join(request.group_id.as_str(), wish)).await {
        None => refused(ResponseError::CoordinatorNotAvailable, &member),
        Some(Err((why, name))) => refused(error(why), &name),
        Some(Ok(joined)) => {
            let members = joined.members.into_iter().map(|(name, instance, metadata)| {
                JoinGroupResponseMember::default()
                    .with_member_id(text(name))
                    .with_group_instance_id(if version >= 5 { instance.map(text) } else { None })
                    .with_metadata(metadata)
            });
            JoinGroupResponse::default()
                .with_generation_id(joined.generation)
                .with_protocol_type(if version >= 7 { joined.protocol_type.map(text) } else { None })
                .with_protocol_name(Some(text(joined.protocol.unwrap_or_default())))
                .with_leader(text(joined.leader))
                .with_skip_assignment(version >= 9 && joined.skip_assignment)
                .with_member_id(text(joined.member))
                .with_members(members.collect())
        }
    }
}

/// Fetches an assignment; waits for the leader.
pub async fn sync(node: &Node, request: SyncGroupRequest, version: i16) -> SyncGroupResponse {
    let assignments = request.assignments.iter().map(|a| (a.member_id.as_str().to_owned(), a.assignment.clone())).collect();
    let protocol = (given(&request.protocol_type), given(&request.protocol_name));
    let (group, member, instance) = (request.group_id.as_str(), request.member_id.as_str(), given(&request.group_instance_id));
    let work = node.coordinator.sync(group, member, instance, request.generation_id, protocol, assignments);
    match node.or_stopping(work).await {
        None => SyncGroupResponse::default().with_error_code(code(ResponseError::CoordinatorNotAvailable)),
        Some(Err(why)) => SyncGroupResponse::default().with_error_code(code(error(why))),
        Some(Ok(synced)) => SyncGroupResponse::default()
            .with_protocol_type(if version >= 5 { synced.protocol_type.map(text) } else { None })
            .with_protocol_name(if version >= 5 { synced.protocol.map(text) } else { None })
            .with_assignment(synced.assignment),
    }
}

/// A sign of life.
pub fn heartbeat(node: &Node, r: HeartbeatRequest) -> HeartbeatResponse {
    let beat = node.coordinator.heartbeat(r.group_id.as_str(), r.member_id.as_str(), given(&r.group_instance_id), r.generation_id);
    HeartbeatResponse::default().with_error_code(beat.err().map_or(0, |why| code(error(why))))
}

/// Leaves.
pub fn leave(node: &Node, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let group = request.group_id.as_str();
    let outcome = |left: Result<(), Refusal>| left.err().map_or(0, |why| code(error(why)));
    if version < 3 {
        let left = node.coordinator.leave(group, request.member_id.as_str(), None);
        return LeaveGroupResponse::default().with_error_code(outcome(left));
    }
    let members = request.members.into_iter().map(|m| {
        let left = node.coordinator.leave(group, m.member_id.as_str(), given(&m.group_instance_id));
        MemberResponse::default().with_error_code(outcome(left)).with_member_id(m.member_id).with_group_instance_id(m.group_instance_id)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

/// What groups look like.
pub fn describe(node: &Node, request: DescribeGroupsRequest, version: i16) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let answer = DescribedGroup::default().with_authorized_operations(i32::MIN);
        let Some(found) = node.coordinator.describe(id.as_str()) else {
            let dead = answer.with_group_id(id).with_group_state(text("Dead"));
            // Newer clients are told; for older ones a dead group is the answer.
            return if version >= 6 {
                dead.with_error_code(code(ResponseError::GroupIdNotFound)).with_error_message(Some(text("there is no such group")))
            } else {
                dead
            };
        };
        let protocol = found.group.protocol().unwrap_or_default();
        let members = found.group.members().iter().map(|(name, m)| {
            DescribedGroupMember::default()
                .with_member_id(text(name.as_str()))
                .with_group_instance_id(if version >= 4 { m.instance.clone().map(text) } else { None })
                .with_client_id(text(m.client_id.as_str()))
                .with_client_host(text(m.client_host.as_str()))
                .with_member_metadata(m.metadata(protocol))
                .with_member_assignment(m.assignment.clone())
        });
        answer
            .with_group_id(id)
            .with_group_state(text(found.phase.name()))
            .with_protocol_type(text(found.group.protocol_type().unwrap_or_default()))
            .with_protocol_data(text(protocol))
            .with_members(members.collect())
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

/// Which groups there are.
pub fn list(node: &Node, request: ListGroupsRequest, version: i16) -> ListGroupsResponse {
    let wanted = |filter: &[StrBytes], is: &str| filter.is_empty() || filter.iter().any(|f| f.as_str().eq_ignore_ascii_case(is));
    let found = node.coordinator.list().into_iter().filter(|(.., phase)| wanted(&request.states_filter, phase.name()));
    let found = found.filter(|_| wanted(&request.types_filter, "classic"));
    let groups = found.map(|(name, kind, phase)| {
        ListedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_protocol_type(text(kind))
            .with_group_state(if version >= 4 { text(phase.name()) } else { text("") })
            .with_group_type(if version >= 5 { text("classic") } else { text("") })
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

fn remove_error(e: RemoveError) -> ResponseError {
    match e {
        RemoveError::Unknown => ResponseError::GroupIdNotFound,
        RemoveError::NotEmpty => ResponseError::NonEmptyGroup,
        RemoveError::Storage => ResponseError::CoordinatorNotAvailable,
    }
}

/// Removes groups with their offsets.
pub async fn delete(node: &Node, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let removed = node.coordinator.forget(id.as_str(), None).await;
        results.push(
            DeletableGroupResult::default().with_error_code(removed.err().map_or(0, |e| code(remove_error(e)))).with_group_id(id),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}

/// Commits offsets; durable before the answer.
pub async fn commit(node: &Arc<Node>, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let mut offsets = Vec::new();
    let mut refused: BTreeMap<Place, ResponseError> = BTreeMap::new();
    for topic in &request.topics {
        let partitions = node.store.topic(topic.name.as_str()).map_or(0, |t| t.partition_count());
        for p in &topic.partitions {
            let place = (topic.name.as_str().to_owned(), p.partition_index);
            let metadata = given(&p.committed_metadata).unwrap_or_default();
            if !(0..partitions).contains(&p.partition_index) {
                refused.insert(place, ResponseError::UnknownTopicOrPartition);
            } else if metadata.len() > OFFSET_METADATA_BYTES {
                refused.insert(place, ResponseError::OffsetMetadataTooLarge);
            } else {
                offsets.push((place, p.committed_offset, p.committed_leader_epoch, metadata.to_owned()));
            }
        }
    }
    let committed = if request.group_id.as_str().is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        let (group, member, instance) = (request.group_id.as_str(), request.member_id.as_str(), given(&request.group_instance_id));
        let work = node.coordinator.commit(group, member, instance, request.generation_id_or_member_epoch, offsets);
        work.await.map_err(|e| match e {
            CommitError::Refused(why) => error(why),
            CommitError::Full => ResponseError::GroupMaxSizeReached,
            CommitError::Storage => ResponseError::CoordinatorNotAvailable,
        })
    };
    let topics = request.topics.into_iter().map(|topic| {
        let outcome = |index: i32| {
            let place = (topic.name.as_str().to_owned(), index);
            committed.err().or_else(|| refused.get(&place).copied()).map_or(0, code)
        };
        let partitions = topic.partitions.iter().map(|p| {
            OffsetCommitResponsePartition::default().with_partition_index(p.partition_index).with_error_code(outcome(p.partition_index))
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

type Asked = Option<Vec<(TopicName, Vec<i32>)>>;

/// Committed offsets of one group in the order asked for; all of them when nothing is asked for.
fn look_up(node: &Node, group: &str, asked: Asked) -> Vec<(TopicName, Vec<(i32, Option<Committed>)>)> {
    let mut known = node.coordinator.offsets(group);
    match asked {
        Some(topics) => topics
            .into_iter()
            .map(|(name, partitions)| {
                let found = partitions.into_iter().map(|p| (p, known.get(&(name.as_str().to_owned(), p)).cloned())).collect();
                (name, found)
            })
            .collect(),
        None => {
            let mut topics: Vec<(TopicName, Vec<(i32, Option<Committed>)>)> = Vec::new();
            while let Some(((topic, partition), committed)) = known.pop_first() {
                match topics.last_mut().filter(|(name, _)| name.as_str() == topic) {
                    Some((_, partitions)) => partitions.push((partition, Some(committed))),
                    None => topics.push((topic_name(&topic), vec![(partition, Some(committed))])),
                }
            }
            topics
        }
    }
}

/// Tells committed offsets.
pub fn fetch_offsets(node: &Node, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    if version < 8 {
        let asked = request.topics.map(|all| all.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
        let topics = look_up(node, request.group_id.as_str(), asked).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, c)| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(c.as_ref().map_or(-1, |c| c.offset))
                    .with_committed_leader_epoch(if version >= 5 { c.as_ref().map_or(-1, |c| c.leader_epoch) } else { -1 })
                    .with_metadata(Some(text(c.map_or(String::new(), |c| c.metadata))))
            });
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
        });
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let groups = request.groups.into_iter().map(|group| {
        let asked = group.topics.map(|all| all.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
        let topics = look_up(node, group.group_id.as_str(), asked).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, c)| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(c.as_ref().map_or(-1, |c| c.offset))
                    .with_committed_leader_epoch(c.as_ref().map_or(-1, |c| c.leader_epoch))
                    .with_metadata(Some(text(c.map_or(String::new(), |c| c.metadata))))
            });
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
        });
        let topics = topics.collect();
        OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_topics(topics)
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

/// Removes committed offsets of a group in which nobody is.
pub async fn delete_offsets(node: &Node, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let places = request.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.as_str().to_owned(), p.partition_index)));
    let removed = node.coordinator.forget(request.group_id.as_str(), Some(places.collect())).await;
    if let Err(e) = removed {
        return OffsetDeleteResponse::default().with_error_code(code(remove_error(e)));
    }
    let topics = request.topics.into_iter().map(|t| {
        let partitions = t.partitions.iter().map(|p| OffsetDeleteResponsePartition::default().with_partition_index(p.partition_index));
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(t.name).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
