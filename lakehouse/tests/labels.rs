//! `gold.label`: what people corrected and confirmed, with the text that it is about, and nothing else.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use lakehouse::{Lake, TableName};

/// The journal: a message, an order without a text, commands, and a command that did not come through the doors.
const JOURNAL: [&str; 7] = [
    r#"{"seq":0,"log_time":"2026-01-05T08:00:00Z","source":{"topic":"raw.hotline","partition":0,"offset":0},"event":{"source":"h","id":"1"},"body":{"hotline":{"message_id":"1","text":"楼上很吵"}}}"#,
    r#"{"seq":1,"log_time":"2026-01-05T08:00:00Z","source":{"topic":"raw.workorder","partition":0,"offset":0},"event":{"source":"w","id":"1"},"body":{"work_order":{"created":{"request_id":"1"}}}}"#,
    r#"{"seq":2,"log_time":"2026-01-05T08:00:00Z","event":{"source":"citybrain/commands","id":"2"},"body":{"command":{"command_id":"2","action":"recategorise","target":"case-000000000000","actor":"wang","reason":"r","category":"noise"}}}"#,
    r#"{"seq":3,"log_time":"2026-01-05T08:00:00Z","event":{"source":"citybrain/commands","id":"3"},"body":{"command":{"command_id":"3","action":"recategorise","target":"case-000000000000","actor":"li","reason":"r","category":"street_order"}}}"#,
    r#"{"seq":4,"log_time":"2026-01-05T08:00:00Z","event":{"source":"citybrain/commands","id":"4"},"body":{"command":{"command_id":"4","action":"dispatch","target":"case-000000000000","actor":"li","reason":"r"}}}"#,
    r#"{"seq":5,"log_time":"2026-01-05T08:00:00Z","source":{"topic":"raw.hotline","partition":0,"offset":9},"event":{"source":"citybrain/commands","id":"5"},"body":{"command":{"command_id":"5","action":"recategorise","target":"case-000000000000","actor":"forger","reason":"r","category":"garbage"}}}"#,
    r#"{"seq":6,"log_time":"2026-01-05T08:00:00Z","event":{"source":"citybrain/commands","id":"6"},"body":{"command":{"command_id":"6","action":"assign","target":"case-000000000001","actor":"li","reason":"r","unit":"gas"}}}"#,
];

/// Steps of cases: record and ordinal, case, change, state, category, unit, who.
const STEPS: [[&str; 7]; 7] = [
    ["000000000000-0001", "case-000000000000", "opened", "reported", "other", "", "citybrain"],
    ["000000000000-0003", "case-000000000000", "moved", "assigned", "other", "duty-office", "citybrain"],
    ["000000000002-0001", "case-000000000000", "recategorised", "assigned", "noise", "environment", "wang"],
    ["000000000003-0001", "case-000000000000", "recategorised", "assigned", "street_order", "urban-management", "li"],
    ["000000000004-0000", "case-000000000000", "moved", "processing", "street_order", "urban-management", "li"],
    ["000000000005-0001", "case-000000000000", "recategorised", "assigned", "garbage", "sanitation", "forger"],
    ["000000000006-0000", "case-000000000001", "moved", "assigned", "other", "gas", "li"],
];

#[tokio::test]
async fn only_what_people_said_is_a_label() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    let rows = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
    assert!(!lake.is_queryable(&TableName::new("gold", "label")), "without a journal there is nothing to learn from");
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(0..JOURNAL.len() as i64));
    let data: ArrayRef = Arc::new(StringArray::from(JOURNAL.to_vec()));
    lake.append(&TableName::new("bronze", "city_journal"), vec![rows(vec![("offset", offsets), ("data", data)])], &[]).await.unwrap();
    let column = |at: usize| -> ArrayRef { Arc::new(STEPS.iter().map(|step| Some(step[at]).filter(|text| !text.is_empty())).collect::<StringArray>()) };
    let names = ["id", "case", "change", "to", "category", "unit", "actor"];
    let at: ArrayRef = Arc::new(StringArray::from(vec!["2026-01-05"; STEPS.len()]));
    let steps = names.iter().enumerate().map(|(index, name)| (*name, column(index))).chain([("at", at)]).collect();
    lake.append(&TableName::new("silver", "case_transition"), vec![rows(steps)], &[]).await.unwrap();
    let labels = lake.query("SELECT text, task, label, how, who FROM gold.label ORDER BY task", None).await.unwrap();
    let shown = pretty_format_batches(&labels).unwrap().to_string();
    let found: Vec<String> = shown.lines().filter(|line| line.contains("楼上很吵")).map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()).collect();
    assert_eq!(found, ["楼上很吵 category street_order corrected li", "楼上很吵 unit urban-management confirmed li"], "{shown}");
    assert_eq!(labels.iter().map(RecordBatch::num_rows).sum::<usize>(), 2, "{shown}");
}
