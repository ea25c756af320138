//! A receiver as the configuration names it.

use serde::{Deserialize, Serialize};
use url::Url;

/// What a receiver understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The body of Prometheus Alertmanager's webhooks, version 4.
    Alertmanager,
    /// The notification itself as a structured CloudEvent 1.0.
    Cloudevents,
    /// PagerDuty's Events API v2; `secret` is the routing key.
    Pagerduty,
}

/// A receiver of notifications: one `[[webhooks]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Its name in receipts; without it one is made from the address, and changes with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it is: `http://` or `https://`.
    pub url: String,
    /// What it understands.
    pub kind: Kind,
    /// Only notifications of these levels; empty: all.
    #[serde(default)]
    pub levels: Vec<u8>,
    /// Only notifications about one of these scenarios; empty: all.
    #[serde(default)]
    pub scenarios: Vec<String>,
    /// Whether the public reads it. Then it is sent published warnings and nothing else.
    #[serde(default)]
    pub public: bool,
    /// Signs what is sent; for PagerDuty the routing key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// Notifications about a time longer ago than this, in seconds, are history and are not sent.
    #[serde(default = "day")]
    pub max_age_s: u32,
}

fn day() -> u32 {
    86_400
}

/// What is wrong with a receiver.
#[derive(Debug, thiserror::Error)]
#[error("webhook {url}: {problem}")]
pub struct ReceiverError {
    /// Its address, without what may be secret in it.
    pub url: String,
    /// What is wrong.
    pub problem: String,
}

impl Receiver {
    /// Checks it, and gives it its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(mut self) -> Result<Self, ReceiverError> {
        let shown = self.url.split(['?', '#']).next().unwrap_or_default().to_owned();
        let refuse = |problem: String| ReceiverError { url: shown.clone(), problem };
        let url = Url::parse(&self.url).map_err(|error| refuse(format!("is no address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(refuse("an address begins with http:// or https:// and has a host".to_owned()));
        }
        if self.name.is_empty() {
            self.name = format!("hook-{}", &schemas::id::of_parts(&[&self.url])[..8]);
        }
        // It becomes a file name and a part of ids.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if self.name.len() > 64 || !self.name.bytes().all(plain) {
            return Err(refuse(format!("name {:?}: a-z, 0-9, `-` and `_` make one, up to 64 of them", self.name)));
        }
        if let Some(level) = self.levels.iter().find(|level| !(1..=4).contains(*level)) {
            return Err(refuse(format!("level {level} is not 1 to 4")));
        }
        if self.kind == Kind::Pagerduty && self.secret.is_empty() {
            return Err(refuse("PagerDuty needs its routing key as `secret`".to_owned()));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(url: &str) -> Receiver {
        Receiver { name: String::new(), url: url.into(), kind: Kind::Cloudevents, levels: vec![], scenarios: vec![], public: false, secret: String::new(), max_age_s: day() }
    }

    #[test]
    fn a_receiver_gets_a_name_from_its_address() {
        let checked = receiver("https://duty.example/hook?key=1").checked().expect("a receiver");
        assert!(checked.name.starts_with("hook-") && checked.name.len() == 13, "{}", checked.name);
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        let problem = |receiver: Receiver| receiver.checked().expect_err("it is wrong").to_string();
        assert!(problem(receiver("duty.example")).contains("no address"));
        assert!(problem(receiver("file:///etc/passwd")).contains("http://"));
        let told = problem(Receiver { levels: vec![0], ..receiver("http://h/x?key=abc") });
        assert!(told.contains("1 to 4") && !told.contains("abc"), "{told}");
        assert!(problem(Receiver { name: "../x".into(), ..receiver("http://h") }).contains("a-z"));
        assert!(problem(Receiver { kind: Kind::Pagerduty, ..receiver("http://h") }).contains("routing key"));
    }
}
