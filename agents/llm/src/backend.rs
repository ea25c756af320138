//! One door to a model, wherever it runs.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::answer::{Answer, AnswerError};
use crate::limits;
use crate::metrics::Metrics;
use crate::task::{Dialect, Task};
use crate::wire::Raw;

/// How urgent a request is: the level of the event that it is about. One and Two go first, and one place is kept for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Level Ⅰ.
    One,
    /// Level Ⅱ.
    Two,
    /// Level Ⅲ.
    Three,
    /// Level Ⅳ, and everything that nobody waits for.
    Four,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::One, Self::Two, Self::Three, Self::Four];

    /// Whether a place is kept for it.
    pub fn is_urgent(self) -> bool {
        match self {
            Self::One | Self::Two => true,
            Self::Three | Self::Four => false,
        }
    }
}

/// A task with its limits.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub task: Task,
    /// How urgent it is.
    pub priority: Priority,
    /// From the call to the answer, waiting included.
    pub within: Duration,
    /// Tokens that the answer may have.
    pub tokens_max: u32,
}

impl Request {
    /// A request with the task's own limits.
    pub fn new(task: Task, priority: Priority) -> Self {
        let tokens_max = task.tokens_max();
        Self { task, priority, within: limits::DEADLINE, tokens_max }
    }

    /// Another time limit.
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }
}

/// A checked answer and all that a record of it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// What the model said, as it said it: with it, the answer can be checked again.
    pub raw: Raw,
    /// Which model answered.
    pub card: Card,
    /// BLAKE3 of the prompt.
    pub prompt_digest: String,
    /// How often it was asked: 2 after a crash or a failover.
    pub tries: u32,
    /// Microseconds that it waited for its turn.
    pub waited_us: u64,
    /// Microseconds from the call to the answer.
    pub total_us: u64,
}

/// What a model is, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its name.
    pub model: String,
    /// BLAKE3 of its file; for an endpoint, whose file nobody sees, `remote:` and its address.
    pub digest: String,
    /// How it is asked.
    pub dialect: Dialect,
    /// How tokens are chosen.
    pub sampler: String,
    /// Of what the engine was built.
    pub build: String,
}

/// Why there is no answer. Every one of them leaves the caller where it was without a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// Too many wait already. Go on without a model, or ask again later.
    #[error("{waiting} requests wait already: ask later")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// There is no model.
    #[error("no model: {0}")]
    Absent(String),
    /// The time is over.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// The engine died over it, twice.
    #[error("the engine died {tries} times with this request in it: {reason}")]
    Died {
        /// How often.
        tries: u32,
        /// The engine's last words.
        reason: String,
    },
    /// The model cannot be asked this.
    #[error("the model cannot be asked this: {0}")]
    Refused(String),
    /// The answer did not pass its check.
    #[error("the answer is wrong: {0}")]
    Answer(#[from] AnswerError),
}

impl AskError {
    /// A word for metrics and records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Absent(_) => "absent",
            Self::Deadline(_) => "deadline",
            Self::Died { .. } => "died",
            Self::Refused(_) => "refused",
            Self::Answer(_) => "wrong",
        }
    }
}

/// A model that can be asked. Dropping the future of `ask` cancels the request.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Asks. Returns within the request's time, or at once when there is no room or no model.
    async fn ask(&self, request: Request) -> Result<Reply, AskError>;

    /// The model that would answer now; none while there is none.
    fn card(&self) -> Option<Card>;

    /// What has happened so far.
    fn metrics(&self) -> Metrics;
}
