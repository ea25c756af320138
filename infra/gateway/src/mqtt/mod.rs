//! MQTT 3.1.1: observations and events from devices. `mosquitto_pub` and every other client work as they are.
//!
//! Topics: `v1.1/Datastreams(id)/Observations` and the other paths of SensorThings that take a `POST`, and `events` for
//! CloudEvents in JSON. This is a door, not a broker: nobody subscribes here, and wills and retained messages mean nothing.
//!
//! A publish of QoS 1 or 2 is acknowledged when the bus has it, or has in `dlq` what was refused of it; before that, never.
//! When the bus cannot take it, the connection ends without an acknowledgement, and the client sends it again.

mod message;
mod session;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::connections;
use crate::devices::Devices;
use crate::door::Door;
use crate::http::ServeError;
use crate::limits::MQTT_CONNECTIONS_MAX;
use crate::sensorthings::Things;

/// What all connections share.
pub struct Mqtt {
    /// The way in.
    pub door: Arc<Door>,
    /// What is registered.
    pub things: Arc<Things>,
    /// Who may send.
    pub devices: Arc<Devices>,
    /// Counts since the start.
    pub counts: Counts,
}

/// Counts since the start, for `/metrics`.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were let in.
    pub connected: AtomicU64,
    /// Connections that were turned away.
    pub turned_away: AtomicU64,
    /// Messages that came.
    pub messages: AtomicU64,
    /// Messages that were acknowledged.
    pub acknowledged: AtomicU64,
}

impl Mqtt {
    /// Puts the parts together.
    pub fn new(door: Arc<Door>, things: Arc<Things>, devices: Arc<Devices>) -> Arc<Mqtt> {
        Arc::new(Mqtt { door, things, devices, counts: Counts::default() })
    }

    /// The counts as Prometheus text.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        for (name, help, count) in [
            ("connected", "MQTT connections let in.", &self.counts.connected),
            ("turned_away", "MQTT connections turned away.", &self.counts.turned_away),
            ("messages", "MQTT messages that came.", &self.counts.messages),
            ("acknowledged", "MQTT messages acknowledged.", &self.counts.acknowledged),
        ] {
            let value = count.load(Ordering::Relaxed);
            text.push_str(&format!("# HELP citybrain_mqtt_{name}_total {help}\n# TYPE citybrain_mqtt_{name}_total counter\ncitybrain_mqtt_{name}_total {value}\n"));
        }
        text
    }
}

/// A port that is ours.
pub struct MqttListener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl MqttListener {
    /// Takes the port. Beyond loopback only when devices show keys.
    ///
    /// # Errors
    /// When the address is none, would be open to everybody, or is taken.
    pub async fn bind(listen: &str, devices: &Devices) -> Result<MqttListener, ServeError> {
        let wrong = |source| ServeError::Address { listen: listen.to_owned(), source };
        let mut addrs = tokio::net::lookup_host(listen).await.map_err(wrong)?;
        let addr = addrs.next().ok_or_else(|| wrong(std::io::Error::other("the name has no address")))?;
        if !addr.ip().is_loopback() && !devices.registered_only() {
            return Err(ServeError::OpenToAll { addr });
        }
        let bind = |source| ServeError::Bind { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        Ok(MqttListener { listener, addr })
    }

    /// The address, with the port that was given when 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` resolves; then takes no more messages, and waits a while for the acknowledgements of those
    /// that it took.
    pub async fn serve(self, mqtt: Arc<Mqtt>, stop: impl Future<Output = ()>) {
        let (tell, stopping) = watch::channel(false);
        let connections = connections::take_in(self.listener, MQTT_CONNECTIONS_MAX, stop, |socket, peer| {
            let (mqtt, stopping) = (Arc::clone(&mqtt), stopping.clone());
            async move {
                if let Err(why) = session::serve(&mqtt, socket, stopping).await {
                    tracing::info!(%peer, why, "an MQTT connection ended");
                }
            }
        });
        let connections = connections.await;
        tell.send_replace(true);
        connections::let_end(connections).await;
    }
}
