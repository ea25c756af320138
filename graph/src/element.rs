//! What the graph is made of: each thing and each edge that people write down, with a key of its own.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use schemas::alert::Point;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::alerting::{Alerting, Hysteresis};
use crate::calendar::{CalendarFile, Deadline};
use crate::case_rules::CaseRules;

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

impl Level {
    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Level::City => "city",
            Level::District => "district",
            Level::Street => "street",
        }
    }
}

/// From when until when something holds, in local days: `from` included, `until` not; nothing means always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Valid {
    /// The first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// The day after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
}

impl Valid {
    /// Whether it holds on `day`.
    pub fn holds(&self, day: NaiveDate) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day < until)
    }

    fn is_always(&self) -> bool {
        *self == Valid::default()
    }
}

/// The city itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Its name.
    pub name: Name,
    /// The unit that owes whatever nobody else owes.
    pub default_unit: String,
    /// Channels through which the city's own staff reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_channels: Vec<String>,
    /// Words that mean that somebody's life is at risk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risk_words: Vec<String>,
}

/// A place: a district, a street, a grid cell, a road, a station and the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// What it is: `district`, `street`, `grid`, `road`, `station`, `h3` (then the id is the cell's index), or a city's own word.
    pub kind: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The place that it lies in.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Other names under which it is reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its middle, as `[lat, lon]`.
    #[serde(default, with = "lat_lon_option", skip_serializing_if = "Option::is_none")]
    pub at: Option<Point>,
    /// How far it reaches around its middle, in metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius_m: Option<u32>,
    /// Its outline, as `[lat, lon]` corners; the last need not repeat the first.
    #[serde(default, with = "lat_lon_list", skip_serializing_if = "Vec::is_empty")]
    pub outline: Vec<Point>,
}

/// Something that the city owns or watches: a pipe, a pump, a bridge, a substation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Its id.
    pub id: String,
    /// What it is, such as `gas_main`.
    pub kind: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The place that it stands in.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Where it is, as `[lat, lon]`.
    #[serde(default, with = "lat_lon_option", skip_serializing_if = "Option::is_none")]
    pub at: Option<Point>,
    /// The places that depend on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serves: Vec<String>,
    /// From when until when it is there.
    #[serde(default, skip_serializing_if = "Valid::is_always")]
    pub valid: Valid,
}

/// One asset gives to the next: water, gas, current, traffic flow from one to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feeds {
    /// Upstream.
    pub from: String,
    /// Downstream.
    pub to: String,
    /// From when until when.
    #[serde(default, skip_serializing_if = "Valid::is_always")]
    pub valid: Valid,
}

/// Whom to call, by role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The role, such as `duty_officer`.
    pub role: String,
    /// How to reach whoever has it: a telephone number, an address, a channel.
    pub reach: String,
}

/// Somebody who owes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// 市, 区 or 街道.
    pub level: Level,
    /// The unit that it reports to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The place that it looks after.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Whom to call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// From when until when it exists.
    #[serde(default, skip_serializing_if = "Valid::is_always")]
    pub valid: Valid,
}

/// What a unit can send: pumps, crews, boats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its id.
    pub id: String,
    /// What it is, such as `pump_truck`.
    pub kind: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The unit that has it.
    pub unit: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Where it waits, as `[lat, lon]`.
    #[serde(with = "lat_lon")]
    pub at: Point,
    /// How fast it comes, in km/h.
    #[serde(default = "town_speed")]
    pub speed_kmh: u32,
    /// From when until when it is there.
    #[serde(default, skip_serializing_if = "Valid::is_always")]
    pub valid: Valid,
}

/// One thing that a plan asks of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Who: 市, 区 or 街道.
    pub level: Level,
    /// The unit; without one, whichever of that level owes the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What to do.
    pub task: Name,
    /// Within how many minutes of the plan's start.
    pub within_minutes: u32,
    /// From which level of gravity on (4 is every one).
    #[serde(default = "mildest")]
    pub from_level: u8,
}

/// What to do in one kind of danger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// Kinds of resources that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Laws and rules that it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basis: Vec<String>,
    /// Who does what.
    pub tasks: Vec<Task>,
}

