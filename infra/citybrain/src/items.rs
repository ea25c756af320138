//! `citybrain alert|case|incident`: lists and single ones, from the lake.

use anyhow::Result;

use crate::cli::{Invocation, Ended, ItemAction};
use crate::lake::{self, Row, quoted};
use crate::lang::t;

/// A kind of thing that can be listed.
pub struct Kind {
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
    order: &'static str,
}

/// Alerts, newest first.
pub const ALERT: Kind = Kind {
    table: "alert",
    key: "alert_key",
    columns: &["alert_key", "scenario", "level", "state", "status", "acknowledged", "onset", "incident", "unit"],
    order: "at DESC",
};
/// Cases, newest first.
pub const CASE: Kind = Kind { table: "case", key: "case", columns: &["case", "to", "category", "district", "unit", "due", "overdue"], order: "at DESC" };
/// Incidents, newest first.
pub const INCIDENT: Kind = Kind { table: "incident", key: "incident", columns: &["incident", "scenario", "level", "alerts", "cases", "first", "last"], order: "last DESC" };

/// The command.
pub async fn run(context: &Invocation, kind: Kind, action: ItemAction) -> Result<Ended> {
    let home = context.home()?;
    let lake = lake::open(&home).await?;
    let rows = match action {
        ItemAction::Why { id } => {
            crate::why::print(context, &crate::why::why(&lake, &id).await?)?;
            return Ok(Ended::Done);
        }
        ItemAction::List { limit } if lake::has_table(&lake, "silver", kind.table).await? => {
            lake::rows(&lake, &format!("SELECT * FROM silver.\"{}\" ORDER BY {} LIMIT {limit}", kind.table, kind.order)).await?
        }
        ItemAction::Show { id } if lake::has_table(&lake, "silver", kind.table).await? => {
            let rows = lake::rows(&lake, &format!("SELECT * FROM silver.\"{}\" WHERE \"{}\" = {}", kind.table, kind.key, quoted(&id))).await?;
            let Some(row) = rows.first() else { anyhow::bail!("there is no {} {id}", kind.table) };
            println!("{}", serde_json::to_string_pretty(row)?);
            return Ok(Ended::Done);
        }
        ItemAction::Show { id } => anyhow::bail!("there is no {} {id}", kind.table),
        ItemAction::List { .. } => Vec::new(),
    };
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if rows.is_empty() {
        println!("{}", t("没有", "none"));
    } else {
        print_table(kind.columns, &rows);
    }
    Ok(Ended::Done)
}

/// Rows as aligned text, the columns that are named.
pub fn print_table(columns: &[&str], rows: &[Row]) {
    let cell = |row: &Row, column: &str| match row.get(column) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => "-".to_string(),
        Some(other) => other.to_string(),
    };
    let width = |text: &str| -> usize { text.chars().map(|c| if c as u32 >= 0x2E80 { 2 } else { 1 }).sum() };
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| rows.iter().map(|row| width(&cell(row, column))).chain([width(column)]).max().unwrap_or(0))
        .collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, widest)| format!("{cell}{}", " ".repeat(widest - width(cell)))).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(columns.iter().map(|column| column.to_string()).collect());
    for row in rows {
        line(columns.iter().map(|column| cell(row, column)).collect());
    }
}
