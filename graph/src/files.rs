//! The files that people keep: read, checked, and turned into entries. Every complaint has a file and a line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::alerting::Alerting;
use crate::calendar::CalendarFile;
use crate::case_rules::CaseRules;
use crate::change;
use crate::check::problems;
use crate::element::{
    Asset, Category, City, Duty, Element, EventType, Feeds, Key, Kind, Leads, Name, Place, Plan, Resource, Scenario, Threshold, Unit, Valid,
};
use crate::{Change, Entry, Graph};

/// What is wrong with files, line by line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GraphError {
    /// Each problem: the file, the line (from 1; 0 when the whole file is meant), and what is wrong there.
    pub problems: Vec<(String, usize, String)>,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (file, line, problem)) in self.problems.iter().enumerate() {
            let end = if index + 1 < self.problems.len() { "\n" } else { "" };
            write!(f, "{file}:{line}: {problem}{end}")?;
        }
        Ok(())
    }
}

/// The sections of a file; each may be in any of the files.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sections {
    city: Option<Spanned<CitySection>>,
    places: Vec<Spanned<Place>>,
    units: Vec<Spanned<Unit>>,
    plans: Vec<Spanned<Plan>>,
    calendar: Option<Spanned<CalendarFile>>,
    cases: Option<Spanned<CaseRules>>,
    alerting: Option<Spanned<Alerting>>,
    categories: Vec<Spanned<Category>>,
    events: Vec<Spanned<EventType>>,
    scenarios: Vec<Spanned<Scenario>>,
    thresholds: Vec<Spanned<Threshold>>,
    assets: Vec<Spanned<AssetEntry>>,
    resources: Vec<Spanned<Resource>>,
    duties: Vec<Spanned<Duty>>,
    chains: Vec<Spanned<Leads>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CitySection {
    zh: String,
    en: String,
    default_unit: String,
    #[serde(default)]
    own_channels: Vec<String>,
    #[serde(default)]
    risk_words: Vec<String>,
}

/// An asset as it is written down, with what it feeds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssetEntry {
    id: String,
    kind: String,
    #[serde(default)]
    name: Option<Name>,
    #[serde(default, rename = "in")]
    place: Option<String>,
    #[serde(default)]
    at: Option<LatLon>,
    #[serde(default)]
    serves: Vec<String>,
    #[serde(default)]
    feeds: Vec<String>,
    #[serde(default)]
    valid: Valid,
}

