//! Who is told of alerts, who is not and why, and what became of telling them: the values of
//! `city.notification` and `city.receipt`.
//!
//! A [`Notification`] is a decision of the brain: recorded when it is sent, and as well when something keeps it from being
//! sent. A [`Receipt`] is what the world answered.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::alert::{AlertState, Headline, Status};
use crate::position::Position;

/// What became of the wish to tell somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Told: something is new.
    Sent,
    /// Told again: nobody has acknowledged it.
    Repeated,
    /// Told: all of it is over.
    Resolved,
    /// Told: somebody has seen it.
    Acknowledged,
    /// Told to the superior: nobody has acknowledged it in time.
    Escalated,
    /// The public is told: a warning that people approved.
    Published,
    /// Not told.
    Suppressed,
}

impl Outcome {
    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Sent => "sent",
            Outcome::Repeated => "repeated",
            Outcome::Resolved => "resolved",
            Outcome::Acknowledged => "acknowledged",
            Outcome::Escalated => "escalated",
            Outcome::Published => "published",
            Outcome::Suppressed => "suppressed",
        }
    }
}

/// Who may read a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The city's own people.
    Staff,
    /// Everybody.
    Public,
}

/// What kept a notification from being sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "cause", content = "by", rename_all = "snake_case")]
pub enum Suppression {
    /// A person's silence, by its id.
    Silence(String),
    /// An alert that explains it, by its key.
    Inhibited(String),
    /// Its condition comes and goes; it is told at most once in an interval.
    Flapping(u32),
    /// It waits to be told together with others of its group.
    Grouped(String),
    /// It was over before anybody was told.
    Over,
}

/// An alert as a notification tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What makes the alert one.
    pub alert_key: String,
    /// The episode.
    pub alert: String,
    /// The scenario.
    pub scenario: String,
    /// Who measures.
    pub originator: String,
    /// What is measured.
    pub hazard: String,
    /// From 1 (Ⅰ) to 4 (Ⅳ).
    pub level: u8,
    /// Whether the hazard is there.
    pub state: AlertState,
    /// Whether somebody has seen it.
    pub acknowledged: bool,
    /// What to tell people.
    pub headline: Headline,
    /// Where.
    pub place: String,
    /// The unit that owes an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Since when.
    pub onset: DateTime<Utc>,
    /// When it last changed; of an alert that is over: when it ended.
    pub changed: DateTime<Utc>,
}

/// Somebody is told of alerts, or is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Id, made from (sequence, ordinal): who performs it twice performs it once.
    pub id: String,
    /// The group of alerts that it is about.
    pub group: String,
    /// The group's name for people: its incident, or scenario and district.
    pub group_name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What kept it from being sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
    /// Who may read it.
    pub audience: Audience,
    /// Whether it is meant.
    pub status: Status,
    /// The worst level among its alerts that are not over.
    pub level: u8,
    /// The units that are told.
    pub units: Vec<String>,
    /// How many superiors up.
    pub step: u32,
    /// The scenario of the worst alert.
    pub scenario: String,
    /// The incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The alerts, what is new first.
    pub alerts: Vec<Told>,
    /// Alerts of the group that did not fit in.
    pub truncated: u64,
    /// Why, in one sentence.
    pub reason: String,
    /// The warning of the public as CAP 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<String>,
    /// When, in city time.
    pub at: DateTime<Utc>,
    /// The record that it rests on, unless a timer made it.
    pub evidence: Vec<Position>,
}

impl Notification {
    /// Whether somebody is told.
    pub fn is_told(&self) -> bool {
        self.outcome != Outcome::Suppressed
    }
}

/// A notification that the public may read. There is no other way to one than [`PublicNotice::of`], so whoever sends to
/// the public cannot send anything else.
#[derive(Debug, Clone, Copy)]
pub struct PublicNotice<'a>(&'a Notification);

impl<'a> PublicNotice<'a> {
    /// The notification, if it is a published warning and meant: an exercise never is.
    pub fn of(notification: &'a Notification) -> Option<Self> {
        let public = notification.audience == Audience::Public && notification.outcome == Outcome::Published;
        (public && notification.status.is_actual()).then_some(Self(notification))
    }

    /// What it says.
    pub fn get(self) -> &'a Notification {
        self.0
    }
}

/// What became of a notification at one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Id, made from receiver and notification.
    pub id: String,
    /// The notification.
    pub notification: String,
    /// Its group.
    pub group: String,
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// Whether the receiver has taken it.
    pub delivered: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// The last HTTP status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When, by the sender's clock.
    pub at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(audience: Audience, outcome: Outcome, status: Status) -> Notification {
        Notification {
            id: "1".into(),
            group: "g".into(),
            group_name: "g".into(),
            outcome,
            suppressed: None,
            audience,
            status,
            level: 1,
            units: Vec::new(),
            step: 0,
            scenario: "s".into(),
            incident: None,
            alerts: Vec::new(),
            truncated: 0,
            reason: "r".into(),
            cap: None,
            at: DateTime::UNIX_EPOCH,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn only_a_published_warning_that_is_meant_is_public() {
        let all = [Outcome::Sent, Outcome::Repeated, Outcome::Resolved, Outcome::Acknowledged, Outcome::Escalated, Outcome::Published, Outcome::Suppressed];
        for audience in [Audience::Staff, Audience::Public] {
            for outcome in all {
                for status in [Status::Actual, Status::Exercise, Status::Test] {
                    let expected = audience == Audience::Public && outcome == Outcome::Published && status == Status::Actual;
                    assert_eq!(PublicNotice::of(&notification(audience, outcome, status)).is_some(), expected);
                }
            }
        }
    }
}
