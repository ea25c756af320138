//! `citybrain graph`: checks the files, and asks the graph as it is or as it was.
//!
//! The graph is the fold of `bronze.city_graph`, in which every change has landed with the moment at which it was recorded;
//! `--as-of` folds up to a moment. A home that has decided nothing yet has the graph of its files.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use brain::GraphChange;
use chrono::{DateTime, Utc};
use graph::{Chain, Change, Files, Graph, Here, Key, Kind, When};
use schemas::alert::Point;
use schemas::signal::MicroDeg;
use serde_json::{Value, json};

use crate::city_files::{CityFiles, texts, yaml_files};
use crate::cli::{Ended, GraphAction, GraphAsk, GraphPlace, Invocation, moment};
use crate::graph_change;
use crate::lake;
use crate::lang::{Lang, lang, t};

/// The command.
pub async fn run(context: &Invocation, as_of: Option<String>, action: GraphAction) -> Result<Ended> {
    match &action {
        GraphAction::Check { files } => return check(context, files),
        GraphAction::Apply(apply) => return graph_change::apply(context, apply).await,
        GraphAction::Pack { action } => return graph_change::pack(context, action).await,
        _ => {}
    }
    let as_of = moment("as-of", as_of.as_deref())?;
    let graph = at(context, as_of).await?;
    match action {
        GraphAction::Check { .. } | GraphAction::Apply(_) | GraphAction::Pack { .. } => unreachable!("answered above"),
        GraphAction::Ask(ask) => who_owes(context, &graph, &ask, as_of),
        GraphAction::Show { id, dot, geojson } => show(context, &graph, id.as_deref(), dot, geojson),
        GraphAction::Path { from, to } => path(context, &graph, &from, &to),
        GraphAction::Follow { what, top, place } => follow(context, &graph, &what, top, &place, as_of),
        GraphAction::Explain { event, top } => explain(context, &graph, &event, top),
        GraphAction::Reach { lat, lon, kind, minutes, top } => {
            let point = Point { lat: degrees(lat)?, lon: degrees(lon)? };
            let found = graph.what_reaches(point, &kind, minutes, when(as_of), top);
            print(context, &found, || {
                for it in &found {
                    println!("{:>4} min  {:>6} m  {} × {} ({}, {})", it.minutes, it.metres, it.count, it.resource, it.kind, it.unit);
                }
            })
        }
        GraphAction::Diff { files, to } => {
            let other = if files.is_empty() { at(context, moment("to", to.as_deref())?).await? } else { read(&files)?.graph()? };
            diff(context, &graph, &other)
        }
    }
}

/// The graph as it was at a moment, or as it is.
pub async fn at(context: &Invocation, as_of: Option<DateTime<Utc>>) -> Result<Graph> {
    let home = context.home()?;
    let lake = lake::open(&home).await?;
    if !lake::has_table(&lake, "bronze", "city_graph").await? {
        if as_of.is_some() {
            bail!("{}", t("该目录还没有图谱变更记录，--as-of 无从谈起", "this home has recorded no change of the graph yet, so there is no --as-of"));
        }
        return CityFiles::of(&home)?.graph(&Graph::new());
    }
    let until = as_of.map(|as_of| format!(" WHERE recorded_time <= TIMESTAMP '{}'", as_of.format("%Y-%m-%dT%H:%M:%S%.6fZ"))).unwrap_or_default();
    let rows = lake::rows(&lake, &format!("SELECT data FROM bronze.city_graph{until} ORDER BY \"offset\"")).await?;
    let mut graph = Graph::new();
    for row in rows {
        let told: GraphChange = serde_json::from_str(lake::text(&row, "data")).context("a change of the graph cannot be read")?;
        let change = told.change().map_err(anyhow::Error::msg)?;
        graph.apply(change).with_context(|| format!("the change {} does not follow from those before it", told.id))?;
    }
    Ok(graph)
}

