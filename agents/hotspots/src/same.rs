//! Whether a message belongs to a matter: what it says, where it is, and how long ago the matter was last heard of.
//!
//! The likeness of what is said is the cosine of tf-idf vectors (Salton & Buckley 1988) without the names of places.
//! Where decides how much of it is enough: little when both name one place, much when a place is missing, and none is
//! enough when they name different places.

use serde::{Deserialize, Serialize};

use crate::frequency::Frequency;
use crate::matter::Matter;
use crate::places::{Place, PlaceKind};
use crate::read::{Reading, hash, is_concept};

/// How the places of a message and of a matter stand to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "places", content = "name")]
pub enum Where {
    /// Both name this site.
    SameSite(String),
    /// Both name this road, and no different sites.
    SameRoad(String),
    /// Both name this company, and no different sites.
    SameCompany(String),
    /// Both name this street office or district, and nothing narrower in common or in conflict.
    SameArea(String),
    /// One of the two names no place.
    Unknown,
    /// They name different sites or roads, but share the road or the neighbourhood: the same matter only by its words.
    Doubtful(String),
    /// They name different places.
    Different,
}

/// Likeness that is enough, by place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Enough {
    /// With the same site.
    pub site: f64,
    /// With the same road.
    pub road: f64,
    /// With the same company.
    pub company: f64,
    /// With the same street office or district only.
    pub area: f64,
    /// Without a place in one of the two.
    pub unknown: f64,
    /// With a neighbourhood in common and narrower places that differ.
    pub doubtful: f64,
    /// What a concept in common spares, and what concepts without one in common cost.
    pub concept: f64,
    /// What the same caller is spared.
    pub caller: f64,
    /// What is added at the end of the time after which a matter retires.
    pub late: f64,
}

impl Default for Enough {
    fn default() -> Enough {
        Enough { site: 0.17, road: 0.22, company: 0.30, area: 0.36, unknown: 0.46, doubtful: 0.6, concept: 0.06, caller: 0.06, late: 0.04 }
    }
}

impl Enough {
    /// The likeness that is enough; `None` when none is.
    pub(crate) fn at(&self, place: &Where) -> Option<f64> {
        Some(match place {
            Where::SameSite(_) => self.site,
            Where::SameRoad(_) => self.road,
            Where::SameCompany(_) => self.company,
            Where::SameArea(_) => self.area,
            Where::Unknown => self.unknown,
            Where::Doubtful(_) => self.doubtful,
            Where::Different => return None,
        })
    }
}

fn value(weight: f64, rarity: f64) -> f64 {
    weight.sqrt() * rarity
}

fn mean(weight: u32, reports: u64) -> f64 {
    f64::from(weight) / reports.max(1) as f64
}

/// Length of a matter's vector, millionths.
pub(crate) fn norm_micro(terms: &[(u32, u32)], reports: u64, frequency: &Frequency) -> u64 {
    let square: f64 = terms.iter().map(|(term, weight)| value(mean(*weight, reports), frequency.rarity(*term)).powi(2)).sum();
    (square.sqrt() * 1e6) as u64
}

/// What is said, ready to be compared with many matters: terms and their values, sorted by term.
pub(crate) struct Vector {
    values: Vec<(u32, f64, f64)>,
    norm: f64,
}

impl Vector {
    /// Of terms with their weights, sorted by term; `reports` makes a matter's sums means.
    pub fn of(terms: impl Iterator<Item = (u32, u32)>, reports: u64, frequency: &Frequency) -> Vector {
        let valued = |(term, weight): (u32, u32)| {
            let rarity = frequency.rarity(term);
            (term, value(mean(weight, reports), rarity), rarity)
        };
        let values: Vec<(u32, f64, f64)> = terms.map(valued).collect();
        let norm = values.iter().map(|(_, value, _)| value * value).sum::<f64>().sqrt();
        Vector { values, norm }
    }

    /// Whether one of the concepts is among the main ones of the matter; `None` when either has none.
    pub fn concepts_in_common(&self, matter: &Matter) -> Option<bool> {
        let concepts = || matter.terms.iter().filter(|(term, _)| is_concept(*term));
        let most = concepts().map(|(_, weight)| *weight).max()?;
        let mut here = self.values.iter().map(|(term, ..)| *term).filter(|term| is_concept(*term)).peekable();
        here.peek()?;
        Some(here.any(|term| concepts().any(|(other, weight)| *other == term && weight.saturating_mul(4) >= most)))
    }

