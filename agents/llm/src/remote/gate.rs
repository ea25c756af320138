//! Lets so many in at once; the others wait in line, the most urgent first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::backend::{AskError, Priority};
use crate::queue::{Push, Queue};

#[derive(Debug)]
struct State {
    free: usize,
    places: usize,
    queue: Queue<oneshot::Sender<Permit>>,
}

/// The gate.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Mutex<State>>);

/// A place inside; going gives it to the next.
#[derive(Debug)]
pub(super) struct Permit(Option<Gate>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.leave();
        }
    }
}

impl Gate {
    pub(super) fn new(places: usize, waiting_max: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places, places, queue: Queue::new(waiting_max) })))
    }

    /// Waits for a place. Refused at once when the line is full.
    pub(super) async fn enter(&self, priority: Priority, deadline: Instant, within: Duration) -> Result<Permit, AskError> {
        let (call, called) = oneshot::channel();
        let waiting = {
            let mut state = self.0.lock().expect("no holder of this lock panics");
            let waiting = state.queue.len();
            if let Push::Full(_) = state.queue.push(priority, call) {
                return Err(AskError::Busy { waiting });
            }
            waiting
        };
        self.admit();
        match timeout_at(deadline, called).await {
            Ok(Ok(permit)) => Ok(permit),
            // Somebody more urgent took the place in the line.
            Ok(Err(_)) => Err(AskError::Busy { waiting }),
            Err(_) => Err(AskError::Deadline(within)),
        }
    }

    fn leave(&self) {
        self.0.lock().expect("no holder of this lock panics").free += 1;
        self.admit();
    }

    /// Lets in whom there is room for. The last place is kept for the urgent.
    fn admit(&self) {
        loop {
            let call = {
                let mut state = self.0.lock().expect("no holder of this lock panics");
                if state.free == 0 {
                    return;
                }
                let last_place = state.places > 1 && state.free == 1;
                let Some((_, call)) = state.queue.pop(last_place) else { return };
                state.free -= 1;
                call
            };
            // Who has gone meanwhile gives the place back: outside of the lock, for that takes it again.
            if let Err(mut permit) = call.send(Permit(Some(self.clone()))) {
                permit.0 = None;
                self.0.lock().expect("no holder of this lock panics").free += 1;
            }
        }
    }

    pub(super) fn waiting(&self) -> [u64; 4] {
        self.0.lock().expect("no holder of this lock panics").queue.lengths()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn enter(gate: &Gate, priority: Priority) -> Result<Permit, AskError> {
        let within = Duration::from_secs(5);
        gate.enter(priority, Instant::now() + within, within).await
    }

    #[tokio::test]
    async fn the_last_place_is_for_the_urgent_and_a_full_line_refuses() {
        let gate = Gate::new(2, 1);
        let first = enter(&gate, Priority::Three).await.unwrap();
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { enter(&gate, Priority::Three).await.is_ok() }
        });
        while gate.waiting() != [0, 0, 1, 0] {
            tokio::task::yield_now().await;
        }
        assert!(matches!(enter(&gate, Priority::Four).await, Err(AskError::Busy { waiting: 1 })));
        drop(first);
        assert!(waits.await.unwrap());
    }

    #[tokio::test]
    async fn who_goes_away_keeps_no_place() {
        let gate = Gate::new(1, 4);
        let inside = enter(&gate, Priority::One).await.unwrap();
        let short = Duration::from_millis(5);
        let late = gate.enter(Priority::One, Instant::now() + short, short).await;
        assert!(matches!(late, Err(AskError::Deadline(_))));
        drop(inside);
        assert!(enter(&gate, Priority::Four).await.is_ok());
        assert!(enter(&gate, Priority::Four).await.is_ok(), "a place that was left is free again");
    }
}