fn check(context: &Invocation, files: &[std::path::PathBuf]) -> Result<Ended> {
    let graph = if files.is_empty() { CityFiles::of(&context.home()?)?.graph(&Graph::new())? } else { read(files)?.graph()? };
    let counts: Vec<(&str, usize)> = Kind::ALL.map(|kind| (kind.word(), graph.entries().filter(|entry| entry.element.key().kind == kind).count())).to_vec();
    let document = json!({ "version": graph.version(), "elements": graph.len(), "packs": graph.packs(), "kinds": counts.iter().copied().collect::<std::collections::BTreeMap<_, _>>() });
    print(context, &document, || {
        println!("{} {}", t("图谱正确，版本", "the graph is sound, version"), graph.version());
        for (kind, count) in counts.iter().filter(|(_, count)| *count > 0) {
            println!("{count:>8}  {kind}");
        }
    })
}

/// Reads files, and the YAML files of folders.
pub fn read(files: &[std::path::PathBuf]) -> Result<Files> {
    let mut paths = Vec::new();
    for path in files {
        if path.is_dir() { paths.extend(yaml_files(path)?) } else { paths.push(path.clone()) }
    }
    Ok(Files::read(&texts(&paths)?)?)
}

fn who_owes(context: &Invocation, graph: &Graph, ask: &GraphAsk, as_of: Option<DateTime<Utc>>) -> Result<Ended> {
    let at = moment("time", ask.time.as_deref())?.or(as_of);
    // A category, a request's type, or what somebody said.
    let category = match graph.category(&ask.what) {
        Some(category) => category.id.clone(),
        None => graph.sort_request_type(&ask.what).unwrap_or_else(|| graph.sort_text(&ask.what)).category,
    };
    let owed = graph.who_owes(&category, here(&ask.place)?, when(at));
    let name = |unit: &str| graph.unit(unit).map(|unit| if zh() { unit.name.zh.clone() } else { unit.name.en.clone() }).unwrap_or_default();
    let document = json!({ "category": category, "unit": owed.unit, "name": name(&owed.unit), "superiors": owed.superiors, "alternatives": owed.alternatives, "path": owed.path, "graph_version": graph.version() });
    print(context, &document, || {
        println!("{} {}", owed.unit, name(&owed.unit));
        owed.path.iter().for_each(|step| println!("  {step}"));
        for other in &owed.alternatives {
            println!("  {} {other} {}", t("备选", "else"), name(other));
        }
    })
}

fn show(context: &Invocation, graph: &Graph, id: Option<&str>, dot: bool, geojson: bool) -> Result<Ended> {
    let keys: Vec<Key> = match id {
        Some(id) => keys_of(graph, id)?,
        None => Vec::new(),
    };
    let mut drawn: BTreeSet<Key> = keys.iter().cloned().collect();
    drawn.extend(keys.iter().flat_map(|key| graph.around(key)).map(|step| step.to));
    if dot {
        print!("{}", graph.to_dot(&drawn, zh()));
        return Ok(Ended::Done);
    }
    if geojson {
        println!("{}", serde_json::to_string_pretty(&graph.to_geojson(&drawn))?);
        return Ok(Ended::Done);
    }
    let Some(_) = id else {
        let keys: Vec<String> = graph.entries().map(|entry| entry.element.key().to_string()).collect();
        return print(context, &keys, || keys.iter().for_each(|key| println!("{key}")));
    };
    let elements: Vec<Value> = keys.iter().map(|key| json!({ "key": key, "element": graph.get(key), "joined": graph.around(key) })).collect();
    print(context, &elements, || {
        for key in &keys {
            println!("{key}\n{}", serde_json::to_string_pretty(&graph.get(key)).expect("plain values"));
            graph.around(key).iter().for_each(|step| println!("  {} {}", step.by, step.to));
        }
    })
}

fn path(context: &Invocation, graph: &Graph, from: &str, to: &str) -> Result<Ended> {
    let ends = (keys_of(graph, from)?, keys_of(graph, to)?);
    let paths = ends.0.iter().flat_map(|from| ends.1.iter().filter_map(|to| graph.path(from, to)));
    let Some(steps) = paths.min_by_key(Vec::len) else { bail!("{}: {from} → {to}", t("没有路径相连", "nothing joins them")) };
    print(context, &steps, || steps.iter().for_each(|step| println!("{} {} {}", step.from, step.by, step.to)))
}

