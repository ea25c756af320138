//! The live graph: what it is, as tables, and changes by people.

use std::sync::Arc;

use axum::{Extension, Json};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::trail::{Caller, Noted};
use super::{Gateway, Problem};
use crate::limits::GRAPH_CHANGE_BYTES_MAX;

type Shared = State<Arc<Gateway>>;

pub(super) async fn summary(State(gateway): Shared) -> Result<Response, Problem> {
    Ok(Json(gateway.view.graph()?).into_response())
}

pub(super) async fn table(State(gateway): Shared, Path(name): Path<String>) -> Result<Response, Problem> {
    let table = gateway.view.graph_table(&name)?.ok_or_else(|| Problem::not_found(&format!("view {name} of the graph")))?;
    Ok(Json(table).into_response())
}

/// What a person changes, as a JSON object; answered when the journal has it. The actor is who shows the token.
pub(super) async fn change(State(gateway): Shared, Extension(caller): Extension<Caller>, body: Bytes) -> Result<Response, Problem> {
    if body.len() > GRAPH_CHANGE_BYTES_MAX {
        return Err(Problem::too_large(GRAPH_CHANGE_BYTES_MAX as u64));
    }
    let wrong = |error: serde_json::Error| Problem::bad_request(format!("the body is no JSON: {error}"), format!("正文不是 JSON：{error}"));
    let mut asked: Value = serde_json::from_slice(&body).map_err(wrong)?;
    if let (Some(actor), Some(asked)) = (&caller.actor.id, asked.as_object_mut()) {
        asked.insert("actor".to_owned(), Value::from(actor.clone()));
    }
    let dry_run = asked["dry_run"] == true;
    let mut noted = Noted {
        action: Some("graph.change".to_owned()),
        subject: asked["remove_pack"].as_str().map(str::to_owned),
        reason: asked["reason"].as_str().map(str::to_owned),
        ..Noted::default()
    };
    if !dry_run {
        noted.asked = gateway.announce(&caller, &noted).await?;
    }
    match gateway.view.change_graph(asked).await {
        Ok(changed) => {
            noted.position = serde_json::from_value(changed["position"].clone()).ok();
            Ok(noted.on(Json(changed).into_response()))
        }
        Err(error) => Err(Problem::from(error).noting(noted)),
    }
}
