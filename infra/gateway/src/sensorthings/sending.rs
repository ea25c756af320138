//! The items of a request on their way through the door, and what is known at once when the log has them.

use std::sync::Arc;
use std::time::Duration;

use super::request::{Item, Planned};
use super::things::Things;
use crate::door::{Door, DoorError, Outcome, Pending};
use crate::limits::STEP_EVENTS_MAX;

/// Items on their way.
pub struct Sending {
    /// Each with whether it went through the door.
    items: Vec<(Planned, bool)>,
    pending: Vec<Pending>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// What it is.
    pub planned: Planned,
    /// What the door said; nothing when just this was registered already.
    pub outcome: Option<Outcome>,
}

impl Sending {
    /// Puts items on their way, in order. Waits for room as long as there is patience (`None`: for ever).
    ///
    /// # Errors
    /// When there is no room, or the bus is down.
    pub async fn start(door: &Arc<Door>, items: Vec<Item>, patience: Option<Duration>) -> Result<Sending, DoorError> {
        let mut sending = Sending { items: Vec::with_capacity(items.len()), pending: Vec::new() };
        let mut step = Vec::new();
        for item in items {
            sending.items.push((item.planned, item.incoming.is_some()));
            step.extend(item.incoming);
            if step.len() >= STEP_EVENTS_MAX {
                sending.pending.push(door.enqueue(std::mem::take(&mut step), patience).await?);
            }
        }
        if !step.is_empty() {
            sending.pending.push(door.enqueue(step, patience).await?);
        }
        Ok(sending)
    }

    /// Waits until the log has all, and lets what was registered and observed be known.
    ///
    /// # Errors
    /// When the bus did not take all of it. Sending it again is right.
    pub async fn finish(self, things: &Things) -> Result<Vec<Settled>, DoorError> {
        let mut outcomes = Vec::new();
        for pending in self.pending {
            outcomes.extend(pending.await?);
        }
        let mut outcomes = outcomes.into_iter();
        let mut settled = Vec::with_capacity(self.items.len());
        for (planned, sent) in self.items {
            let outcome = if sent { outcomes.next() } else { None };
            if let Some(Outcome::Accepted(position) | Outcome::Duplicate(position)) = &outcome {
                match &planned {
                    Planned::Entity(_, _, data) => things.register(position.offset, data),
                    Planned::Observation(observed) => {
                        let (observation, described) = observed.as_ref().clone();
                        things.observe(observation.at(position), described);
                    }
                    Planned::Nothing => {}
                }
            }
            settled.push(Settled { planned, outcome });
        }
        Ok(settled)
    }
}
