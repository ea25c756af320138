//! `/v1/people` and `/v1/me`: who there is, and what they may do.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::trail::{Caller, Noted};
use super::{Gateway, Problem};
use crate::people::{ChangeError, PeopleChange, Permission};
use crate::view::ViewError;

/// People without their tokens' digests, and the roles.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>) -> Response {
    let staff = gateway.config.people.now();
    let people: Vec<Value> = staff.people().map(|person| json!({ "id": person.id, "name": person.name, "grants": person.grants })).collect();
    Json(json!({ "items": people, "roles": staff.roles().collect::<Vec<_>>() })).into_response()
}

/// Adds, rotates, grants or removes; answered when it is in force. A token is told this once.
pub(super) async fn change(State(gateway): State<Arc<Gateway>>, Extension(caller): Extension<Caller>, body: Bytes) -> Result<Response, Problem> {
    let change: PeopleChange = serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(
            format!("the body is not {{\"action\": \"add|rotate|grant|remove\", \"person\": \"...\", \"name\", \"grants\", \"reason\"}}: {error}"),
            format!("正文应为 {{\"action\": \"add|rotate|grant|remove\", \"person\": \"...\", \"name\", \"grants\", \"reason\"}}：{error}"),
        )
    })?;
    let mut noted =
        Noted { action: Some(format!("people.{}", change.action.name())), subject: Some(change.person.clone()), reason: change.reason.clone(), ..Noted::default() };
    if let Some(grants) = &change.grants {
        noted.details.insert("grants".to_owned(), serde_json::to_string(grants).expect("grants are text"));
    }
    noted.asked = gateway.announce(&caller, &noted).await?;
    match gateway.config.people.change(&change) {
        Ok(changed) => Ok(noted.on((StatusCode::CREATED, Json(changed)).into_response())),
        Err(ChangeError::Wrong { en, zh }) => {
            Err(Problem::new(StatusCode::CONFLICT, "people", ("The people cannot be changed so", "人员不能这样修改"), en, zh).noting(noted))
        }
        Err(error @ ChangeError::File { .. }) => {
            Err(Problem::from(ViewError::Unavailable { zh: format!("人员文件：{error}"), en: error.to_string() }).noting(noted))
        }
    }
}

/// Who asks, and what they may do.
pub(super) async fn me(Extension(caller): Extension<Caller>) -> Response {
    let permissions: Vec<&str> = Permission::ALL.into_iter().filter(|permission| caller.actor.may(*permission)).map(Permission::name).collect();
    let everywhere: Vec<&str> = Permission::ALL.into_iter().filter(|permission| caller.actor.may_everywhere(*permission)).map(Permission::name).collect();
    Json(json!({ "actor": caller.actor.id, "permissions": permissions, "everywhere": everywhere })).into_response()
}
