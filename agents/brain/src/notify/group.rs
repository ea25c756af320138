//! Groups: the first alert waits for company, later news wait for an interval, and what nobody acknowledges is repeated.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::alert::AlertState;
use schemas::notification::{Outcome, Suppression};

use super::inhibit::Sources;
use super::{Group, Member, Silence, group_name};
use crate::state::{Alert, State, Timer, Turn};

fn flush_timer(group: &str) -> String {
    format!("notify/{group}/flush")
}

/// What a look at a group's alerts found.
#[derive(Default)]
struct Look {
    /// Alerts of which there is news.
    news: Vec<String>,
    /// Alerts that go on and of which nothing is new.
    rest: Vec<String>,
    /// Alerts that something keeps back since now.
    held: BTreeMap<Suppression, Vec<String>>,
    /// When a flapping alert may be told again.
    again: Option<DateTime<Utc>>,
}

impl State {
    /// An alert has changed: its group tells of it soon, if it is news.
    pub(crate) fn concerns(&mut self, turn: &mut Turn<'_>, id: &str, change: &str) {
        match change {
            "acknowledged" => return self.acknowledged(turn, id),
            "raised" | "upgraded" | "unknown" | "restored" | "cleared" | "closed" => {}
            _ => return,
        }
        let mut group = self.group_of(id);
        let alert = &self.alerts[id];
        let policy = turn.graph.alerting();
        let urgent = alert.level <= 2 && matches!(change, "raised" | "upgraded" | "restored");
        let wait = self.wait(turn, if urgent { policy.group_wait_s.0 } else { policy.group_wait_s.1 });
        let due = match group.last_told {
            Some(last) if !urgent => (last + self.wait(turn, policy.group_interval_s)).max(turn.at + wait),
            _ => turn.at + wait,
        };
        let company = group.members.keys().any(|member| member != id);
        self.flush_at(turn, &mut group, due);
        group.members.entry(id.to_owned()).or_default();
        let until = group.flush.unwrap_or(due);
        let name = group.id.clone();
        self.alerting.groups.insert(name.clone(), group);
        if company {
            let reason = format!("told together with its group at {}", schemas::time::format(until));
            self.hold_back(turn, &[id.to_owned()], Suppression::Grouped(name), &reason);
        }
    }

    /// Takes the group of an alert out of state, or makes it. An alert stays in the group that it began in.
    fn group_of(&mut self, id: &str) -> Group {
        let alert = self.alerts.get_mut(id).expect("a changed alert is there");
        let name = group_name(alert);
        if alert.group.is_empty() {
            alert.group = schemas::id::of_parts(&[&name, alert.status.name(), &alert.timeline.to_string()]);
        }
        self.alerting.groups.remove(&alert.group).unwrap_or_else(|| Group {
            id: alert.group.clone(),
            name,
            status: alert.status,
            flush: None,
            last_told: None,
            step: 0,
            escalates: None,
            members: BTreeMap::new(),
            timeline: alert.timeline,
        })
    }

    /// Lets a group tell at `due` if it would tell later or not at all.
    pub(super) fn flush_at(&mut self, turn: &mut Turn<'_>, group: &mut Group, due: DateTime<Utc>) {
        if group.flush.is_some_and(|known| known <= due) {
            return;
        }
        if let Some(known) = group.flush.replace(due) {
            self.timers.remove(&Timer { due: known, name: flush_timer(&group.id), timeline: group.timeline });
        }
        self.wake_on(turn, group.timeline, flush_timer(&group.id), due);
    }

    /// The time has come to tell of a group.
    pub(crate) fn flush(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(mut group) = self.alerting.groups.remove(id) else { return };
        group.flush = None;
        let look = self.look(turn, &mut group);
        let policy = turn.graph.alerting();
        let repeat = self.wait(turn, policy.repeat_interval_s);
        // What is unknown was told once as that, and escalated; telling it again would help nobody to know.
        let goes_on = |state: &State, ids: &[String]| ids.iter().any(|id| is_owed(&state.alerts[id]) && state.alerts[id].state == AlertState::Active);
        let repeats = group.last_told.is_some_and(|last| last + repeat <= turn.at) && goes_on(self, &look.rest);
        let news = look.news.len();
        let fresh = look.news.iter().any(|id| is_owed(&self.alerts[id]));
        if news > 0 || repeats {
            let told: Vec<String> = look.news.iter().chain(&look.rest).cloned().collect();
            let over = told.iter().all(|id| self.alerts[id].state == AlertState::Cleared);
            let (outcome, reason) = match (over, news) {
                (true, 1) => (Outcome::Resolved, "it is over".to_owned()),
                (true, _) => (Outcome::Resolved, format!("{news} alerts are over")),
                (false, 0) => (Outcome::Repeated, "nobody has acknowledged it".to_owned()),
                (false, _) => (Outcome::Sent, format!("news of {news} of {} alert(s)", told.len())),
            };
            // Who is told of something new begins at the bottom of the chain, unless the chain is being climbed.
            if fresh && group.escalates.is_none() {
                group.step = 0;
            }
            self.alerting.groups.insert(group.id.clone(), group);
            let notification = self.about(turn, &told, outcome, &reason);
            self.tell(turn, notification);
            group = self.alerting.groups.remove(id).expect("just put back");
            group.last_told = Some(turn.at);
            for id in told {
                let alert = &self.alerts[&id];
                match alert.state {
                    AlertState::Cleared => group.members.remove(&id),
                    AlertState::Active | AlertState::Unknown => {
                        group.members.insert(id, Member { told: Some((alert.state, alert.level, turn.at)), suppressed: None })
                    }
                };
            }
        }
        if group.members.is_empty() {
            self.stop_escalating(&mut group);
            return;
        }
        if goes_on(self, &look.news) || goes_on(self, &look.rest) {
            let last = group.last_told.unwrap_or(turn.at);
            self.flush_at(turn, &mut group, (last + repeat).max(turn.at + TimeDelta::seconds(1)));
        }
        if let Some(again) = look.again {
            self.flush_at(turn, &mut group, again);
        }
        self.climb(turn, &mut group);
        self.alerting.groups.insert(group.id.clone(), group);
    }

