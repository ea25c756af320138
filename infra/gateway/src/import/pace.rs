//! Event time at a chosen speed: an event goes out when its time has come.

use chrono::{DateTime, Utc};
use tokio::time::{Duration, Instant};

use super::ImportError;
use super::sink::{Sink, SinkError};
use crate::refusal::Incoming;

/// Maps event time to our time, beginning with the first event.
pub struct Pace {
    speed: f64,
    begin: Option<(DateTime<Utc>, Instant)>,
}

impl Pace {
    /// Event time runs `speed` times as fast as it happened.
    ///
    /// # Errors
    /// When that is not a number above zero.
    pub fn new(speed: f64) -> Result<Pace, ImportError> {
        if speed.is_finite() && speed > 0.0 { Ok(Pace { speed, begin: None }) } else { Err(ImportError::Speed(speed)) }
    }

    /// Hands over a batch, each event when it is due. Events without a time, and late ones, go at once.
    pub async fn put<S: Sink>(&mut self, batch: Vec<Incoming>, sink: &mut S) -> Result<(), SinkError> {
        let mut due_now = Vec::new();
        for incoming in batch {
            let time = incoming.event.as_ref().ok().and_then(|event| event.time);
            if let Some(due) = time.and_then(|time| self.due(time))
                && due > Instant::now()
            {
                sink.put(std::mem::take(&mut due_now)).await?;
                sink.flush().await?;
                tokio::time::sleep_until(due).await;
            }
            due_now.push(incoming);
        }
        sink.put(due_now).await
    }

    fn due(&mut self, time: DateTime<Utc>) -> Option<Instant> {
        let (first, begin) = *self.begin.get_or_insert_with(|| (time, Instant::now()));
        let ahead_us = (time - first).num_microseconds().filter(|ahead| *ahead > 0)?;
        let wait = Duration::try_from_secs_f64(ahead_us as f64 / 1e6 / self.speed).ok()?;
        begin.checked_add(wait)
    }
}
