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
/// What was refused.
pub const DLQ: &str = "dlq";
/// Begins the name of each alert topic: `alert.<scenario>`.
pub const ALERT_PREFIX: &str = "alert.";
/// The scenarios that have an alert topic from the start.
pub const SCENARIOS: [&str; 9] = [
    "gas_explosion", "water_main_burst", "urban_flooding", "bridge", "road_collapse", "forest_fire", "crowd", "power_lighting",
    "garbage",
];
