//! The stream: one message in, its matter and what follows out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::frequency::Frequency;
use crate::limits::{CANDIDATES_MAX, MATTERS_MAX, NAME_CHARS_MAX, POSTINGS_MAX, TIE_WORDS_MAX, TITLE_CHARS_MAX};
use crate::matter::{Matter, MatterId};
use crate::places::PlaceKind;
use crate::read::{Reading, hash, keep_rarest, read};
use crate::same::{Enough, Vector, Where, compare_matters, compare_places, norm_micro};

const DAY_US: i64 = 86_400_000_000;

/// How messages are grouped and issues raised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Likeness that is enough, by place.
    pub enough: Enough,
    /// Likeness of two matters that makes them one, above what is enough for a message by so much.
    pub merge: f64,
    /// A matter that was silent for so many days retires: what comes later is a new one.
    pub retire_days: u32,
    /// Reports at which an issue is raised, when enough callers are among them. Below the ten at which it must be known,
    /// since two in ten may have told it in words or by a name that were not recognised.
    pub raise_reports: u64,
    /// Callers who must be among them: one caller's many reports raise nothing.
    pub raise_reports_callers: u64,
    /// Callers at whom it is raised without waiting for so many reports.
    pub raise_callers: u64,
    /// Most live matters.
    pub matters_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { enough: Enough::default(), merge: 0.10, retire_days: 60, raise_reports: 8, raise_reports_callers: 5, raise_callers: 6, matters_max: MATTERS_MAX }
    }
}

/// A message as it comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    /// Its id.
    pub id: &'a str,
    /// Who sent it; `""` when not known, then it counts as a caller of its own.
    pub caller: &'a str,
    /// Its title, or `""`.
    pub title: &'a str,
    /// What it says.
    pub text: &'a str,
    /// Where it is, when that came apart from the text; else `""`.
    pub place: &'a str,
    /// When it came, microseconds since 1970.
    pub time_us: i64,
    /// How many others liked it.
    pub likes: u64,
}

/// Why a message belongs to its matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tie {
    /// Likeness of what is said, 0 to 1.
    pub likeness: f64,
    /// What would have been enough.
    pub enough: f64,
    /// What ties the places.
    #[serde(flatten)]
    pub place: Where,
    /// The words in common that weigh most.
    pub words: Vec<String>,
    /// Days since the matter was last heard of.
    pub days: f64,
    /// Whether the caller had reported it before.
    pub same_caller: bool,
}

/// An issue that has become hot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    /// Its number.
    pub matter: MatterId,
    /// The line that says it best.
    pub title: String,
    /// Where it is, or `""`.
    pub place: String,
    /// Reports so far.
    pub reports: u64,
    /// Callers so far.
    pub callers: u64,
    /// Time of the report that made it hot.
    pub time_us: i64,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The matter it belongs to.
    pub matter: MatterId,
    /// Why; `None` when it began the matter.
    pub tie: Option<Tie>,
    /// Whether the caller is a new one for the matter.
    pub new_caller: bool,
    /// Matters that this message showed to be the same; they are gone, their members are the matter's.
    pub merged: Vec<MatterId>,
    /// The issue, when this message raised it.
    pub raised: Option<Raised>,
    /// Matters that were silent too long; they are told here for the last time.
    pub retired: Vec<Matter>,
}

/// The live matters, and how frequent words are: a fold over messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "State", into = "State")]
pub struct Hotspots {
    options: Options,
    frequency: Frequency,
    next: MatterId,
    now_us: i64,
    matters: BTreeMap<MatterId, Matter>,
    /// Matters by term, in the order of their numbers.
    index: BTreeMap<u32, Vec<MatterId>>,
    /// Matters by the time they were last heard of.
    silent: std::collections::BTreeSet<(i64, MatterId)>,
}

#[derive(Serialize, Deserialize)]
struct State {
    options: Options,
    frequency: Frequency,
    next: MatterId,
    now_us: i64,
    matters: Vec<Matter>,
    index: Vec<(MatterId, Vec<u32>)>,
}

impl From<Hotspots> for State {
    fn from(hotspots: Hotspots) -> State {
        let index = hotspots.matters.values().map(|matter| (matter.id, matter.indexed.clone())).collect();
        let Hotspots { options, frequency, next, now_us, matters, .. } = hotspots;
        State { options, frequency, next, now_us, matters: matters.into_values().collect(), index }
    }
}

impl From<State> for Hotspots {
    fn from(state: State) -> Hotspots {
        let State { options, frequency, next, now_us, matters, index } = state;
        let mut hotspots = Hotspots { options, frequency, next, now_us, ..Hotspots::new(Options::default()) };
        let index: BTreeMap<MatterId, Vec<u32>> = index.into_iter().collect();
        for matter in matters {
            hotspots.silent.insert((matter.last_us, matter.id));
            let (id, terms) = (matter.id, index.get(&matter.id).cloned().unwrap_or_default());
            hotspots.matters.insert(id, matter);
            hotspots.set_index(id, terms);
        }
        hotspots
    }
}