    /// Looks at each alert of a group: is there news, and does anything keep it back? Records what keeps it back.
    fn look(&mut self, turn: &mut Turn<'_>, group: &mut Group) -> Look {
        let mut look = Look::default();
        let sources = Sources::of(turn, self);
        group.members.retain(|id, member| {
            let Some(alert) = self.alerts.get(id) else { return false };
            let over = alert.state == AlertState::Cleared;
            let news = is_news(alert, member);
            if over && member.told.is_none() {
                if member.suppressed.is_none() {
                    look.held.entry(Suppression::Over).or_default().push(id.clone());
                }
                return false;
            }
            let silenced = self.silenced_by(alert, turn.at).map(Suppression::Silence);
            let cause = silenced.or_else(|| sources.explaining(alert).map(|(key, _)| Suppression::Inhibited(key)));
            let cause = cause.or_else(|| {
                let (score, (_, _, last)) = (alert.flap_score.filter(|_| news && !over)?, member.told?);
                let every = TimeDelta::seconds(i64::from(crate::alerts::hysteresis(turn, &alert.scenario).flap.notify_every_s));
                let again = last + every;
                (again > turn.at).then(|| {
                    look.again = Some(look.again.map_or(again, |known| known.min(again)));
                    Suppression::Flapping(score)
                })
            });
            match cause {
                Some(cause) => {
                    if member.suppressed.as_ref() != Some(&cause) {
                        look.held.entry(cause.clone()).or_default().push(id.clone());
                        member.suppressed = Some(cause);
                    }
                    // What ends while it is kept back ends quietly.
                    !over
                }
                None => {
                    member.suppressed = None;
                    if news { &mut look.news } else { &mut look.rest }.push(id.clone());
                    true
                }
            }
        });
        for (cause, ids) in std::mem::take(&mut look.held) {
            let reason = match &cause {
                Suppression::Silence(silence) => self.alerting.silences.get(silence).map_or_else(String::new, Silence::in_words),
                Suppression::Inhibited(key) => sources_reason(turn, self, key, &ids),
                Suppression::Flapping(score) => format!("its condition came back {score} times; it is told once in an interval"),
                Suppression::Grouped(_) => "it waits for its group".to_owned(),
                Suppression::Over => "it was over before anybody was told".to_owned(),
            };
            self.hold_back(turn, &ids, cause, &reason);
        }
        look
    }

    /// What was kept back for a reason of this kind is looked at again.
    pub(super) fn look_again(&mut self, turn: &mut Turn<'_>, kept_back: impl Fn(&Suppression) -> bool) {
        let waits = |group: &&Group| group.members.values().any(|member| member.suppressed.as_ref().is_some_and(&kept_back));
        let groups: Vec<String> = self.alerting.groups.values().filter(waits).map(|group| group.id.clone()).collect();
        for id in groups {
            let mut group = self.alerting.groups.remove(&id).expect("just found");
            let at = self.clocks.at(group.timeline).unwrap_or(turn.at).max(turn.at);
            self.flush_at(turn, &mut group, at);
            self.alerting.groups.insert(id, group);
        }
    }

    /// An alert is over: what it explained is looked at again.
    pub(crate) fn tell_what_was_explained(&mut self, turn: &mut Turn<'_>) {
        self.look_again(turn, |cause| matches!(cause, Suppression::Inhibited(_)));
    }
}

fn sources_reason(turn: &Turn<'_>, state: &State, key: &str, ids: &[String]) -> String {
    let alert = ids.first().and_then(|id| state.alerts.get(id));
    let rule = alert.and_then(|alert| Sources::of(turn, state).explaining(alert)).map(|(_, rule)| rule);
    let source = state.active.get(key).and_then(|id| state.alerts.get(id)).map(|alert| alert.headline.en.clone());
    format!("{}: {}", rule.unwrap_or_default(), source.unwrap_or_default())
}

/// Whether people were not told of an alert as it is.
fn is_news(alert: &Alert, member: &Member) -> bool {
    member.told.is_none_or(|(state, level, _)| state != alert.state || alert.level < level)
}

/// Whether an alert waits for somebody to acknowledge it.
pub(super) fn is_owed(alert: &Alert) -> bool {
    alert.state != AlertState::Cleared && !alert.acknowledged
}
