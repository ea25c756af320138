//! The way of a warning to the public: somebody drafts it, somebody else approves it, a person publishes it.
//!
//! What was published is never edited: a new draft becomes an Update, and [`Action::CancelWarning`] a Cancel. A warning that
//! nobody renews ends after a day; its unit is reminded before. An exercise cannot come here: every step needs a [`Meant`],
//! which no exercise is.
//!
//! [`Action::CancelWarning`]: schemas::journal::Action::CancelWarning

use chrono::{DateTime, Utc};
use schemas::alert::{AlertState, Headline, Warning, WarningStage};
use schemas::journal::Command;
use schemas::notification::{Audience, Outcome};
use serde::{Deserialize, Serialize};

use crate::cap::{self, PublicMessage};
use crate::limits;
use crate::state::{Alert, State, Timer, Turn, quote};

/// A warning of the public as the brain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicWarning {
    /// How far the latest text has come.
    pub stage: WarningStage,
    /// The latest text.
    pub text: Headline,
    /// Who wrote it.
    pub drafted_by: String,
    /// Who agreed with it.
    pub approved_by: Option<String>,
    /// Until when what was published holds; nothing when nothing that was published holds.
    pub expires: Option<DateTime<Utc>>,
    /// Identifier and sending time of what was published before.
    pub(crate) published: Vec<(String, DateTime<Utc>)>,
}

/// An alert that is meant. Only such a one leads to the public.
pub(crate) struct Meant<'a>(&'a Alert);

impl<'a> Meant<'a> {
    /// The alert, unless it is an exercise or a test.
    pub(crate) fn of(alert: &'a Alert) -> Result<Self, String> {
        match alert.status.is_actual() {
            true => Ok(Self(alert)),
            false => Err("an exercise never reaches the public".to_owned()),
        }
    }

    /// It.
    pub(crate) fn alert(&self) -> &'a Alert {
        self.0
    }
}

fn timer(id: &str) -> String {
    format!("alert/{id}/warning")
}

impl State {
    pub(super) fn draft_warning(&mut self, turn: &mut Turn<'_>, command: &Command, id: &str) -> Result<(), String> {
        let alert = &self.alerts[id];
        Meant::of(alert)?;
        let text = command.alerting.text.clone().unwrap_or_else(|| alert.headline.clone());
        let chars = |text: &str| (1..=limits::WARNING_CHARS_MAX).contains(&text.trim().chars().count());
        if !chars(&text.zh) || !chars(&text.en) {
            return Err(format!("the text needs 1 to {} characters in both languages", limits::WARNING_CHARS_MAX));
        }
        let (expires, published) = alert.warning.as_ref().map(|warning| (warning.expires, warning.published.clone())).unwrap_or_default();
        let drafted_by = quote(&command.actor);
        let warning = PublicWarning { stage: WarningStage::Drafted, text, drafted_by, approved_by: None, expires, published };
        self.take_step(turn, id, warning, command)
    }

    pub(super) fn approve_warning(&mut self, turn: &mut Turn<'_>, command: &Command, id: &str) -> Result<(), String> {
        let mut warning = self.warning_at(id, WarningStage::Drafted, "there is no draft to approve")?;
        if warning.drafted_by == quote(&command.actor) {
            return Err("whoever wrote a warning does not approve it: ask somebody else".to_owned());
        }
        warning.stage = WarningStage::Approved;
        warning.approved_by = Some(quote(&command.actor));
        self.take_step(turn, id, warning, command)
    }

    pub(super) fn publish_warning(&mut self, turn: &mut Turn<'_>, command: &Command, id: &str) -> Result<(), String> {
        let mut warning = self.warning_at(id, WarningStage::Approved, "there is no approved draft to publish")?;
        warning.stage = WarningStage::Published;
        self.stop_warning_timer(id);
        let ends = turn.at + limits::WARNING_LIFE;
        warning.expires = Some(ends);
        self.take_step(turn, id, warning, command)?;
        self.wake_at(turn, timer(id), ends - limits::WARNING_REMINDER);
        Ok(())
    }

