//! `citybrain dlq`: what was refused, why, and another try after repair.

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cli::{Invocation, DlqAction, Ended};
use crate::lake::{self, quoted, text};
use crate::lang::t;

/// The command.
pub async fn run(context: &Invocation, action: DlqAction) -> Result<Ended> {
    let home = context.home()?;
    let lake = lake::open(&home).await?;
    let there = lake::has_table(&lake, "bronze", "dlq").await?;
    let select = |condition: &str| {
        format!("SELECT \"offset\", ce_id, ce_time, data FROM (SELECT *, row_number() OVER (PARTITION BY ce_id ORDER BY \"offset\") AS nth FROM bronze.dlq) WHERE nth = 1 {condition} ORDER BY \"offset\"")
    };
    match action {
        DlqAction::List { limit } => {
            let rows = if there { lake::rows(&lake, &format!("{} LIMIT {limit}", select(""))).await? } else { Vec::new() };
            let items: Vec<Value> = rows.iter().map(|row| summary(row)).collect();
            if context.global.json {
                println!("{}", serde_json::to_string_pretty(&items)?);
            } else if items.is_empty() {
                println!("{}", t("没有被拒收的数据", "nothing was refused"));
            } else {
                let rows: Vec<lake::Row> = items.into_iter().filter_map(|item| item.as_object().cloned()).collect();
                crate::items::print_table(&["id", "time", "door", "code", "reason"], &rows);
            }
            Ok(Ended::Done)
        }
        DlqAction::Show { id } => {
            let rows = if there { lake::rows(&lake, &select(&format!("AND ce_id = {}", quoted(&id)))).await? } else { Vec::new() };
            let Some(row) = rows.first() else { bail!("nothing in dlq has the id {id}: citybrain dlq list shows ids") };
            let mut data: Value = serde_json::from_str(text(row, "data"))?;
            if let Some(bytes) = data["original"].as_str().and_then(|original| STANDARD.decode(original).ok())
                && let Ok(readable) = String::from_utf8(bytes)
            {
                data["original_text"] = Value::from(readable);
            }
            println!("{}", serde_json::to_string_pretty(&data)?);
            Ok(Ended::Done)
        }
        DlqAction::Retry { ids } => {
            let condition = if ids.is_empty() {
                String::new()
            } else {
                format!("AND ce_id IN ({})", ids.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", "))
            };
            let rows = if there { lake::rows(&lake, &select(&condition)).await? } else { Vec::new() };
            retry(context, &rows).await
        }
    }
}

fn summary(row: &lake::Row) -> Value {
    let data: Value = serde_json::from_str(text(row, "data")).unwrap_or_default();
    json!({
        "id": text(row, "ce_id"),
        "time": text(row, "ce_time"),
        "door": data["door"],
        "code": data["code"],
        "reason": t(data["reason_zh"].as_str().unwrap_or_default(), data["reason"].as_str().unwrap_or_default()),
        "pointer": data["pointer"],
        "place": data["place"],
        "event_id": data["event_id"],
        "event_type": data["event_type"],
    })
}

async fn retry(context: &Invocation, rows: &[lake::Row]) -> Result<Ended> {
    let mut incoming = Vec::new();
    let mut impossible = 0;
    for row in rows {
        let data: Value = serde_json::from_str(text(row, "data"))?;
        match gateway::refusal::reopen(&data) {
            Ok(event) => incoming.push(event),
            Err(reason) => {
                impossible += 1;
                eprintln!("{}: {reason}", text(row, "ce_id"));
            }
        }
    }
    let counts = crate::import::submit(context, incoming).await.context("could not try again")?;
    let report = json!({ "accepted": counts.accepted, "duplicate": counts.duplicate, "refused": counts.refused + impossible });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(if counts.refused + impossible > 0 { Ended::Refused } else { Ended::Done })
}
