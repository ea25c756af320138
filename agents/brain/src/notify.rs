//! Who is told of which alerts, when, and why somebody is not: the semantics of Alertmanager, as a pure state machine.
//!
//! `group` puts alerts of an incident (or of a scenario in a district) together and tells of them at intervals; `inhibit`
//! and `silence` keep back what is explained or what people want to be silent; `escalate` goes up the duty chain until
//! somebody acknowledges. Each notification, sent or kept back, is an effect; what waits is a timer of the brain. So a
//! restart neither loses nor repeats anything.

mod escalate;
mod group;
mod inhibit;
mod silence;

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::alert::{AlertState, LABELS, Status};
use schemas::journal::Mode;
use schemas::matcher::Matcher;
use schemas::notification::{Audience, Notification, Outcome, Suppression, Told};
use serde::{Deserialize, Serialize};

pub use self::silence::Silence;
use crate::effect::Effect;
use crate::limits;
use crate::state::{Alert, State, Turn};

/// Alerts that are told together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name for people: the incident, or scenario and district.
    pub name: String,
    /// Whether its alerts are meant.
    pub status: Status,
    /// When people are told next, if they are to be told.
    pub flush: Option<DateTime<Utc>>,
    /// When people were last told.
    pub last_told: Option<DateTime<Utc>>,
    /// How many superiors up people were told.
    pub step: u32,
    /// When the next superior is told, unless somebody acknowledges.
    pub escalates: Option<DateTime<Utc>>,
    /// Its alerts, by their ids.
    pub members: BTreeMap<String, Member>,
    pub(crate) timeline: u32,
}

/// An alert in its group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// State and level of which people were told, and when.
    pub told: Option<(AlertState, u8, DateTime<Utc>)>,
    /// What keeps people from being told.
    pub suppressed: Option<Suppression>,
}

/// Checks the conditions of a silence or exercise.
pub(crate) fn check_matchers(matchers: &[Matcher]) -> Result<(), String> {
    if matchers.is_empty() || matchers.len() > limits::MATCHERS_MAX {
        return Err(format!("`matchers` needs 1 to {} conditions, like {{\"name\": \"district\", \"value\": \"d01\"}}", limits::MATCHERS_MAX));
    }
    matchers.iter().find_map(|matcher| matcher.problem(&LABELS)).map_or(Ok(()), Err)
}

/// What an alert says under a label.
pub(crate) fn label<'a>(alert: &'a Alert, name: &str) -> Option<Cow<'a, str>> {
    let some = |text: &'a str| Some(Cow::Borrowed(text));
    match name {
        "scenario" => some(&alert.scenario),
        "originator" => some(&alert.originator),
        "hazard" => some(&alert.hazard),
        "level" => Some(Cow::Owned(alert.level.to_string())),
        "state" => some(alert.state.name()),
        "status" => some(alert.status.name()),
        "district" => alert.district.as_deref().map(Cow::Borrowed),
        "incident" => alert.incident.as_deref().map(Cow::Borrowed),
        "unit" => alert.unit.as_deref().map(Cow::Borrowed),
        "alert_key" => some(&alert.alert_key),
        _ => None,
    }
}

fn fits(alert: &Alert, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.holds(label(alert, &matcher.name).as_deref()))
}

fn told(alert: &Alert) -> Told {
    Told {
        alert_key: alert.alert_key.clone(),
        alert: alert.id.clone(),
        scenario: alert.scenario.clone(),
        originator: alert.originator.clone(),
        hazard: alert.hazard.clone(),
        level: alert.level,
        state: alert.state,
        acknowledged: alert.acknowledged,
        headline: alert.headline.clone(),
        place: alert.area.name.clone(),
        unit: alert.unit.clone(),
        onset: alert.onset,
        changed: alert.changed,
    }
}

impl State {
    /// A wait of the graph as it counts in the city's mode.
    fn wait(&self, turn: &Turn<'_>, seconds: u32) -> TimeDelta {
        let share = if self.alerting.mode == Mode::Emergency { turn.graph.alerting().emergency_permille } else { 1000 };
        // At least a second: whoever waits for nothing waits for company all the same.
        TimeDelta::milliseconds((i64::from(seconds) * i64::from(share)).max(1000))
    }

    /// A notification about these alerts of one group.
    pub(crate) fn about(&self, turn: &Turn<'_>, ids: &[String], outcome: Outcome, reason: &str) -> Notification {
        let alerts: Vec<&Alert> = ids.iter().filter_map(|id| self.alerts.get(id)).collect();
        let rank = |alert: &&&Alert| (alert.state == AlertState::Cleared, alert.level);
        let worst = alerts.iter().min_by_key(rank).expect("a notification is about an alert");
        let group = self.alerting.groups.get(&worst.group);
        let open: Vec<&&Alert> = alerts.iter().filter(|alert| alert.state != AlertState::Cleared).collect();
        let owing = if open.is_empty() { alerts.iter().collect() } else { open };
        let mut units: Vec<String> = owing.into_iter().filter_map(|alert| alert.unit.clone()).collect();
        units.sort();
        units.dedup();
        Notification {
            id: turn.next_id(),
            group: worst.group.clone(),
            group_name: group.map_or_else(|| group_name(worst), |group| group.name.clone()),
            outcome,
            suppressed: None,
            audience: Audience::Staff,
            status: worst.status,
            level: worst.level,
            units,
            step: group.map_or(0, |group| group.step),
            scenario: worst.scenario.clone(),
            incident: worst.incident.clone(),
            alerts: alerts.iter().take(limits::TOLD_MAX).map(|alert| told(alert)).collect(),
            truncated: alerts.len().saturating_sub(limits::TOLD_MAX) as u64,
            reason: reason.to_owned(),
            cap: None,
            at: turn.at,
            evidence: turn.evidence(),
        }
    }

    /// Sends a notification, and counts it for those who get it.
    pub(crate) fn tell(&mut self, turn: &mut Turn<'_>, mut notification: Notification) {
        notification.id = turn.next_id();
        self.counts.notifications += 1;
        for unit in &notification.units {
            let known = self.alerting.load.contains_key(unit);
            if known || self.alerting.load.len() < limits::LOADS_MAX {
                *self.alerting.load.entry(unit.clone()).or_default() += 1;
            }
        }
        turn.effects.push(Effect::Notification(notification));
    }

    /// Records that something kept these alerts from being told.
    fn hold_back(&mut self, turn: &mut Turn<'_>, ids: &[String], cause: Suppression, reason: &str) {
        let mut notification = self.about(turn, ids, Outcome::Suppressed, reason);
        notification.suppressed = Some(cause);
        self.counts.suppressed += 1;
        turn.effects.push(Effect::Notification(notification));
    }
}

/// The group of an alert for people.
fn group_name(alert: &Alert) -> String {
    match (&alert.incident, &alert.district) {
        (Some(incident), _) => incident.clone(),
        (None, Some(district)) => format!("{} {district}", alert.scenario),
        (None, None) => alert.scenario.clone(),
    }
}
