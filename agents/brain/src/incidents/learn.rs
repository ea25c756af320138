//! What incidents teach of the event chain: how often an event was followed by what the graph says may follow, and how soon.
//!
//! Each incident that closes by itself is one observation of every link whose cause happened in it. The graph's probability is
//! the prior, worth [`PRIOR`] incidents; what was observed is added to it (the mean of a beta distribution). Lags are the
//! graph's until [`LAGS_MIN`] were seen, then the 5th, 50th and 95th percentile of the latest. All of it is part of the state,
//! so that a replay has learnt the same.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use graph::{Chain, Graph, Here};
use serde::{Deserialize, Serialize};

use super::Incident;
use crate::limits;

/// So many incidents the graph's own probability is worth.
const PRIOR: u64 = 20;
/// From so many on, older incidents count half: cities change.
const CAUSES_MAX: u32 = 400;
/// Lags are learnt from so many on.
const LAGS_MIN: usize = 12;
/// Lags that are kept.
const LAGS_MAX: usize = 64;

/// What was seen of one link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lesson {
    /// Incidents in which the cause happened.
    causes: u32,
    /// Of these, those in which the effect followed.
    effects: u32,
    /// How many minutes later, the latest last.
    lags: VecDeque<u32>,
}

/// What was seen of all links, by `cause → effect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lessons(BTreeMap<String, Lesson>);

/// A link as the graph and what was seen have it together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Learnt {
    pub(super) permille: u32,
    pub(super) lag_minutes: [u32; 3],
    /// Incidents that it was learnt from.
    pub(super) seen: u32,
}

impl Lessons {
    /// Learns from an incident that is over.
    pub(super) fn take(&mut self, graph: &Graph, incident: &Incident) {
        let mut first: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
        for node in incident.nodes.iter().filter(|node| !node.early) {
            if let Some(event) = node.event.as_deref() {
                first.entry(event).and_modify(|at| *at = node.onset.min(*at)).or_insert(node.onset);
            }
        }
        for (cause, at) in &first {
            let links = graph.what_follows(cause, Here::default(), None, limits::FOLLOWING_MAX).into_iter().filter(|chain| chain.steps.len() == 1);
            for chain in links {
                // People call when they have time, and sometimes before anybody sees the cause.
                let late = *at + TimeDelta::minutes(i64::from(chain.lag_minutes[2])) + limits::LATE;
                let followed = first.get(chain.effect()).filter(|then| (*at - limits::LATE..=late).contains(then));
                self.observe(&chain.path(), followed.map(|then| u32::try_from((*then - *at).num_minutes()).unwrap_or(0)));
            }
        }
    }

    fn observe(&mut self, link: &str, lag: Option<u32>) {
        let lesson = self.0.entry(link.to_owned()).or_default();
        if lesson.causes >= CAUSES_MAX {
            (lesson.causes, lesson.effects) = (lesson.causes / 2, lesson.effects / 2);
        }
        lesson.causes += 1;
        if let Some(lag) = lag {
            lesson.effects += 1;
            lesson.lags.push_back(lag);
            if lesson.lags.len() > LAGS_MAX {
                lesson.lags.pop_front();
            }
        }
    }

    /// A chain as it is believed by now. Of several steps only the first is what was seen: the others are as the graph has them.
    pub(super) fn of(&self, chain: &Chain) -> Learnt {
        let told = Learnt { permille: chain.permille, lag_minutes: chain.lag_minutes, seen: 0 };
        let Some(lesson) = self.0.get(&chain.path()).filter(|_| chain.steps.len() == 1) else { return told };
        let (causes, effects) = (u64::from(lesson.causes), u64::from(lesson.effects));
        let permille = (PRIOR * u64::from(chain.permille) + 1000 * effects) / (PRIOR + causes);
        Learnt { permille: permille as u32, lag_minutes: lag(lesson).unwrap_or(chain.lag_minutes), seen: lesson.causes }
    }
}

/// Early, middle and late among the lags that were seen, when there are enough.
fn lag(lesson: &Lesson) -> Option<[u32; 3]> {
    let mut lags: Vec<u32> = lesson.lags.iter().copied().collect();
    if lags.len() < LAGS_MIN {
        return None;
    }
    lags.sort_unstable();
    let at = |percent: usize| lags[(lags.len() - 1) * percent / 100];
    let (least, likely) = (at(5), at(50));
    // A triangle has three corners.
    let likely = likely.max(least + 1);
    Some([least, likely, at(95).max(likely + 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number from 0 to 999, the same ones in each run.
    fn dice(state: &mut u64) -> u32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 33) % 1000) as u32
    }

    fn chain() -> Chain {
        Graph::builtin().what_follows("main_burst", Here::default(), None, 12).into_iter().find(|chain| chain.path() == "main_burst → ponding").expect("the sample graph has it")
    }

    #[test]
    fn nothing_seen_is_what_the_graph_says() {
        let chain = chain();
        assert_eq!(Lessons::default().of(&chain), Learnt { permille: chain.permille, lag_minutes: chain.lag_minutes, seen: 0 });
    }

    #[test]
    fn what_was_seen_is_nearer_to_the_truth_than_the_graph() {
        let chain = chain();
        let told = f64::from(chain.permille) / 1000.0;
        for truth in [50, 200, 500, 900] {
            let (mut lessons, mut state) = (Lessons::default(), 7);
            // Squared errors of the two, forecast before each incident.
            let (mut learnt, mut fixed) = (0.0, 0.0);
            for _ in 0..300 {
                let happens = dice(&mut state) < truth;
                let outcome = f64::from(u8::from(happens));
                learnt += (f64::from(lessons.of(&chain).permille) / 1000.0 - outcome).powi(2);
                fixed += (told - outcome).powi(2);
                lessons.observe(&chain.path(), happens.then(|| 20 + dice(&mut state) / 100));
            }
            let known = lessons.of(&chain);
            assert!(known.permille.abs_diff(truth) <= 60, "{truth}: {known:?}");
            assert!(learnt <= fixed * 1.02, "{truth}: Brier {} against {} of the graph", learnt / 300.0, fixed / 300.0);
            if truth >= 200 {
                assert!((20..=22).contains(&known.lag_minutes[0]) && known.lag_minutes[2] <= 30, "{known:?}");
            }
        }
    }

    #[test]
    fn old_lessons_fade() {
        let chain = chain();
        let mut lessons = Lessons::default();
        for _ in 0..2_000 {
            lessons.observe(&chain.path(), Some(10));
        }
        for _ in 0..400 {
            lessons.observe(&chain.path(), None);
        }
        let known = lessons.of(&chain);
        assert!(known.permille < 450 && known.seen <= CAUSES_MAX, "{known:?}");
    }
}
