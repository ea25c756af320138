//! How to reach the bus.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::error::BusError;
use crate::limits;

/// Where Kafka is and how to speak to it.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// `host:port`, several of them separated by commas.
    pub bootstrap: String,
    /// Any option of librdkafka, handed on as it is: `security.protocol`, `sasl.username`, ...
    pub options: BTreeMap<String, String>,
    /// How long the first contact may take.
    pub connect_timeout: Duration,
}

impl BusConfig {
    /// The bus at `bootstrap`, everything else as it comes.
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self { bootstrap: bootstrap.into(), options: BTreeMap::new(), connect_timeout: limits::CONNECT_TIMEOUT }
    }

    /// The same with one more option of librdkafka.
    pub fn with_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }

    /// What all clients share; `own` are the settings of one kind, and the user's options win over both.
    pub(crate) fn client(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let receive_bytes_max = limits::RESPONSE_BYTES_MAX.to_string();
        let record_bytes_max = limits::RECORD_BYTES_MAX.to_string();
        config.set("bootstrap.servers", &self.bootstrap).set("client.id", "citybrain");
        // A city's broker comes back within seconds; waiting longer and longer for it helps nobody.
        config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "1000");
        config.set("receive.message.max.bytes", receive_bytes_max).set("message.max.bytes", record_bytes_max);
        config.set("log.connection.close", "false");
        for (key, value) in own {
            config.set(*key, *value);
        }
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
    }
}

/// librdkafka's word about a client that could not be made, as an error that names the option.
pub fn creation_error(what: &str, error: KafkaError) -> BusError {
    match error {
        KafkaError::ClientConfig(_, problem, key, value) => BusError::Option { key, value, problem },
        other => BusError::request(format!("make {what}"), other),
    }
}
