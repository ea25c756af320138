//! The event/duty graph: what causes what, and who owes what to whom.
//!
//! Two layers, read from one file that people keep ([`Graph::parse`], `data/city.yaml` being the first): the *event
//! chain*, event type to secondary event with lag and probability, and the *duty chain*, category and district to the
//! unit responsible and its superiors. Questions are answered with the path that says why.
//!
//! It knows nothing of files, clocks or the log: text in, answers out, and the indices of petgraph never leave.

pub mod alerting;
pub mod calendar;
pub mod case_rules;
mod file;
mod limits;
mod query;
mod views;
mod words;

use std::collections::BTreeMap;

use petgraph::stable_graph::{NodeIndex, StableDiGraph};

pub use calendar::{Calendar, Deadline};
pub use case_rules::CaseRules;
pub use file::{GraphError, Level, Name};
pub use query::{Chain, ChainStep, Link, Owed};
pub use views::{VIEWS, View};
pub use words::Sorted;

/// The first data file: an ordinary city, with its calendar and its rules for cases. One text, so that one version names it.
pub const CITY_YAML: &str = concat!(include_str!("../data/city.yaml"), include_str!("../data/calendar.yaml"), include_str!("../data/cases.yaml"));

/// The event chain and the duty chain of a city.
#[derive(Debug, Clone)]
pub struct Graph {
    version: String,
    city: Name,
    default_unit: String,
    graph: StableDiGraph<Node, Edge>,
    events: BTreeMap<String, NodeIndex>,
    units: BTreeMap<String, NodeIndex>,
    categories: BTreeMap<String, NodeIndex>,
    scenarios: BTreeMap<String, Scenario>,
    words: words::Words,
    own_channels: Vec<String>,
    alerting: alerting::Alerting,
    links: BTreeMap<String, BTreeMap<String, Link>>,
    calendar: Calendar,
    case_rules: CaseRules,
}

/// A kind of danger that the city prepares for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its id, such as `urban_flooding`.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// The unit that leads.
    pub unit: String,
    /// The plan to follow.
    pub plan: String,
    /// From how many reports on it is an alert, if reports alone can make one.
    pub surge: Option<Surge>,
    /// When its findings become alerts, and when these end.
    pub hysteresis: alerting::Hysteresis,
}

/// From how many reports on something is an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surge {
    /// At least this many reports.
    pub count: u32,
    /// Within this time.
    pub window_minutes: u32,
    /// From at least this many districts.
    pub spread: u32,
}

/// What kind of matter a case is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its id, such as `flooding`.
    pub id: String,
    /// 小类.
    pub name: Name,
    /// 大类.
    pub major: String,
    /// The scenario that such cases belong to.
    pub scenario: Option<String>,
    /// From 1 (at once) to 4 (as planned).
    pub urgency: u8,
    /// The time until it is owed.
    pub deadline: Deadline,
}

/// Somebody who owes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// 市, 区 or 街道.
    pub level: Level,
}

#[derive(Debug, Clone)]
struct EventType {
    id: String,
    name: Name,
    scenario: Option<String>,
    hazard: String,
}

#[derive(Debug, Clone)]
enum Node {
    Event(EventType),
    Unit(Unit),
    Category(Category),
}

#[derive(Debug, Clone)]
enum Edge {
    /// Event to event.
    LeadsTo { permille: u32, lag_minutes: (u32, u32) },
    /// Category to unit.
    OwedBy { district: Option<String>, hours: Option<(u8, u8)> },
    /// Unit to unit.
    ReportsTo,
}

impl Graph {
    /// The graph of a file's text. The error names every line that is wrong.
    pub fn parse(text: &str) -> Result<Self, GraphError> {
        Self::parse_file("city.yaml", text)
    }

    /// The same, with the name of the file for the error.
    pub fn parse_file(file_name: &str, text: &str) -> Result<Self, GraphError> {
        file::parse(file_name, text)
    }

    /// The graph of the file that ships with the program.
    pub fn builtin() -> Self {
        Self::parse(CITY_YAML).expect("the shipped file is checked by the tests")
    }

    /// The digest of the file: equal texts are equal versions.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The city's name.
    pub fn city(&self) -> &Name {
        &self.city
    }

    /// When the offices of the city are open.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// How the city handles cases.
    pub fn case_rules(&self) -> &CaseRules {
        &self.case_rules
    }

    /// How people are told of alerts.
    pub fn alerting(&self) -> &alerting::Alerting {
        &self.alerting
    }

    /// The scenarios, in the order of their ids.
    pub fn scenarios(&self) -> impl Iterator<Item = &Scenario> {
        self.scenarios.values()
    }

    /// A scenario.
    pub fn scenario(&self, id: &str) -> Option<&Scenario> {
        self.scenarios.get(id)
    }

    /// The categories, in the order of their ids.
    pub fn categories(&self) -> impl Iterator<Item = &Category> {
        self.categories.keys().filter_map(|id| self.category(id))
    }

    /// A category.
    pub fn category(&self, id: &str) -> Option<&Category> {
        match self.graph.node_weight(*self.categories.get(id)?)? {
            Node::Category(category) => Some(category),
            Node::Event(_) | Node::Unit(_) => None,
        }
    }

    /// A unit.
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        match self.graph.node_weight(*self.units.get(id)?)? {
            Node::Unit(unit) => Some(unit),
            Node::Event(_) | Node::Category(_) => None,
        }
    }

    /// The units, in the order of their ids.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.units.keys().filter_map(|id| self.unit(id))
    }

    /// The event types' ids, in their order.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.keys().map(String::as_str)
    }

    /// Whether reports through this channel come from the city's own staff.
    pub fn is_own_channel(&self, channel: &str) -> bool {
        self.own_channels.iter().any(|own| own.eq_ignore_ascii_case(channel))
    }
}
