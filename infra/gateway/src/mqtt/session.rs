//! One connection: packets in, acknowledgements out when the bus has what they stand for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use chrono::Utc;
use mqttbytes::v4::{ConnAck, Connect, ConnectReturnCode, Packet, PubAck, PubComp, PubRec, Publish, SubAck, SubscribeReasonCode, UnsubAck};
use mqttbytes::{Error as Malformed, QoS, v4};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Mqtt, message};
use crate::devices::Sender;
use crate::door::DoorError;
use crate::limits::{KEPT_BYTES_MAX, MQTT_CONNECT_TIME_MAX, MQTT_IN_FLIGHT_MAX, MQTT_PACKET_BYTES_MAX};
use crate::refusal::{Incoming, Origin, Refusal};
use crate::sensorthings::request::{Item, Planned};
use crate::sensorthings::sending::Sending;

/// Why a connection ended, for the log.
type Ended = Result<(), String>;

/// Serves a connection to its end.
pub(super) async fn serve(mqtt: &Arc<Mqtt>, socket: TcpStream, stopping: watch::Receiver<bool>) -> Ended {
    let mut wire = Wire { socket, input: BytesMut::new(), output: BytesMut::new() };
    let connect = tokio::time::timeout(MQTT_CONNECT_TIME_MAX, wire.connect());
    let connect = match connect.await {
        Ok(Ok(connect)) => connect,
        Ok(Err(why)) => {
            mqtt.counts.turned_away.fetch_add(1, Ordering::Relaxed);
            return Err(why);
        }
        Err(_) => return Err("no CONNECT came".to_owned()),
    };
    let login = connect.login.as_ref().map(|login| (login.username.as_str(), login.password.as_str()));
    let sender = mqtt.devices.sender(login);
    if let Sender::Unknown(refusal) = &sender {
        mqtt.counts.turned_away.fetch_add(1, Ordering::Relaxed);
        let code = if refusal.code == "device_revoked" { ConnectReturnCode::NotAuthorized } else { ConnectReturnCode::BadUserNamePassword };
        wire.answer_connect(code).await?;
        return Err(refusal.reason.clone());
    }
    mqtt.counts.connected.fetch_add(1, Ordering::Relaxed);
    wire.answer_connect(ConnectReturnCode::Success).await?;
    // The standard gives a client half as long again before it counts as gone.
    let silence_max = (connect.keep_alive > 0).then(|| Duration::from_millis(u64::from(connect.keep_alive) * 1500));
    let session = Session { mqtt, sender, silence_max, on_the_way: VecDeque::new(), received: BTreeSet::new() };
    session.run(wire, stopping).await
}

