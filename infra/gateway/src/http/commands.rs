//! `POST /v1/commands`: what people decide. Who decides is who shows the token; what for, what the city knows of the target.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemas::journal::Action;
use schemas::matcher::Matcher;
use serde_json::{Value, json};

use super::table::{self, Target};
use super::trail::{Caller, Noted};
use super::{Gateway, Problem};
use crate::limits::COMMAND_BYTES_MAX;
use crate::people::{Permission, Subject};
use crate::view::Kind;

pub(super) async fn command(State(gateway): State<Arc<Gateway>>, Extension(caller): Extension<Caller>, body: Bytes) -> Result<Response, Problem> {
    let mut command = read(&body)?;
    let action = action(&command)?;
    let kind = table::kind_of(action);
    let text = |name: &str| command[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let mut noted = Noted { action: Some(format!("command.{}", action.name())), subject: text("target"), reason: text("reason"), ..Noted::default() };
    noted.details.extend(text("command_id").map(|id| ("command".to_owned(), id)));
    noted.details.insert("permission".to_owned(), kind.permission.name().to_owned());
    if let Some(name) = &caller.actor.id {
        let claimed = text("actor").filter(|claimed| claimed != name);
        if let Some(claimed) = claimed {
            noted.details.insert("claimed".to_owned(), claimed.clone());
            // The one token of the configuration has no name of its own that a script would know of.
            if name != "token" {
                return Err(spoofed(name, &claimed).noting(noted));
            }
        }
        command["actor"] = Value::from(name.as_str());
    }
    if let Err(problem) = check(&gateway, &caller, kind.permission, kind.target, &command).await {
        return Err(problem.noting(noted));
    }
    noted.asked = gateway.announce(&caller, &noted).await?;
    let commanded = match gateway.view.command(command).await {
        Ok(commanded) => commanded,
        Err(error) => return Err(Problem::from(error).noting(noted)),
    };
    noted.position = Some(commanded.position.clone());
    noted.refused = commanded.refused.clone();
    let mut answer = json!({ "position": commanded.position, "cursor": commanded.position.to_string() });
    if let Some(reason) = commanded.refused {
        answer["refused"] = Value::from(reason);
    }
    Ok(noted.on((StatusCode::ACCEPTED, Json(answer)).into_response()))
}

fn read(body: &Bytes) -> Result<Value, Problem> {
    if body.len() > COMMAND_BYTES_MAX {
        return Err(Problem::too_large(COMMAND_BYTES_MAX as u64));
    }
    let wrong = |why: String| Problem::bad_request(format!("the command is no JSON object: {why}"), format!("命令不是 JSON 对象：{why}"));
    let text = crate::encoding::utf8(body).map_err(|error| wrong(error.en()))?;
    let command: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if command.is_object() { Ok(command) } else { Err(wrong("it begins otherwise".to_owned())) }
}

fn action(command: &Value) -> Result<Action, Problem> {
    Action::ALL.into_iter().find(|action| command["action"] == action.name()).ok_or_else(|| {
        let names = Action::ALL.map(Action::name).join(", ");
        Problem::bad_request(format!("`action` is none of {names}"), format!("action 应为以下之一：{names}"))
    })
}

fn spoofed(name: &str, claimed: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "actor",
        ("Not this person", "操作者不符"),
        format!("the token is that of {name}, and the command says {claimed:?}: leave `actor` out"),
        format!("令牌属于 {name}，而命令写的是 {claimed:?}：请去掉 actor"),
    )
    .with("actor", name)
}

/// Whether the caller may do it to all that it is about.
async fn check(gateway: &Gateway, caller: &Caller, permission: Permission, target: Target, command: &Value) -> Result<(), Problem> {
    if caller.actor.may_everywhere(permission) {
        return Ok(());
    }
    if !caller.actor.may(permission) {
        return Err(caller.forbidden(permission, None));
    }
    for subject in subjects(gateway, target, command).await? {
        if !caller.actor.may_on(permission, &subject) {
            return Err(caller.forbidden(permission, Some(&subject)));
        }
    }
    Ok(())
}

/// What a command is about, as the city knows it. What the city does not know could be anything, and is the whole city.
async fn subjects(gateway: &Gateway, target: Target, command: &Value) -> Result<Vec<Subject>, Problem> {
    let text = |name: &str| command[name].as_str().unwrap_or_default();
    let kinds: &[Kind] = match target {
        Target::City => return Ok(vec![Subject::CITY]),
        Target::Matchers => return Ok(vec![of_matchers(&command["matchers"])]),
        Target::Silence => return around(gateway, "silences", text("target")),
        Target::Exercise => return around(gateway, "exercises", text("target")),
        Target::Case | Target::TwoCases => &[Kind::Case],
        Target::Alert => &[Kind::Alert],
        Target::Incident => &[Kind::Incident],
        Target::Either => &[Kind::Case, Kind::Alert],
    };
    let ids = if target == Target::TwoCases { vec![text("target"), text("other")] } else { vec![text("target")] };
    let mut subjects = Vec::new();
    for id in ids {
        let mut subject = Subject::CITY;
        for kind in kinds {
            if let Some(item) = gateway.view.get(*kind, id).await? {
                subject = Subject::of(&item);
                break;
            }
        }
        subjects.push(subject);
    }
    Ok(subjects)
}

fn of_matchers(matchers: &Value) -> Subject {
    serde_json::from_value::<Vec<Matcher>>(matchers.clone()).map_or(Subject::CITY, |matchers| Subject::of_matchers(&matchers))
}

fn around(gateway: &Gateway, list: &str, id: &str) -> Result<Vec<Subject>, Problem> {
    let alerting = gateway.view.alerting()?;
    let found = alerting[list].as_array().into_iter().flatten().find(|it| it["id"] == id);
    Ok(vec![found.map_or(Subject::CITY, |it| of_matchers(&it["matchers"]))])
}