/// From how many reports on something is an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surge {
    /// At least this many reports.
    pub count: u32,
    /// Within this time.
    pub window_minutes: u32,
    /// From at least this many districts.
    pub spread: u32,
}

/// When weak signs from several kinds of sources are together an early alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weak {
    /// Signs within this time belong together.
    pub window_minutes: u32,
    /// How likely it must be by all of them together, in thousandths.
    pub permille: u32,
}

/// When an incident is at least of a level: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// From 1 (Ⅰ) to 4 (Ⅳ).
    pub level: u8,
    /// Somebody's life is at risk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub risk_to_life: bool,
    /// At least this many reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<u32>,
    /// At least this many districts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub districts: Option<u32>,
    /// One of these events is among it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// A kind of danger that the city prepares for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its id, such as `urban_flooding`.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// The unit that leads.
    pub unit: String,
    /// The plan to follow.
    pub plan: String,
    /// The events that it is about; the first is what is meant when nothing else is known.
    pub events: Vec<String>,
    /// The categories of cases that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// From how many reports on it is an alert, if reports alone can make one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surge: Option<Surge>,
    /// When weak signs of it add up to an early alert, if they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak: Option<Weak>,
    /// How grave an incident of it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grades: Vec<Grade>,
    /// When its findings become alerts, and when these end.
    #[serde(default, rename = "alerting")]
    pub hysteresis: Hysteresis,
}

/// What kind of matter a case is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CategoryEntry")]
pub struct Category {
    /// Its id, such as `flooding`.
    pub id: String,
    /// 小类.
    pub name: Name,
    /// 大类.
    pub major: String,
    /// From 1 (at once) to 4 (as planned).
    pub urgency: u8,
    /// The time until it is owed.
    pub deadline: Deadline,
    /// Words that mean it, in a request's type or a message's text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

/// A category as it is written down: hours of the clock have a short form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryEntry {
    id: String,
    name: Name,
    major: String,
    urgency: u8,
    deadline_hours: Option<u32>,
    deadline: Option<Deadline>,
    #[serde(default)]
    words: Vec<String>,
}

impl TryFrom<CategoryEntry> for Category {
    type Error = String;

    fn try_from(entry: CategoryEntry) -> Result<Self, String> {
        let CategoryEntry { id, name, major, urgency, deadline_hours, deadline, words } = entry;
        let deadline = match (deadline_hours, deadline) {
            (Some(hours), None) => Deadline::Hours(hours),
            (None, Some(deadline)) => deadline,
            (Some(_), Some(_)) | (None, None) => return Err(format!("`{id}` needs either `deadline_hours` or `deadline`")),
        };
        Ok(Self { id, name, major, urgency, deadline, words })
    }
}

/// A kind of event of the event chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// Its id, such as `ponding`.
    pub id: String,
    /// 小类.
    pub name: Name,
    /// 大类: 自然灾害, 事故灾难, 公共卫生 or 社会安全, or a city's own.
    pub major: String,
    /// What is dangerous about it.
    pub hazard: String,
    /// How far one happening of it reaches: what is further away is another one.
    #[serde(default = "district", skip_serializing_if = "Reach::is_district")]
    pub extent: Reach,
    /// Measured properties that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<String>,
    /// Categories of cases that tell of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Words in a message that tell of it more exactly than its category does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

/// How far from its cause something may happen: written as a number of metres, `district` or `city`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Within this many metres.
    Metres(u32),
    /// In the same district.
    District,
    /// Anywhere in the city.
    City,
}

impl Reach {
    fn is_district(&self) -> bool {
        *self == Reach::District
    }
}

/// As it is written down.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reach::Metres(metres) => write!(f, "{metres}"),
            Reach::District => f.write_str("district"),
            Reach::City => f.write_str("city"),
        }
    }
}

