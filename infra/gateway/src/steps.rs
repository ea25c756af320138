//! Many events through the door in steps: in order, several steps on their way at once, and counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use schemas::Position;

use crate::door::{Door, DoorError, Outcome, Pending};
use crate::limits::{STEP_BYTES_MAX, STEP_EVENTS_MAX, STEPS_IN_FLIGHT_MAX};
use crate::refusal::{Incoming, Place, Refusal};

/// What became of many events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The bus has them.
    pub accepted: u64,
    /// The bus had them already.
    pub duplicate: u64,
    /// They are in `dlq`.
    pub refused: u64,
    /// The first of the refused, and why.
    pub listed: Vec<(Place, Refusal)>,
    /// The place in the log of the last one that is there.
    pub last_position: Option<Position>,
}

impl Tally {
    /// Counts one.
    pub fn add(&mut self, place: Place, outcome: Outcome, listed_max: usize) {
        match outcome {
            Outcome::Accepted(position) => {
                self.accepted += 1;
                self.last_position = Some(position);
            }
            Outcome::Duplicate(position) => {
                self.duplicate += 1;
                self.last_position = Some(position);
            }
            Outcome::Refused(refusal) => {
                self.refused += 1;
                if self.listed.len() < listed_max {
                    self.listed.push((place, refusal));
                }
            }
        }
    }
}

/// A row of steps through one door.
pub struct Steps {
    door: Arc<Door>,
    patience: Option<Duration>,
    listed_max: usize,
    step: Vec<Incoming>,
    step_bytes: usize,
    under_way: VecDeque<(Vec<Place>, Pending)>,
    /// What is known so far.
    pub tally: Tally,
}

impl Steps {
    /// Steps through `door`, each waiting for room as long as there is patience.
    pub fn new(door: Arc<Door>, patience: Option<Duration>, listed_max: usize) -> Steps {
        Steps { door, patience, listed_max, step: Vec::new(), step_bytes: 0, under_way: VecDeque::new(), tally: Tally::default() }
    }

    /// Takes one event. Waits when too many steps are under way.
    pub async fn push(&mut self, incoming: Incoming) -> Result<(), DoorError> {
        self.step_bytes += incoming.bytes();
        self.step.push(incoming);
        if self.step.len() >= STEP_EVENTS_MAX || self.step_bytes >= STEP_BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what has gathered when nothing else is under way.
    pub async fn flush_if_idle(&mut self) -> Result<(), DoorError> {
        if self.under_way.is_empty() { self.flush().await } else { Ok(()) }
    }

    /// Sends what has gathered.
    pub async fn flush(&mut self) -> Result<(), DoorError> {
        if self.step.is_empty() {
            return Ok(());
        }
        if self.under_way.len() >= STEPS_IN_FLIGHT_MAX {
            self.settle_one().await?;
        }
        let step = std::mem::take(&mut self.step);
        self.step_bytes = 0;
        let places = step.iter().map(|incoming| incoming.origin.place.clone()).collect();
        let pending = self.door.enqueue(step, self.patience).await?;
        self.under_way.push_back((places, pending));
        Ok(())
    }

    /// Sends what has gathered and waits for all.
    pub async fn finish(&mut self) -> Result<(), DoorError> {
        let flushed = self.flush().await;
        while !self.under_way.is_empty() {
            self.settle_one().await?;
        }
        flushed
    }

    async fn settle_one(&mut self) -> Result<(), DoorError> {
        let Some((_, pending)) = self.under_way.front_mut() else { return Ok(()) };
        let settled = match self.patience {
            None => pending.await,
            Some(patience) => match tokio::time::timeout(patience, pending).await {
                Ok(settled) => settled,
                Err(_) => return Err(DoorError::Busy),
            },
        };
        let Some((places, _)) = self.under_way.pop_front() else { return Ok(()) };
        for (place, outcome) in places.into_iter().zip(settled?) {
            self.tally.add(place, outcome, self.listed_max);
        }
        Ok(())
    }
}
