//! OGC SensorThings 1.1: requests to events, and what is registered and observed to entities. Translation only; the
//! handlers are in `http::sensorthings` and `mqtt`.
//!
//! Things, locations, sensors, observed properties and datastreams are registered by events of the topic `raw.entity`;
//! [`Things`] is their fold, and keeps the latest observation of each datastream as the stream brings it. Observations
//! are `sensor.observation` events. A datastream that never was registered, but whose observations came through another
//! door, is an entity too, as far as its observations describe it.

pub mod filter;
pub mod latest;
pub mod output;
pub mod path;
pub mod query;
pub mod request;
pub mod sending;
pub mod things;
mod values;

use std::borrow::Cow;

pub use request::{Item, Planned, read};
pub use things::Things;

/// Why a request has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The HTTP status that says so.
    pub status: u16,
    /// What is wrong, in English.
    pub en: String,
    /// What is wrong, in Chinese.
    pub zh: String,
}

impl Wrong {
    /// A request that cannot be understood.
    pub fn bad(en: impl Into<String>, zh: impl Into<String>) -> Wrong {
        Wrong { status: 400, en: en.into(), zh: zh.into() }
    }

    /// Nothing of that name.
    pub fn none(what: impl std::fmt::Display) -> Wrong {
        let what: String = what.to_string().chars().take(200).collect();
        Wrong { status: 404, en: format!("there is no {what}"), zh: format!("没有 {what}") }
    }

    /// Something of the standard that this door does not do.
    pub fn absent(en: impl Into<String>, zh: impl Into<String>) -> Wrong {
        Wrong { status: 501, en: en.into(), zh: zh.into() }
    }
}

/// An entity set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// Things.
    Thing,
    /// Where things are.
    Location,
    /// What measures.
    Sensor,
    /// What is measured.
    ObservedProperty,
    /// One property of one thing as one sensor sees it.
    Datastream,
    /// What was measured when.
    Observation,
    /// What an observation is about: the location of its thing.
    Feature,
}

impl Set {
    /// Every set, in the order of the service's root document.
    pub const ALL: [Set; 7] =
        [Set::Thing, Set::Location, Set::Datastream, Set::Sensor, Set::ObservedProperty, Set::Observation, Set::Feature];

    /// The name of the set in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Set::Thing => "Things",
            Set::Location => "Locations",
            Set::Sensor => "Sensors",
            Set::ObservedProperty => "ObservedProperties",
            Set::Datastream => "Datastreams",
            Set::Observation => "Observations",
            Set::Feature => "FeaturesOfInterest",
        }
    }

    /// The name of one of them.
    pub fn singular(self) -> &'static str {
        match self {
            Set::Thing => "Thing",
            Set::Location => "Location",
            Set::Sensor => "Sensor",
            Set::ObservedProperty => "ObservedProperty",
            Set::Datastream => "Datastream",
            Set::Observation => "Observation",
            Set::Feature => "FeatureOfInterest",
        }
    }

    /// The set of that name.
    pub fn of_plural(name: &str) -> Option<Set> {
        Set::ALL.into_iter().find(|set| set.plural() == name)
    }

    /// What can be reached from one entity of this set: the link's name, the set it leads to, and whether to many.
    pub fn links(self) -> &'static [Link] {
        const fn one(set: Set) -> Link {
            Link { set, many: false }
        }
        const fn many(set: Set) -> Link {
            Link { set, many: true }
        }
        match self {
            Set::Thing => const { &[many(Set::Location), many(Set::Datastream)] },
            Set::Location => const { &[many(Set::Thing)] },
            Set::Sensor | Set::ObservedProperty => const { &[many(Set::Datastream)] },
            Set::Datastream => const { &[one(Set::Thing), one(Set::Sensor), one(Set::ObservedProperty), many(Set::Observation)] },
            Set::Observation => const { &[one(Set::Datastream), one(Set::Feature)] },
            Set::Feature => &[],
        }
    }

    /// The link of that name.
    pub fn link(self, name: &str) -> Option<Link> {
        self.links().iter().copied().find(|link| link.name() == name)
    }
}

/// A link from one entity to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub set: Set,
    /// Whether to many.
    pub many: bool,
}

impl Link {
    /// Its name in JSON and in paths.
    pub fn name(self) -> &'static str {
        if self.many { self.set.plural() } else { self.set.singular() }
    }
}

/// An id as it stands in paths: a whole number bare, everything else as a quoted text.
pub fn quoted(id: &str) -> Cow<'_, str> {
    if is_number(id) { Cow::Borrowed(id) } else { Cow::Owned(format!("'{}'", id.replace('\'', "''"))) }
}

/// Whether an id is one that clients write as a number. One number has one spelling.
pub fn is_number(id: &str) -> bool {
    id.parse::<i64>().is_ok_and(|number| number.unsigned_abs() < 1 << 53 && number.to_string() == id)
}
