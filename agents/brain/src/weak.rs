//! Weak signs: a reading that is a little high, a call or two, rain. None is an alert, but several kinds of sources that
//! speak of one danger in one place and hour are one.
//!
//! Each sign says how likely its scenario's danger is by it alone. Signs of one source do not add up, and those of people
//! count as one source that is surer the more people speak; what several sources say together is `1 - Π(1 - p)` (the
//! "noisy or" of independent causes, Pearl 1988). From the scenario's own threshold on ([`graph::Weak`]), and from two
//! kinds of sources on, it is an early alert.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use graph::{Reach, When};
use schemas::alert::{Area, Headline, Status};
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind};
use serde::{Deserialize, Serialize};

use crate::alerts::Finding;
use crate::cases::MACHINE;
use crate::incidents::{Sighting, Spread};
use crate::limits;
use crate::state::{Alert, Case, State, Turn};

/// What the alert of weak signs calls its hazard.
pub(crate) const HAZARD: &str = "weak_signals";

/// What people say counts as one kind of source.
const REPORTS: &str = "reports";
/// How likely a danger is by one report, in thousandths; and how many of them make it surer.
const REPORT_PERMILLE: u32 = 250;
/// See [`REPORT_PERMILLE`].
const REPORTS_MAX: usize = 4;
/// How likely it is by a reading of level Ⅳ or a trend, and of level Ⅲ.
const MILD_PERMILLE: u32 = 500;
/// See [`MILD_PERMILLE`].
const MEDIUM_PERMILLE: u32 = 600;

/// A weak sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hint {
    pub(crate) at: DateTime<Utc>,
    /// Who says it: a station, `reports`, or the event type of a cause.
    pub(crate) source: String,
    /// The case or alert.
    pub(crate) member: String,
    pub(crate) permille: u32,
    pub(crate) spread: Spread,
    pub(crate) evidence: Option<Position>,
}

impl State {
    /// What a report is a sign of, where signs of its scenario may add up.
    pub(crate) fn sign_of_case(&self, turn: &Turn<'_>, case: &Case) -> Option<Sighting> {
        let scenario = case.scenario.as_deref().filter(|_| case.channel != MACHINE)?;
        watches(turn, scenario).then(|| self.sighting_of_case(turn, case, ""))
    }

    /// A report is a sign of its scenario.
    pub(crate) fn hint_of_case(&mut self, turn: &mut Turn<'_>, sign: &Sighting) {
        self.hint(turn, &sign.scenario, sign, REPORTS, REPORT_PERMILLE);
    }

    /// A mild reading or a trend is a sign of its scenario.
    pub(crate) fn hint_of_signal(&mut self, turn: &mut Turn<'_>, signal: &Signal, alert_key: &str) {
        let permille = match (signal.signal, signal.level) {
            (SignalKind::Trend, _) | (SignalKind::Threshold, 4) => MILD_PERMILLE,
            (SignalKind::Threshold, 3) => MEDIUM_PERMILLE,
            (SignalKind::Threshold | SignalKind::Surge | SignalKind::NoSignal, _) => return,
        };
        if !watches(turn, &signal.scenario) {
            return;
        }
        let Some(alert) = self.active.get(alert_key).and_then(|id| self.alerts.get(id)) else { return };
        let (new, originator) = (Self::sighting_of_alert(turn, alert), alert.originator.clone());
        let main = main_event(turn, &signal.scenario);
        let event = new.event.clone().unwrap_or_default();
        match turn.graph.known_link(&event, &main, When::local(turn.at, self.utc_offset_minutes)) {
            // A cause is there: what it leads to may follow. Many gauges see one rain.
            Some(chain) => {
                let permille = chain.permille * permille / 1000;
                self.hint(turn, &signal.scenario, &new, &event, permille);
            }
            None => self.hint(turn, &signal.scenario, &new, &originator, permille),
        }
    }

    fn hint(&mut self, turn: &mut Turn<'_>, scenario: &str, new: &Sighting, source: &str, permille: u32) {
        let Some(weak) = turn.graph.scenario(scenario).and_then(|scenario| scenario.weak) else { return };
        let hints = self.hints.entry(format!("{}/{scenario}", turn.timeline)).or_default();
        let window = TimeDelta::minutes(i64::from(weak.window_minutes));
        hints.retain(|hint| turn.at - hint.at <= window && hint.member != new.member);
        if hints.len() >= limits::HINTS_MAX {
            hints.pop_front();
        }
        hints.push_back(Hint {
            at: turn.at,
            source: source.to_owned(),
            member: new.member.clone(),
            permille,
            spread: new.spread.clone(),
            evidence: turn.source.cloned(),
        });
        let reach = Reach::Metres(limits::HINT_REACH_M);
        let near: Vec<&Hint> = hints.iter().filter(|hint| hint.spread.near(&new.spread, reach).is_ok()).collect();
        let by_source = by_source(&near);
        let together = noisy_or(by_source.values().copied());
        if by_source.len() < 2 || together < weak.permille {
            return;
        }
        let finding = describe(turn, scenario, new, &near, &by_source, together);
        if self.is_known(turn, scenario, &new.spread, reach) {
            return;
        }
        self.raise_early(turn, finding);
    }

