//! `citybrain why`: from an alert, a case, a decision or a row back to the log positions it came from, and forward to what
//! came of it.
//!
//! Every event that the brain makes names its evidence (positions) and its direct cause (`causationid`). The walk follows
//! both through the bronze tables, which hold every topic.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use lakehouse::Lake;
use schemas::position::Position;
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Invocation, Ended, WhyArgs};
use crate::lake::{self, Row, integer, quoted, text};
use crate::lang::t;

/// How many steps back the walk goes: alert, signal, observation is three.
const DEPTH_MAX: usize = 5;
/// Children shown of each node; the rest is counted.
const CHILDREN_MAX: usize = 20;
/// Characters of a message that are shown; messages are never printed in full.
const MESSAGE_CHARS: usize = 16;

/// One event on the way.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Where it stands in the log.
    pub position: Position,
    /// CloudEvents `type`.
    pub event_type: String,
    /// CloudEvents `id`.
    pub id: String,
    /// Event time.
    pub time: String,
    /// What it says, in short.
    pub summary: String,
    /// What it came from.
    pub from: Vec<Node>,
    /// Causes that are not shown.
    pub more: u64,
}

/// The way of one thing, backward and forward.
#[derive(Debug, Serialize)]
pub struct Why {
    /// The events that carry the id, newest last, each with what it came from.
    pub back: Vec<Node>,
    /// What came of them.
    pub forward: Vec<Node>,
}

/// Walks from an id, a key or a position.
///
/// # Errors
/// When nothing carries the id.
pub async fn why(lake: &Lake, id: &str) -> Result<Why> {
    let walker = Walker { lake, tables: bronze_tables(lake).await? };
    let mut start = match id.parse::<Position>() {
        Ok(position) => walker.at(&position).await?.into_iter().collect(),
        Err(_) => walker.named(id).await?,
    };
    if start.is_empty() {
        bail!("nothing in the lake has the id or key {id}: citybrain alert list and citybrain case list show ids");
    }
    start.sort_by_key(|row| (text(row, "ce_time").to_string(), integer(row, "offset")));
    let more = start.len().saturating_sub(CHILDREN_MAX);
    let start: Vec<Row> = start.split_off(more);
    let mut back = Vec::new();
    let mut seen = BTreeSet::new();
    for row in &start {
        back.push(Box::pin(walker.back(row, DEPTH_MAX, &mut seen)).await?);
    }
    let forward = walker.forward(&start).await?;
    Ok(Why { back, forward })
}

async fn bronze_tables(lake: &Lake) -> Result<BTreeMap<String, String>> {
    let rows = lake::rows(lake, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'bronze' ORDER BY table_name").await?;
    let journal = lake::table_of(schemas::topics::JOURNAL);
    Ok(rows
        .iter()
        .map(|row| text(row, "table_name").to_string())
        .filter(|table| *table != journal)
        .map(|table| (table.clone(), format!("bronze.\"{table}\"")))
        .collect())
}

struct Walker<'a> {
    lake: &'a Lake,
    tables: BTreeMap<String, String>,
}

const COLUMNS: &str = "topic, partition, \"offset\", key, ce_id, ce_type, ce_time, causation_id, data";

