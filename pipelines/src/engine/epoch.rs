//! The plan of an epoch: everything that decides its output beside the log and the state before it.

use serde::{Deserialize, Serialize};

use crate::engine::state::Partition;

/// Written down before the work begins. The wall clock enters here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) job: String,
    pub(crate) epoch: u64,
    /// Digest of the SQL and the lookup files.
    pub(crate) digest: String,
    /// When it was planned, in microseconds.
    pub(crate) planned_us: i64,
    /// Event times beyond this one are not believed.
    pub(crate) time_max_us: i64,
    /// Whether the source has ended, so that every window closes.
    pub(crate) ended: bool,
    /// Every partition that is known, in order.
    pub(crate) ranges: Vec<Range>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The first offset.
    pub(crate) from: i64,
    /// One past the last offset.
    pub(crate) to: i64,
    /// Whether it has been silent so long that the watermark does not wait for it.
    pub(crate) idle: bool,
    /// How far event time has come in it, less the delay of its watermark, where somebody else has read its rows and said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reached: Option<i64>,
}

impl Range {
    pub(crate) fn partition(&self) -> Partition {
        (self.topic.clone(), self.partition)
    }
}
