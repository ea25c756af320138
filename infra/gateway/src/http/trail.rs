//! Who calls, what the audit keeps of it, and how it is told that somebody may not.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use chrono::Utc;
use schemas::Position;
use schemas::audit::{Note, Outcome};

use super::table::Route;
use super::{Gateway, Problem};
use crate::limits::AUDIT_TEXT_CHARS_MAX;
use crate::people::{Actor, Permission, Subject};

/// Who calls, from where, for what.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) actor: Actor,
    pub(super) remote: Option<SocketAddr>,
    pub(super) door: &'static str,
}

/// What a handler knows of a call that the audit keeps; it travels with the response.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted {
    /// Who it was, when the handler asked.
    pub(super) actor: Option<String>,
    pub(super) action: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) position: Option<Position>,
    pub(super) asked: Option<u64>,
    pub(super) details: BTreeMap<String, String>,
    /// Why it was refused although the answer is no error.
    pub(super) refused: Option<String>,
}

impl Noted {
    pub(super) fn on(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// What went wrong, as it travels with the response of a problem.
#[derive(Debug, Clone)]
pub(super) struct Why(pub(super) String);

/// The door of a path, as the audit calls it.
pub(super) fn door(path: &str) -> &'static str {
    match path {
        _ if path.starts_with("/open311/") => "open311",
        _ if path.starts_with("/sensorthings/") => "sensorthings",
        _ => "http",
    }
}

impl Caller {
    /// That they may not, with what they lack.
    pub(super) fn forbidden(&self, permission: Permission, subject: Option<&Subject>) -> Problem {
        let who = self.actor.name();
        let areas: Option<Vec<&str>> = subject.and_then(|subject| subject.areas.as_ref()).map(|areas| areas.iter().map(String::as_str).collect());
        let domains: Option<Vec<&str>> =
            subject.and_then(|subject| subject.domains.as_ref()).map(|matters| matters.iter().flatten().map(String::as_str).collect());
        let or = |names: &Option<Vec<&str>>, all: &str| names.as_ref().map_or_else(|| all.to_owned(), |names| names.join(", "));
        let name = permission.name();
        let (en, zh) = match subject {
            None => (format!("{who} lacks the permission {name}"), format!("{who} 没有权限 {name}")),
            Some(_) => (
                format!("{who} has the permission {name}, but not for domain [{}] in area [{}]", or(&domains, "all"), or(&areas, "the whole city")),
                format!("{who} 的权限 {name} 不包含领域 [{}]、区域 [{}]", or(&domains, "全部"), or(&areas, "全市")),
            ),
        };
        Problem::new(StatusCode::FORBIDDEN, "forbidden", ("Not permitted", "无权限"), en, zh)
            .with("permission", name)
            .with("domains", domains.map(serde_json::Value::from).unwrap_or_default())
            .with("areas", areas.map(serde_json::Value::from).unwrap_or_default())
    }
}

impl Gateway {
    /// Says in the audit that something is about to be tried, before it is. Gives the entry's number.
    ///
    /// # Errors
    /// When the audit does not take it: then nothing may be changed.
    pub(super) async fn announce(&self, caller: &Caller, noted: &Noted) -> Result<Option<u64>, Problem> {
        if self.config.audit.is_none() {
            return Ok(None);
        }
        let mut note = note(caller, noted, noted.action.as_deref().unwrap_or_default());
        note.outcome = Outcome::Asked;
        Ok(Some(self.write_down(note).await?))
    }

    /// Keeps how a call ended; when it may not be told before it is kept, the answer becomes that it was not.
    pub(super) async fn keep(&self, caller: &Caller, method: &Method, route: Option<&Route>, path: &str, mut response: Response) -> Response {
        let noted = response.extensions_mut().remove::<Noted>().unwrap_or_default();
        let why = response.extensions_mut().remove::<Why>();
        let status = response.status();
        let plain = route.map_or_else(|| format!("{method} {path}"), |route| route.id.to_owned());
        let mut note = note(caller, &noted, &plain);
        note.status = Some(status.as_u16());
        note.why = noted.refused.or(why.map(|Why(why)| why)).as_deref().map(kept);
        note.outcome = match status {
            _ if status.is_server_error() => Outcome::Failed,
            _ if status.is_client_error() || note.why.is_some() => Outcome::Refused,
            _ => Outcome::Done,
        };
        match self.write_down(note).await {
            Ok(_) => response,
            // What was refused stays refused; what was done must not be told of before it is kept.
            Err(_) if status.is_client_error() => response,
            Err(problem) => axum::response::IntoResponse::into_response(problem),
        }
    }

