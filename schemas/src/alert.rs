//! An alert: what the control centre is told, and how it changes.
//!
//! Two axes that do not disturb each other: active / cleared / unknown, and acknowledged or not. The value of an
//! `alert.<scenario>` record is an [`AlertTransition`]; its key is `alert_key`. What is no more than an exercise or a test
//! carries that in its [`Status`] and goes to `alert.exercise`: no reader of a scenario's topic ever takes it for real.

use chrono::{DateTime, Utc};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::position::Position;
use crate::signal::MicroDeg;

/// Whether the hazard is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It is there.
    Active,
    /// It was measured to be gone.
    Cleared,
    /// Nobody can say: what measured it is silent. An alert that was active stays owed.
    Unknown,
}

impl AlertState {
    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            AlertState::Active => "active",
            AlertState::Cleared => "cleared",
            AlertState::Unknown => "unknown",
        }
    }
}

/// Whether something is meant. The words are those of CAP's `status`, without the ones that an alert never has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is meant.
    #[default]
    Actual,
    /// People practise.
    Exercise,
    /// Somebody tests the system.
    Test,
}

impl Status {
    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Status::Actual => "actual",
            Status::Exercise => "exercise",
            Status::Test => "test",
        }
    }

    /// The word of CAP 1.2.
    pub fn cap(self) -> &'static str {
        match self {
            Status::Actual => "Actual",
            Status::Exercise => "Exercise",
            Status::Test => "Test",
        }
    }

    /// Whether it is meant.
    pub fn is_actual(&self) -> bool {
        *self == Status::Actual
    }
}

/// The labels of an alert that silences, exercises and rules of inhibition may speak of.
pub const LABELS: [&str; 10] =
    ["scenario", "originator", "hazard", "level", "state", "status", "district", "incident", "unit", "alert_key"];

/// What an alert turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// 属实: the hazard was there.
    Real,
    /// 误报: it was not.
    False,
    /// 演练: somebody practised and did not say so.
    Drill,
    /// 重复: another alert tells the same.
    Duplicate,
}

impl Verdict {
    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Real => "real",
            Verdict::False => "false",
            Verdict::Drill => "drill",
            Verdict::Duplicate => "duplicate",
        }
    }
}

/// How far a warning of the public has come. Only people take it from one stage to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningStage {
    /// Written by somebody; its CAP message has the status Draft.
    Drafted,
    /// Approved by somebody else.
    Approved,
    /// Told to the public.
    Published,
    /// Taken back by a CAP Cancel.
    Cancelled,
    /// Nobody renewed it in time.
    Expired,
}

/// The warning of the public that an alert's transition carries: a CAP 1.2 message of scope Public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// How far it has come.
    pub stage: WarningStage,
    /// What people read.
    pub text: Headline,
    /// Until when it holds, once it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// The CAP 1.2 message as XML, of a draft or of what was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<String>,
}

/// A sentence in the two languages of the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// 中文.
    pub zh: String,
    /// English.
    pub en: String,
}

/// A place, longitude and latitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// Longitude.
    pub lon: MicroDeg,
    /// Latitude.
    pub lat: MicroDeg,
}

/// Where an alert holds. In JSON a GeoJSON Feature, whose geometry is null when no coordinates are known, a point
/// when there is one, and else the rectangle around all that were reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// The name of the place, such as a district or `city`.
    pub name: String,
    /// South-west and north-east corner.
    pub bounds: Option<(Point, Point)>,
}

impl Area {
    /// The area widened so that it holds `point`.
    pub fn widen(&mut self, point: Point) {
        let (low, high) = self.bounds.get_or_insert((point, point));
        low.lon = low.lon.min(point.lon);
        low.lat = low.lat.min(point.lat);
        high.lon = high.lon.max(point.lon);
        high.lat = high.lat.max(point.lat);
    }
}