impl Serialize for Reach {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Reach::Metres(metres) => serializer.serialize_u32(*metres),
            Reach::District | Reach::City => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Reach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReachVisitor;
        impl de::Visitor<'_> for ReachVisitor {
            type Value = Reach;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of metres, `district` or `city`")
            }
            fn visit_u64<E: de::Error>(self, metres: u64) -> Result<Reach, E> {
                u32::try_from(metres).map(Reach::Metres).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(metres), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Reach, E> {
                match text {
                    "district" => Ok(Reach::District),
                    "city" => Ok(Reach::City),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(ReachVisitor)
    }
}

/// One event can bring about another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leads {
    /// The cause.
    pub cause: String,
    /// What follows.
    pub effect: String,
    /// How likely, in thousandths.
    pub permille: u32,
    /// Earliest, likeliest and latest minute after the cause (a triangular distribution).
    #[serde(deserialize_with = "lag")]
    pub lag_minutes: [u32; 3],
    /// How far from the cause.
    #[serde(default = "district")]
    pub reach: Reach,
    /// Kinds of assets of which one must be within reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// From which month to which it can happen, both included; it may run over the new year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months: Option<(u8, u8)>,
    /// From when until when this is believed.
    #[serde(default, skip_serializing_if = "Valid::is_always")]
    pub valid: Valid,
}

/// A unit owes a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duty {
    /// Who.
    pub unit: String,
    /// What.
    pub category: String,
    /// Where; everywhere when nothing is said.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// From which local hour (included) to which (not); it may run over midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<(u8, u8)>,
    /// From which month to which, both included; it may run over the new year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months: Option<(u8, u8)>,
    /// From when until when.
    #[serde(default, skip_serializing_if = "Valid::is_always")]
    pub valid: Valid,
}

/// From which value on a reading is a signal. Values are decimal numbers as text, in `unit`: no float enters the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The rule's name.
    pub id: String,
    /// The scenario that it speaks for.
    pub scenario: String,
    /// What is measured.
    pub property: String,
    /// In which unit.
    pub unit: String,
    /// On which side it is dangerous.
    pub side: Side,
    /// Ⅰ.
    #[serde(default, deserialize_with = "decimal", skip_serializing_if = "Option::is_none")]
    pub red: Option<String>,
    /// Ⅱ.
    #[serde(default, deserialize_with = "decimal", skip_serializing_if = "Option::is_none")]
    pub orange: Option<String>,
    /// Ⅲ.
    #[serde(default, deserialize_with = "decimal", skip_serializing_if = "Option::is_none")]
    pub yellow: Option<String>,
    /// Ⅳ.
    #[serde(default, deserialize_with = "decimal", skip_serializing_if = "Option::is_none")]
    pub blue: Option<String>,
    /// On the good side of this it is over.
    #[serde(default, deserialize_with = "decimal", skip_serializing_if = "Option::is_none")]
    pub clear: Option<String>,
}

/// A side of a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Dangerous when high.
    Above,
    /// Dangerous when low.
    Below,
}

/// One thing or edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Element {
    /// See [`Place`].
    Place(Place),
    /// See [`Unit`].
    Unit(Unit),
    /// See [`Plan`].
    Plan(Plan),
    /// See [`Category`].
    Category(Category),
    /// See [`EventType`].
    Event(EventType),
    /// See [`Scenario`].
    Scenario(Scenario),
    /// See [`Threshold`].
    Threshold(Threshold),
    /// See [`Asset`].
    Asset(Asset),
    /// See [`Resource`].
    Resource(Resource),
    /// When the offices of the city are open.
    Calendar(CalendarFile),
    /// How the city handles cases.
    Cases(CaseRules),
    /// How people are told of alerts.
    Alerting(Alerting),
    /// See [`Duty`].
    Duty(Duty),
    /// See [`Leads`].
    Leads(Leads),
    /// See [`Feeds`].
    Feeds(Feeds),
    /// See [`City`].
    City(City),
}

/// The id of what a city has one of.
pub(crate) const CITY: &str = "city";

/// What an element is. In this order nothing refers to a later kind, so it is the order in which a graph is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the kind of the element of that name")]
pub enum Kind {
    Place,
    Unit,
    Plan,
    Category,
    Event,
    Scenario,
    Threshold,
    Asset,
    Resource,
    Calendar,
    Cases,
    Alerting,
    Duty,
    Leads,
    Feeds,
    City,
}

