//! `citybrain people`: who there is, in which roles, and the tokens that let them in.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use gateway::people::{Changed, GrantEntry, NameEntry, People, PeopleAction, PeopleChange, Permission, Staff};
use serde_json::Value;

use crate::cli::{Ended, GrantArgs, Invocation, PeopleCommand};
use crate::city_files::CityFiles;
use crate::home::{Home, Running};
use crate::lang::t;
use crate::parts::Parts;
use crate::service::{Options, Service};
use crate::{audit, status};

/// The file of people: the one that is named, else that of the home.
pub fn file(context: &Invocation, home: &Home) -> PathBuf {
    context.global.people.clone().unwrap_or_else(|| home.dir("people.yaml"))
}

/// The command.
pub async fn run(context: &Invocation, command: PeopleCommand) -> Result<Ended> {
    let home = context.home()?;
    let change = |action, person: String, name, grants, reason| PeopleChange { action, person, name, grants, reason };
    let change = match command {
        PeopleCommand::List => return list(context, &staff(context, &home)?),
        PeopleCommand::Show { person } => return show(&staff(context, &home)?, &person),
        PeopleCommand::Roles => return roles(context, &staff(context, &home)?),
        PeopleCommand::Check => return check(context, &home),
        PeopleCommand::Add { person, zh, en, grant, reason } => {
            let name = NameEntry { zh: zh.or(en.clone()).unwrap_or_else(|| person.clone()), en: en.unwrap_or_else(|| person.clone()) };
            change(PeopleAction::Add, person, Some(name), Some(grants(grant)), reason)
        }
        PeopleCommand::Grant { person, grant, reason } => change(PeopleAction::Grant, person, None, Some(grants(grant)), reason),
        PeopleCommand::Rotate { person, reason } => change(PeopleAction::Rotate, person, None, None, reason),
        PeopleCommand::Remove { person, reason } => change(PeopleAction::Remove, person, None, None, reason),
    };
    let changed = make(context, &home, &change).await?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&changed)?);
        return Ok(Ended::Done);
    }
    match changed.token {
        Some(token) => {
            println!("{token}");
            eprintln!("{}", t("这是本人的令牌，只显示这一次", "this is the person's token; it is shown this once"));
        }
        None => eprintln!("{} {}", t("已生效：", "in force:"), changed.person),
    }
    Ok(Ended::Done)
}

/// One grant for each role, all of them for the same domains and areas.
fn grants(args: GrantArgs) -> Vec<GrantEntry> {
    let set = |names: &[String]| (!names.is_empty()).then(|| names.iter().cloned().collect::<BTreeSet<_>>());
    args.role.iter().map(|role| GrantEntry { role: role.clone(), domains: set(&args.domain), areas: set(&args.area) }).collect()
}