    /// Cosine to a matter's vector.
    pub fn likeness(&self, terms: &[(u32, u32)], reports: u64, norm_micro: u64) -> f64 {
        let (mut i, mut j, mut dot) = (0, 0, 0.0);
        while i < self.values.len() && j < terms.len() {
            let (term, here, rarity) = self.values[i];
            match term.cmp(&terms[j].0) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    dot += here * value(mean(terms[j].1, reports), rarity);
                    i += 1;
                    j += 1;
                }
            }
        }
        let norms = self.norm * norm_micro as f64 / 1e6;
        if norms > 0.0 { (dot / norms).min(1.0) } else { 0.0 }
    }
}

/// How the places of a message stand to those of a matter.
pub(crate) fn compare_places(reading: &Reading, matter: &Matter, frequency: &Frequency) -> Where {
    compare(&|kind| reading.places.iter().filter(|place| place.kind == kind).collect(), Some(reading), matter, frequency)
}

/// How the places of two matters stand to each other.
pub(crate) fn compare_matters(a: &Matter, b: &Matter, frequency: &Frequency) -> Where {
    compare(&|kind| a.main_places(kind).collect(), None, b, frequency)
}

fn compare<'a>(named: &dyn Fn(PlaceKind) -> Vec<&'a Place>, reading: Option<&Reading>, matter: &Matter, frequency: &Frequency) -> Where {
    let common = |kind: PlaceKind| -> Option<String> {
        let here = named(kind);
        matter.main_places(kind).find(|place| here.iter().any(|other| other.is_alias(place))).map(|place| place.name.clone())
    };
    let differ = |kind: PlaceKind| !named(kind).is_empty() && matter.main_places(kind).next().is_some();
    // A name that was not recognised in the message is still found by its characters.
    let written = |kind: PlaceKind| reading.and_then(|reading| matter.main_places(kind).find(|place| is_written(place, reading, frequency)).map(|place| place.name.clone()));
    if let Some(site) = common(PlaceKind::Site).or_else(|| written(PlaceKind::Site)) {
        return Where::SameSite(site);
    }
    let sites_differ = differ(PlaceKind::Site);
    if let Some(road) = common(PlaceKind::Road).or_else(|| written(PlaceKind::Road)) {
        return if sites_differ { Where::Doubtful(road) } else { Where::SameRoad(road) };
    }
    let (area, district) = (common(PlaceKind::Area), common(PlaceKind::District));
    let apart = area.is_none() && differ(PlaceKind::Area) || district.is_none() && differ(PlaceKind::District);
    // A site on one side and a road on the other name nothing in common either.
    let kinds = [PlaceKind::Site, PlaceKind::Road];
    let here = kinds.iter().any(|kind| !named(*kind).is_empty());
    let there = kinds.iter().any(|kind| matter.main_places(*kind).next().is_some());
    if sites_differ || differ(PlaceKind::Road) || here && there && apart {
        return Where::Different;
    }
    if here && there {
        return area.map_or(Where::Different, Where::Doubtful);
    }
    if let Some(company) = common(PlaceKind::Company).or_else(|| written(PlaceKind::Company)) {
        return Where::SameCompany(company);
    }
    if apart {
        return Where::Different;
    }
    area.or(district).map_or(Where::Unknown, Where::SameArea)
}

/// Whether the name stands in the message's text: as a whole, or its core when that is no everyday word.
fn is_written(place: &Place, reading: &Reading, frequency: &Frequency) -> bool {
    if reading.text.contains(&place.name) {
        return true;
    }
    let core: Vec<char> = place.core.chars().collect();
    let pairs: Vec<u32> = core.windows(2).map(|pair| hash(b'2', &pair.iter().collect::<String>())).collect();
    let rare = !pairs.is_empty() && pairs.iter().any(|pair| frequency.share(*pair) < 0.02);
    rare && pairs.iter().all(|pair| reading.pairs.binary_search(pair).is_ok()) && reading.text.contains(&place.core)
}
