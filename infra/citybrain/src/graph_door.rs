//! What `GET` and `POST /v1/graph` do: the live graph in a few words, as tables, and changed by people.
//!
//! A change is checked against a copy of the live graph first, so that all that is wrong with it can be told and nothing of
//! it happens; then it becomes one record of the journal, unless the graph has changed meanwhile.

use gateway::ViewError;
use graph::{Change, ChangeError, Graph, PackError};
use schemas::journal::GraphChanged;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sequencer::{NotDone, SequencerHandle};

/// What somebody asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    actor: String,
    reason: String,
    /// The version of the graph that they looked at.
    #[serde(default)]
    version: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
    /// A pack that goes, before the changes.
    #[serde(default)]
    remove_pack: Option<String>,
    /// In any order.
    #[serde(default)]
    changes: Vec<Change>,
}

/// What it comes to.
struct Planned {
    changes: Vec<Change>,
    from: String,
    to: String,
    told: Vec<Value>,
}

/// The graph in a few words.
pub fn summary(graph: &Graph) -> Value {
    json!({ "version": graph.version(), "elements": graph.len(), "packs": graph.packs() })
}

/// A table of the graph.
pub fn table(graph: &Graph, name: &str) -> Option<Value> {
    let view = graph.view(name)?;
    Some(json!({ "version": graph.version(), "columns": view.columns, "rows": view.rows }))
}

/// Changes the live graph.
///
/// # Errors
/// What is wrong with the request or with the changes, or that the graph has another version.
pub async fn change(sequencer: &SequencerHandle, asked: Value) -> Result<Value, ViewError> {
    let asked = read(asked)?;
    let live = sequencer.core.lock().expect("the core is never poisoned").brain().graph().clone();
    let planned = plan(live, &asked)?;
    let mut answer = json!({ "from": planned.from, "version": planned.to, "changes": planned.told, "dry_run": asked.dry_run });
    if asked.dry_run || planned.changes.is_empty() {
        return Ok(answer);
    }
    let changes = planned.changes.iter().map(|change| serde_json::to_string(change).expect("plain values")).collect();
    let changed = GraphChanged { actor: asked.actor, reason: asked.reason, changes };
    let (position, refused) = sequencer.change_graph(changed, planned.from).await.map_err(|error| match error {
        NotDone::GraphMoved(version) => moved(version),
        NotDone::Stopped => ViewError::Failed(error.to_string()),
    })?;
    if let Some(problem) = refused {
        return Err(ViewError::Failed(problem));
    }
    answer["cursor"] = json!(position.to_string());
    answer["position"] = json!(position);
    Ok(answer)
}

fn read(asked: Value) -> Result<Asked, ViewError> {
    let wrong = |en: String, zh: String| ViewError::Wrong { en, zh };
    let asked: Asked = serde_json::from_value(asked).map_err(|error| {
        wrong(
            format!("the body is not {{\"actor\", \"reason\", \"changes\": [{{\"put\": {{\"element\"}}}}, {{\"remove\": \"KIND/ID\"}}], ...}}: {error}"),
            format!("正文应含 actor、reason 与 changes：{error}"),
        )
    })?;
    if asked.actor.trim().is_empty() || asked.reason.trim().is_empty() {
        return Err(wrong("`actor` says who changes the graph, `reason` why: neither is empty".to_owned(), "actor（何人）与 reason（何故）不得为空".to_owned()));
    }
    Ok(asked)
}

fn plan(mut graph: Graph, asked: &Asked) -> Result<Planned, ViewError> {
    let from = graph.version();
    if asked.version.as_ref().is_some_and(|version| *version != from) {
        return Err(moved(from));
    }
    let before = graph.clone();
    let mut changes = match &asked.remove_pack {
        Some(pack) => graph.remove_pack(pack).map_err(|error| match error {
            PackError::Held { source, .. } => refused(vec![source]),
            other => ViewError::Wrong { en: other.to_string(), zh: format!("场景包 {pack} 未安装") },
        })?,
        None => Vec::new(),
    };
    changes.extend(graph.amend(asked.changes.clone()).map_err(refused)?);
    let told = changes.iter().map(|change| json!({ "key": change.key(), "change": word(&before, change) })).collect();
    Ok(Planned { changes, from, to: graph.version(), told })
}

fn word(before: &Graph, change: &Change) -> &'static str {
    match change {
        Change::Put(entry) if before.get(&entry.element.key()).is_some() => "changed",
        Change::Put(_) => "added",
        Change::Remove(_) => "removed",
    }
}

fn moved(version: String) -> ViewError {
    ViewError::Conflict {
        en: format!("the graph has changed: its version is {version}; look at it again, then ask again"),
        zh: format!("图谱已变更，当前版本 {version}；请重新查看后再提交"),
        version,
    }
}

fn refused(errors: Vec<ChangeError>) -> ViewError {
    ViewError::Refused {
        en: "nothing was changed: `problems` says what does not fit the graph".to_owned(),
        zh: "未做任何更改：problems 列出与图谱不符之处".to_owned(),
        problems: errors.into_iter().map(|error| (error.key.to_string(), error.problem)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: Value) -> Result<Planned, ViewError> {
        plan(Graph::builtin(), &read(body)?)
    }

    #[test]
    fn a_pack_goes_and_comes_back_in_one_request() {
        let pack = graph::Pack::builtin().into_iter().find(|pack| pack.id == "bridge").unwrap();
        let gone = ask(json!({ "actor": "王", "reason": "test", "remove_pack": "bridge" })).unwrap();
        assert!(gone.told.iter().all(|told| told["change"] == "removed") && gone.told.len() == pack.len());
        let both = ask(json!({ "actor": "王", "reason": "test", "remove_pack": "bridge", "changes": pack.changes() })).unwrap();
        assert_eq!((both.to, both.changes.len()), (both.from, 2 * pack.len()));
    }

    #[test]
    fn what_is_wrong_is_said_for_each_element() {
        let Err(ViewError::Refused { problems, .. }) = ask(json!({ "actor": "王", "reason": "test", "changes": [{ "remove": "unit/drainage" }, { "remove": "unit/nobody" }] }))
        else {
            panic!("it is refused")
        };
        assert_eq!(problems.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["unit/nobody", "unit/drainage"]);
        assert!(matches!(ask(json!({ "actor": "王", "reason": " ", "changes": [] })), Err(ViewError::Wrong { .. })));
        assert!(matches!(ask(json!({ "actor": "王", "reason": "x", "changes": [{ "put": {} }] })), Err(ViewError::Wrong { .. })));
        assert!(matches!(ask(json!({ "actor": "王", "reason": "x", "remove_pack": "snow" })), Err(ViewError::Wrong { .. })));
    }

    #[test]
    fn another_version_than_the_one_that_was_looked_at_is_a_conflict() {
        let version = Graph::builtin().version();
        let body = |version: &str| json!({ "actor": "王", "reason": "test", "version": version, "remove_pack": "bridge" });
        let Err(ViewError::Conflict { version: now, .. }) = ask(body("0")) else { panic!("it conflicts") };
        assert_eq!(now, version);
        assert!(ask(body(&version)).is_ok());
    }
}
