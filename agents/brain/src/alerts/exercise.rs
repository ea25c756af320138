//! What is only practised, and how the city works: 平时 or 救时.
//!
//! While an exercise goes on, what detectors find where its conditions hold becomes alerts of the status Exercise. The
//! status decides the alert's key, topic, CAP status and group, so an exercise and the real thing never meet. What citizens
//! report is always meant, and so is an alert that was there before.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use schemas::journal::{Command, Mode};
use schemas::matcher::{Matcher, in_words};
use schemas::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::notify::check_matchers;
use crate::state::{State, Timer, Turn, quote};

/// An exercise that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exercise {
    /// Its id.
    pub id: String,
    /// What is practised where.
    pub matchers: Vec<Matcher>,
    /// Since when.
    pub began: DateTime<Utc>,
    /// Until when, if nobody ends it before.
    pub ends: DateTime<Utc>,
    /// Who began it.
    pub author: String,
    /// Why.
    pub comment: String,
    pub(crate) timeline: u32,
}

fn timer(id: &str) -> String {
    format!("exercise/{id}/ends")
}

impl State {
    /// The exercise that a detector's finding belongs to.
    pub(super) fn exercise_of(&self, signal: &Signal, originator: &str, hazard: &str) -> Option<String> {
        let label = |name: &str| match name {
            "scenario" => Some(Cow::Borrowed(signal.scenario.as_str())),
            "originator" => Some(Cow::Borrowed(originator)),
            "hazard" => Some(Cow::Borrowed(hazard)),
            "level" => Some(Cow::Owned(signal.level.to_string())),
            "district" => Some(Cow::Borrowed(signal.district.as_deref().unwrap_or(originator))),
            _ => None,
        };
        let fits = |exercise: &&Exercise| exercise.matchers.iter().all(|matcher| matcher.holds(label(&matcher.name).as_deref()));
        self.alerting.exercises.values().find(fits).filter(|_| signal.status.is_actual()).map(|exercise| exercise.id.clone())
    }

    pub(super) fn start_exercise(&mut self, turn: &mut Turn<'_>, command: &Command) -> Result<(), String> {
        let order = &command.alerting;
        check_matchers(&order.matchers)?;
        let place = ["scenario", "originator", "district"];
        if !order.matchers.iter().any(|matcher| place.contains(&matcher.name.as_str()) && matcher.is_equal && !matcher.value.is_empty()) {
            return Err("an exercise names its scenario, district or station: the whole city never only practises".to_owned());
        }
        if self.alerting.exercises.len() >= limits::EXERCISES_MAX {
            return Err(format!("{} exercises go on; end one first", limits::EXERCISES_MAX));
        }
        let ends = order.ends.ok_or("an exercise needs its end (`ends`)")?;
        if ends <= turn.at || ends - turn.at > limits::EXERCISE_MAX {
            return Err(format!("an exercise ends within {} hours from now", limits::EXERCISE_MAX.num_hours()));
        }
        let exercise = Exercise {
            id: format!("exercise-{}", turn.next_id()),
            matchers: order.matchers.clone(),
            began: turn.at,
            ends,
            author: quote(&command.actor),
            comment: quote(&command.reason),
            timeline: turn.timeline,
        };
        let reason = format!("{}: {} ({}), until {}", exercise.author, exercise.comment, in_words(&exercise.matchers), schemas::time::format(ends));
        turn.decide("exercise", &exercise.id, "person", "started", reason);
        self.wake_at(turn, timer(&exercise.id), ends);
        self.alerting.exercises.insert(exercise.id.clone(), exercise);
        Ok(())
    }

    pub(super) fn stop_exercise(&mut self, turn: &mut Turn<'_>, command: &Command) -> Result<(), String> {
        let exercise = self.alerting.exercises.get(&command.target).ok_or("there is no such exercise")?;
        let (id, due, timeline) = (exercise.id.clone(), exercise.ends, exercise.timeline);
        self.timers.remove(&Timer { due, name: timer(&id), timeline });
        let reason = format!("{}: {}", quote(&command.actor), quote(&command.reason));
        self.end_exercise(turn, &id, "person", &reason);
        Ok(())
    }

    /// An exercise has lasted as long as it was to last.
    pub(crate) fn exercise_ends(&mut self, turn: &mut Turn<'_>, id: &str) {
        if self.alerting.exercises.contains_key(id) {
            self.end_exercise(turn, id, "rules", "its time is over");
        }
    }

    fn end_exercise(&mut self, turn: &mut Turn<'_>, id: &str, tier: &str, reason: &str) {
        self.alerting.exercises.remove(id);
        turn.decide("exercise", id, tier, "ended", reason.to_owned());
        let alerts = self.active.values().filter_map(|alert| self.alerts.get(alert));
        let practised: Vec<_> =
            alerts.filter(|alert| alert.exercise.as_deref() == Some(id)).map(|alert| (alert.id.clone(), alert.timeline, alert.changed)).collect();
        let (timeline, at) = (turn.timeline, turn.at);
        for (alert, of, changed) in practised {
            (turn.timeline, turn.at) = (of, self.clocks.at(of).unwrap_or(changed).max(changed));
            self.clear(turn, &alert, "closed", "the exercise is over");
        }
        (turn.timeline, turn.at) = (timeline, at);
    }

    /// 平时 or 救时: waits of groups and escalation that begin from now on are those of the mode.
    pub(super) fn change_mode(&mut self, turn: &mut Turn<'_>, command: &Command) -> Result<(), String> {
        let mode = command.alerting.mode.ok_or("a change of mode needs `mode`: everyday or emergency")?;
        if mode == self.alerting.mode {
            return Err(format!("the city is in {} mode", mode.name()));
        }
        self.alerting.mode = mode;
        let zh = if mode == Mode::Emergency { "救时" } else { "平时" };
        let reason = format!("{}: {} ({zh})", quote(&command.actor), quote(&command.reason));
        turn.decide("mode", "city", "person", mode.name(), reason);
        Ok(())
    }
}