/// The packets of a socket.
struct Wire {
    socket: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl Wire {
    /// The first packet, which has to be a CONNECT of MQTT 3.1.1.
    async fn connect(&mut self) -> Result<Connect, String> {
        loop {
            if let Some(level) = protocol_level(&self.input).filter(|level| *level != 4) {
                // Each version has its own way to say that it is not spoken here.
                let refusal: &[u8] = if level == 5 { &[0x20, 3, 0, 0x84, 0] } else { &[0x20, 2, 0, 1] };
                let _ = self.socket.write_all(refusal).await;
                return Err(format!("MQTT of protocol level {level} is not spoken here; 3.1.1 is"));
            }
            if self.input.first().is_some_and(|byte| byte >> 4 != 1) {
                return Err("the first packet is no CONNECT".to_owned());
            }
            match self.next() {
                Ok(Some(Packet::Connect(connect))) => return Ok(connect),
                Ok(Some(_)) => return Err("the first packet is no CONNECT".to_owned()),
                Ok(None) => self.fill().await?,
                Err(error) => return Err(format!("the CONNECT cannot be read: {error:?}")),
            }
        }
    }

    async fn answer_connect(&mut self, code: ConnectReturnCode) -> Ended {
        write(ConnAck::new(code, false).write(&mut self.output));
        self.flush().await
    }

    /// The next packet that has come whole.
    fn next(&mut self) -> Result<Option<Packet>, Malformed> {
        match v4::read(&mut self.input, MQTT_PACKET_BYTES_MAX) {
            Ok(packet) => Ok(Some(packet)),
            Err(Malformed::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads more.
    async fn fill(&mut self) -> Ended {
        self.input.reserve(4096);
        match self.socket.read_buf(&mut self.input).await {
            Ok(0) => Err("the client went away".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("could not read: {error}")),
        }
    }

    async fn flush(&mut self) -> Ended {
        let written = self.socket.write_all(&self.output).await;
        self.output.clear();
        written.map_err(|error| format!("could not write: {error}"))
    }
}

/// Our own packets are always of a form that can be written.
fn write(written: Result<usize, Malformed>) {
    written.expect("a packet of ours fits");
}

/// The protocol level of a CONNECT, when it has come so far.
fn protocol_level(input: &[u8]) -> Option<u8> {
    if input.first()? >> 4 != 1 {
        return None;
    }
    let length_bytes = input[1..].iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let rest = &input[1 + length_bytes..];
    let name_bytes = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
    rest.get(2 + name_bytes).copied()
}

/// Acknowledgements that wait for the bus, in the order of their messages.
struct OnTheWay {
    qos: QoS,
    packet_id: u16,
    done: JoinHandle<Result<(), DoorError>>,
}

struct Session<'a> {
    mqtt: &'a Arc<Mqtt>,
    sender: Sender,
    silence_max: Option<Duration>,
    on_the_way: VecDeque<OnTheWay>,
    /// Packet ids of QoS 2 that were received and not yet released: the same again is the same message.
    received: BTreeSet<u16>,
}

/// What a packet asks of the connection.
enum Next {
    GoOn,
    End,
}

impl Session<'_> {
    async fn run(mut self, mut wire: Wire, mut stopping: watch::Receiver<bool>) -> Ended {
        let mut changes = self.mqtt.devices.changes();
        let mut heard = Instant::now();
        let mut ending: Option<Ended> = None;
        loop {
            // Packets that have come are taken while there is room; beyond it the client's own socket fills up.
            while ending.is_none() && self.on_the_way.len() < MQTT_IN_FLIGHT_MAX {
                match wire.next() {
                    Ok(Some(packet)) => match self.take(packet, &mut wire.output).await {
                        Ok(Next::GoOn) => {}
                        Ok(Next::End) => ending = Some(Ok(())),
                        Err(why) => ending = Some(Err(why)),
                    },
                    Ok(None) => break,
                    Err(error) => ending = Some(Err(self.malformed(error, &wire.input).await)),
                }
            }
            wire.flush().await?;
            if let Some(ended) = &ending
                && self.on_the_way.is_empty()
            {
                return ended.clone();
            }
            let silent_at = self.silence_max.map(|max| heard + max);
            tokio::select! {
                acknowledged = first(&mut self.on_the_way) => self.acknowledge(acknowledged, &mut wire.output)?,
                filled = wire.fill(), if ending.is_none() && self.on_the_way.len() < MQTT_IN_FLIGHT_MAX => {
                    heard = Instant::now();
                    if let Err(why) = filled {
                        ending = Some(Err(why));
                    }
                }
                _ = changes.changed(), if ending.is_none() => {
                    if let Err(refusal) = self.mqtt.devices.may_send(&self.sender) {
                        ending = Some(Err(refusal.reason));
                    }
                }
                () = asked(&mut stopping), if ending.is_none() => ending = Some(Ok(())),
                () = until(silent_at), if ending.is_none() && self.on_the_way.is_empty() => {
                    ending = Some(Err("the client has been silent for longer than it promised".to_owned()));
                }
            }
        }
    }

    async fn take(&mut self, packet: Packet, output: &mut BytesMut) -> Result<Next, String> {
        match packet {
            Packet::Publish(publish) => return self.publish(publish, output).await,
            Packet::PubRel(released) => {
                self.received.remove(&released.pkid);
                write(PubComp::new(released.pkid).write(output));
            }
            Packet::PingReq => output.put_slice(&[0xD0, 0]),
            Packet::Subscribe(subscribe) => {
                let codes = vec![SubscribeReasonCode::Failure; subscribe.filters.len()];
                write(SubAck::new(subscribe.pkid, codes).write(output));
            }
            Packet::Unsubscribe(unsubscribe) => write(UnsubAck { pkid: unsubscribe.pkid }.write(output)),
            Packet::Disconnect => return Ok(Next::End),
            Packet::Connect(_) => return Err("a second CONNECT came".to_owned()),
            Packet::ConnAck(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => return Err("a packet came that only servers send".to_owned()),
        }
        Ok(Next::GoOn)
    }

    /// Puts a message on its way, in the order in which messages come.
    async fn publish(&mut self, publish: Publish, output: &mut BytesMut) -> Result<Next, String> {
        self.mqtt.counts.messages.fetch_add(1, Ordering::Relaxed);
        if publish.qos == QoS::ExactlyOnce && !self.received.insert(publish.pkid) {
            let known = self.on_the_way.iter().any(|waiting| waiting.packet_id == publish.pkid);
            // One that waits will be acknowledged in its turn.
            if !known {
                write(PubRec::new(publish.pkid).write(output));
            }
            return Ok(Next::GoOn);
        }
        let items = message::read(self.mqtt, &self.sender, &publish.topic, &publish.payload, Utc::now());
        let revoked = self.mqtt.devices.may_send(&self.sender).err();
        let done = self.send(items).await?;
        self.on_the_way.push_back(OnTheWay { qos: publish.qos, packet_id: publish.pkid, done });
        match revoked {
            Some(refusal) => Err(refusal.reason),
            None => Ok(Next::GoOn),
        }
    }

    async fn send(&self, items: Vec<Item>) -> Result<JoinHandle<Result<(), DoorError>>, String> {
        let sending = Sending::start(&self.mqtt.door, items, None).await.map_err(|error| error.to_string())?;
        let mqtt = Arc::clone(self.mqtt);
        Ok(tokio::spawn(async move { sending.finish(&mqtt.things).await.map(|_| ()) }))
    }

    fn acknowledge(&mut self, (qos, packet_id, done): (QoS, u16, Result<(), DoorError>), output: &mut BytesMut) -> Ended {
        // Without an acknowledgement the client sends it again.
        done.map_err(|error| error.to_string())?;
        self.mqtt.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => write(PubAck::new(packet_id).write(output)),
            QoS::ExactlyOnce => write(PubRec::new(packet_id).write(output)),
        }
        Ok(())
    }

    /// A packet that cannot be read ends the connection; one that is too large is kept, as far as it has come.
    async fn malformed(&mut self, error: Malformed, input: &[u8]) -> String {
        let Malformed::PayloadSizeLimitExceeded(bytes) = error else { return format!("a packet cannot be read: {error:?}") };
        let refusal = Refusal::new(
            "too_large",
            "",
            format!("the packet has {bytes} bytes, and at most {MQTT_PACKET_BYTES_MAX} are taken"),
            format!("报文有 {bytes} 字节，最多接收 {MQTT_PACKET_BYTES_MAX} 字节"),
        );
        let reason = refusal.reason.clone();
        let origin = Origin {
            door: Arc::from("mqtt"),
            content_type: Arc::from("application/octet-stream"),
            original: Some(Bytes::copy_from_slice(&input[..input.len().min(KEPT_BYTES_MAX)])),
            original_bytes: Some(bytes as u64),
            ..Origin::default()
        };
        let item = Item { planned: Planned::Nothing, incoming: Some(Incoming { event: Err(refusal), origin }) };
        if let Ok(done) = self.send(vec![item]).await {
            self.on_the_way.push_back(OnTheWay { qos: QoS::AtMostOnce, packet_id: 0, done });
        }
        reason
    }
}

/// Resolves when the first message on the way has arrived; never, when none is on the way.
async fn first(on_the_way: &mut VecDeque<OnTheWay>) -> (QoS, u16, Result<(), DoorError>) {
    let Some(waiting) = on_the_way.front_mut() else { return std::future::pending().await };
    let done = (&mut waiting.done).await.unwrap_or_else(|error| Err(DoorError::Bus(format!("the step was stopped: {error}"))));
    let waiting = on_the_way.pop_front().expect("it is the one that was waited for");
    (waiting.qos, waiting.packet_id, done)
}

async fn asked(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
