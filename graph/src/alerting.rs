//! How people are told of alerts: waits, repeats, escalation and inhibition, as data that a city changes.
//!
//! Every number has a default that suits an ordinary city, so a file says only what it wants otherwise. Times are whole
//! seconds. Grouping, repeats and inhibition mean what they mean in Prometheus Alertmanager.

use std::collections::BTreeMap;

use schemas::alert::LABELS;
use schemas::matcher::Matcher;
use serde::{Deserialize, Serialize};

/// Longest wait of any kind, in seconds: a week. More is a mistyped number.
const WAIT_S_MAX: u32 = 7 * 86_400;
/// Most rules of inhibition: each is tried on each alert that is to be told.
const INHIBIT_MAX: usize = 100;
/// Most turns that flapping may ask for: they are remembered for each alert.
const FLAP_COUNT_MAX: u32 = 50;

/// How the whole city is told of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerting {
    /// How long the first notification of a group waits for company: level 1 and 2, and the others.
    pub group_wait_s: (u32, u32),
    /// Time between two notifications of a group. A new or worse alert of level 1 or 2 does not wait for it.
    pub group_interval_s: u32,
    /// After this time a group that nobody has acknowledged is told again.
    pub repeat_interval_s: u32,
    /// How long each unit may take to acknowledge before its superior is told, by level from 1 to 4.
    pub escalate_after_s: [u32; 4],
    /// Which share of these times counts in an emergency, in thousandths.
    pub emergency_permille: u32,
    /// Which alerts explain which others.
    pub inhibit: Vec<Inhibition>,
}

impl Default for Alerting {
    fn default() -> Self {
        let rule = |name: &str, source: &[(&str, &str)], target: &[(&str, &str)], equal: &str, less_severe| Inhibition {
            name: name.to_owned(),
            source: Labels(source.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
            target: Labels(target.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
            equal: vec![equal.to_owned()],
            less_severe,
        };
        Self {
            group_wait_s: (5, 30),
            group_interval_s: 300,
            repeat_interval_s: 4 * 3600,
            escalate_after_s: [300, 600, 1800, 7200],
            emergency_permille: 500,
            inhibit: vec![
                rule("power failure explains silent stations", &[("scenario", "power_lighting"), ("level", "1|2|3")], &[("hazard", "no_signal")], "district", false),
                rule("a flood explains the reports of its incident", &[("scenario", "urban_flooding")], &[("scenario", "urban_flooding"), ("hazard", "reports")], "incident", true),
            ],
        }
    }
}

/// While an alert fits `source`, others that fit `target` are not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inhibition {
    /// What people read where something was not told because of it.
    pub name: String,
    /// What explains.
    pub source: Labels,
    /// What is explained.
    pub target: Labels,
    /// Labels that both have to have, with the same value.
    #[serde(default)]
    pub equal: Vec<String>,
    /// Whether it only explains what is less severe than itself.
    #[serde(default)]
    pub less_severe: bool,
}

/// Labels and what they have to be: `d01`, or alternatives like `d01|west.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Each as a condition.
    pub fn matchers(&self) -> impl Iterator<Item = Matcher> + '_ {
        self.0.iter().map(|(name, value)| Matcher {
            is_regex: value.contains('|') || value.ends_with(".*"),
            ..Matcher::equal(name, value)
        })
    }
}

/// When a scenario's findings become alerts, and when these end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hysteresis {
    /// How long a condition has to hold before it is an alert; a signal that says otherwise is heeded.
    pub pending_s: u32,
    /// How long a finding out of nothing waits to be confirmed: by another reading, a neighbour, a report, or by nothing
    /// that takes it back in this time. One wild reading of a device is no danger; what was foretold does not wait.
    pub confirm_s: u32,
    /// How long it has to be measured as gone before the alert is over: one good reading in a storm is no end.
    pub clear_after_s: u32,
    /// How long an alert stays at least after its condition was last found.
    pub keep_firing_s: u32,
    /// When an alert is called flapping.
    pub flap: Flap,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { pending_s: 0, confirm_s: 0, clear_after_s: 300, keep_firing_s: 0, flap: Flap::default() }
    }
}

/// When an alert is called flapping, and what becomes of it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flap {
    /// How often its condition has to come back.
    pub count: u32,
    /// Within this time.
    pub window_s: u32,
    /// A flapping alert ends only after its condition was gone for this long.
    pub settle_s: u32,
    /// A flapping alert is told at most once in this time.
    pub notify_every_s: u32,
}

