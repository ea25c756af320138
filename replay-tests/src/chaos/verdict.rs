//! What must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Brain;
use super::input::OrderFile;

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Check {
    /// What.
    pub what: String,
    /// What is wrong, if something is.
    pub problem: Option<String>,
}

impl Check {
    fn new(what: impl Into<String>, problem: Option<String>) -> Check {
        Check { what: what.into(), problem }
    }
}

/// Columns of a work order's steps that do not depend on when the brain ran.
const STEPS: &str = "SELECT \"request\", \"from\", \"to\", actor, category, unit, \"at\", due FROM silver.case_transition \
                     ORDER BY \"request\", \"at\", id";

/// The disturbed brain took the same decisions as the one that was left alone: cases, records and digests are equal. The
/// digest of a record holds every record and every effect before it, so equal digests are the proof; cases and records
/// say in words where they part.
pub fn same_decisions(disturbed: &Brain, calm: &Brain) -> Result<Vec<Check>, String> {
    let steps = (disturbed.sql(STEPS)?, calm.sql(STEPS)?);
    let journal = (Journal::read(disturbed)?, Journal::read(calm)?);
    let digests = journal.0.digests.len();
    Ok(vec![
        Check::new("the cases took the same steps as in the undisturbed run", difference(&steps.0, &steps.1)),
        Check::new(
            "the journal holds the same records in the same order as in the undisturbed run",
            difference(&journal.0.records, &journal.1.records),
        ),
        Check::new(
            format!("the digest chain is that of the undisturbed run, record by record ({digests})"),
            difference(&journal.0.digests, &journal.1.digests),
        ),
        replay_proves(disturbed)?,
    ])
}

/// The journal as the lake holds it.
#[derive(Debug, Default)]
struct Journal {
    /// The records without the moment at which they were written down: it differs, and decides nothing.
    records: Vec<Value>,
    /// The digest after each record.
    digests: Vec<Value>,
}

impl Journal {
    fn read(brain: &Brain) -> Result<Journal, String> {
        Journal::of(&brain.sql("SELECT data, extensions FROM bronze.city_journal ORDER BY \"partition\", \"offset\"")?)
    }

    fn of(rows: &[Value]) -> Result<Journal, String> {
        let mut journal = Journal::default();
        for (number, row) in rows.iter().enumerate() {
            let json = |column: &str| -> Result<Value, String> {
                let text = row[column].as_str().ok_or_else(|| format!("record {number} of the journal has no {column}"))?;
                serde_json::from_str(text).map_err(|error| format!("{column} of record {number} of the journal is no JSON: {error}"))
            };
            let mut record = json("data")?;
            if let Some(fields) = record.as_object_mut() {
                fields.remove("log_time");
            }
            journal.records.push(record);
            match json("extensions")?["chain"].take() {
                digest @ Value::String(_) => journal.digests.push(digest),
                _ => return Err(format!("record {number} of the journal has no chain digest")),
            }
        }
        Ok(journal)
    }
}

fn difference(disturbed: &[Value], calm: &[Value]) -> Option<String> {
    if disturbed.is_empty() {
        return Some("there are none".to_owned());
    }
    if let Some(at) = disturbed.iter().zip(calm).position(|(ours, theirs)| ours != theirs) {
        return Some(format!("number {at} differs: {} and, undisturbed, {}", disturbed[at], calm[at]));
    }
    (disturbed.len() != calm.len()).then(|| format!("{} and, undisturbed, {}", disturbed.len(), calm.len()))
}

/// Every acknowledged event is in bronze, in silver and in the journal exactly once.
pub fn exactly_once(brain: &Brain, files: &[OrderFile], messages: &[String]) -> Result<Vec<Check>, String> {
    let orders: BTreeSet<String> = files.iter().flat_map(OrderFile::ids).collect();
    let messages: BTreeSet<String> = messages.iter().cloned().collect();
    let mut checks = Vec::new();
    for (table, topic, expected, silver) in [
        ("bronze.raw_workorder", "raw.workorder", &orders, &["silver.workorder_created", "silver.workorder_closed"][..]),
        ("bronze.raw_hotline", "raw.hotline", &messages, &["silver.hotline_message"][..]),
    ] {
        if expected.is_empty() {
            continue;
        }
        let rows = brain.sql(&format!("SELECT \"partition\", \"offset\", ce_id FROM {table} ORDER BY \"partition\", \"offset\""))?;
        checks.push(Check::new(format!("{table}: each acknowledged event exactly once ({})", expected.len()), ids_differ(&rows, expected)));
        checks.push(Check::new(format!("{table}: each position exactly once, none left out"), positions_differ(&rows)));
        let mut clean = 0;
        for table in silver {
            clean += brain.count(&format!("SELECT count(*) AS n FROM {table}"))?;
        }
        let problem = (clean != expected.len() as i64).then(|| format!("{clean} rows, {} expected", expected.len()));
        checks.push(Check::new(format!("{}: as many rows", silver.join(" + ")), problem));
        checks.push(Check::new(format!("city.journal: each record of {topic} exactly once"), journal_differs(brain, topic, rows.len())?));
    }
    let refused = brain.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'bronze' AND table_name = 'dlq'")?;
    let refused = if refused.is_empty() { 0 } else { brain.count("SELECT count(*) AS n FROM bronze.dlq")? };
    checks.push(Check::new("nothing was refused", (refused > 0).then(|| format!("{refused} rows in bronze.dlq"))));
    checks.push(replay_proves(brain)?);
    Ok(checks)
}