#[derive(Deserialize)]
struct LatLon(#[serde(with = "crate::element::lat_lon")] schemas::alert::Point);

/// Elements read from files, each with where it stands.
#[derive(Debug, Clone, Default)]
pub struct Files {
    entries: BTreeMap<Key, (Element, String, usize)>,
}

impl Files {
    /// Reads files, given as (name, text), as parts of one graph.
    ///
    /// # Errors
    /// All that is wrong with each file by itself: what is no YAML, what no section or field is called, values that cannot
    /// be, and ids that are there twice.
    pub fn read<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Self, GraphError> {
        let mut read = Self::default();
        let mut wrong = Vec::new();
        for (name, text) in files {
            let name = name.as_ref();
            match serde_saphyr::from_str::<Sections>(text.as_ref()) {
                Ok(sections) => read.take(name, text.as_ref(), sections, &mut wrong),
                Err(error) => {
                    let line = error.location().map_or(0, |location| location.line() as usize);
                    wrong.push((name.to_owned(), line, plain(&error)));
                }
            }
        }
        if wrong.is_empty() {
            return Ok(read);
        }
        wrong.sort();
        Err(GraphError { problems: wrong })
    }

    fn take(&mut self, file: &str, text: &str, sections: Sections, wrong: &mut Vec<(String, usize, String)>) {
        let Sections { city, places, units, plans, calendar, cases, alerting, categories, events, scenarios, thresholds, assets, resources, duties, chains } = sections;
        let mut put = |line: usize, element: Element| {
            let told = problems(&element).into_iter().map(|problem| (file.to_owned(), line_within(text, line, &element, &problem), problem));
            wrong.extend(told);
            let key = element.key();
            if let Some((_, other, at)) = self.entries.get(&key) {
                wrong.push((file.to_owned(), line, format!("{} `{}` is there twice: also in {other}:{at}", key.kind.word(), key.id)));
                return;
            }
            self.entries.insert(key, (element, file.to_owned(), line));
        };
        if let Some(city) = city {
            let line = line_of(&city);
            let CitySection { zh, en, default_unit, own_channels, risk_words } = city.value;
            put(line, Element::City(City { name: Name { zh, en }, default_unit, own_channels, risk_words }));
        }
        places.into_iter().for_each(|it| put(line_of(&it), Element::Place(it.value)));
        units.into_iter().for_each(|it| put(line_of(&it), Element::Unit(it.value)));
        plans.into_iter().for_each(|it| put(line_of(&it), Element::Plan(it.value)));
        categories.into_iter().for_each(|it| put(line_of(&it), Element::Category(it.value)));
        if let Some(it) = calendar {
            put(line_of(&it), Element::Calendar(it.value));
        }
        if let Some(it) = cases {
            put(line_of(&it), Element::Cases(it.value));
        }
        if let Some(it) = alerting {
            put(line_of(&it), Element::Alerting(it.value));
        }
        events.into_iter().for_each(|it| put(line_of(&it), Element::Event(it.value)));
        scenarios.into_iter().for_each(|it| put(line_of(&it), Element::Scenario(it.value)));
        thresholds.into_iter().for_each(|it| put(line_of(&it), Element::Threshold(it.value)));
        for asset in assets {
            let line = line_of(&asset);
            let AssetEntry { id, kind, name, place, at, serves, feeds, valid } = asset.value;
            for to in feeds {
                put(line, Element::Feeds(Feeds { from: id.clone(), to, valid: Valid::default() }));
            }
            put(line, Element::Asset(Asset { id, kind, name, place, at: at.map(|LatLon(point)| point), serves, valid }));
        }
        resources.into_iter().for_each(|it| put(line_of(&it), Element::Resource(it.value)));
        duties.into_iter().for_each(|it| put(line_of(&it), Element::Duty(it.value)));
        chains.into_iter().for_each(|it| put(line_of(&it), Element::Leads(it.value)));
    }

    /// The graph of these files alone.
    ///
    /// # Errors
    /// Every element that speaks of what is not there, each with its line, or goes in a circle; and what a city cannot do
    /// without: the section `city`, and a category `other`.
    pub fn graph(&self) -> Result<Graph, GraphError> {
        let mut graph = Graph::new();
        let mut wrong = self.put_into(&mut graph, None).1;
        let city = Key::new(Kind::City, "city");
        let other = Key::new(Kind::Category, "other");
        for (key, problem) in [(city, "a section `city` is needed"), (other, "a category `other` is needed for what nothing else fits")] {
            if !self.entries.contains_key(&key) {
                wrong.push((self.first_file(), 0, problem.to_owned()));
            }
        }
        if wrong.is_empty() { Ok(graph) } else { Err(GraphError { problems: wrong }) }
    }

    /// Puts the elements into a graph, as those of a pack. Gives what would take them out, last first, and what was refused.
    pub(crate) fn put_into(&self, graph: &mut Graph, pack: Option<&str>) -> (Vec<Change>, Vec<(String, usize, String)>) {
        let (mut undo, mut wrong) = (Vec::new(), Vec::new());
        for change in self.changes(pack) {
            let key = change.key();
            match graph.apply(change) {
                Ok(back) => undo.push(back),
                Err(error) => {
                    let (_, file, line) = &self.entries[&key];
                    wrong.push((file.clone(), *line, error.problem));
                }
            }
        }
        undo.reverse();
        wrong.sort();
        (undo, wrong)
    }

    /// The changes that put these elements into an empty graph, in an order in which each is allowed.
    pub fn changes(&self, pack: Option<&str>) -> Vec<Change> {
        let entries = self.entries.values().map(|(element, ..)| Entry { pack: pack.map(str::to_owned), element: element.clone() });
        change::in_building_order(entries).into_iter().map(|entry| Change::Put(Box::new(entry))).collect()
    }

    /// Where an element stands: its file and line.
    pub fn stands(&self, key: &Key) -> Option<(&str, usize)> {
        self.entries.get(key).map(|(_, file, line)| (file.as_str(), *line))
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn first_file(&self) -> String {
        self.entries.values().map(|(_, file, _)| file.clone()).min().unwrap_or_else(|| "city.yaml".to_owned())
    }
}

fn line_of<T>(spanned: &Spanned<T>) -> usize {
    spanned.referenced.line() as usize
}

/// The line of a complaint about a part of a long element: a calendar names the word that is wrong before the colon.
fn line_within(text: &str, line: usize, element: &Element, problem: &str) -> usize {
    let Element::Calendar(_) = element else { return line };
    let Some((word, _)) = problem.split_once(": ") else { return line };
    let below = text.lines().enumerate().skip(line.saturating_sub(1));
    below.into_iter().find(|(_, text)| text.contains(word)).map_or(line, |(index, _)| index + 1)
}

/// The complaint in one line, without the excerpt of the file that the library draws under it.
pub(crate) fn plain(error: &serde_saphyr::Error) -> String {
    error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned()
}
