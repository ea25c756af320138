//! Any bytes as a journal: one record a line. What can be read is applied, and a stored and restored brain agrees.
#![no_main]

use std::sync::LazyLock;

use brain::{Brain, Chain, Config};
use graph::Graph;
use libfuzzer_sys::fuzz_target;
use schemas::journal::JournalRecord;

static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::builtin);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut brain = Brain::new(GRAPH.clone(), Config::default());
    let mut chain = Chain::default();
    for line in text.lines() {
        let Ok(record) = JournalRecord::from_json(line) else { continue };
        assert_eq!(JournalRecord::from_json(&record.to_json()).expect("a record reads back"), record);
        let mut effects = Vec::new();
        brain.apply(&record, &mut effects);
        chain.push(&record, &effects);
    }
    let restored = Brain::restore(GRAPH.clone(), Config::default(), &brain.snapshot()).expect("a snapshot restores");
    assert_eq!(restored.snapshot(), brain.snapshot());
});
