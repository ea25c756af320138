//! Delivery: one request after another, tried again with growing pauses, until it is taken or given up.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use ring::hmac;
use schemas::notification::{Notification, PublicNotice, Receipt};

use crate::body::{self, Parties};
use crate::receiver::{Receiver, ReceiverError};

/// How long a receiver is waited for, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Tries of one request, the first included.
    pub attempts_max: u32,
    /// The pause after the first try; it doubles.
    pub first_pause: Duration,
    /// The longest pause, also when the receiver asks for more.
    pub longest_pause: Duration,
    /// How long one try may take.
    pub timeout: Duration,
}

impl Default for Patience {
    /// Eight tries over two to four minutes: a receiver that restarts is reached, and one that is gone holds up the next
    /// notification no longer than people would wait.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { attempts_max: 8, first_pause: seconds(1), longest_pause: seconds(60), timeout: seconds(10) }
    }
}

/// A notification as its receiver is to get it.
#[derive(Debug, Clone)]
pub struct Message {
    notification: String,
    group: String,
    status: &'static str,
    requests: Vec<(&'static str, Vec<u8>)>,
}

/// What became of a notification.
pub type Delivered = Receipt;

/// A receiver, ready to be sent to.
#[derive(Debug, Clone)]
pub struct Webhook {
    receiver: Receiver,
    home: String,
    patience: Patience,
    client: Client,
}

impl Webhook {
    /// Makes it ready. `home` is where the brain's own pages are, for links.
    ///
    /// # Errors
    /// What is wrong with the receiver.
    pub fn new(receiver: Receiver, home: &str, patience: Patience) -> Result<Self, ReceiverError> {
        let receiver = receiver.checked()?;
        // A redirect would take the signature to somebody else.
        let client = Client::builder().timeout(patience.timeout).redirect(Policy::none()).user_agent("citybrain").build();
        let client = client.map_err(|error| ReceiverError { url: receiver.name.clone(), problem: format!("no client can be made: {error}") })?;
        Ok(Self { receiver, home: home.to_owned(), patience, client })
    }

    /// Its receiver's name.
    pub fn name(&self) -> &str {
        &self.receiver.name
    }

    /// What the receiver is to be sent of a notification; nothing when it does not want it, or may not have it.
    pub fn message(&self, notification: &Notification, now: DateTime<Utc>) -> Option<Message> {
        let it = match self.receiver.public {
            true => PublicNotice::of(notification)?.get(),
            false => Some(notification).filter(|it| it.is_told())?,
        };
        let Receiver { levels, scenarios, .. } = &self.receiver;
        let level = levels.is_empty() || levels.contains(&it.level);
        let scenario = scenarios.is_empty() || scenarios.contains(&it.scenario) || it.alerts.iter().any(|alert| scenarios.contains(&alert.scenario));
        let history = now - it.at > TimeDelta::seconds(i64::from(self.receiver.max_age_s));
        if !level || !scenario || history {
            return None;
        }
        let parties = Parties { home: &self.home, receiver: &self.receiver.name, secret: &self.receiver.secret };
        let requests: Vec<_> = body::of(self.receiver.kind, it, &parties)
            .into_iter()
            .map(|(content_type, body)| (content_type, body.to_string().into_bytes()))
            .collect();
        let message = Message { notification: it.id.clone(), group: it.group.clone(), status: it.status.name(), requests };
        (!message.requests.is_empty()).then_some(message)
    }

    /// Delivers a message: each of its requests until the receiver has taken it, or until there is no more hope.
    pub async fn deliver(&self, message: &Message) -> Delivered {
        let mut receipt = Receipt {
            id: format!("{}-{}", self.receiver.name, message.notification),
            notification: message.notification.clone(),
            group: message.group.clone(),
            receiver: self.receiver.name.clone(),
            delivered: true,
            attempts: 0,
            status: None,
            error: None,
            at: Utc::now(),
        };
        for (index, (content_type, body)) in message.requests.iter().enumerate() {
            let key = format!("{}-{index}", receipt.id);
            receipt.delivered = self.request(&mut receipt, &key, content_type, body, message.status).await;
            if !receipt.delivered {
                break;
            }
        }
        receipt.at = Utc::now();
        receipt
    }

    async fn request(&self, receipt: &mut Receipt, key: &str, content_type: &str, body: &[u8], status: &str) -> bool {
        let mut pause = self.patience.first_pause;
        for attempt in 1..=self.patience.attempts_max {
            receipt.attempts += 1;
            let mut asked = None;
            match self.attempt(key, content_type, body, status).await {
                Ok((code, _)) if code.is_success() => {
                    (receipt.status, receipt.error) = (Some(code.as_u16()), None);
                    return true;
                }
                Ok((code, headers)) => {
                    (receipt.status, receipt.error) = (Some(code.as_u16()), Some(format!("it answers {code}")));
                    if !may_pass(code) {
                        return false;
                    }
                    asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
                }
                Err(error) => (receipt.status, receipt.error) = (None, Some(in_words(&error))),
            }
            if attempt < self.patience.attempts_max {
                tokio::time::sleep(asked.unwrap_or(pause).clamp(self.patience.first_pause, self.patience.longest_pause)).await;
                pause = (pause * 2).min(self.patience.longest_pause);
            }
        }
        false
    }

    async fn attempt(&self, key: &str, content_type: &str, body: &[u8], status: &str) -> reqwest::Result<(StatusCode, HeaderMap)> {
        let mut request = self
            .client
            .post(&self.receiver.url)
            .header(CONTENT_TYPE, content_type)
            .header("Idempotency-Key", key)
            .header("X-Citybrain-Status", status);
        if !self.receiver.secret.is_empty() && self.receiver.kind != crate::Kind::Pagerduty {
            let timestamp = Utc::now().timestamp().to_string();
            request = request.header("X-Citybrain-Signature", signature(&self.receiver.secret, &timestamp, body)).header("X-Citybrain-Timestamp", timestamp);
        }
        let answer = request.body(body.to_vec()).send().await?;
        Ok((answer.status(), answer.headers().clone()))
    }
}

/// `v1=` and the HMAC-SHA256 of the time, a point and the body, in hexadecimal. The time is signed too, so that nobody can
/// send an old message again.
fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    let digest = context.sign();
    digest.as_ref().iter().fold("v1=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Whether the same request may be taken later.
fn may_pass(code: StatusCode) -> bool {
    code.is_server_error() || matches!(code, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// What went wrong, without the address, which may hold a secret.
fn in_words(error: &reqwest::Error) -> String {
    match () {
        () if error.is_timeout() => "it does not answer in time".to_owned(),
        () if error.is_connect() => "it cannot be reached".to_owned(),
        () => "the connection broke".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    /// RFC 4231's second case, with the parts in their places.
    #[test]
    fn signatures_are_hmac_sha256() {
        let signed = super::signature("Jefe", "what do ya want for nothing?", b"");
        let plain = super::signature("key", "The quick brown fox jumps over the lazy dog", b"");
        assert_ne!(signed, plain);
        let reference = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"Jefe"), b"what do ya want for nothing?.");
        assert_eq!(signed, "v1=".to_owned() + &reference.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let known = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"Jefe"), b"what do ya want for nothing?");
        assert!(known.as_ref().starts_with(&[0x5b, 0xdc, 0xc1, 0x46]));
    }
}