/// The people of the home, as their file has them.
///
/// # Errors
/// When the file is wrong or cannot be read.
pub fn staff(context: &Invocation, home: &Home) -> Result<Staff> {
    let path = file(context, home);
    match std::fs::read_to_string(&path) {
        Ok(text) => Staff::parse(&text).map_err(anyhow::Error::msg).with_context(|| format!("{} is wrong", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Staff::parse("").map_err(anyhow::Error::msg),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

async fn make(context: &Invocation, home: &Home, change: &PeopleChange) -> Result<Changed> {
    if let Some(running) = context.running(home) {
        let (code, answer) = status::ask(&with_doors(&running)?, "POST", "/v1/people", &serde_json::to_string(change)?).await?;
        if code != 201 {
            bail!("{}", t(answer["detail_zh"].as_str().unwrap_or_default(), answer["detail"].as_str().unwrap_or_default()));
        }
        return serde_json::from_value(answer).context("the answer is of another form");
    }
    let people = People::open(file(context, home))?;
    let service = Service::start(context, home, &Options::quiet(), Parts::new()).await?;
    let mut note = audit::by_hand(format!("people.{}", change.action.name()));
    note.subject = Some(change.person.clone());
    note.reason = change.reason.clone();
    let made = audit::around(&service.audit, note, async { Ok(people.change(change)?) }).await;
    let settled = service.settle().await;
    let stopped = service.stop().await;
    let changed = made?;
    settled?;
    stopped?;
    Ok(changed)
}

/// The brain that runs, if its doors do.
pub fn with_doors(running: &Running) -> Result<Running> {
    if running.http.is_none() {
        bail!("citybrain {} uses this home and has no HTTP door: stop it first, or run `citybrain run` with doors", running.pid);
    }
    Ok(running.clone())
}

fn list(context: &Invocation, staff: &Staff) -> Result<Ended> {
    let rows: Vec<_> = staff
        .people()
        .map(|person| {
            let granted: Vec<String> = person.grants.iter().map(in_words).collect();
            let name = t(&person.name.zh, &person.name.en);
            let row = serde_json::json!({ "id": person.id, "name": name, "grants": granted.join("; ") });
            row.as_object().cloned().unwrap_or_default()
        })
        .collect();
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if rows.is_empty() {
        println!("{}", t("没有人员：入口不区分人", "nobody: the doors do not tell people apart"));
    } else {
        crate::items::print_table(&["id", "name", "grants"], &rows);
    }
    Ok(Ended::Done)
}

fn in_words(grant: &GrantEntry) -> String {
    let part = |names: &Option<BTreeSet<String>>, sign: &str| names.as_ref().map_or_else(String::new, |names| format!("{sign}{}", names.iter().cloned().collect::<Vec<_>>().join(",")));
    format!("{}{}{}", grant.role, part(&grant.domains, " /"), part(&grant.areas, " @"))
}

fn show(staff: &Staff, id: &str) -> Result<Ended> {
    let person = staff.person(id).with_context(|| format!("there is no {id} among the people"))?;
    let mut shown = serde_json::to_value(person)?;
    shown["token"] = Value::from(format!("sha256 {}...", &person.token[..8]));
    println!("{}", serde_json::to_string_pretty(&shown)?);
    Ok(Ended::Done)
}

/// Roles against permissions.
fn roles(context: &Invocation, staff: &Staff) -> Result<Ended> {
    let rows: Vec<_> = staff
        .roles()
        .map(|role| {
            let mut row = serde_json::Map::from_iter([("role".to_owned(), Value::from(role.id.clone())), ("name".to_owned(), Value::from(t(&role.name.zh, &role.name.en)))]);
            row.extend(Permission::ALL.map(|permission| (permission.name().to_owned(), Value::from(if role.permissions.contains(&permission) { "x" } else { "." }))));
            row
        })
        .collect();
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&staff.roles().collect::<Vec<_>>())?);
    } else {
        let columns: Vec<&str> = ["role", "name"].into_iter().chain(Permission::ALL.map(Permission::name)).collect();
        crate::items::print_table(&columns, &rows);
    }
    Ok(Ended::Done)
}

/// Whether the file is right, and whether the graph knows its domains and areas.
fn check(context: &Invocation, home: &Home) -> Result<Ended> {
    let staff = staff(context, home)?;
    let graph = CityFiles::of(home)?.graph(&graph::Graph::new())?;
    let mut unknown = Vec::new();
    for person in staff.people() {
        for grant in &person.grants {
            let domains = grant.domains.iter().flatten().filter(|name| graph.scenario(name).is_none() && graph.category(name).is_none());
            unknown.extend(domains.map(|name| format!("{}: {name:?} {}", person.id, t("不是场景或类别", "is no scenario and no category"))));
            let areas = grant.areas.iter().flatten().filter(|name| graph.place(name).is_none());
            unknown.extend(areas.map(|name| format!("{}: {name:?} {}", person.id, t("不是地点", "is no place"))));
        }
    }
    unknown.iter().for_each(|line| println!("{line}"));
    println!("{} {}, {} {}", staff.people().count(), t("人", "people"), staff.roles().count(), t("个角色", "roles"));
    Ok(if unknown.is_empty() { Ended::Done } else { Ended::Differs })
}
