//! What librdkafka says between the lines: into our log, at our levels.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tracing::{debug, warn};

/// Logs and keeps the last complaint, which tells why a request timed out.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Option<String>>);

impl Complaints {
    /// The last complaint.
    pub fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a complaint down. Repetitions go to the debug log: a broker that is down is said once.
    pub fn hear(&self, error: &KafkaError, reason: &str) {
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.is_some() {
            true => debug!(reason = text, "kafka complains again"),
            false => warn!(reason = text, "kafka complains; it is tried again"),
        }
        *last = Some(text);
    }

    /// Things go well again.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The context of clients that need no callbacks of their own.
#[derive(Debug, Default)]
pub struct PlainContext {
    pub complaints: Complaints,
}

impl ClientContext for PlainContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }
}

impl rdkafka::consumer::ConsumerContext for PlainContext {}

/// librdkafka repeats a lost connection at its error level several times a second; what matters comes as an error value.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    debug!(?level, facility, message, "librdkafka");
}
