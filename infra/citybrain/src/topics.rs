//! The topics of a city: which there are, with how many partitions, and how long they are kept.

use std::collections::BTreeSet;

use bus::{Filter, TopicSpec};
use schemas::{Registry, topics};

/// Beginnings of the names of our topics; on a shared cluster there are others that are none of our business.
const OURS: [&str; 3] = ["raw.", "city.", "alert."];

/// The brain's inputs: what people, detectors and agents say. Each has one partition, so that its order is the order of the log.
pub const INPUTS: [&str; 4] = [topics::SIGNAL, topics::ANSWER, "raw.hotline", "raw.workorder"];

/// Every topic that has to be there. Kept for ever: the log is the ground state.
pub fn specs(registry: &Registry, sensor_partitions: i32) -> Vec<TopicSpec> {
    let mut names: BTreeSet<String> = registry.types().filter(|def| !def.topic.ends_with('*')).map(|def| def.topic.clone()).collect();
    names.extend(INPUTS.map(str::to_owned));
    names.extend(topics::SCENARIOS.into_iter().chain([topics::OPERATIONS]).map(|scenario| format!("{}{scenario}", topics::ALERT_PREFIX)));
    names.insert(topics::ALERT_EXERCISE.to_owned());
    names
        .into_iter()
        .map(|name| {
            let partitions = if name == "raw.sensor" { sensor_partitions } else { 1 };
            TopicSpec::new(name, partitions).with("retention.ms", "-1").with("retention.bytes", "-1")
        })
        .collect()
}

/// All of our topics.
pub fn ours() -> Filter {
    OURS.iter().fold(Filter::topics([topics::DLQ, topics::AUDIT]), |filter, prefix| filter.and_prefix(*prefix))
}

/// What the live stream carries: what the brain decides, and hot issues. Forecasts and minutes are many, and nobody waits for one.
pub fn decided() -> Filter {
    Filter::prefixes([topics::ALERT_PREFIX, "city."]).except(topics::JOURNAL).except(topics::DEVICE).except(topics::FORECAST).except(topics::LEVEL).except(topics::REQUEST).except(topics::ANSWER)
}

/// Whether events of a topic may be repeats of earlier ones: what comes from outside.
pub fn is_raw(topic: &str) -> bool {
    topic.starts_with("raw.")
}