impl Walker<'_> {
    async fn select(&self, condition: &str) -> Result<Vec<Row>> {
        let selects: Vec<String> = self.tables.values().map(|table| format!("SELECT {COLUMNS} FROM {table} WHERE {condition}")).collect();
        if selects.is_empty() {
            return Ok(Vec::new());
        }
        lake::rows(self.lake, &selects.join(" UNION ALL ")).await
    }

    async fn named(&self, id: &str) -> Result<Vec<Row>> {
        self.select(&format!("ce_id = {0} OR (key = {0} AND topic NOT LIKE 'raw.%')", quoted(id))).await
    }

    async fn at(&self, position: &Position) -> Result<Option<Row>> {
        let Some(table) = self.tables.get(&lake::table_of(&position.topic)) else { return Ok(None) };
        let query = format!("SELECT {COLUMNS} FROM {table} WHERE partition = {} AND \"offset\" = {}", position.partition, position.offset);
        Ok(lake::rows(self.lake, &query).await?.into_iter().next())
    }

    async fn back(&self, row: &Row, depth: usize, seen: &mut BTreeSet<String>) -> Result<Node> {
        let mut node = node(row);
        if depth == 0 || !seen.insert(node.position.to_string()) {
            return Ok(node);
        }
        let evidence = evidence(row);
        node.more = evidence.len().saturating_sub(CHILDREN_MAX) as u64;
        for position in evidence.iter().take(CHILDREN_MAX) {
            if let Some(cause) = self.at(position).await? {
                node.from.push(Box::pin(self.back(&cause, depth - 1, seen)).await?);
            }
        }
        Ok(node)
    }

    async fn forward(&self, start: &[Row]) -> Result<Vec<Node>> {
        let conditions: Vec<String> = start
            .iter()
            .flat_map(|row| {
                let position = position_of(row);
                let named = format!("causation_id = {}", quoted(text(row, "ce_id")));
                let shown = format!(
                    "data LIKE {}",
                    quoted(&format!("%\"topic\":\"{}\",\"partition\":{},\"offset\":{}}}%", position.topic, position.partition, position.offset))
                );
                [named, shown]
            })
            .collect();
        let mut rows = self.select(&conditions.join(" OR ")).await?;
        rows.sort_by_key(|row| (text(row, "ce_time").to_string(), text(row, "topic").to_string(), integer(row, "offset")));
        Ok(rows.iter().take(CHILDREN_MAX).map(node).collect())
    }
}

fn position_of(row: &Row) -> Position {
    Position {
        topic: text(row, "topic").to_string(),
        partition: i32::try_from(integer(row, "partition")).unwrap_or_default(),
        offset: integer(row, "offset"),
    }
}

fn data(row: &Row) -> Value {
    serde_json::from_str(text(row, "data")).unwrap_or_default()
}

fn evidence(row: &Row) -> Vec<Position> {
    serde_json::from_value(data(row).get("evidence").cloned().unwrap_or_default()).unwrap_or_default()
}

fn node(row: &Row) -> Node {
    Node {
        position: position_of(row),
        event_type: text(row, "ce_type").to_string(),
        id: text(row, "ce_id").to_string(),
        time: text(row, "ce_time").to_string(),
        summary: summary(text(row, "ce_type"), &data(row)),
        from: Vec::new(),
        more: 0,
    }
}

