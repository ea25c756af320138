//! `citybrain graph apply` and `citybrain graph pack`: people change the graph of the running brain, through its HTTP door.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use graph::{Change, Graph, Key};
use serde_json::{Value, json};

use crate::cli::{Ended, GraphApply, GraphReason, Invocation, PackAction};
use crate::graph_command::{at, print, read, zh};
use crate::home::{Home, Running};
use crate::jobs::{self, Catalog};
use crate::lang::t;
use crate::packs::{self, PackFolder};
use crate::status;

/// `graph apply`.
pub async fn apply(context: &Invocation, apply: &GraphApply) -> Result<Ended> {
    let files = read(&apply.files)?;
    let removed = apply.remove.iter().map(|key| key.parse::<Key>().map(Change::Remove).map_err(anyhow::Error::msg)).collect::<Result<Vec<_>>>()?;
    let running = running(&context.home()?)?;
    let changes: Vec<Change> = files.changes(None).into_iter().chain(removed).collect();
    let asked = json!({ "changes": changes, "version": apply.expect });
    let answer = ask(&running, asked, &apply.reason, "graph apply", &|key| files.stands(key)).await?;
    print(context, &answer, || tell(&answer))
}

/// `graph pack`.
pub async fn pack(context: &Invocation, action: &PackAction) -> Result<Ended> {
    match action {
        PackAction::List => list(context).await,
        PackAction::Install { pack, reason } => install(context, pack, reason).await,
        PackAction::Remove { pack, reason } => remove(context, pack, reason).await,
    }
}

async fn install(context: &Invocation, name: &str, reason: &GraphReason) -> Result<Ended> {
    let home = context.home()?;
    let it = PackFolder::find(name)?;
    let id = &it.pack.id;
    let running = running(&home)?;
    let live = status::get(&running, "/v1/graph").await?;
    if live["packs"].get(id).is_some() {
        bail!("{}", t("该场景包已安装；请先卸载", "this pack is installed; remove it first"));
    }
    check_jobs(&home, &it)?;
    // Before the graph has the pack, as its jobs are looked for as soon as it does.
    if !reason.dry_run {
        it.keep(&home)?;
    }
    let asked = json!({ "changes": it.pack.changes(), "version": live["version"] });
    let answer = match ask(&running, asked, reason, &format!("graph pack install {id}"), &|key| it.pack.stands(key)).await {
        Ok(answer) => answer,
        Err(error) => {
            it.leave(&home)?;
            return Err(error);
        }
    };
    let reports = if reason.dry_run { Vec::new() } else { jobs::follow_pack(&home, &running, &it.jobs, true).await? };
    print(context, &answer, || {
        tell(&answer);
        reports.iter().for_each(|report| println!("{}: {}", report.name, report.note.as_ref().unwrap_or(&report.state)));
    })
}

async fn remove(context: &Invocation, id: &str, reason: &GraphReason) -> Result<Ended> {
    let home = context.home()?;
    let running = running(&home)?;
    let answer = ask(&running, json!({ "remove_pack": id }), reason, &format!("graph pack remove {id}"), &|_| None).await?;
    if !reason.dry_run {
        let names = jobs_of(&home, id)?;
        jobs::follow_pack(&home, &running, &names, false).await?;
        packs::forget(&packs::folder_in(&home, id))?;
    }
    print(context, &answer, || tell(&answer))
}