impl Default for Hotspots {
    fn default() -> Hotspots {
        Hotspots::new(Options::default())
    }
}

impl Hotspots {
    /// No matter yet, no word heard.
    pub fn new(options: Options) -> Hotspots {
        Hotspots { options, frequency: Frequency::default(), next: 1, now_us: i64::MIN, matters: BTreeMap::new(), index: BTreeMap::new(), silent: std::collections::BTreeSet::new() }
    }

    /// The live matters, in the order they began.
    pub fn matters(&self) -> impl ExactSizeIterator<Item = &Matter> {
        self.matters.values()
    }

    /// One matter; `None` when it retired or was merged.
    pub fn matter(&self, id: MatterId) -> Option<&Matter> {
        self.matters.get(&id)
    }

    /// The live matters, the hottest at a time first.
    pub fn hottest(&self, now_us: i64, top: usize) -> Vec<(&Matter, f64)> {
        let mut hot: Vec<(&Matter, f64)> = self.matters.values().map(|matter| (matter, matter.heat(now_us))).collect();
        hot.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.id.cmp(&b.0.id)));
        hot.truncate(top);
        hot
    }

    /// Takes a message. One that says nothing (no word, no place) begins a matter that nothing can join.
    pub fn observe(&mut self, message: &Message<'_>) -> Membership {
        let now_us = message.time_us;
        self.now_us = self.now_us.max(now_us);
        let retired = self.retire();
        let mut reading = read(message.title, message.text, message.place);
        // Pairs within names of places are no terms, but whether a name is an everyday word must be known.
        let mut heard: Vec<u32> = reading.terms.iter().map(|term| term.id).chain(reading.pairs.iter().copied()).collect();
        heard.sort_unstable();
        heard.dedup();
        self.frequency.count(heard.into_iter());
        keep_rarest(&mut reading, |term| self.frequency.rarity(term));
        let caller: String = message.caller.chars().take(NAME_CHARS_MAX).collect();
        let (best, others) = self.best(&reading, &caller, now_us);
        let (id, tie) = match best {
            Some((id, tie)) => (id, Some(tie)),
            None => {
                let id = self.next;
                self.next += 1;
                self.matters.insert(id, Matter::new(id, now_us));
                self.silent.insert((now_us, id));
                (id, None)
            }
        };
        let new_caller = self.join(id, message, &reading, &caller);
        let merged = self.merge(id, &others);
        let raised = self.raise(id, now_us);
        Membership { matter: id, tie, new_caller, merged, raised, retired }
    }

    fn retire(&mut self) -> Vec<Matter> {
        let mut retired = Vec::new();
        let horizon = self.now_us.saturating_sub(i64::from(self.options.retire_days).saturating_mul(DAY_US));
        while let Some(&(last_us, id)) = self.silent.first() {
            if last_us >= horizon && self.matters.len() <= self.options.matters_max {
                break;
            }
            self.silent.remove(&(last_us, id));
            self.set_index(id, Vec::new());
            retired.extend(self.matters.remove(&id));
        }
        retired
    }

    /// The matter that the message fits best, and others that it fits.
    fn best(&self, reading: &Reading, caller: &str, now_us: i64) -> (Option<(MatterId, Tie)>, Vec<MatterId>) {
        let said = Vector::of(reading.terms.iter().map(|term| (term.id, term.weight)), 1, &self.frequency);
        // Less than this is enough nowhere.
        let least = self.options.enough.site - self.options.enough.caller - self.options.enough.concept;
        let mut fits: Vec<(f64, MatterId, Tie)> = Vec::new();
        for id in self.candidates(reading) {
            let matter = &self.matters[&id];
            let likeness = said.likeness(&matter.terms, matter.reports, matter.norm_micro);
            if likeness < least {
                continue;
            }
            let place = compare_places(reading, matter, &self.frequency);
            let Some(enough) = self.options.enough.at(&place) else { continue };
            let days = (now_us.saturating_sub(matter.last_us)).max(0) as f64 / DAY_US as f64;
            let same_caller = matter.has_caller(caller);
            let late = self.options.enough.late * days / f64::from(self.options.retire_days.max(1));
            let about = match said.concepts_in_common(matter) {
                Some(true) => -self.options.enough.concept,
                Some(false) => self.options.enough.concept,
                None => 0.0,
            };
            let enough = enough + about + late - if same_caller { self.options.enough.caller } else { 0.0 };
            if likeness >= enough {
                let words = self.words(reading, matter);
                // A matter with more members is the likelier home of what fits two.
                let size = 0.02 * (matter.reports as f64).ln();
                fits.push((likeness - enough + size, id, Tie { likeness: thousandths(likeness), enough: thousandths(enough), place, words, days: thousandths(days), same_caller }));
            }
        }
        fits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut fits = fits.into_iter();
        let best = fits.next().map(|(_, id, tie)| (id, tie));
        (best, fits.map(|(_, id, _)| id).collect())
    }

    /// The matters that share the rarest terms or a place with the message, the most promising first.
    fn candidates(&self, reading: &Reading) -> Vec<MatterId> {
        let mut score: BTreeMap<MatterId, f64> = BTreeMap::new();
        let terms = reading.terms.iter().map(|term| (term.id, f64::from(term.weight).sqrt() * self.frequency.rarity(term.id)));
        let places = place_keys(reading.places.iter().map(|place| (place.kind, place.core.as_str()))).into_iter().map(|key| (key, 25.0));
        // Names of sites are also looked for by their first two characters, anywhere in the text.
        let pairs = reading.pairs.iter().map(|pair| (site_key(*pair), 10.0));
        for (term, value) in terms.chain(places).chain(pairs) {
            if let Some(ids) = self.index.get(&term) {
                for id in &ids[ids.len().saturating_sub(POSTINGS_MAX)..] {
                    *score.entry(*id).or_default() += value;
                }
            }
        }
        let mut best: Vec<(f64, MatterId)> = score.into_iter().map(|(id, score)| (score, id)).collect();
        best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        best.truncate(CANDIDATES_MAX);
        best.into_iter().map(|(_, id)| id).collect()
    }

    /// The words in common that weigh most; neighbouring pairs of characters become one word again.
    fn words(&self, reading: &Reading, matter: &Matter) -> Vec<String> {
        let common = reading.terms.iter().filter(|term| matter.terms.binary_search_by_key(&term.id, |(id, _)| *id).is_ok());
        let mut common: Vec<(f64, &str)> = common.map(|term| (f64::from(term.weight).sqrt() * self.frequency.rarity(term.id), term.shown.as_str())).collect();
        common.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let mut words: Vec<String> = Vec::new();
        for (_, shown) in common {
            let joined = words.iter_mut().find_map(|word| {
                let (first, last) = (shown.chars().next()?, shown.chars().last()?);
                let pair = shown.chars().count() == 2;
                if pair && word.ends_with(first) && reading.text.contains(&format!("{word}{last}")) {
                    word.push(last);
                    return Some(());
                }
                if pair && word.starts_with(last) && reading.text.contains(&format!("{first}{word}")) {
                    word.insert(0, first);
                    return Some(());
                }
                None
            });
            if joined.is_none() {
                if words.len() >= TIE_WORDS_MAX {
                    break;
                }
                words.push(shown.to_owned());
            }
        }
        words
    }

    fn join(&mut self, id: MatterId, message: &Message<'_>, reading: &Reading, caller: &str) -> bool {
        let Hotspots { matters, frequency, silent, .. } = self;
        let matter = matters.get_mut(&id).expect("the matter was chosen among the live");
        silent.remove(&(matter.last_us, id));
        matter.first_us = matter.first_us.min(message.time_us);
        matter.last_us = matter.last_us.max(message.time_us);
        silent.insert((matter.last_us, id));
        matter.reports += 1;
        matter.add_reading(reading, |term| frequency.rarity(term));
        let member: String = message.id.chars().take(NAME_CHARS_MAX).collect();
        matter.add_member(&member);
        matter.likes = matter.likes.saturating_add(message.likes);
        let new_caller = matter.count_caller(caller);
        matter.fade(message.time_us);
        if new_caller {
            matter.warm(1_000_000, 1_000_000);
        }
        matter.note_peak(message.time_us);
        matter.norm_micro = norm_micro(&matter.terms, matter.reports, frequency);
        let said = Vector::of(reading.terms.iter().map(|term| (term.id, term.weight)), 1, frequency);
        let fit = (said.likeness(&matter.terms, matter.reports, matter.norm_micro) * 1000.0) as u64;
        // The title is the one that says what most say; the bar rises with the number of members.
        if matter.title.is_empty() || fit > matter.title_fit_milli {
            matter.title = title(message);
            matter.title_fit_milli = fit;
        }
        let terms = index_keys(matter, frequency);
        self.set_index(id, terms);
        new_caller
    }

    /// Makes one of the matter and those others that are the same.
    fn merge(&mut self, id: MatterId, others: &[MatterId]) -> Vec<MatterId> {
        let mut merged = Vec::new();
        for other in others {
            let (a, b) = (&self.matters[&id], &self.matters[other]);
            let place = compare_matters(b, a, &self.frequency);
            let Some(enough) = self.options.enough.at(&place) else { continue };
            let said = Vector::of(a.terms.iter().copied(), a.reports, &self.frequency);
            if said.likeness(&b.terms, b.reports, b.norm_micro) < enough + self.options.merge {
                continue;
            }
            self.set_index(*other, Vec::new());
            let gone = self.matters.remove(other).expect("it fitted a moment ago");
            self.silent.remove(&(gone.last_us, *other));
            self.absorb(id, gone);
            merged.push(*other);
        }
        merged
    }

    fn absorb(&mut self, id: MatterId, mut gone: Matter) {
        let Hotspots { matters, frequency, silent, .. } = self;
        let matter = matters.get_mut(&id).expect("the matter is live");
        silent.remove(&(matter.last_us, id));
        matter.first_us = matter.first_us.min(gone.first_us);
        matter.last_us = matter.last_us.max(gone.last_us);
        silent.insert((matter.last_us, id));
        matter.reports += gone.reports;
        matter.likes = matter.likes.saturating_add(gone.likes);
        let named: u64 = gone.reports_by_caller.len() as u64;
        matter.callers += gone.callers.saturating_sub(named);
        for (caller, count) in std::mem::take(&mut gone.reports_by_caller) {
            matter.count_caller(&caller);
            if let Some(known) = matter.reports_by_caller.get_mut(&caller) {
                *known = known.saturating_add(count - 1);
            }
        }
        let newest = std::mem::take(&mut matter.members);
        for member in gone.members.iter().chain(&newest) {
            matter.add_member(member);
        }
        matter.add_terms(&gone.terms, |term| frequency.rarity(term));
        matter.norm_micro = norm_micro(&matter.terms, matter.reports, frequency);
        matter.add_places(&gone.places);
        let at_us = matter.faded_us.max(gone.faded_us);
        matter.fade(at_us);
        gone.fade(at_us);
        matter.warm(gone.fast_micro, gone.slow_micro);
        matter.note_peak(at_us);
        matter.raised = match (matter.raised, gone.raised) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let terms = index_keys(matter, frequency);
        self.set_index(id, terms);
    }

    fn raise(&mut self, id: MatterId, now_us: i64) -> Option<Raised> {
        let options = &self.options;
        let matter = self.matters.get_mut(&id)?;
        let hot = matter.callers >= options.raise_callers || matter.reports >= options.raise_reports && matter.callers >= options.raise_reports_callers;
        if !hot || matter.raised.is_some() {
            return None;
        }
        matter.raised = Some((now_us, matter.reports));
        Some(Raised { matter: id, title: matter.title.clone(), place: matter.place().to_owned(), reports: matter.reports, callers: matter.callers, time_us: now_us })
    }

    fn set_index(&mut self, id: MatterId, terms: Vec<u32>) {
        let Some(matter) = self.matters.get_mut(&id) else { return };
        let before = std::mem::replace(&mut matter.indexed, terms);
        for term in before.iter().filter(|term| matter.indexed.binary_search(term).is_err()) {
            if let Some(ids) = self.index.get_mut(term) {
                if let Ok(at) = ids.binary_search(&id) {
                    ids.remove(at);
                }
                if ids.is_empty() {
                    self.index.remove(term);
                }
            }
        }
        for term in matter.indexed.iter().filter(|term| before.binary_search(term).is_err()) {
            let ids = self.index.entry(*term).or_default();
            if let Err(at) = ids.binary_search(&id) {
                ids.insert(at, id);
            }
        }
    }
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The title as it stands, or the first sentence of the text.
fn title(message: &Message<'_>) -> String {
    let whole = if message.title.trim().is_empty() { message.text.trim() } else { message.title.trim() };
    let end = |c: char| matches!(c, '。' | '！' | '？' | '!' | '?' | '\n' | '；' | ';');
    let first = whole.split(end).map(str::trim).find(|part| part.chars().count() >= 6).unwrap_or(whole);
    first.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX / 2).collect()
}

fn place_keys<'a>(places: impl Iterator<Item = (PlaceKind, &'a str)>) -> Vec<u32> {
    places.filter(|(kind, _)| matches!(kind, PlaceKind::Site | PlaceKind::Road | PlaceKind::Company)).map(|(_, core)| hash(b'p', core)).collect()
}

fn site_key(pair: u32) -> u32 {
    (pair ^ 0x5bd1_e995) & (u32::MAX >> 1)
}

fn index_keys(matter: &Matter, frequency: &Frequency) -> Vec<u32> {
    let mut keys = matter.terms_to_index(|term| frequency.rarity(term));
    for kind in [PlaceKind::Site, PlaceKind::Road, PlaceKind::Company] {
        keys.extend(place_keys(matter.main_places(kind).map(|place| (place.kind, place.core.as_str()))));
        let first = matter.main_places(kind).filter_map(|place| place.core.chars().take(2).collect::<String>().into());
        keys.extend(first.filter(|core| core.chars().count() == 2).map(|core| site_key(hash(b'2', &core))));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