fn follow(context: &Invocation, graph: &Graph, what: &str, top: usize, place: &GraphPlace, as_of: Option<DateTime<Utc>>) -> Result<Ended> {
    if graph.event(what).is_some() {
        let chains = graph.what_follows(what, here(place)?, as_of.map(|as_of| when(Some(as_of))), top);
        return print(context, &chains, || tell(&chains));
    }
    match graph.what_depends_on(what, when(as_of)) {
        Some(down) => print(context, &down, || {
            down.assets.iter().for_each(|(asset, steps)| println!("{steps:>4}  {asset}"));
            println!("{} {}", t("受影响区域", "places"), down.places.join(", "));
        }),
        None => bail!("{} `{what}`", t("没有这个事件类型或资产：", "there is no event type or asset")),
    }
}

fn explain(context: &Invocation, graph: &Graph, event: &str, top: usize) -> Result<Ended> {
    if graph.event(event).is_none() {
        bail!("{} `{event}`", t("没有这个事件类型：", "there is no event type"));
    }
    let chains = graph.what_explains(event, None, top);
    print(context, &chains, || tell(&chains))
}

fn tell(chains: &[Chain]) {
    for chain in chains {
        let [earliest, likeliest, latest] = chain.lag_minutes;
        println!("{:>5.1} %  {}  {earliest}-{likeliest}-{latest} min  {}", f64::from(chain.permille) / 10.0, chain.path(), reach(chain));
    }
}

fn reach(chain: &Chain) -> String {
    match chain.reach {
        graph::Reach::Metres(metres) => format!("{metres} m"),
        graph::Reach::District => t("同区", "same district").to_owned(),
        graph::Reach::City => t("全市", "whole city").to_owned(),
    }
}

fn diff(context: &Invocation, graph: &Graph, other: &Graph) -> Result<Ended> {
    let changes = graph.diff(other);
    print(context, &json!({ "from": graph.version(), "to": other.version(), "changes": changes }), || {
        for change in &changes {
            let sign = match change {
                Change::Put(entry) if graph.get(&entry.element.key()).is_some() => '~',
                Change::Put(_) => '+',
                Change::Remove(_) => '-',
            };
            println!("{sign} {}", change.key());
        }
    })?;
    Ok(if changes.is_empty() { Ended::Done } else { Ended::Differs })
}

/// The keys that somebody means by `unit/drainage`, or by `drainage`.
fn keys_of(graph: &Graph, id: &str) -> Result<Vec<Key>> {
    let keys: Vec<Key> = match id.parse::<Key>() {
        Ok(key) if graph.get(&key).is_some() => vec![key],
        _ => graph.called(id).map(|entry| entry.element.key()).collect(),
    };
    if keys.is_empty() {
        bail!("{} `{id}`: {}", t("图谱中没有", "the graph has no"), t("citybrain graph show 列出全部", "citybrain graph show lists all"));
    }
    Ok(keys)
}

fn here(place: &GraphPlace) -> Result<Here<'_>> {
    let point = match (place.lat, place.lon) {
        (Some(lat), Some(lon)) => Some(Point { lat: degrees(lat)?, lon: degrees(lon)? }),
        (None, None) => None,
        _ => bail!("{}", t("--lat 与 --lon 须同时给出", "--lat and --lon go together")),
    };
    Ok(Here { place: place.place.as_deref(), point })
}

fn degrees(degrees: f64) -> Result<MicroDeg> {
    MicroDeg::from_degrees(degrees).with_context(|| format!("{degrees} is no angle between -180 and 180"))
}

/// The city's local time; that of the shipped city, which the brain takes unless it is told otherwise.
fn when(at: Option<DateTime<Utc>>) -> When {
    When::local(at.unwrap_or_else(Utc::now), brain::Config::default().utc_offset_minutes)
}

/// Whether people here read Chinese.
pub fn zh() -> bool {
    lang() == Lang::Zh
}

/// Prints a document as JSON, or what people read.
pub fn print<T: serde::Serialize>(context: &Invocation, document: &T, people: impl FnOnce()) -> Result<Ended> {
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(document)?);
    } else {
        people();
    }
    Ok(Ended::Done)
}