/// What an event says, in a line. Messages are cut short.
fn summary(event_type: &str, data: &Value) -> String {
    let field = |name: &str| match &data[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let short = |text: String| -> String {
        let cut: String = text.chars().take(MESSAGE_CHARS).collect();
        if cut.len() < text.len() { format!("{cut}…") } else { cut }
    };
    let parts = if event_type.contains(".alert.") {
        vec![field("state"), format!("L{}", field("level")), t(data["headline"]["zh"].as_str().unwrap_or(""), data["headline"]["en"].as_str().unwrap_or("")).to_string(), field("reason")]
    } else if event_type.contains(".case.") {
        vec![field("case"), field("to"), field("category"), field("unit"), field("reason")]
    } else if event_type.contains(".notification.") {
        vec![field("outcome"), format!("L{}", field("level")), field("group_name"), field("units"), field("receiver"), field("delivered"), field("reason")]
    } else if event_type.contains("signal") {
        vec![field("signal"), field("scenario"), field("station"), field("value_milli")]
    } else if event_type.contains("observation") {
        vec![field("datastream"), field("result"), field("unit")]
    } else if event_type.contains("hotline") {
        vec![field("message_id"), field("district"), short(field("text"))]
    } else if event_type.contains("workorder") {
        vec![field("request_id"), field("category"), field("district"), short(field("description"))]
    } else {
        let shadows = data["opinions"].as_array().into_iter().flatten().filter(|opinion| opinion["role"] == "shadow");
        let shadow = |opinion: &Value| format!("{} {}: {} {} ‰", t("影子", "shadow"), opinion["model"].as_str().unwrap_or_default(), opinion["label"].as_str().unwrap_or_default(), opinion["permille"]);
        [field("unit"), field("category"), field("reason")].into_iter().chain(shadows.map(shadow)).collect()
    };
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// The command.
pub async fn run(context: &Invocation, args: WhyArgs) -> Result<Ended> {
    let home = context.home()?;
    let lake = lake::open(&home).await?;
    let id = match (args.id, args.sql_row) {
        (Some(id), None) => id,
        (None, Some(row)) => position_of_row(&lake, &row[0], &row[1]).await?,
        _ => bail!("give an id, or --sql-row TABLE KEY"),
    };
    print(context, &why(&lake, &id).await?)?;
    Ok(Ended::Done)
}

/// The log position of a row of a silver table, found by the value of its key column: the first text column that has it.
async fn position_of_row(lake: &Lake, table: &str, key: &str) -> Result<String> {
    let (schema, name) = table.split_once('.').unwrap_or(("silver", table));
    let query = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = {} AND table_name = {} \
         AND data_type LIKE 'Utf8%' ORDER BY ordinal_position",
        quoted(schema),
        quoted(name)
    );
    let columns: Vec<String> = lake::rows(lake, &query).await?.iter().map(|row| text(row, "column_name").to_string()).collect();
    if columns.is_empty() {
        bail!("there is no table {schema}.{name}");
    }
    let condition: Vec<String> = columns.iter().map(|column| format!("\"{column}\" = {}", quoted(key))).collect();
    let rows = lake::rows(lake, &format!("SELECT * FROM \"{schema}\".\"{name}\" WHERE {} LIMIT 1", condition.join(" OR "))).await?;
    let Some(row) = rows.first() else { bail!("no row of {schema}.{name} has the value {key}") };
    if text(row, "topic").is_empty() {
        bail!("{schema}.{name} has no log position for each row (columns topic, partition, offset): ask for one of its ids");
    }
    Ok(position_of(row).to_string())
}

impl Why {
    /// Prints what the first event came from.
    pub fn print_first(&self) {
        if let Some(node) = self.back.first() {
            print_node(node, 1);
        }
    }
}

/// Prints a walk.
pub fn print(context: &Invocation, why: &Why) -> Result<()> {
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(why)?);
        return Ok(());
    }
    println!("{}", t("来源（由近到远）", "where it came from"));
    for node in &why.back {
        print_node(node, 1);
    }
    println!("{}", t("后续", "what came of it"));
    for node in &why.forward {
        print_node(node, 1);
    }
    Ok(())
}

fn print_node(node: &Node, depth: usize) {
    println!("{}{}  {}  {}", "  ".repeat(depth), node.position, node.time, node.summary);
    for cause in &node.from {
        print_node(cause, depth + 1);
    }
    if node.more > 0 {
        println!("{}… {} {}", "  ".repeat(depth + 1), node.more, t("条未显示", "more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_short() {
        let text = "一二三四五六七八九十一二三四五六七八九十";
        let line = summary("io.citybrain.hotline.message.v1", &serde_json::json!({"message_id": "m", "text": text}));
        assert!(!line.contains(text) && line.ends_with('…'), "{line}");
    }

    #[test]
    fn what_shadows_think_is_shown_with_the_decision() {
        let shadow = serde_json::json!({"role": "shadow", "model": "next", "label": "noise", "permille": 700});
        let active = serde_json::json!({"role": "active", "model": "category", "label": "garbage", "permille": 900});
        let line = summary("io.citybrain.decision.v1", &serde_json::json!({"category": "garbage", "reason": "r", "opinions": [active, shadow]}));
        assert!(line.starts_with("garbage · r · ") && line.ends_with("next: noise 700 ‰") && !line.contains("900"), "{line}");
    }
}