impl Default for Flap {
    fn default() -> Self {
        Self { count: 3, window_s: 3600, settle_s: 1800, notify_every_s: 1800 }
    }
}

impl Alerting {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (urgent, other) = self.group_wait_s;
        let waits = [urgent, other, self.group_interval_s, self.repeat_interval_s].into_iter().chain(self.escalate_after_s);
        if let Some(wait) = waits.into_iter().find(|wait| *wait > WAIT_S_MAX) {
            problems.push(format!("alerting: {wait} s are more than a week"));
        }
        if self.group_interval_s == 0 || self.repeat_interval_s == 0 || self.escalate_after_s.contains(&0) {
            problems.push("alerting: intervals and times of escalation are at least 1 s".to_owned());
        }
        if !(1..=1000).contains(&self.emergency_permille) {
            problems.push(format!("alerting: emergency_permille {} is not 1 to 1000", self.emergency_permille));
        }
        if self.inhibit.len() > INHIBIT_MAX {
            problems.push(format!("alerting: {} rules of inhibition; at most {INHIBIT_MAX} are allowed", self.inhibit.len()));
        }
        for rule in &self.inhibit {
            let matchers = rule.source.matchers().chain(rule.target.matchers());
            problems.extend(matchers.filter_map(|matcher| matcher.problem(&LABELS)).map(|problem| format!("alerting: inhibit `{}`: {problem}", rule.name)));
            if let Some(label) = rule.equal.iter().find(|label| !LABELS.contains(&label.as_str())) {
                problems.push(format!("alerting: inhibit `{}`: there is no label `{label}`", rule.name));
            }
            if rule.source.0.is_empty() || rule.target.0.is_empty() {
                problems.push(format!("alerting: inhibit `{}`: source and target name a label each", rule.name));
            }
        }
        problems
    }
}

impl Hysteresis {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let Flap { count, window_s, settle_s, notify_every_s } = self.flap;
        let mut problems = Vec::new();
        let times = [self.pending_s, self.confirm_s, self.clear_after_s, self.keep_firing_s, window_s, settle_s, notify_every_s];
        if let Some(time) = times.into_iter().find(|time| *time > WAIT_S_MAX) {
            problems.push(format!("alerting: {time} s are more than a week"));
        }
        if !(2..=FLAP_COUNT_MAX).contains(&count) || window_s == 0 {
            problems.push(format!("alerting: flapping is 2 to {FLAP_COUNT_MAX} times in at least 1 s, not {count} in {window_s} s"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_right_and_a_file_says_only_what_it_wants_otherwise() {
        assert_eq!(Alerting::default().problems(), Vec::<String>::new());
        assert_eq!(Hysteresis::default().problems(), Vec::<String>::new());
        let read: Alerting = serde_saphyr::from_str("{ group_interval_s: 60 }").expect("a block");
        assert_eq!(read, Alerting { group_interval_s: 60, ..Alerting::default() });
        let read: Hysteresis = serde_saphyr::from_str("{ pending_s: 20, flap: { count: 5 } }").expect("a block");
        assert_eq!(read, Hysteresis { pending_s: 20, flap: Flap { count: 5, ..Flap::default() }, ..Hysteresis::default() });
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problems = |text: &str| serde_saphyr::from_str::<Alerting>(text).expect("a block").problems().join("; ");
        assert!(problems("{ repeat_interval_s: 0 }").contains("at least 1 s"));
        assert!(problems("{ escalate_after_s: [1, 2, 3, 99999999] }").contains("a week"));
        assert!(problems("{ emergency_permille: 2000 }").contains("1 to 1000"));
        assert!(problems("{ inhibit: [{ name: n, source: { colour: red }, target: { level: '4' } }] }").contains("no label `colour`"));
        assert!(problems("{ inhibit: [{ name: n, source: { level: '1' }, target: { level: '4' }, equal: [where] }] }").contains("no label `where`"));
        assert!(problems("{ inhibit: [{ name: n, source: {}, target: { level: '4' } }] }").contains("name a label each"));
        let flap = Hysteresis { flap: Flap { count: 1, ..Flap::default() }, ..Hysteresis::default() };
        assert!(flap.problems().join("").contains("2 to 50"));
        assert!(serde_saphyr::from_str::<Alerting>("{ gruop_wait_s: [1, 2] }").is_err());
    }
}
