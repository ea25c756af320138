//! The event/duty graph: what causes what, who owes what to whom, and what stands where.
//!
//! Two layers over petgraph, joined by event types and categories. The *event chain*: event to secondary event with lag,
//! probability, reach and what it needs. The *duty chain*: category, place, hour and season to the unit responsible and
//! its superiors, with resources and plans. Below both lie the city's places and assets.
//!
//! The graph is the fold of [`Change`]s, one for each [`Element`] that was put or removed, so it is known as it was at any
//! moment, and what was changed can be taken back ([`Graph::apply`]); what people ask for at once is done at once
//! ([`Graph::amend`]). People write elements down in YAML files ([`Files`]); what belongs to one kind of danger travels as a [`Pack`]. Questions are answered with the path that says why
//! (`duty`, `chain`, `reach`, `path`).
//!
//! It knows nothing of files, clocks or the log: text and changes in, answers out, and the indices of petgraph never leave.

pub mod alerting;
mod amend;
pub mod calendar;
pub mod case_rules;
mod chain;
mod change;
mod check;
mod duty;
mod element;
mod files;
mod geo;
mod limits;
mod pack;
mod path;
mod place;
mod reach;
mod render;
mod told;
mod views;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use petgraph::stable_graph::{EdgeIndex, NodeIndex, StableDiGraph};

pub use calendar::{Calendar, Deadline};
pub use case_rules::CaseRules;
pub use chain::{Chain, ChainStep};
pub use change::{Change, ChangeError, Entry};
pub use duty::{Owed, When};
pub use element::{
    Asset, Category, City, Contact, Duty, Element, EventType, Feeds, Grade, Key, Kind, Leads, Level, Name, Place, Plan, Reach, Resource, Scenario, Side,
    Surge, Task, Threshold, Unit, Valid, Weak,
};
pub use files::{Files, GraphError};
pub use geo::metres;
pub use pack::{BUILTIN_PACKS, BuiltinPack, Pack, PackError};
pub use path::Step;
pub use place::Here;
pub use reach::{Downstream, Reaching};
pub use views::{VIEWS, View};
pub use words::Sorted;

/// The files of an ordinary city, which ship with the program: (name, text).
pub const CITY_FILES: [(&str, &str); 6] = [
    ("calendar.yaml", include_str!("../data/calendar.yaml")),
    ("cases.yaml", include_str!("../data/cases.yaml")),
    ("city.yaml", include_str!("../data/city.yaml")),
    ("events.yaml", include_str!("../data/events.yaml")),
    ("places.yaml", include_str!("../data/places.yaml")),
    ("units.yaml", include_str!("../data/units.yaml")),
];

/// The event chain, the duty chain, and the city that they are about.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    // Invariant: everything below follows from the entries alone.
    entries: BTreeMap<Key, Stored>,
    digest: change::SetDigest,
    graph: StableDiGraph<Arc<Entry>, Edge>,
    /// Category and place (none: everywhere) to the duties there.
    duties: BTreeMap<(NodeIndex, Option<NodeIndex>), Vec<EdgeIndex>>,
    /// Category or event to the scenario that it belongs to.
    scenario_of: BTreeMap<Key, String>,
    /// The likeliest chain from each event to each other one, found when it is asked for.
    links: OnceLock<chain::Links>,
    words: words::Words,
    calendar: Calendar,
    case_rules: CaseRules,
    alerting: alerting::Alerting,
    names: place::Names,
    places_at: geo::Cells,
    assets_at: geo::Cells,
    resources_at: geo::Cells,
    /// How many resources move at each speed, km/h.
    speeds: BTreeMap<u32, u32>,
}

/// An entry, where it is in petgraph, and how many others speak of it.
#[derive(Debug, Clone)]
struct Stored {
    entry: Arc<Entry>,
    at: At,
    references: u32,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Node(NodeIndex),
    Edge(EdgeIndex),
    /// It is neither: a plan, a scenario, a threshold, the city.
    Nowhere,
}

#[derive(Debug, Clone)]
enum Edge {
    /// Event to event.
    Leads(Arc<Entry>),
    /// Category to unit.
    Owes(Arc<Entry>),
    /// Asset to asset.
    Feeds(Arc<Entry>),
    /// Unit to unit.
    ReportsTo,
    /// Place or asset to the place that it lies in.
    In,
    /// Unit to its place.
    LooksAfter,
    /// Asset to a place that depends on it.
    Serves,
    /// Resource to its unit.
    Of,
    /// Event to a category that tells of it.
    ToldAs,
}

impl Edge {
    fn is_alike(&self, other: &Edge) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|((key, mine), (other_key, other))| key == other_key && mine.entry == other.entry)
    }
}

impl Eq for Graph {}

impl Graph {
    /// A graph of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The graph that ships with the program: an ordinary city with all nine packs.
    pub fn builtin() -> Self {
        let files = Files::read(&CITY_FILES).expect("the shipped files are checked by the tests");
        let mut graph = files.graph().expect("the shipped files are checked by the tests");
        for pack in Pack::builtin() {
            pack.install(&mut graph).expect("the shipped packs are checked by the tests");
        }
        graph
    }

