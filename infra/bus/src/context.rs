//! What librdkafka says between the lines: into our log, at our levels.

use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, warn};

/// That a batch is damaged is told once: the last one of a partition is fetched again and again.
static DAMAGED: Once = Once::new();

/// How long a trouble must last before it is told: a broker that is restarted, or stops with us, is no news.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// Logs and keeps the last complaint, which tells why a request timed out.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Option<Trouble>>);

/// Something that has gone wrong and has not come right since.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    told: bool,
    text: String,
}

impl Complaints {
    /// The last complaint.
    pub fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|trouble| trouble.text.clone())
    }

    /// Takes a complaint down. A trouble that lasts is told once; its repetitions go to the debug log.
    pub fn hear(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::BadMessage) {
            DAMAGED.call_once(|| {
                error!("a batch on the bus does not fit its checksum, and nothing behind it is read: its file was altered, or its disk fails; put the topic back from a copy, and ask `citybrain audit verify` whether the audit is concerned");
            });
        }
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        let mut trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = trouble.get_or_insert_with(|| Trouble { since: Instant::now(), told: false, text: String::new() });
        if !trouble.told && trouble.since.elapsed() >= TOLD_AFTER {
            trouble.told = true;
            warn!(reason = text, "kafka complains; it is tried again");
        } else {
            debug!(reason = text, "kafka complains");
        }
        trouble.text = text;
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
