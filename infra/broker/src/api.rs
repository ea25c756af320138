//! Which APIs are offered, in which versions. The README's table says the same; a test compares them.

use kafka_protocol::messages::ApiKey;

/// An API with its first and last version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub key: ApiKey,
    /// First version told to clients.
    pub min: i16,
    /// Last version.
    pub max: i16,
}

const fn offer(key: ApiKey, min: i16, max: i16) -> Offer {
    Offer { key, min, max }
}

/// What is offered. Versions are those of Kafka 4, so that its clients and those since 2.1 find what they need.
pub const OFFERS: &[Offer] = &[
    // librdkafka looks for version 0 before it compresses, as it does with Kafka 4; 0 to 2 are then not used.
    offer(ApiKey::Produce, 0, 13),
    offer(ApiKey::Fetch, 4, 17),
    offer(ApiKey::ListOffsets, 1, 10),
    offer(ApiKey::Metadata, 0, 13),
    offer(ApiKey::OffsetCommit, 2, 9),
    offer(ApiKey::OffsetFetch, 1, 9),
    offer(ApiKey::FindCoordinator, 0, 6),
    offer(ApiKey::JoinGroup, 0, 9),
    offer(ApiKey::Heartbeat, 0, 4),
    offer(ApiKey::LeaveGroup, 0, 5),
    offer(ApiKey::SyncGroup, 0, 5),
    offer(ApiKey::DescribeGroups, 0, 6),
    offer(ApiKey::ListGroups, 0, 5),
    offer(ApiKey::SaslHandshake, 0, 1),
    offer(ApiKey::ApiVersions, 0, 4),
    offer(ApiKey::CreateTopics, 2, 7),
    offer(ApiKey::DeleteTopics, 1, 6),
    offer(ApiKey::DeleteRecords, 0, 2),
    offer(ApiKey::InitProducerId, 0, 5),
    offer(ApiKey::OffsetForLeaderEpoch, 2, 4),
    offer(ApiKey::DescribeConfigs, 1, 4),
    offer(ApiKey::AlterConfigs, 0, 2),
    offer(ApiKey::DescribeLogDirs, 1, 4),
    offer(ApiKey::SaslAuthenticate, 0, 2),
    offer(ApiKey::CreatePartitions, 0, 3),
    offer(ApiKey::DeleteGroups, 0, 2),
    offer(ApiKey::IncrementalAlterConfigs, 0, 1),
    offer(ApiKey::OffsetDelete, 0, 0),
    offer(ApiKey::DescribeCluster, 0, 2),
    offer(ApiKey::DescribeProducers, 0, 0),
];

/// The API if this version of it can be answered.
pub fn find(key: i16, version: i16) -> Option<ApiKey> {
    let api = ApiKey::try_from(key).ok()?;
    let offer = OFFERS.iter().find(|o| o.key == api)?;
    let min = if api == ApiKey::Produce { 3 } else { offer.min };
    (min..=offer.max).contains(&version).then_some(api)
}
