//! `/v1/devices`: the device registry, for operators.

use std::sync::Arc;

use axum::{Extension, Json};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::json;

use super::trail::{Caller, Noted};
use super::{Gateway, Problem};
use crate::devices::{Change, ChangeError};
use crate::view::ViewError;

pub(super) async fn list(State(gateway): State<Arc<Gateway>>) -> Response {
    Json(json!({ "items": gateway.config.devices.list() })).into_response()
}

/// Adds, rotates or revokes; answered when it is in force. The key is told this once.
pub(super) async fn change(State(gateway): State<Arc<Gateway>>, Extension(caller): Extension<Caller>, body: Bytes) -> Result<Response, Problem> {
    let mut change: Change = serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(
            format!("the body is not {{\"action\": \"add|rotate|revoke\", \"device\": \"...\", \"name\", \"reason\", \"actor\"}}: {error}"),
            format!("正文应为 {{\"action\": \"add|rotate|revoke\", \"device\": \"...\", \"name\", \"reason\", \"actor\"}}：{error}"),
        )
    })?;
    let log = gateway.config.device_log.as_ref().ok_or_else(|| ViewError::Unavailable {
        en: "the device registry cannot be changed in this process".to_owned(),
        zh: "本进程不能修改设备登记".to_owned(),
    })?;
    if let Some(actor) = &caller.actor.id {
        change.actor = Some(actor.clone());
    }
    let mut noted = Noted { action: Some(format!("device.{}", change.action.name())), subject: Some(change.device.clone()), reason: change.reason.clone(), ..Noted::default() };
    noted.asked = gateway.announce(&caller, &noted).await?;
    match gateway.config.devices.change(log.as_ref(), Utc::now(), &change).await {
        Ok(changed) => {
            noted.position = Some(changed.position.clone());
            Ok(noted.on((StatusCode::CREATED, Json(changed)).into_response()))
        }
        Err(ChangeError::Wrong { en, zh }) => {
            Err(Problem::new(StatusCode::CONFLICT, "device", ("The registry cannot be changed so", "设备登记不能这样修改"), en, zh).noting(noted))
        }
        Err(error @ ChangeError::Log { .. }) => {
            Err(Problem::from(ViewError::Unavailable { en: error.to_string(), zh: "消息总线不可用，设备登记未修改".to_owned() }).noting(noted))
        }
    }
}