impl Kind {
    /// All of them, in their order.
    pub const ALL: [Kind; 16] = [
        Kind::Place,
        Kind::Unit,
        Kind::Plan,
        Kind::Category,
        Kind::Event,
        Kind::Scenario,
        Kind::Threshold,
        Kind::Asset,
        Kind::Resource,
        Kind::Calendar,
        Kind::Cases,
        Kind::Alerting,
        Kind::Duty,
        Kind::Leads,
        Kind::Feeds,
        Kind::City,
    ];

    /// The word for it in keys and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Place => "place",
            Kind::Unit => "unit",
            Kind::Plan => "plan",
            Kind::Category => "category",
            Kind::Event => "event",
            Kind::Scenario => "scenario",
            Kind::Threshold => "threshold",
            Kind::Asset => "asset",
            Kind::Resource => "resource",
            Kind::Calendar => "calendar",
            Kind::Cases => "cases",
            Kind::Alerting => "alerting",
            Kind::Duty => "duty",
            Kind::Leads => "leads",
            Kind::Feeds => "feeds",
            Kind::City => "city",
        }
    }
}

/// The key of an element: `unit/drainage`, `leads/ponding>traffic_stop`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Its id among those of its kind.
    pub id: Box<str>,
}

impl Key {
    /// The key of `id` among those of `kind`.
    pub fn new(kind: Kind, id: &str) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.id)
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, id) = text.split_once('/').ok_or_else(|| format!("`{text}` is no key: KIND/ID is one, as in unit/drainage"))?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
        let kind = kind.ok_or_else(|| format!("`{word}` is no kind: {} are", Kind::ALL.map(Kind::word).join(", ")))?;
        Ok(Key::new(kind, id))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Element {
    /// Its key. An edge is named by what it joins and by what tells it from others between the same.
    pub fn key(&self) -> Key {
        let (kind, id) = match self {
            Element::Place(it) => (Kind::Place, it.id.clone()),
            Element::Unit(it) => (Kind::Unit, it.id.clone()),
            Element::Plan(it) => (Kind::Plan, it.id.clone()),
            Element::Category(it) => (Kind::Category, it.id.clone()),
            Element::Event(it) => (Kind::Event, it.id.clone()),
            Element::Scenario(it) => (Kind::Scenario, it.id.clone()),
            Element::Threshold(it) => (Kind::Threshold, it.id.clone()),
            Element::Asset(it) => (Kind::Asset, it.id.clone()),
            Element::Resource(it) => (Kind::Resource, it.id.clone()),
            Element::Calendar(_) => (Kind::Calendar, CITY.to_owned()),
            Element::Cases(_) => (Kind::Cases, CITY.to_owned()),
            Element::Alerting(_) => (Kind::Alerting, CITY.to_owned()),
            Element::Duty(it) => (Kind::Duty, it.key_id()),
            Element::Leads(it) => (Kind::Leads, format!("{}>{}", it.cause, it.effect) + &since(&it.valid)),
            Element::Feeds(it) => (Kind::Feeds, format!("{}>{}", it.from, it.to) + &since(&it.valid)),
            Element::City(_) => (Kind::City, CITY.to_owned()),
        };
        Key { kind, id: id.into() }
    }

    /// The keys of what it speaks of; each must be there before it and may not go while it is there.
    pub fn references(&self) -> Vec<Key> {
        let key = |kind: Kind| move |id: &String| Key::new(kind, id);
        match self {
            Element::Place(it) => it.parent.iter().map(key(Kind::Place)).collect(),
            Element::Unit(it) => it.parent.iter().map(key(Kind::Unit)).chain(it.place.iter().map(key(Kind::Place))).collect(),
            Element::Plan(it) => it.tasks.iter().filter_map(|task| task.unit.as_ref()).map(key(Kind::Unit)).collect(),
            Element::Category(_) | Element::Calendar(_) | Element::Alerting(_) => Vec::new(),
            Element::Cases(it) => it.categories().into_iter().map(key(Kind::Category)).collect(),
            Element::Event(it) => it.categories.iter().map(key(Kind::Category)).collect(),
            Element::Scenario(it) => {
                let graded = it.grades.iter().flat_map(|grade| &grade.events);
                let events = it.events.iter().chain(graded).map(key(Kind::Event));
                let one = [Key::new(Kind::Unit, &it.unit), Key::new(Kind::Plan, &it.plan)];
                events.chain(it.categories.iter().map(key(Kind::Category))).chain(one).collect()
            }
            Element::Threshold(it) => vec![Key::new(Kind::Scenario, &it.scenario)],
            Element::Asset(it) => it.place.iter().chain(&it.serves).map(key(Kind::Place)).collect(),
            Element::Resource(it) => vec![Key::new(Kind::Unit, &it.unit)],
            Element::Duty(it) => {
                let ends = [Key::new(Kind::Unit, &it.unit), Key::new(Kind::Category, &it.category)];
                ends.into_iter().chain(it.place.iter().map(key(Kind::Place))).collect()
            }
            Element::Leads(it) => vec![Key::new(Kind::Event, &it.cause), Key::new(Kind::Event, &it.effect)],
            Element::Feeds(it) => vec![Key::new(Kind::Asset, &it.from), Key::new(Kind::Asset, &it.to)],
            Element::City(it) => vec![Key::new(Kind::Unit, &it.default_unit)],
        }
    }
}