#[derive(Serialize, Deserialize)]
struct Properties {
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Geometry {
    Point { coordinates: Point2 },
    Polygon { coordinates: Vec<Vec<Point2>> },
}

type Point2 = (MicroDeg, MicroDeg);

#[derive(Deserialize)]
struct Feature {
    properties: Properties,
    geometry: Option<Geometry>,
}

impl Serialize for Area {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let geometry = self.bounds.map(|(low, high)| {
            if low == high {
                Geometry::Point { coordinates: (low.lon, low.lat) }
            } else {
                // Counter-clockwise and closed, as RFC 7946 asks.
                let ring = vec![
                    (low.lon, low.lat),
                    (high.lon, low.lat),
                    (high.lon, high.lat),
                    (low.lon, high.lat),
                    (low.lon, low.lat),
                ];
                Geometry::Polygon { coordinates: vec![ring] }
            }
        });
        let mut feature = serializer.serialize_struct("Feature", 3)?;
        feature.serialize_field("type", "Feature")?;
        feature.serialize_field("properties", &Properties { name: self.name.clone() })?;
        feature.serialize_field("geometry", &geometry)?;
        feature.end()
    }
}

impl<'de> Deserialize<'de> for Area {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let feature = Feature::deserialize(deserializer)?;
        let mut area = Area { name: feature.properties.name, bounds: None };
        let points = match feature.geometry {
            None => Vec::new(),
            Some(Geometry::Point { coordinates }) => vec![coordinates],
            Some(Geometry::Polygon { coordinates }) => coordinates.into_iter().flatten().collect(),
        };
        for (lon, lat) in points {
            area.widen(Point { lon, lat });
        }
        Ok(area)
    }
}

/// One change of one alert: the value of an `alert.<scenario>` record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertTransition {
    /// Id of this change, made from (sequence, ordinal).
    pub id: String,
    /// What makes the alert one: scenario, originator and hazard.
    pub alert_key: String,
    /// The episode: named after the record that raised it, so that a later flood is another alert.
    pub alert: String,
    /// The scenario, such as `urban_flooding`.
    pub scenario: String,
    /// Who measures: a station, or the reports of a city.
    pub originator: String,
    /// What is measured or reported.
    pub hazard: String,
    /// Severity from 1 (Ⅰ, red) to 4 (Ⅳ, blue).
    pub level: u8,
    /// Whether the hazard is there.
    pub state: AlertState,
    /// Whether it is meant.
    #[serde(default)]
    pub status: Status,
    /// Whether somebody has seen it.
    pub acknowledged: bool,
    /// Who acknowledged it or owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What changed: `raised`, `upgraded`, `downgraded`, `updated`, `renewed`, `acknowledged`, `assigned`, `commented`,
    /// `judged`, `flapping`, `unknown`, `restored`, `cleared` (by measurement), `closed` (by a person), `came_true` or
    /// `did_not_come` (the end of a forecast), or of the warning of the public `warning_drafted`, `warning_approved`, `warning_published`, `warning_cancelled`, `warning_expired`.
    pub change: String,
    /// Why, in one sentence.
    pub reason: String,
    /// What to tell people.
    pub headline: Headline,
    /// Where it holds.
    pub area: Area,
    /// The value that raised it or made it worse, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_milli: Option<i64>,
    /// The threshold that it broke, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_milli: Option<i64>,
    /// How often its condition came back within the scenario's window, while that is often enough to call it flapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flap_score: Option<u32>,
    /// What it turned out to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Since when, in city time; for a forecast, from when on it is expected.
    pub onset: DateTime<Utc>,
    /// For a forecast that came true: seconds from its first warning until the condition was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_s: Option<i64>,
    /// When this change happened, in city time.
    pub at: DateTime<Utc>,
    /// The incident that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The unit that owes an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The plan to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The records that the alert rests on, oldest first.
    pub evidence: Vec<Position>,
    /// How many records support it, which may be more than `evidence` names.
    pub evidence_count: u64,
    /// The CAP 1.2 message for the control centre as XML. Changes after the end have none: the Cancel was the last word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<String>,
    /// The warning of the public, in the changes that are about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Warning>,
}