fn ids_differ(rows: &[Value], expected: &BTreeSet<String>) -> Option<String> {
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *found.entry(row["ce_id"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let lost: Vec<&String> = expected.iter().filter(|id| !found.contains_key(id.as_str())).collect();
    let doubled: Vec<&str> = found.iter().filter(|(_, count)| **count > 1).map(|(id, _)| *id).collect();
    let strange: Vec<&str> = found.keys().filter(|id| !expected.contains(**id)).copied().collect();
    let mut problems = Vec::new();
    for (what, ids) in [("lost", lost.iter().map(|id| id.as_str()).collect::<Vec<_>>()), ("doubled", doubled), ("never sent", strange)] {
        if !ids.is_empty() {
            problems.push(format!("{} {what}, such as {:?}", ids.len(), &ids[..ids.len().min(3)]));
        }
    }
    (!problems.is_empty()).then(|| problems.join("; "))
}

fn positions_differ(rows: &[Value]) -> Option<String> {
    let mut partitions: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in rows {
        partitions.entry(row["partition"].as_i64()?).or_default().push(row["offset"].as_i64()?);
    }
    for (partition, offsets) in &partitions {
        if let Some(at) = offsets.iter().enumerate().position(|(at, offset)| *offset != at as i64) {
            return Some(format!("partition {partition}: offset {} stands where {at} should", offsets[at]));
        }
    }
    None
}

/// Each event of the topic was put before the brain once.
fn journal_differs(brain: &Brain, topic: &str, events: usize) -> Result<Option<String>, String> {
    let mut seen: BTreeSet<(i64, i64)> = BTreeSet::new();
    let mut doubled = 0;
    for record in Journal::read(brain)?.records {
        let source = &record["source"];
        if source["topic"] == topic {
            let position = (source["partition"].as_i64().unwrap_or(-1), source["offset"].as_i64().unwrap_or(-1));
            doubled += usize::from(!seen.insert(position));
        }
    }
    let whole = doubled == 0 && seen.len() == events;
    Ok((!whole).then(|| format!("{} of {events} were decided, {doubled} of them twice", seen.len())))
}

fn replay_proves(brain: &Brain) -> Result<Check, String> {
    let report = brain.replay()?;
    let records = brain.count("SELECT count(*) AS n FROM bronze.city_journal")?;
    let problem = match (report["equal"].as_bool(), report["records"].as_i64()) {
        (Some(true), Some(replayed)) if replayed == records => None,
        (Some(true), replayed) => Some(format!("{replayed:?} records were replayed, the journal has {records}")),
        _ => Some(report.to_string()),
    };
    Ok(Check::new("replay proves the digest chain, record by record", problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(offset: i64, id: &str) -> Value {
        json!({"partition": 0, "offset": offset, "ce_id": id})
    }

    #[test]
    fn losses_doubles_and_strangers_are_named() {
        let expected = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(ids_differ(&[row(0, "a"), row(1, "b")], &expected), None);
        let problem = ids_differ(&[row(0, "a"), row(1, "a"), row(2, "x")], &expected).unwrap();
        assert!(problem.contains("1 lost") && problem.contains("1 doubled") && problem.contains("1 never sent"), "{problem}");
    }

    #[test]
    fn a_position_that_is_left_out_is_named() {
        assert_eq!(positions_differ(&[row(0, "a"), row(1, "b")]), None);
        assert!(positions_differ(&[row(0, "a"), row(2, "b")]).unwrap().contains("offset 2"));
        assert!(positions_differ(&[row(0, "a"), row(0, "b")]).is_some());
    }

    #[test]
    fn a_journal_is_its_records_and_digests_and_not_when_they_were_written() {
        let row = |log_time: &str, chain: &str| {
            json!({"data": json!({"seq": 0, "log_time": log_time, "body": "x"}).to_string(), "extensions": json!({"chain": chain}).to_string()})
        };
        let (ours, theirs) = (Journal::of(&[row("a", "0f")]).unwrap(), Journal::of(&[row("b", "0e")]).unwrap());
        assert_eq!(difference(&ours.records, &theirs.records), None);
        assert!(difference(&ours.digests, &theirs.digests).unwrap().contains("number 0 differs: \"0f\""));
        assert!(Journal::of(&[json!({"data": "{}", "extensions": null})]).unwrap_err().contains("record 0 of the journal has no extensions"));
        assert!(Journal::of(&[json!({"data": "{}", "extensions": "{}"})]).unwrap_err().contains("no chain digest"));
    }

    #[test]
    fn a_difference_is_named_where_it_is() {
        assert_eq!(difference(&[json!(1)], &[json!(1)]), None);
        assert!(difference(&[json!(1), json!(2)], &[json!(1), json!(3)]).unwrap().contains("number 1"));
        assert!(difference(&[json!(1)], &[json!(1), json!(3)]).is_some());
        assert!(difference(&[], &[]).is_some(), "nothing proves nothing");
    }
}
