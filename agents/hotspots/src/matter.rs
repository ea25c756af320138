//! A matter: what several messages tell of, as the sum of what they said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{MATTER_CALLERS_MAX, MATTER_MEMBERS_MAX, MATTER_PLACES_MAX, MATTER_TERMS_INDEXED, MATTER_TERMS_MAX};
use crate::places::{Place, PlaceKind};
use crate::read::Reading;

/// The number of a matter: the count of matters begun before it, plus one.
pub type MatterId = u64;

/// One issue that one or many messages tell of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matter {
    /// Its number.
    pub id: MatterId,
    /// Messages that belong to it.
    pub reports: u64,
    /// Different callers among them; who gave no name is a caller of their own.
    pub callers: u64,
    /// Reports of each caller who has a name, as far as they are told apart.
    pub reports_by_caller: BTreeMap<String, u32>,
    /// The newest members, in the order they came.
    pub members: Vec<String>,
    /// Time of the earliest member, microseconds since 1970.
    pub first_us: i64,
    /// Time of the latest member.
    pub last_us: i64,
    /// When it was raised, and after how many reports.
    pub raised: Option<(i64, u64)>,
    /// Likes that its members got.
    pub likes: u64,
    /// Highest heat so far, thousandths.
    pub peak_heat_milli: u64,
    /// The line that says it best so far.
    pub title: String,
    pub(crate) title_fit_milli: u64,
    /// Callers of late, millionths, fading by half in [`crate::heat::FAST_DAYS`].
    pub(crate) fast_micro: u64,
    /// Callers in the long run, fading by half in [`crate::heat::SLOW_DAYS`].
    pub(crate) slow_micro: u64,
    pub(crate) faded_us: i64,
    /// Sum of the weights of each term over the members, sorted by number.
    pub(crate) terms: Vec<(u32, u32)>,
    /// Length of the vector of its terms as it was when the last member came.
    pub(crate) norm_micro: u64,
    /// Members that named each place, the most named first.
    pub(crate) places: Vec<(Place, u32)>,
    /// Terms by which the index holds it.
    #[serde(skip)]
    pub(crate) indexed: Vec<u32>,
}

impl Matter {
    pub(crate) fn new(id: MatterId, time_us: i64) -> Matter {
        Matter {
            id,
            reports: 0,
            callers: 0,
            reports_by_caller: BTreeMap::new(),
            members: Vec::new(),
            first_us: time_us,
            last_us: time_us,
            raised: None,
            likes: 0,
            peak_heat_milli: 0,
            title: String::new(),
            title_fit_milli: 0,
            fast_micro: 0,
            slow_micro: 0,
            faded_us: time_us,
            terms: Vec::new(),
            norm_micro: 0,
            places: Vec::new(),
            indexed: Vec::new(),
        }
    }

    /// The place that most members name, the narrowest first; `""` when none does.
    pub fn place(&self) -> &str {
        let count = |kind: PlaceKind| self.places.iter().filter(move |(place, _)| place.kind == kind).max_by_key(|(_, count)| *count);
        let named = [PlaceKind::Site, PlaceKind::Road, PlaceKind::Area, PlaceKind::Company, PlaceKind::District].into_iter().filter_map(count);
        // A wider place that more members name by far says better where it is.
        named.reduce(|best, next| if next.1 > 2 * best.1 { next } else { best }).map_or("", |(place, _)| place.name.as_str())
    }

    /// Callers with more than one report, and how many each has; the most first.
    pub fn repeat_callers(&self) -> Vec<(&str, u32)> {
        let mut repeat: Vec<(&str, u32)> = self.reports_by_caller.iter().filter(|(_, count)| **count > 1).map(|(name, count)| (name.as_str(), *count)).collect();
        repeat.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        repeat
    }

    /// Counts a caller; gives whether it is a new one.
    pub(crate) fn count_caller(&mut self, caller: &str) -> bool {
        let new = if caller.is_empty() {
            true
        } else if let Some(count) = self.reports_by_caller.get_mut(caller) {
            *count = count.saturating_add(1);
            false
        } else {
            if self.reports_by_caller.len() < MATTER_CALLERS_MAX {
                self.reports_by_caller.insert(caller.to_owned(), 1);
            }
            true
        };
        self.callers += u64::from(new);
        new
    }

    pub(crate) fn has_caller(&self, caller: &str) -> bool {
        !caller.is_empty() && self.reports_by_caller.contains_key(caller)
    }

    pub(crate) fn add_member(&mut self, id: &str) {
        self.members.push(id.to_owned());
        if self.members.len() > MATTER_MEMBERS_MAX {
            self.members.remove(0);
        }
    }

    /// Adds what a member said.
    pub(crate) fn add_reading(&mut self, reading: &Reading, rarity: impl Fn(u32) -> f64) {
        let said: Vec<(u32, u32)> = reading.terms.iter().map(|term| (term.id, term.weight)).collect();
        self.add_terms(&said, rarity);
        let said: Vec<(Place, u32)> = reading.places.iter().map(|place| (place.clone(), 1)).collect();
        self.add_places(&said);
    }

    pub(crate) fn add_terms(&mut self, said: &[(u32, u32)], rarity: impl Fn(u32) -> f64) {
        let mut sum: BTreeMap<u32, u32> = self.terms.iter().copied().collect();
        for (term, weight) in said {
            let entry = sum.entry(*term).or_default();
            *entry = entry.saturating_add(*weight);
        }
        self.terms = sum.into_iter().collect();
        if self.terms.len() > MATTER_TERMS_MAX {
            self.terms = self.rarest(MATTER_TERMS_MAX, rarity);
            self.terms.sort_unstable();
        }
    }

    /// The terms that say most of it, the best first.
    fn rarest(&self, count: usize, rarity: impl Fn(u32) -> f64) -> Vec<(u32, u32)> {
        let mut valued: Vec<(f64, (u32, u32))> = self.terms.iter().map(|term| (f64::from(term.1) * rarity(term.0), *term)).collect();
        valued.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        valued.truncate(count);
        valued.into_iter().map(|(_, term)| term).collect()
    }

    pub(crate) fn terms_to_index(&self, rarity: impl Fn(u32) -> f64) -> Vec<u32> {
        let mut terms: Vec<u32> = self.rarest(MATTER_TERMS_INDEXED, rarity).into_iter().map(|(term, _)| term).collect();
        terms.sort_unstable();
        terms
    }

    pub(crate) fn add_places(&mut self, said: &[(Place, u32)]) {
        for (place, count) in said {
            match self.places.iter_mut().find(|(known, _)| known == place) {
                Some((_, known)) => *known = known.saturating_add(*count),
                None => self.places.push((place.clone(), *count)),
            }
        }
        self.places.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        self.places.truncate(MATTER_PLACES_MAX);
    }

    /// The places of a kind that a good part of the members name; those that one of many names are met by chance.
    pub(crate) fn main_places(&self, kind: PlaceKind) -> impl Iterator<Item = &Place> {
        let most = self.places.iter().filter(|(place, _)| place.kind == kind).map(|(_, count)| *count).max().unwrap_or(0);
        self.places.iter().filter(move |(place, count)| place.kind == kind && count.saturating_mul(4) >= most).map(|(place, _)| place)
    }
}
