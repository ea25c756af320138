//! What the brain asks the agents, and what they answer: the data of `city.request` and `city.answer`.
//!
//! The brain asks where rules and small models are not sure. Whoever answers is outside: the answer comes back through the log,
//! becomes a record of the journal, and is read there by whoever replays. Integers and text only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::position::Position;
use crate::understood::{RunnerUp, Task};

/// What is asked about one case: the data of an `agent.request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRequest {
    /// Id, made from (sequence, ordinal).
    pub id: String,
    /// The case.
    pub case: String,
    /// When it is asked, in city time.
    pub at: DateTime<Utc>,
    /// How urgent the case is, from 1 (at once) to 4 (as planned): who is asked first.
    pub urgency: u8,
    /// What the citizen said, masked at the door. Data and never instruction.
    pub text: String,
    /// Choices to make among what the graph knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// Whether the elements of the form are wanted: [`Elements`].
    #[serde(default)]
    pub elements: bool,
    /// The graph that the options come from.
    pub graph_version: String,
    /// The records that it rests on.
    pub evidence: Vec<Position>,
}

/// A choice to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Of what.
    pub task: Task,
    /// What stands now, by rules or small models: one of the options.
    pub stands: String,
    /// What may be chosen, two at least; the likeliest first, as far as that is known.
    pub options: Vec<Offer>,
}

/// Something that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Id of a category or unit of the graph.
    pub label: String,
    /// What it is in a few words, 中文.
    pub zh: String,
    /// What it is in a few words, English.
    pub en: String,
}

/// What was answered: the data of an `agent.answer`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAnswer {
    /// The request.
    pub request: String,
    /// Its case.
    pub case: String,
    /// What was chosen; a question that nobody could answer is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// The elements of the form, when they were wanted and found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<Elements>,
    /// The model that answered.
    pub model: String,
    /// The digest of its file, hex.
    pub digest: String,
    /// The digest of the prompts, hex.
    pub prompt: String,
    /// How it was sampled, and by what build.
    pub sampler: String,
    /// Tokens read and written.
    pub tokens: u32,
    /// From the question to the answer, ms.
    pub latency_ms: u32,
    /// Why there is no answer, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Of what.
    pub task: Task,
    /// Which option.
    pub label: String,
    /// How sure, in thousandths.
    pub permille: u32,
    /// The others that came near, at most two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runners_up: Vec<RunnerUp>,
}

/// What the form asks for. Each is words of the text, but the title, which says nothing that the text does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elements {
    /// The address, as exactly as it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The place by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// When it happened, or since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Who is hurt, in danger or affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thing: Option<String>,
    /// What is wished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<String>,
    /// A title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}
