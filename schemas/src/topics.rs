//! Names of the topics that the brain itself writes.

/// The brain's one ordered input.
pub const JOURNAL: &str = "city.journal";
/// Findings of detectors.
pub const SIGNAL: &str = "city.signal";
/// Case transitions.
pub const CASE: &str = "city.case";
/// Changes of incidents.
pub const INCIDENT: &str = "city.incident";
/// Dispatch proposals.
pub const DISPATCH: &str = "city.dispatch";
/// Decisions with their reasons.
pub const DECISION: &str = "city.decision";
/// What the brain asks the agents.
pub const REQUEST: &str = "city.request";
/// What they answer: an input of the brain.
pub const ANSWER: &str = "city.answer";
/// Notifications about alerts.
pub const NOTIFICATION: &str = "city.notification";
/// Receipts for notifications. A topic of its own: those of effects are written by the sequencer alone, which finds out
/// after a crash what is missing from their ends.
pub const RECEIPT: &str = "city.receipt";
/// Changes of the device registry.
pub const DEVICE: &str = "city.device";
/// Changes of the graph.
pub const GRAPH: &str = "city.graph";
/// Levels of water by the minute, of the job `levels`.
pub const LEVEL: &str = "city.level";
/// Forecasts and what became of them. Several followers write it, each finds what it said by its own source.
pub const FORECAST: &str = "city.forecast";
/// Hot issues and the messages that join them, written by their follower alone.
pub const HOT_ISSUE: &str = "city.hotissue";
/// Who did what: the audit.
pub const AUDIT: &str = "audit";
/// What was refused.
pub const DLQ: &str = "dlq";
/// Begins the name of each alert topic: `alert.<scenario>`.
pub const ALERT_PREFIX: &str = "alert.";
/// Alerts that are no more than an exercise or a test, of every scenario.
pub const ALERT_EXERCISE: &str = "alert.exercise";
/// The scenario of alerts about the brain itself, such as a receiver of notifications that cannot be reached. The brain
/// has it whatever the graph says.
pub const OPERATIONS: &str = "operations";
/// The scenarios that have an alert topic from the start.
pub const SCENARIOS: [&str; 9] = [
    "gas_explosion", "water_main_burst", "urban_flooding", "bridge", "road_collapse", "forest_fire", "crowd", "power_lighting",
    "garbage",
];
