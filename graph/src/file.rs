//! The file that people keep: read, checked, and turned into the graph. Every complaint has a line.

use std::collections::BTreeMap;
use std::fmt;

use petgraph::stable_graph::StableDiGraph;
use serde::{Deserialize, Serialize};

use crate::alerting::{Alerting, Hysteresis};
use crate::calendar::{Calendar, CalendarFile, Deadline};
use crate::words::Words;
use crate::{CaseRules, Category, Edge, EventType, Graph, Node, Scenario, Surge, Unit, limits, query};

/// A name in the two languages of the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// 中文.
    pub zh: String,
    /// English.
    pub en: String,
}

/// 市, 区 or 街道.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// 市.
    City,
    /// 区.
    District,
    /// 街道.
    Street,
}

/// What is wrong with a file, line by line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GraphError {
    /// The file.
    pub file: String,
    /// Each line (from 1; 0 when the whole file is meant) with what is wrong there.
    pub problems: Vec<(usize, String)>,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, problem)) in self.problems.iter().enumerate() {
            let end = if index + 1 < self.problems.len() { "\n" } else { "" };
            write!(f, "{}:{line}: {problem}{end}", self.file)?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    city: Name,
    default_unit: String,
    #[serde(default)]
    own_channels: Vec<String>,
    #[serde(default)]
    risk_words: Vec<String>,
    #[serde(default)]
    alerting: Alerting,
    #[serde(default)]
    scenarios: Vec<ScenarioEntry>,
    categories: Vec<CategoryEntry>,
    #[serde(default)]
    events: Vec<EventEntry>,
    units: Vec<UnitEntry>,
    duties: Vec<DutyEntry>,
    calendar: Option<CalendarFile>,
    cases: Option<CaseRules>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioEntry {
    id: String,
    name: Name,
    unit: String,
    plan: String,
    surge: Option<SurgeEntry>,
    #[serde(default)]
    alerting: Hysteresis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SurgeEntry {
    count: u32,
    window_minutes: u32,
    spread: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryEntry {
    id: String,
    name: Name,
    major: String,
    scenario: Option<String>,
    urgency: u8,
    /// Elapsed hours, or [`CategoryEntry::deadline`].
    deadline_hours: Option<u32>,
    deadline: Option<Deadline>,
    words: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventEntry {
    id: String,
    name: Name,
    scenario: Option<String>,
    hazard: String,
    #[serde(default)]
    leads_to: Vec<LeadsTo>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeadsTo {
    event: String,
    permille: u32,
    lag_minutes: (u32, u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitEntry {
    id: String,
    level: Level,
    parent: Option<String>,
    name: Name,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DutyEntry {
    unit: String,
    category: String,
    district: Option<String>,
    hours: Option<(u8, u8)>,
}

/// The complaints so far, each put to the line where the word in question stands.
struct Complaints<'a> {
    text: &'a str,
    problems: Vec<(usize, String)>,
}

impl Complaints<'_> {
    /// Complains about the `nth` line (from 0) that holds all of `needles`.
    fn at(&mut self, needles: &[&str], nth: usize, problem: String) {
        let holds = |line: &str| {
            let line = line.split(" #").next().unwrap_or(line);
            !line.trim_start().starts_with('#') && needles.iter().all(|needle| has_word(line, needle))
        };
        let mut lines = self.text.lines().enumerate().filter(|(_, line)| holds(line)).map(|(index, _)| index + 1);
        let line = lines.nth(nth).unwrap_or(0);
        self.problems.push((line, problem));
    }
}

/// Whether `word` stands in `line` by itself, not as a part of a longer id.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    line.match_indices(word).any(|(at, found)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let after = line[at + found.len()..].chars().next().is_some_and(part);
        !before && !after
    })
}

pub(crate) fn parse(file_name: &str, text: &str) -> Result<Graph, GraphError> {
    let refuse = |problems| GraphError { file: file_name.to_owned(), problems };
    let file: File = serde_norway::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        refuse(vec![(line, error.to_string())])
    })?;
    let mut complaints = Complaints { text, problems: Vec::new() };
    let graph = build(text, file, &mut complaints);
    if complaints.problems.is_empty() {
        return Ok(graph);
    }
    complaints.problems.sort();
    Err(refuse(complaints.problems))
}

fn build(text: &str, file: File, complaints: &mut Complaints<'_>) -> Graph {
    let has_rules = file.cases.is_some();
    let mut words = Words::new(file.risk_words);
    let mut graph = StableDiGraph::new();
    let (mut events, mut units, mut categories, mut scenarios) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let count = file.events.len() + file.units.len() + file.categories.len();
    if count > limits::NODES_MAX {
        complaints.problems.push((0, format!("{count} entries; at most {} are allowed", limits::NODES_MAX)));
    }

    let ids = file.units.iter().map(|entry| &entry.id).chain(file.categories.iter().map(|entry| &entry.id));
    let ids = ids.chain(file.scenarios.iter().map(|entry| &entry.id)).chain(file.events.iter().map(|entry| &entry.id));
    for id in ids.filter(|id| !is_id(id)) {
        complaints.at(&["id", id], 0, format!("`{id}` is no id: a-z, 0-9, `_` and `-` make one, up to 64 of them"));
    }

    // Nodes first, so that edges may point forward in the file.
    for entry in &file.units {
        let unit = Unit { id: entry.id.clone(), name: entry.name.clone(), level: entry.level };
        let node = graph.add_node(Node::Unit(unit));
        if units.insert(entry.id.clone(), node).is_some() {
            complaints.at(&["id", &entry.id, "level"], 1, format!("unit `{}` is there twice", entry.id));
        }
    }
    for entry in &file.scenarios {
        let surge = entry.surge.as_ref().map(|surge| Surge {
            count: surge.count,
            window_minutes: surge.window_minutes,
            spread: surge.spread,
        });
        if surge.is_some_and(|surge| surge.count < 2 || surge.window_minutes == 0 || surge.window_minutes > 24 * 60) {
            let problem = format!("surge of `{}`: a count of at least 2 in 1 to 1440 minutes is needed", entry.id);
            complaints.at(&["id", &entry.id], 0, problem);
        }
        if !units.contains_key(&entry.unit) {
            complaints.at(&["unit", &entry.unit, &entry.id], 0, format!("no unit is called `{}`", entry.unit));
        }
        for problem in entry.alerting.problems() {
            complaints.at(&["id", &entry.id], 0, problem);
        }
        let scenario = Scenario {
            id: entry.id.clone(),
            name: entry.name.clone(),
            unit: entry.unit.clone(),
            plan: entry.plan.clone(),
            surge,
            hysteresis: entry.alerting,
        };
        if scenarios.insert(entry.id.clone(), scenario).is_some() {
            complaints.at(&["id", &entry.id], 1, format!("scenario `{}` is there twice", entry.id));
        }
    }
    for entry in &file.categories {
        check_scenario(entry.scenario.as_deref(), &scenarios, complaints);
        if !(1..=4).contains(&entry.urgency) {
            complaints.at(&["urgency", &entry.urgency.to_string()], 0, format!("urgency {} is not 1 to 4", entry.urgency));
        }
        let deadline = match (entry.deadline_hours, entry.deadline) {
            (Some(hours), None) => Deadline::Hours(hours),
            (None, Some(deadline)) => deadline,
            (Some(_), Some(_)) | (None, None) => {
                complaints.at(&["id", &entry.id], 0, format!("`{}` needs either `deadline_hours` or `deadline`", entry.id));
                Deadline::Hours(1)
            }
        };
        if let Some(problem) = deadline.problem() {
            let hours = entry.deadline_hours.map_or_else(String::new, |hours| hours.to_string());
            complaints.at(&["deadline_hours", &hours], 0, problem);
        }
        words.add(&entry.id, &entry.words);
        let category = Category {
            id: entry.id.clone(),
            name: entry.name.clone(),
            major: entry.major.clone(),
            scenario: entry.scenario.clone(),
            urgency: entry.urgency,
            deadline,
        };
        let node = graph.add_node(Node::Category(category));
        if categories.insert(entry.id.clone(), node).is_some() {
            complaints.at(&["id", &entry.id], 1, format!("category `{}` is there twice", entry.id));
        }
    }
    if !categories.contains_key("other") {
        complaints.problems.push((0, "a category `other` is needed for what nothing else fits".to_owned()));
    }
    for entry in &file.events {
        check_scenario(entry.scenario.as_deref(), &scenarios, complaints);
        let event = EventType {
            id: entry.id.clone(),
            name: entry.name.clone(),
            scenario: entry.scenario.clone(),
            hazard: entry.hazard.clone(),
        };
        let node = graph.add_node(Node::Event(event));
        if events.insert(entry.id.clone(), node).is_some() {
            complaints.at(&["id", &entry.id], 1, format!("event `{}` is there twice", entry.id));
        }
    }

    for entry in &file.events {
        for step in &entry.leads_to {
            let Some(&to) = events.get(&step.event) else {
                complaints.at(&["event", &step.event], 0, format!("no event is called `{}`", step.event));
                continue;
            };
            let line = step.permille.to_string();
            if step.permille == 0 || step.permille > 1000 {
                complaints.at(&["event", &step.event, &line], 0, format!("a probability of {line} per mille is not 1 to 1000"));
            }
            if step.lag_minutes.0 > step.lag_minutes.1 {
                complaints.at(&["event", &step.event, &line], 0, "the latest lag is before the earliest".to_owned());
            }
            graph.add_edge(events[&entry.id], to, Edge::LeadsTo { permille: step.permille, lag_minutes: step.lag_minutes });
        }
    }
    for entry in &file.units {
        let Some(parent) = &entry.parent else { continue };
        match units.get(parent) {
            Some(&to) => {
                graph.add_edge(units[&entry.id], to, Edge::ReportsTo);
            }
            None => complaints.at(&["id", &entry.id, parent], 0, format!("no unit is called `{parent}`")),
        }
    }
    for entry in &file.duties {
        let needles = ["unit", entry.unit.as_str(), "category", entry.category.as_str()];
        if entry.hours.is_some_and(|(from, to)| from > 23 || to > 24 || from == to) {
            complaints.at(&needles, 0, "hours go from 0..23 to 0..24 and are not empty".to_owned());
        }
        match (categories.get(&entry.category), units.get(&entry.unit)) {
            (Some(&from), Some(&to)) => {
                let district = entry.district.clone().filter(|district| district != "*");
                graph.add_edge(from, to, Edge::OwedBy { district, hours: entry.hours });
            }
            (None, _) => complaints.at(&needles, 0, format!("no category is called `{}`", entry.category)),
            (_, None) => complaints.at(&needles, 0, format!("no unit is called `{}`", entry.unit)),
        }
    }
    for problem in file.alerting.problems() {
        complaints.at(&["alerting"], 0, problem);
    }
    if !units.contains_key(&file.default_unit) {
        complaints.at(&["default_unit"], 0, format!("no unit is called `{}`", file.default_unit));
    }

    let calendar = file.calendar.map_or_else(|| Ok(Calendar::default()), Calendar::new).unwrap_or_else(|problems| {
        for it in problems {
            complaints.at(&[&it.word], 0, it.problem);
        }
        Calendar::default()
    });
    let case_rules = file.cases.map_or_else(CaseRules::default, CaseRules::lower);
    // The shipped rules speak of the shipped categories; a graph without rules may have others.
    if has_rules {
        for (words, problem) in case_rules.problems(|id| categories.contains_key(id)) {
            complaints.at(&words, 0, problem);
        }
    }

    let mut graph = Graph {
        version: schemas::id::of_parts(&[text]),
        city: file.city,
        default_unit: file.default_unit,
        graph,
        events,
        units,
        categories,
        scenarios,
        words,
        own_channels: file.own_channels,
        alerting: file.alerting,
        links: BTreeMap::new(),
        calendar,
        case_rules,
    };
    for id in file.units.iter().map(|entry| &entry.id) {
        if graph.superiors(id).len() >= limits::SUPERIORS_MAX {
            complaints.at(&["id", id, "level"], 0, format!("the superiors of `{id}` go in a circle"));
        }
    }
    graph.links = query::links(&graph);
    graph
}

/// Ids become parts of topics, keys and addresses.
fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&id.len()) && id.bytes().all(allowed)
}

fn check_scenario(scenario: Option<&str>, known: &BTreeMap<String, Scenario>, complaints: &mut Complaints<'_>) {
    if let Some(id) = scenario.filter(|id| !known.contains_key(*id)) {
        complaints.at(&["scenario", id], 0, format!("no scenario is called `{id}`"));
    }
}