    pub(super) fn cancel_warning(&mut self, turn: &mut Turn<'_>, command: &Command, id: &str) -> Result<(), String> {
        let mut warning = self.alerts[id].warning.clone().filter(|warning| warning.expires.is_some()).ok_or("the public was told nothing that holds")?;
        self.stop_warning_timer(id);
        (warning.stage, warning.expires) = (WarningStage::Cancelled, None);
        self.take_step(turn, id, warning, command)
    }

    /// Nearly a day has passed since a warning was published, or a whole one.
    pub(crate) fn warning_due(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(alert) = self.alerts.get_mut(id) else { return };
        let Some(warning) = alert.warning.as_mut() else { return };
        let Some(ends) = warning.expires else { return };
        if turn.at < ends {
            if alert.state != AlertState::Cleared {
                let reason = format!("the warning of the public ends in {}: draft an update, or let it end", super::span((ends - turn.at).num_seconds()));
                let notification = self.about(turn, &[id.to_owned()], Outcome::Repeated, &reason);
                self.tell(turn, notification);
            }
            return self.wake_at(turn, timer(id), ends);
        }
        warning.expires = None;
        if warning.stage == WarningStage::Published {
            warning.stage = WarningStage::Expired;
        }
        let told = Warning { stage: WarningStage::Expired, text: warning.text.clone(), expires: None, cap: None };
        self.change_with(turn, id, "warning_expired", "nobody renewed the warning of the public", Some(told));
    }

    fn warning_at(&self, id: &str, stage: WarningStage, missing: &str) -> Result<PublicWarning, String> {
        let alert = Meant::of(&self.alerts[id])?.alert();
        alert.warning.clone().filter(|warning| warning.stage == stage).ok_or_else(|| missing.to_owned())
    }

    /// Keeps the warning, tells of the step, and tells the public when it is told something.
    fn take_step(&mut self, turn: &mut Turn<'_>, id: &str, mut warning: PublicWarning, command: &Command) -> Result<(), String> {
        let meant = Meant::of(&self.alerts[id])?;
        let over = warning.stage == WarningStage::Cancelled;
        // The change that carries it has the id without the letter.
        let id_of_message = format!("{}-P", turn.next_id());
        let message = PublicMessage { id: id_of_message.clone(), at: turn.at, stage: warning.stage, text: &warning.text, earlier: &warning.published };
        let name = super::face(turn, &meant.alert().scenario).map(|face| face.name);
        let cap = cap::public(&meant, &message, name.as_ref(), turn.graph.city_name(), self.utc_offset_minutes)
            .map_err(|problem| format!("CAP 1.2 has no place for that: {problem}"))?;
        let public = matches!(warning.stage, WarningStage::Published | WarningStage::Cancelled);
        if public {
            warning.published.push((id_of_message, turn.at));
            if warning.published.len() > limits::CAP_REFERENCES_MAX {
                warning.published.remove(1);
            }
        }
        let told = Warning { stage: warning.stage, text: warning.text.clone(), expires: warning.expires, cap: Some(cap.clone()) };
        let change = match warning.stage {
            WarningStage::Drafted => "warning_drafted",
            WarningStage::Approved => "warning_approved",
            WarningStage::Published => "warning_published",
            WarningStage::Cancelled => "warning_cancelled",
            WarningStage::Expired => "warning_expired",
        };
        if over {
            // After a Cancel the next warning is a new one.
            warning.published.clear();
        }
        self.alerts.get_mut(id).expect("it was just looked at").warning = Some(warning);
        let reason = format!("{}: {}", quote(&command.actor), quote(&command.reason));
        self.change_with(turn, id, change, &reason, Some(told));
        if public {
            let mut notification = self.about(turn, &[id.to_owned()], Outcome::Published, &reason);
            (notification.audience, notification.cap) = (Audience::Public, Some(cap));
            self.tell(turn, notification);
        }
        Ok(())
    }

    fn stop_warning_timer(&mut self, id: &str) {
        let alert = &self.alerts[id];
        let Some(ends) = alert.warning.as_ref().and_then(|warning| warning.expires) else { return };
        for due in [ends - limits::WARNING_REMINDER, ends] {
            self.timers.remove(&Timer { due, name: timer(id), timeline: alert.timeline });
        }
    }
}