async fn list(context: &Invocation) -> Result<Ended> {
    let home = context.home()?;
    let installed: BTreeMap<String, u64> = match running(&home) {
        Ok(running) => serde_json::from_value(status::get(&running, "/v1/graph").await?["packs"].clone()).unwrap_or_default(),
        Err(_) => of(&at(context, None).await?),
    };
    let mut known: BTreeMap<String, PackFolder> = PackFolder::builtin().into_iter().map(|it| (it.pack.id.clone(), it)).collect();
    known.extend(packs::kept(&home)?.into_iter().map(|it| (it.pack.id.clone(), it)));
    let mut items: BTreeMap<String, Value> = installed.iter().map(|(id, elements)| (id.clone(), json!({ "id": id, "installed": true, "elements": elements }))).collect();
    for (id, it) in known {
        let elements = installed.get(&id).copied().unwrap_or(it.pack.len() as u64);
        let item = json!({
            "id": id, "name": it.pack.name, "about": it.pack.about, "installed": installed.contains_key(&id), "elements": elements,
            "jobs": it.jobs, "script": it.has_script, "ships": it.folder.is_none(),
        });
        items.insert(id, item);
    }
    let items: Vec<Value> = items.into_values().collect();
    print(context, &items, || {
        for item in &items {
            let mark = if item["installed"] == true { t("已安装", "installed") } else { t("未安装", "-") };
            let name = item["name"][if zh() { "zh" } else { "en" }].as_str().unwrap_or_default();
            let jobs: Vec<&str> = item["jobs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            println!("{mark:<10} {:<18} {name}  {} {}", item["id"].as_str().unwrap_or_default(), t("作业：", "jobs:"), if jobs.is_empty() { "-".to_owned() } else { jobs.join(", ") });
        }
    })
}

fn of(graph: &Graph) -> BTreeMap<String, u64> {
    graph.packs().into_iter().map(|(id, elements)| (id.to_owned(), elements as u64)).collect()
}

/// Names of the jobs that come with a pack, wherever it is from.
fn jobs_of(home: &Home, id: &str) -> Result<Vec<String>> {
    let folder = packs::folder_in(home, id);
    match folder.is_dir() {
        true => Ok(PackFolder::read(&folder)?.jobs),
        false => Ok(packs::jobs_that_ship_with(id).map(|job| job.name.to_owned()).collect()),
    }
}

/// The jobs of a pack's folder, each read once, so that a wrong one is told before anything changes.
fn check_jobs(home: &Home, it: &PackFolder) -> Result<()> {
    let Some(folder) = &it.folder else { return Ok(()) };
    let known = Catalog::new(home).look()?;
    for path in packs::job_files(&folder.join("jobs"))? {
        let job = jobs::load(&path, home.root())?;
        if known.get(job.name()).is_some_and(|entry| entry.pack.as_deref() != Some(it.pack.id.as_str())) {
            bail!("{}: there is a job {} already: give this one another name", path.display(), job.name());
        }
    }
    Ok(())
}

/// The brain that runs on a home, with its HTTP door.
fn running(home: &Home) -> Result<Running> {
    match home.running() {
        Some(running) if running.http.is_some() => Ok(running),
        Some(running) => bail!("citybrain {} {}", running.pid, t("没有 HTTP 入口：请用带 doors 的 `citybrain run`", "runs on this home and has no HTTP door: use `citybrain run` with doors")),
        None => bail!(
            "{}",
            t(
                "该目录上没有运行中的大脑：先 `citybrain run` 再试；或把元素写入 <home>/graph/*.yaml，下次启动时生效",
                "no brain runs on this home: start one with `citybrain run` and try again, or write the elements into <home>/graph/*.yaml, which are taken in at the next start"
            )
        ),
    }
}

/// Asks the running brain for a change; `stands` says in which file and line an element is.
async fn ask<'a>(running: &Running, mut asked: Value, reason: &GraphReason, what: &str, stands: &dyn Fn(&Key) -> Option<(&'a str, usize)>) -> Result<Value> {
    let actor = std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "operator".to_owned());
    asked["actor"] = json!(actor);
    asked["reason"] = json!(reason.reason.as_deref().unwrap_or(what));
    asked["dry_run"] = json!(reason.dry_run);
    let (code, answer) = status::ask(running, "POST", "/v1/graph", &asked.to_string()).await?;
    if code == 200 {
        return Ok(answer);
    }
    let said = t(answer["detail_zh"].as_str().unwrap_or_default(), answer["detail"].as_str().unwrap_or_default());
    let Some(problems) = answer["problems"].as_array().filter(|problems| !problems.is_empty()) else { bail!("{said}") };
    let mut told = Vec::new();
    for problem in problems {
        let text = |field: &str| problem[field].as_str().unwrap_or_default();
        let key: Key = text("key").parse().map_err(anyhow::Error::msg).context("the running brain names an element in another way: it is another version of citybrain")?;
        told.push(match stands(&key) {
            Some((file, line)) => (file.to_owned(), line, text("problem").to_owned()),
            None => (String::new(), 0, format!("{key}: {}", text("problem"))),
        });
    }
    told.sort();
    let lines: Vec<String> = told.into_iter().map(|(file, line, problem)| if line == 0 { problem } else { format!("{file}:{line}: {problem}") }).collect();
    bail!("{}\n{}", t("未做任何更改", "nothing was changed"), lines.join("\n"))
}

/// What changed, as `graph diff` prints it, and the versions.
fn tell(answer: &Value) {
    for change in answer["changes"].as_array().into_iter().flatten() {
        let sign = match change["change"].as_str() {
            Some("added") => '+',
            Some("changed") => '~',
            _ => '-',
        };
        println!("{sign} {}", change["key"].as_str().unwrap_or_default());
    }
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    match answer["cursor"].as_str() {
        Some(cursor) => eprintln!("{} {} → {}  {cursor}", t("图谱版本", "graph version"), text("from"), text("version")),
        None if answer["dry_run"] == true => eprintln!("{} {} → {}", t("试运行，未更改：图谱版本", "dry run, nothing was changed: graph version"), text("from"), text("version")),
        None => eprintln!("{} {}", t("没有差别，图谱版本仍为", "it makes no difference: the graph's version stays"), text("version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_the_door_names_is_read_back() {
        for entry in Graph::builtin().entries() {
            let key = entry.element.key();
            assert_eq!(key.to_string().parse::<Key>().as_ref(), Ok(&key));
        }
    }
}