    /// The graph of these entries.
    ///
    /// # Errors
    /// The first entry that is refused.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Result<Self, ChangeError> {
        let mut graph = Self::new();
        for entry in change::in_building_order(entries) {
            graph.apply(Change::Put(Box::new(entry)))?;
        }
        Ok(graph)
    }

    /// The digest of all that it says: equal graphs have equal versions, whatever way led to them.
    pub fn version(&self) -> String {
        self.digest.hex()
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, in the order of their keys.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(|stored| &*stored.entry)
    }

    /// An element by its key.
    pub fn get(&self, key: &Key) -> Option<&Element> {
        self.entries.get(key).map(|stored| &stored.entry.element)
    }

    /// The entries whose id is this, of whatever kind.
    pub fn called<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Entry> {
        Kind::ALL.into_iter().filter_map(move |kind| self.entries.get(&Key::new(kind, id))).map(|stored| &*stored.entry)
    }

    /// The city's name.
    pub fn city(&self) -> Option<&City> {
        match self.get(&Key::new(Kind::City, "city"))? {
            Element::City(city) => Some(city),
            _ => None,
        }
    }

    /// The city's name; `city` where the graph does not say.
    pub fn city_name(&self) -> &Name {
        static UNNAMED: LazyLock<Name> = LazyLock::new(|| Name { zh: "本市".to_owned(), en: "city".to_owned() });
        self.city().map_or(&UNNAMED, |city| &city.name)
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

    /// The elements of a kind, in the order of their ids.
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Element> {
        let from = Key::new(kind, "");
        self.entries.range(from..).take_while(move |(key, _)| key.kind == kind).map(|(_, stored)| &stored.entry.element)
    }

    /// The scenarios, in the order of their ids.
    pub fn scenarios(&self) -> impl Iterator<Item = &Scenario> {
        self.of_kind(Kind::Scenario).filter_map(|element| if let Element::Scenario(it) = element { Some(it) } else { None })
    }

    /// A scenario.
    pub fn scenario(&self, id: &str) -> Option<&Scenario> {
        if let Element::Scenario(it) = self.get(&Key::new(Kind::Scenario, id))? { Some(it) } else { None }
    }

    /// The scenario that a category belongs to.
    pub fn scenario_of_category(&self, category: &str) -> Option<&str> {
        self.scenario_of.get(&Key::new(Kind::Category, category)).map(String::as_str)
    }

    /// The scenario that an event belongs to.
    pub fn scenario_of_event(&self, event: &str) -> Option<&str> {
        self.scenario_of.get(&Key::new(Kind::Event, event)).map(String::as_str)
    }

    /// The categories, in the order of their ids.
    pub fn categories(&self) -> impl Iterator<Item = &Category> {
        self.of_kind(Kind::Category).filter_map(|element| if let Element::Category(it) = element { Some(it) } else { None })
    }

    /// A category.
    pub fn category(&self, id: &str) -> Option<&Category> {
        if let Element::Category(it) = self.get(&Key::new(Kind::Category, id))? { Some(it) } else { None }
    }

    /// The units, in the order of their ids.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.of_kind(Kind::Unit).filter_map(|element| if let Element::Unit(it) = element { Some(it) } else { None })
    }

    /// A unit.
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        if let Element::Unit(it) = self.get(&Key::new(Kind::Unit, id))? { Some(it) } else { None }
    }

    /// The event types, in the order of their ids.
    pub fn events(&self) -> impl Iterator<Item = &EventType> {
        self.of_kind(Kind::Event).filter_map(|element| if let Element::Event(it) = element { Some(it) } else { None })
    }

    /// An event type.
    pub fn event(&self, id: &str) -> Option<&EventType> {
        if let Element::Event(it) = self.get(&Key::new(Kind::Event, id))? { Some(it) } else { None }
    }

    /// A plan.
    pub fn plan(&self, id: &str) -> Option<&Plan> {
        if let Element::Plan(it) = self.get(&Key::new(Kind::Plan, id))? { Some(it) } else { None }
    }

    /// A place.
    pub fn place(&self, id: &str) -> Option<&Place> {
        if let Element::Place(it) = self.get(&Key::new(Kind::Place, id))? { Some(it) } else { None }
    }

    /// An asset.
    pub fn asset(&self, id: &str) -> Option<&Asset> {
        if let Element::Asset(it) = self.get(&Key::new(Kind::Asset, id))? { Some(it) } else { None }
    }

    /// Whether reports through this channel come from the city's own staff.
    pub fn is_own_channel(&self, channel: &str) -> bool {
        self.city().is_some_and(|city| city.own_channels.iter().any(|own| own.eq_ignore_ascii_case(channel)))
    }

    fn node(&self, kind: Kind, id: &str) -> Option<NodeIndex> {
        match self.entries.get(&Key::new(kind, id))?.at {
            At::Node(node) => Some(node),
            At::Edge(_) | At::Nowhere => None,
        }
    }

    fn element(&self, node: NodeIndex) -> &Element {
        &self.graph[node].element
    }

    fn key_of(&self, node: NodeIndex) -> Key {
        self.graph[node].element.key()
    }
}
