//! How cases are handled: merging, reminders, escalation, reopening, and the words that quality findings look for. All of
//! it is data that a city changes (`data/cases.yaml` is the first).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::calendar::Deadline;

/// The widest circle in which two reports may be the same matter, in metres: beyond it "the same place" means nothing.
const RADIUS_M_MAX: u32 = 2000;

/// The longest time between two reports of the same matter: a month.
const MERGE_HOURS_MAX: u32 = 31 * 24;

/// The longest time after closing in which a new report reopens a case. Closed cases stay in memory that long.
const REOPEN_DAYS_MAX: u32 = 30;

/// Words of one list: each text is searched for all of them.
const WORDS_MAX: usize = 1000;

/// How cases are handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseRules {
    /// The share of the time until the deadline after which the unit is reminded, in percent.
    pub remind_percent: u32,
    /// How long after the deadline, and after each escalation, the next superior hears of it.
    pub escalate: Escalate,
    /// How long after closing a new report of the same matter reopens the case, in days.
    pub reopen_days: u32,
    /// When two reports are one matter.
    pub merge: Merge,
    /// What makes a problem order.
    pub quality: Quality,
}

/// Steps of escalation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalate {
    /// For urgency 1.
    pub urgent: Deadline,
    /// For everything else.
    pub otherwise: Deadline,
}

/// When two reports are one matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    default: SameMatter,
    /// Categories that have their own measure.
    #[serde(default)]
    categories: BTreeMap<String, SameMatter>,
}

/// What "the same place at the same time" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameMatter {
    /// Within this many metres; 0 merges nothing.
    pub radius_m: u32,
    /// Within this time after the latest report of it.
    pub hours: u32,
    /// Whether a new report of it may reopen a case that was closed.
    #[serde(default = "yes")]
    pub reopens: bool,
}

fn yes() -> bool {
    true
}

/// What makes a problem order: words are looked for in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Who closes sooner than this after the report has hardly been there, in minutes.
    pub close_minutes_min: u32,
    /// Categories that people take for one another without harm.
    #[serde(default)]
    pub alike: Vec<Vec<String>>,
    /// What a text or answer says without saying anything: courtesies, and words that fit every matter.
    pub empty_words: Vec<String>,
    /// The same, for answers only: that something was done, without what.
    pub empty_answers: Vec<String>,
    /// What is done about a category, in the words of answers; the words of the category itself count as well.
    #[serde(default)]
    pub work_words: BTreeMap<String, Vec<String>>,
    /// What a name of a place ends with.
    pub place_endings: Vec<String>,
    /// What ends like the name of a place and is none.
    pub no_places: Vec<String>,
    /// What people write into the field for an address when they have none.
    pub no_address: Vec<String>,
    /// Words of a closing that say that another request has the matter.
    pub duplicate_words: Vec<String>,
    /// Words that say that it is not done after all.
    pub unsatisfied_words: Vec<String>,
}

impl Default for CaseRules {
    /// The rules of the shipped file, for a graph that has none of its own.
    fn default() -> Self {
        #[derive(Deserialize)]
        struct File {
            cases: CaseRules,
        }
        static SHIPPED: LazyLock<CaseRules> = LazyLock::new(|| {
            let file: File = serde_saphyr::from_str(include_str!("../data/cases.yaml")).expect("the shipped file is checked by the tests");
            file.cases.lower()
        });
        SHIPPED.clone()
    }
}

impl CaseRules {
    /// Words in lower case, as they are compared; longer ones first, so that a part never hides the whole. What says nothing
    /// in a report says nothing in an answer either.
    pub(crate) fn lower(mut self) -> Self {
        self.quality.empty_answers.extend(self.quality.empty_words.iter().cloned());
        for words in self.quality.lists() {
            for word in words.iter_mut() {
                *word = word.to_lowercase();
            }
            words.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            words.dedup();
        }
        self
    }

    /// The categories that the rules speak of.
    pub(crate) fn categories(&self) -> BTreeSet<&String> {
        self.merge.categories.keys().chain(self.quality.alike.iter().flatten()).chain(self.quality.work_words.keys()).collect()
    }

    /// What is wrong with them, whatever categories there are.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..100).contains(&self.remind_percent) {
            problems.push(format!("remind_percent {} is not 1 to 99", self.remind_percent));
        }
        if self.reopen_days > REOPEN_DAYS_MAX {
            problems.push(format!("reopen_days {} are more than {REOPEN_DAYS_MAX}", self.reopen_days));
        }
        let measures = self.merge.categories.iter().map(|(category, measure)| (category.as_str(), measure));
        for (word, measure) in measures.chain([("default", &self.merge.default)]) {
            if measure.radius_m > RADIUS_M_MAX || measure.hours > MERGE_HOURS_MAX {
                problems.push(format!("merge of {word}: {} m and {} h are more than {RADIUS_M_MAX} m and {MERGE_HOURS_MAX} h", measure.radius_m, measure.hours));
            }
        }
        let mut quality = self.quality.clone();
        for words in quality.lists() {
            if words.len() > WORDS_MAX || words.iter().any(String::is_empty) {
                problems.push(format!("quality: a list of {} words; at most {WORDS_MAX} are allowed, and no empty one", words.len()));
            }
        }
        problems
    }
}

impl Quality {
    fn lists(&mut self) -> impl Iterator<Item = &mut Vec<String>> {
        let lists = [
            &mut self.empty_words,
            &mut self.empty_answers,
            &mut self.place_endings,
            &mut self.no_places,
            &mut self.no_address,
            &mut self.duplicate_words,
            &mut self.unsatisfied_words,
        ];
        lists.into_iter().chain(self.work_words.values_mut())
    }

    /// Whether two categories are the same or are taken for one another without harm.
    pub fn are_alike(&self, one: &str, other: &str) -> bool {
        let both = |group: &&Vec<String>| group.iter().any(|id| id == one) && group.iter().any(|id| id == other);
        one == other || self.alike.iter().any(|group| both(&group))
    }
}

impl Merge {
    /// What "the same matter" means for a category.
    pub fn of(&self, category: &str) -> SameMatter {
        self.categories.get(category).copied().unwrap_or(self.default)
    }
}