    /// Whether people have reported something of the scenario near by.
    pub(crate) fn is_reported(&self, turn: &Turn<'_>, scenario: &str, place: &Spread, reach: Reach) -> bool {
        let window = turn.graph.scenario(scenario).and_then(|scenario| scenario.weak).map_or(60, |weak| weak.window_minutes);
        let fresh = |hint: &&Hint| hint.source == REPORTS && turn.at - hint.at <= TimeDelta::minutes(i64::from(window));
        let hints = self.hints.get(&format!("{}/{scenario}", turn.timeline));
        hints.into_iter().flatten().filter(fresh).any(|hint| hint.spread.near(place, reach).is_ok())
    }

    /// Whether an alert tells of it already.
    fn is_known(&self, turn: &Turn<'_>, scenario: &str, spread: &Spread, reach: Reach) -> bool {
        let tells = |alert: &Alert| {
            alert.scenario == scenario
                && alert.timeline == turn.timeline
                && alert.status == Status::Actual
                && alert.level <= limits::WEAK_LEVEL
                && !alert.is_early()
                && Self::sighting_of_alert(turn, alert).spread.near(spread, reach).is_ok()
        };
        self.active.values().filter_map(|id| self.alerts.get(id)).any(tells)
    }
}

fn watches(turn: &Turn<'_>, scenario: &str) -> bool {
    turn.graph.scenario(scenario).is_some_and(|scenario| scenario.weak.is_some())
}

fn main_event(turn: &Turn<'_>, scenario: &str) -> String {
    turn.graph.scenario(scenario).and_then(|scenario| scenario.events.first()).cloned().unwrap_or_default()
}

/// How likely it is by each source, in thousandths.
fn by_source(hints: &[&Hint]) -> BTreeMap<String, u32> {
    let mut sources: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for hint in hints {
        sources.entry(hint.source.clone()).or_default().push(hint.permille);
    }
    let says = |(source, permilles): (String, Vec<u32>)| {
        let permille = match source == REPORTS {
            true => noisy_or(permilles.into_iter().take(REPORTS_MAX)),
            false => permilles.into_iter().max().unwrap_or(0),
        };
        (source, permille)
    };
    sources.into_iter().map(says).collect()
}

fn noisy_or(permilles: impl Iterator<Item = u32>) -> u32 {
    1000 - permilles.fold(1000, |left, permille| left * (1000 - permille.min(1000)) / 1000)
}

fn describe(turn: &Turn<'_>, scenario: &str, new: &Sighting, hints: &[&Hint], sources: &BTreeMap<String, u32>, together: u32) -> Finding {
    let name = turn.graph.scenario(scenario).map(|scenario| scenario.name.clone()).expect("weak signs have a scenario");
    let district = new.spread.districts.first().filter(|_| !new.spread.city).cloned();
    let originator = district.clone().unwrap_or_else(|| crate::surge::ORIGINATOR.to_owned());
    let mut area = Area { name: originator.clone(), bounds: None };
    for (low, high) in hints.iter().filter_map(|hint| hint.spread.bounds) {
        area.widen(low);
        area.widen(high);
    }
    let said = sources.iter().map(|(source, permille)| format!("{source} {permille}‰")).collect::<Vec<_>>().join(", ");
    Finding {
        scenario: scenario.to_owned(),
        originator,
        hazard: HAZARD.to_owned(),
        level: limits::WEAK_LEVEL,
        status: Status::Actual,
        exercise: None,
        alone: false,
        headline: Headline {
            zh: format!("{}早期征兆：{}类来源，可能性{}%", name.zh, sources.len(), together / 10),
            en: format!("Early signs of {}: {} kinds of sources, {} % likely", name.en.to_lowercase(), sources.len(), together / 10),
        },
        area,
        district,
        value_milli: Some(i64::from(together)),
        threshold_milli: None,
        onset: turn.at,
        reason: format!("weak signs together: {said}; {together}‰ by all of them"),
        evidence: hints.iter().filter_map(|hint| hint.evidence.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::noisy_or;

    #[test]
    fn signs_add_up_as_independent_ones_do() {
        assert_eq!(noisy_or([].into_iter()), 0);
        assert_eq!(noisy_or([500].into_iter()), 500);
        assert_eq!(noisy_or([500, 500].into_iter()), 750);
        assert_eq!(noisy_or([250; 4].into_iter()), 685);
        assert_eq!(noisy_or([1000, 250].into_iter()), 1000);
    }
}