    async fn write_down(&self, note: Note) -> Result<u64, Problem> {
        let Some(audit) = &self.config.audit else { return Ok(0) };
        let action = note.action.clone();
        match tokio::time::timeout(self.config.patience, audit.append(note)).await {
            Ok(Ok(seq)) => Ok(seq),
            failed => {
                let cause = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "it took too long".to_owned(),
                };
                tracing::error!(action, cause, "the audit did not take an entry");
                Err(Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "audit",
                    ("The audit is not available", "审计不可用"),
                    "the audit could not be written, so nothing is acknowledged; ask again, a command with the same command_id is carried out once",
                    "审计无法写入，因此不予应答；请重试，command_id 相同的命令只执行一次",
                )
                .retry_after(5))
            }
        }
    }
}

fn note(caller: &Caller, noted: &Noted, action: &str) -> Note {
    let actor = noted.actor.clone().unwrap_or_else(|| caller.actor.name().to_owned());
    let action = noted.action.clone().unwrap_or_else(|| kept(action));
    let mut note = Note::new(actor, caller.door, action, Utc::now());
    note.remote = caller.remote.map(|remote| remote.to_string());
    note.subject = noted.subject.as_deref().map(kept);
    note.reason = noted.reason.as_deref().map(kept);
    note.position = noted.position.as_ref().map(Position::to_string);
    note.asked = noted.asked;
    note.details = noted.details.iter().map(|(name, value)| (name.clone(), kept(value))).collect();
    note
}

/// A text as the audit keeps it: without numbers of people, and not longer than what is read.
fn kept(text: &str) -> String {
    let short: String = text.chars().take(AUDIT_TEXT_CHARS_MAX).collect();
    schemas::pii::mask(&short).0.into_owned()
}

/// A query without what it looks for: literals and comments are left out, so that the audit keeps nobody's number.
pub(super) fn without_literals(query: &str) -> String {
    let mut kept = String::new();
    let mut rest = query.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                // A doubled quote stands for one.
                while let Some(inner) = rest.next() {
                    if inner == '\'' && rest.next_if_eq(&'\'').is_none() {
                        break;
                    }
                }
                kept.push('?');
            }
            '$' => {
                // $tag$ ... $tag$
                let tag: String = std::iter::from_fn(|| rest.next_if(|c| c.is_alphanumeric() || *c == '_')).collect();
                if rest.next_if_eq(&'$').is_some() {
                    let all: String = rest.by_ref().collect();
                    let end = format!("${tag}$");
                    let after = all.find(&end).map(|at| all[at + end.len()..].to_owned()).unwrap_or_default();
                    // What follows loses its first space with its last.
                    let gap = if after.starts_with(char::is_whitespace) { " " } else { "" };
                    return format!("{kept}?{gap}{}", without_literals(&after));
                }
                kept.push('?');
            }
            '-' if rest.peek() == Some(&'-') => _ = rest.find(|c| *c == '\n'),
            '/' if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                _ = rest.find(|c| std::mem::replace(&mut last, *c) == '*' && *c == '/');
            }
            '0'..='9' if !kept.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                while rest.next_if(|c| c.is_alphanumeric() || matches!(c, '.' | '_')).is_some() {}
                kept.push('?');
            }
            c if c.is_whitespace() => {
                if !kept.ends_with(' ') {
                    kept.push(' ');
                }
            }
            c => kept.push(c),
        }
    }
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_kept_without_what_it_looks_for() {
        for (query, shape) in [
            ("SELECT *\n FROM silver.case WHERE address = 'it''s 138' AND n > 13812345678 -- 王\n LIMIT 5", "SELECT * FROM silver.case WHERE address = ? AND n > ? LIMIT ?"),
            ("select /* 张三 */ a1, $$13812345678$$, $x$1$x$ from t", "select a1, ?, ? from t"),
            ("select 'open", "select ?"),
        ] {
            assert_eq!(without_literals(query), shape);
        }
    }
}
