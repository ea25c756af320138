//! What the brain asks the agents, and what they answer: the data of `city.request` and `city.answer`.
//!
//! The brain asks where rules and small models are not sure. Whoever answers is outside: the answer comes back through the log,
//! becomes a record of the journal, and is read there by whoever replays. Integers and text only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::position::Position;
use crate::understood::{RunnerUp, Task};

/// What is asked about one case: the data of an `agent.request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRequest {
    /// Id, made from (sequence, ordinal).
    pub id: String,
    /// The case; the incident, where it is about a plan.
    pub case: String,
    /// When it is asked, in city time.
    pub at: DateTime<Utc>,
    /// How urgent the case is, from 1 (at once) to 4 (as planned): who is asked first.
    pub urgency: u8,
    /// What the citizen said, masked at the door. Data and never instruction. Empty where it is about a plan.
    pub text: String,
    /// Choices to make among what the graph knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// Whether the elements of the form are wanted: [`Elements`].
    #[serde(default)]
    pub elements: bool,
    /// What is to be looked up in the knowledge base, and drafted from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brief: Option<Brief>,
    /// The graph that the options come from.
    pub graph_version: String,
    /// The records that it rests on.
    pub evidence: Vec<Position>,
}

/// What is to be looked up and drafted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Brief {
    /// An answer to the citizen.
    Reply {
        /// The place, as far as the graph knows it: documents of others do not hold there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// Whether a language model may write it: that is counted as a question.
        #[serde(default)]
        written: bool,
    },
    /// The orders of an incident's plan.
    Plan {
        /// The scenario.
        scenario: String,
        /// The plan.
        plan: String,
        /// Its name, 中文.
        name: String,
        /// Laws and rules that it says it rests on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        basis: Vec<String>,
        /// The unit that leads.
        lead: String,
        /// Who does what.
        tasks: Vec<Errand>,
    },
}

/// What a plan asks of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// The unit.
    pub unit: String,
    /// On the level 市 (`city`), 区 (`district`) or 街道 (`street`).
    pub level: String,
    /// What to do, 中文.
    pub zh: String,
    /// What to do, English.
    pub en: String,
    /// Within so many minutes.
    pub minutes: u32,
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
    /// Sections of the knowledge base that say something to it, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub citations: Vec<Citation>,
    /// What was drafted from them, if they held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Draft>,
    /// Why nothing was drafted, or what of the plan no document holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
    /// The tools that were called, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// The digest of the knowledge base, hex; empty when it was not asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub knowledge: String,
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

/// A section of the knowledge base, as it was on the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// How it is cited: `document#section`.
    pub section: String,
    /// The document's title, 中文.
    pub zh: String,
    /// The document's title, English.
    pub en: String,
    /// Its sentence that fits best, word for word.
    pub words: String,
    /// How much of what was asked stands in the section, in thousandths.
    pub covered_permille: u32,
}

/// Words for people to send or not: a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// `reply` to a citizen, or `order` to units.
    pub kind: String,
    /// The words. Each sentence of a reply, and each task of orders, carries its citation: `[document#section]`.
    pub text: String,
    /// The sections that it cites.
    pub cites: Vec<String>,
    /// Who wrote it: `rules`, in the words of the documents, or a model's name.
    pub by: String,
}

/// A call of a tool, as the gate let it through or not. Personal data are masked, long words are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Which call of its decision, from 1.
    pub number: u32,
    /// The agent that called: `triage`, `predict`, `dispatch`, `report` or `draft`.
    pub agent: String,
    /// The tool as it was called, at most forty characters of it.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// Whether untrusted words had been read.
    pub tainted: bool,
    /// `run`, `waits` or `refused`.
    pub verdict: String,
    /// What was taken off, or why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What came back: rows, units or sections.
    #[serde(default)]
    pub found: u32,
    /// Milliseconds since the decision began.
    pub elapsed_ms: u32,
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
