//! How an alert ends: slowly, by measurement or by a person. Silence ends nothing, and what comes and goes stays one alert.

use chrono::TimeDelta;
use schemas::alert::AlertState;
use schemas::position::Position;

use super::raise::life_timer;
use super::{Flaps, hysteresis, span};
use crate::limits;
use crate::state::{State, Timer, Turn};
use crate::surge;

fn clear_timer(key: &str) -> String {
    format!("alert/{key}/clear")
}

impl State {
    /// The condition was measured as gone: the alert is cleared unless it comes back soon.
    pub(super) fn begin_clearing(&mut self, turn: &mut Turn<'_>, key: &str, evidence: Vec<Position>) {
        self.drop_pending(turn, key, "it was gone");
        let Some(id) = self.active.get(key).cloned() else { return };
        self.support(&id, evidence);
        let alert = self.alerts.get_mut(&id).expect("an active id names an alert");
        if alert.clears.is_some() {
            return;
        }
        let times = hysteresis(turn, &alert.scenario);
        let hold_s = if alert.flap_score.is_some() { times.flap.settle_s.max(times.clear_after_s) } else { times.clear_after_s };
        let due = (turn.at + seconds(hold_s)).max(alert.found + seconds(times.keep_firing_s));
        alert.clears = Some((turn.at, due));
        self.wake_at(turn, clear_timer(key), due);
    }

    /// The alert stays; gives whether it was about to end.
    pub(super) fn stop_clearing(&mut self, id: &str) -> bool {
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        let Some((_, due)) = alert.clears.take() else { return false };
        self.timers.remove(&Timer { due, name: clear_timer(&alert.alert_key), timeline: alert.timeline })
    }

    /// The time to clear an alert has come.
    pub(crate) fn clear_due(&mut self, turn: &mut Turn<'_>, key: &str) {
        let Some(id) = self.active.get(key).cloned() else { return };
        if let Some((since, due)) = self.alerts.get(&id).and_then(|alert| alert.clears) {
            self.clear(turn, &id, "cleared", &format!("measured as gone for {}", span((due - since).num_seconds())));
        }
    }

    /// Ends an alert. Its last change names all evidence that none before has named.
    pub(crate) fn clear(&mut self, turn: &mut Turn<'_>, id: &str, change: &str, reason: &str) {
        self.stop_clearing(id);
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        alert.state = AlertState::Cleared;
        let key = alert.alert_key.clone();
        self.alerting.flaps.entry(key.clone()).or_default().ended = Some(turn.at);
        self.forget_flaps();
        self.active.remove(&key);
        self.change(turn, id, change, reason);
        self.tell_what_was_explained(turn);
    }

    pub(super) fn unknown(&mut self, turn: &mut Turn<'_>, key: &str, evidence: Vec<Position>, reason: &str) {
        self.drop_pending(turn, key, reason);
        let Some(id) = self.active.get(key).cloned() else { return };
        // What is not measured is not gone: a clearing that was under way stops.
        self.stop_clearing(&id);
        self.support(&id, evidence);
        let alert = self.alerts.get_mut(&id).expect("an active id names an alert");
        if alert.state == AlertState::Active {
            alert.state = AlertState::Unknown;
            self.change(turn, &id, "unknown", reason);
        }
    }

    /// A day has passed since an alert was raised or last told of: it is told of anew when it was heard of meanwhile, else
    /// nobody knows any more. An alert that is unknown is not told of again until something is heard.
    pub(crate) fn life_due(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(alert) = self.alerts.get_mut(id).filter(|alert| alert.state == AlertState::Active) else { return };
        let due = alert.changed + limits::ALERT_LIFE;
        if due > turn.at {
            return self.wake_at(turn, life_timer(id), due);
        }
        // Reports of people need no confirmation: the surge itself watches whether they go on.
        let watched = alert.originator == surge::ORIGINATOR && alert.hazard == surge::HAZARD;
        let day = span(limits::ALERT_LIFE.num_seconds());
        if watched || !alert.pending.is_empty() {
            self.change(turn, id, "renewed", &format!("still active after {day}"));
            return self.wake_at(turn, life_timer(id), turn.at + limits::ALERT_LIFE);
        }
        alert.state = AlertState::Unknown;
        self.stop_clearing(id);
        self.change(turn, id, "unknown", &format!("nothing was heard of it for {day}"));
    }

    /// Whether the last alert of this key ended within its scenario's window.
    pub(super) fn ended_lately(&self, turn: &Turn<'_>, key: &str, scenario: &str) -> bool {
        let begin = turn.at - seconds(hysteresis(turn, scenario).flap.window_s);
        self.alerting.flaps.get(key).and_then(|flaps| flaps.ended).is_some_and(|ended| ended > begin)
    }

    /// A condition is back: gives how often within its scenario's window, if that is flapping.
    pub(super) fn came_back(&mut self, turn: &Turn<'_>, key: &str, scenario: &str) -> Option<u32> {
        let flap = hysteresis(turn, scenario).flap;
        let begin = turn.at - seconds(flap.window_s);
        let turns = &mut self.alerting.flaps.entry(key.to_owned()).or_default().turns;
        turns.retain(|turn| *turn > begin);
        turns.push_back(turn.at);
        // More would not change what is decided.
        if turns.len() > flap.count as usize * 4 {
            turns.pop_front();
        }
        let score = turns.len() as u32;
        self.forget_flaps();
        (score >= flap.count).then_some(score)
    }

    /// Says that an alert has begun to flap; how it goes on is told with its next change.
    pub(super) fn note_flapping(&mut self, turn: &mut Turn<'_>, id: &str, score: Option<u32>) {
        let Some(score) = score else { return };
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        if alert.flap_score.replace(score).is_some() {
            return;
        }
        let flap = hysteresis(turn, &alert.scenario).flap;
        let reason = format!(
            "its condition came back {score} times within {}: it is told at most every {}, and ends when the condition is gone for {}",
            span(i64::from(flap.window_s)), span(i64::from(flap.notify_every_s)), span(i64::from(flap.settle_s))
        );
        self.change(turn, id, "flapping", &reason);
    }

    fn forget_flaps(&mut self) {
        while self.alerting.flaps.len() > limits::FLAPS_MAX {
            let latest = |flaps: &Flaps| flaps.turns.back().copied().max(flaps.ended);
            let quiet = self.alerting.flaps.iter().min_by_key(|(key, flaps)| (latest(flaps), (*key).clone()));
            let quiet = quiet.expect("there are some").0.clone();
            self.alerting.flaps.remove(&quiet);
        }
    }
}

fn seconds(seconds: u32) -> TimeDelta {
    TimeDelta::seconds(i64::from(seconds))
}
