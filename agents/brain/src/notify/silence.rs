//! Silences: for a time that a person sets, alerts that fit are not told; everything else about them goes on.

use chrono::{DateTime, Utc};
use schemas::journal::Command;
use schemas::matcher::{Matcher, in_words};
use schemas::notification::Suppression;
use serde::{Deserialize, Serialize};

use super::{check_matchers, fits};
use crate::limits;
use crate::state::{Alert, State, Timer, Turn, quote};

/// A silence that holds or will hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// Which alerts are not told.
    pub matchers: Vec<Matcher>,
    /// From when.
    pub starts: DateTime<Utc>,
    /// Until when, the moment itself not included.
    pub ends: DateTime<Utc>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub comment: String,
    pub(crate) timeline: u32,
}

impl Silence {
    pub(super) fn in_words(&self) -> String {
        format!("silenced by {} until {}: {} ({})", self.author, schemas::time::format(self.ends), self.comment, in_words(&self.matchers))
    }
}

fn timer(id: &str) -> String {
    format!("silence/{id}/ends")
}

impl State {
    /// The silence that keeps an alert from being told at this moment.
    pub(super) fn silenced_by(&self, alert: &Alert, at: DateTime<Utc>) -> Option<String> {
        let holds = |silence: &&Silence| silence.starts <= at && at < silence.ends && fits(alert, &silence.matchers);
        self.alerting.silences.values().find(holds).map(|silence| silence.id.clone())
    }

    pub(crate) fn silence(&mut self, turn: &mut Turn<'_>, command: &Command) -> Result<(), String> {
        let order = &command.alerting;
        check_matchers(&order.matchers)?;
        if self.alerting.silences.len() >= limits::SILENCES_MAX {
            return Err(format!("there are {} silences; end one first", limits::SILENCES_MAX));
        }
        let starts = order.starts.unwrap_or(turn.at).max(turn.at);
        let ends = order.ends.ok_or("a silence needs its end (`ends`)")?;
        if ends <= starts || ends - turn.at > limits::SILENCE_MAX {
            return Err(format!("a silence ends after it has begun ({}), and within {} days", schemas::time::format(starts), limits::SILENCE_MAX.num_days()));
        }
        let silence = Silence {
            id: format!("silence-{}", turn.next_id()),
            matchers: order.matchers.clone(),
            starts,
            ends,
            author: quote(&command.actor),
            comment: quote(&command.reason),
            timeline: turn.timeline,
        };
        turn.decide("silence", &silence.id, "person", "made", silence.in_words());
        self.wake_at(turn, timer(&silence.id), ends);
        self.alerting.silences.insert(silence.id.clone(), silence);
        Ok(())
    }

    pub(crate) fn unsilence(&mut self, turn: &mut Turn<'_>, command: &Command) -> Result<(), String> {
        let silence = self.alerting.silences.remove(&command.target).ok_or("there is no such silence")?;
        self.timers.remove(&Timer { due: silence.ends, name: timer(&silence.id), timeline: silence.timeline });
        turn.decide("silence", &silence.id, "person", "ended", format!("{}: {}", quote(&command.actor), quote(&command.reason)));
        self.end_of_silence(turn, &silence.id);
        Ok(())
    }

    /// A silence has lasted as long as it was to last.
    pub(crate) fn silence_ends(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(silence) = self.alerting.silences.remove(id) else { return };
        turn.decide("silence", id, "rules", "ended", silence.in_words());
        self.end_of_silence(turn, id);
    }

    fn end_of_silence(&mut self, turn: &mut Turn<'_>, id: &str) {
        self.look_again(turn, |cause| matches!(cause, Suppression::Silence(silence) if silence == id));
    }
}
