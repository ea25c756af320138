//! What was understood of a message before it was decided on: the opinions of small models, and what a reader found in the
//! words.
//!
//! The sequencer asks once and writes the answer into the record, beside what the citizen sent and never inside it
//! ([`crate::journal::JournalRecord::understood`]). Whoever replays reads it there and asks no model again. Integers and
//! text only: a share is in thousandths, an offset counts Unicode characters of the message's text.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::signal::MicroDeg;

/// What was understood of one message or order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Understood {
    /// How many characters the text has.
    #[serde(default)]
    pub chars: u32,
    /// What models think, the active one of each task before its shadows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opinions: Vec<Opinion>,
    /// What the citizen wants: `help`, `complaint`, `report`, `inquiry`, `suggestion`, `praise` or `emergency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// How urgent the words are, from 1 (at once) to 4 (as planned).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<u8>,
    /// Whether the words say that somebody's life is at risk.
    #[serde(default, skip_serializing_if = "is_false")]
    pub risk_to_life: bool,
    /// The words that made it urgent or a risk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// When it happened, as the text says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<DateTime<Utc>>,
    /// Where it is, as the text says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Mention>,
    /// Whether the text tries to give orders to a machine. Then no opinion about it decides anything.
    #[serde(default, skip_serializing_if = "is_false")]
    pub injection: bool,
    /// Terms of the content filter for which people see the text before any model. Then no opinion about it decides anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
}

impl Understood {
    /// The opinion that may decide: that of the active model of a task, when it is sure and the text speaks to people.
    pub fn sure(&self, task: Task) -> Option<&Opinion> {
        let mut active = self.opinions.iter().filter(|opinion| opinion.task == task && opinion.role == Role::Active);
        active.next().filter(|opinion| opinion.accepted && !self.is_for_people())
    }

    /// Whether people see the text before any model: it speaks to machines, or the content filter stopped it.
    pub fn is_for_people(&self) -> bool {
        self.injection || !self.stopped.is_empty()
    }
}

/// A place that a text mentions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// Its words.
    pub text: String,
    /// Its first character.
    pub start: u32,
    /// The character after its last one.
    pub end: u32,
    /// The place of the graph that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Latitude of that place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<MicroDeg>,
    /// Longitude of that place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<MicroDeg>,
}

/// What a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Which category a matter has.
    Category,
    /// Which unit owes it.
    Unit,
}

impl Task {
    /// Both.
    pub const ALL: [Task; 2] = [Task::Category, Task::Unit];

    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Task::Category => "category",
            Task::Unit => "unit",
        }
    }
}

/// Whether a model's opinion may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It may.
    Active,
    /// It is asked to be compared, and never decides.
    Shadow,
}

impl Role {
    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Role::Active => "active",
            Role::Shadow => "shadow",
        }
    }
}

/// What one model thinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// What it was asked.
    pub task: Task,
    /// The model's name.
    pub model: String,
    /// The digest of its bytes, hex.
    pub digest: String,
    /// Whether it may decide.
    pub role: Role,
    /// What it thinks likeliest.
    pub label: String,
    /// How sure it is of that, in thousandths.
    pub permille: u32,
    /// Whether that is sure enough by the model's own measure; else it abstains.
    pub accepted: bool,
    /// How much of the text it knows from its training, in thousandths.
    #[serde(default)]
    pub familiar_permille: u32,
    /// What it thinks next likeliest, at most two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runners_up: Vec<RunnerUp>,
}

/// What a model thinks next likeliest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerUp {
    /// The label.
    pub label: String,
    /// How likely, in thousandths.
    pub permille: u32,
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(task: Task, role: Role, accepted: bool, label: &str) -> Opinion {
        Opinion { task, model: "m".into(), digest: "d".into(), role, label: label.into(), permille: 900, accepted, familiar_permille: 800, runners_up: Vec::new() }
    }

    #[test]
    fn only_the_active_model_decides_and_only_when_it_is_sure() {
        let shadow = opinion(Task::Category, Role::Shadow, true, "noise");
        let other = opinion(Task::Unit, Role::Active, true, "traffic");
        let of = |opinions: Vec<Opinion>, injection| Understood { opinions, injection, ..Understood::default() };
        assert_eq!(of(vec![shadow.clone(), other.clone()], false).sure(Task::Category), None);
        let active = opinion(Task::Category, Role::Active, true, "flooding");
        let all = vec![other.clone(), active.clone(), shadow.clone()];
        assert_eq!(of(all.clone(), false).sure(Task::Category), Some(&active));
        assert_eq!(of(all, true).sure(Task::Category), None, "a text that orders machines about decides nothing");
        let unsure = opinion(Task::Category, Role::Active, false, "flooding");
        assert_eq!(of(vec![unsure, shadow], false).sure(Task::Category), None);
    }

    #[test]
    fn what_says_nothing_is_short_and_reads_back() {
        let nothing = Understood::default();
        assert_eq!(serde_json::to_string(&nothing).expect("plain values"), r#"{"chars":0}"#);
        let full = Understood {
            chars: 12,
            opinions: vec![opinion(Task::Unit, Role::Shadow, true, "gas")],
            intent: Some("emergency".into()),
            urgency: Some(1),
            risk_to_life: true,
            words: vec!["被困".into()],
            event_time: Some("2026-01-05T08:00:00Z".parse().expect("a time")),
            place: Some(Mention { text: "解放路".into(), start: 1, end: 4, node: Some("jiefang".into()), lat: None, lon: None }),
            injection: true,
            stopped: vec!["threat-kill-zh".to_owned()],
        };
        let json = serde_json::to_string(&full).expect("plain values");
        assert_eq!(serde_json::from_str::<Understood>(&json).expect("it reads"), full);
    }
}
