//! `/v1/audit`: the entries of the audit, from the lake, and the end of its chain.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use futures::StreamExt;
use serde_json::{Value, json};

use super::sql::json_lines;
use super::trail::Noted;
use super::{Gateway, Problem};
use crate::limits::{AUDIT_PAGE_MAX, PAGE_ITEMS_DEFAULT};
use crate::view::{SqlRequest, ViewError};

/// A page of entries in the order of the log; each with its place, which is the cursor behind it.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, Query(parameters): Query<Vec<(String, String)>>) -> Result<Response, Problem> {
    let (condition, limit) = condition(&parameters)?;
    let query = format!("SELECT \"offset\", data FROM bronze.audit WHERE {condition} ORDER BY \"offset\" LIMIT {limit}");
    let mut answer = gateway.view.sql(SqlRequest { query, as_of: None, masked: false }).await?;
    let mut items = Vec::new();
    let mut last = None;
    while let Some(batch) = answer.batches.next().await {
        let lines = json_lines(&batch?)?;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let failed = |error: serde_json::Error| Problem::from(ViewError::Failed(error.to_string()));
            let row: Value = serde_json::from_slice(line).map_err(failed)?;
            last = row["offset"].as_i64();
            items.push(serde_json::from_str::<Value>(row["data"].as_str().unwrap_or_default()).map_err(failed)?);
        }
    }
    let next = last.filter(|_| items.len() == limit).map(|offset| offset.to_string());
    let mut noted = Noted::default();
    noted.details.insert("entries".to_owned(), items.len().to_string());
    Ok(noted.on(Json(json!({ "items": items, "next": next })).into_response()))
}

fn condition(parameters: &[(String, String)]) -> Result<(String, usize), Problem> {
    let mut conditions = vec!["true".to_owned()];
    let mut limit = PAGE_ITEMS_DEFAULT;
    let wrong = |name: &str, value: &str| Problem::bad_request(format!("{name} {value:?} cannot be"), format!("{name} {value:?} 无效"));
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    for (name, value) in parameters {
        match name.as_str() {
            "from" | "to" => {
                // A plus sign in a query string means a space.
                let time = DateTime::parse_from_rfc3339(&value.replace(' ', "+")).map_err(|_| wrong(name, value))?;
                let sign = if name == "from" { ">=" } else { "<" };
                conditions.push(format!("ce_time {sign} to_timestamp_micros({})", time.timestamp_micros()));
            }
            "actor" | "action" | "outcome" | "subject" => conditions.push(format!("json_get_str(data, '{name}') = {}", quoted(value))),
            "limit" => limit = value.parse().ok().filter(|limit| (1..=AUDIT_PAGE_MAX).contains(limit)).ok_or_else(|| wrong(name, value))?,
            "cursor" => conditions.push(format!("\"offset\" > {}", value.parse::<i64>().map_err(|_| wrong(name, value))?)),
            _ => {
                return Err(Problem::bad_request(
                    format!("there is no filter {name:?}; there are from, to, actor, action, outcome, subject, limit, cursor"),
                    format!("没有筛选条件 {name:?}；可用：from、to、actor、action、outcome、subject、limit、cursor"),
                ));
            }
        }
    }
    Ok((conditions.join(" AND "), limit))
}

/// What an auditor writes down, so that nobody can cut the end off.
pub(super) async fn head(State(gateway): State<Arc<Gateway>>) -> Response {
    let head = gateway.config.audit.as_ref().and_then(|audit| audit.head());
    Json(json!({ "head": head.map(|head| head.to_string()) })).into_response()
}