impl Duty {
    fn key_id(&self) -> String {
        let mut id = format!("{}>{}", self.category, self.unit);
        if let Some(place) = &self.place {
            id.push_str(&format!("@{place}"));
        }
        if let Some((from, to)) = self.hours {
            id.push_str(&format!("#h{from}-{to}"));
        }
        if let Some((from, to)) = self.months {
            id.push_str(&format!("#m{from}-{to}"));
        }
        id + &since(&self.valid)
    }
}

/// What tells an edge from one between the same ends at another time.
fn since(valid: &Valid) -> String {
    valid.from.map(|from| format!("#{from}")).unwrap_or_default()
}

fn one() -> u32 {
    1
}

fn town_speed() -> u32 {
    30
}

fn mildest() -> u8 {
    4
}

fn district() -> Reach {
    Reach::District
}

/// `[earliest, latest]`, or with the likeliest between them; without it the likeliest is a third of the way.
fn lag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u32; 3], D::Error> {
    match Vec::<u32>::deserialize(deserializer)?.as_slice() {
        &[earliest, latest] => Ok([earliest, earliest + latest.saturating_sub(earliest) / 3, latest]),
        &[earliest, likeliest, latest] => Ok([earliest, likeliest, latest]),
        _ => Err(de::Error::custom("lag_minutes is [earliest, latest] or [earliest, likeliest, latest]")),
    }
}

/// A decimal number, as a number or as text; kept as it was written.
fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Decimal;
    impl de::Visitor<'_> for Decimal {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a decimal number")
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            let sound = text.parse::<f64>().is_ok_and(f64::is_finite);
            sound.then(|| text.to_owned()).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Decimal).map(Some)
}

/// A point as `[lat, lon]` in degrees, the order in which people say it.
pub(crate) mod lat_lon {
    use schemas::alert::Point;
    use schemas::signal::MicroDeg;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(point: &Point, serializer: S) -> Result<S::Ok, S::Error> {
        (point.lat, point.lon).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
        point(<(MicroDeg, MicroDeg)>::deserialize(deserializer)?)
    }

    pub(super) fn point<E: de::Error>((lat, lon): (MicroDeg, MicroDeg)) -> Result<Point, E> {
        if lat.is_latitude() { Ok(Point { lon, lat }) } else { Err(E::custom(format!("{} is no latitude: a point is [lat, lon]", lat.degrees()))) }
    }
}

mod lat_lon_option {
    use schemas::alert::Point;
    use schemas::signal::MicroDeg;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(point: &Option<Point>, serializer: S) -> Result<S::Ok, S::Error> {
        point.map(|point| (point.lat, point.lon)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Point>, D::Error> {
        Option::<(MicroDeg, MicroDeg)>::deserialize(deserializer)?.map(super::lat_lon::point).transpose()
    }
}

mod lat_lon_list {
    use schemas::alert::Point;
    use schemas::signal::MicroDeg;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(points: &[Point], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(points.iter().map(|point| (point.lat, point.lon)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Point>, D::Error> {
        Vec::<(MicroDeg, MicroDeg)>::deserialize(deserializer)?.into_iter().map(super::lat_lon::point).collect()
    }
}
