//! MQTT over a socket: acknowledgements wait for the log, bad messages are kept, and who may not send is told so.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use chrono::Utc;
use crate::common::{dlq, door, observation};
use gateway::devices::{Action, Change};
use gateway::memory::MemoryLog;
use gateway::mqtt::{Mqtt, MqttListener};
use gateway::{Admission, Devices, Things};
use mqttbytes::v4::{self, Connect, ConnectReturnCode, Packet, Publish};
use mqttbytes::{Error, QoS};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// How long a test waits for what has to come, and how long it listens for what must not.
const WAIT_MAX: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_millis(150);

struct Server {
    address: String,
    log: Arc<MemoryLog>,
    mqtt: Arc<Mqtt>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(admission: Admission) -> Server {
        let log = MemoryLog::new();
        let (things, devices) = (Arc::new(Things::default()), Arc::new(Devices::new(admission)));
        let entity = json!({
            "entity": "Datastreams/rg-1/rain", "entity_set": "Datastreams", "entity_id": "rg-1/rain", "name": "rain",
            "body": {"name": "rain", "observationType": "OM_Measurement", "unitOfMeasurement": {"name": "", "symbol": "mm", "definition": ""}},
        });
        things.register(0, &entity);
        let listener = MqttListener::bind("127.0.0.1:0", &devices).await.unwrap();
        let address = listener.addr().to_string();
        let mqtt = Mqtt::new(door(&log), things, devices);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(listener.serve(mqtt.clone(), async move {
            let _ = stopped.await;
        }));
        Server { address, log, mqtt, stop: Some(stop), served }
    }

    async fn device(&self, action: Action) -> Option<String> {
        let change = Change { action, device: "rg-1".into(), name: None, reason: None, actor: None };
        self.mqtt.devices.change(self.log.as_ref(), Utc::now(), &change).await.unwrap().key
    }

    async fn client(&self) -> Client {
        let mut client = Client::open(&self.address).await;
        client.connect(None).await;
        client
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(WAIT_MAX, self.served).await.expect("it stops").unwrap();
    }
}

struct Client {
    socket: TcpStream,
    input: BytesMut,
}

impl Client {
    async fn open(address: &str) -> Client {
        Client { socket: TcpStream::connect(address).await.unwrap(), input: BytesMut::new() }
    }

    async fn connect(&mut self, login: Option<(&str, &str)>) {
        assert_eq!(self.try_connect(login).await, ConnectReturnCode::Success);
    }

    async fn try_connect(&mut self, login: Option<(&str, &str)>) -> ConnectReturnCode {
        let mut connect = Connect::new("test");
        if let Some((id, key)) = login {
            connect.set_login(id, key);
        }
        let mut bytes = BytesMut::new();
        connect.write(&mut bytes).unwrap();
        self.socket.write_all(&bytes).await.unwrap();
        match self.next().await {
            Some(Packet::ConnAck(answer)) => answer.code,
            other => panic!("no CONNACK: {other:?}"),
        }
    }

    async fn publish(&mut self, topic: &str, qos: QoS, id: u16, payload: impl AsRef<[u8]>) {
        let mut publish = Publish::new(topic, qos, payload.as_ref());
        publish.pkid = id;
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes).unwrap();
        self.socket.write_all(&bytes).await.unwrap();
    }

    async fn reading(&mut self, id: u16, result: u32) {
        let payload = json!({"result": result, "phenomenonTime": "2026-11-23T08:00:00Z"});
        self.publish("v1.1/Datastreams('rg-1/rain')/Observations", QoS::AtLeastOnce, id, payload.to_string()).await;
    }

    /// The next packet; nothing when the other side ended it.
    async fn next(&mut self) -> Option<Packet> {
        let next = async {
            loop {
                match v4::read(&mut self.input, 1024 * 1024) {
                    Ok(packet) => return Some(packet),
                    Err(Error::InsufficientBytes(_)) => {}
                    Err(error) => panic!("the server sent {error:?}"),
                }
                if self.socket.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, next).await.expect("an answer comes")
    }

    async fn is_silent(&mut self) -> bool {
        if !self.input.is_empty() {
            return false;
        }
        tokio::time::timeout(SILENCE, self.socket.read_buf(&mut self.input)).await.is_err()
    }

    async fn acknowledged(&mut self) -> u16 {
        match self.next().await {
            Some(Packet::PubAck(acknowledged)) => acknowledged.pkid,
            other => panic!("no PUBACK: {other:?}"),
        }
    }
}

#[tokio::test]
async fn no_acknowledgement_before_the_log_has_it() {
    let server = Server::start(Admission::Open).await;
    let mut client = server.client().await;
    server.log.set_held(true);
    for id in 1..=3 {
        client.reading(id, u32::from(id)).await;
    }
    assert!(client.is_silent().await, "the log has none of it for good");
    server.log.set_held(false);
    for id in 1..=3 {
        assert_eq!(client.acknowledged().await, id, "in order");
    }
    let records = server.log.records("raw.sensor");
    let data: serde_json::Value = serde_json::from_slice(records[0].value.as_ref().unwrap()).unwrap();
    assert_eq!((records.len(), &data["datastream"], &data["unit"]), (3, &json!("rg-1/rain"), &json!("mm")));
    // Sent again after an acknowledgement that got lost: the same event, acknowledged, and there once.
    client.reading(4, 1).await;
    assert_eq!((client.acknowledged().await, server.log.records("raw.sensor").len()), (4, 3));
    assert_eq!(server.mqtt.things.look().latest("rg-1/rain").unwrap().0.result, Some(3.0), "it is known at once");
    server.stop().await;
}

#[tokio::test]
async fn what_the_log_does_not_take_is_not_acknowledged() {
    let server = Server::start(Admission::Open).await;
    let mut client = server.client().await;
    server.log.set_down(true);
    client.reading(1, 1).await;
    assert_eq!(client.next().await, None, "the connection ends, so that the client sends it again");
    server.log.set_down(false);
    let mut client = server.client().await;
    client.reading(1, 1).await;
    assert_eq!((client.acknowledged().await, server.log.records("raw.sensor").len()), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_faster_than_the_log_waits() {
    let server = Server::start(Admission::Open).await;
    let mut client = server.client().await;
    server.log.set_held(true);
    for id in 1..=1_000_u16 {
        client.reading(id, u32::from(id)).await;
    }
    tokio::time::sleep(SILENCE).await;
    assert_eq!(server.log.records("raw.sensor").len(), 256, "no more are taken while these wait");
    server.log.set_held(false);
    for id in 1..=1_000 {
        assert_eq!(client.acknowledged().await, id);
    }
    server.stop().await;
}

#[tokio::test]
async fn every_quality_of_service_and_cloud_events() {
    let server = Server::start(Admission::Open).await;
    let mut client = server.client().await;
    client.publish("events", QoS::AtMostOnce, 0, observation("1").to_string()).await;
    client.publish("events", QoS::ExactlyOnce, 7, json!([observation("2"), observation("3")]).to_string()).await;
    client.publish("events", QoS::ExactlyOnce, 7, json!([observation("2"), observation("3")]).to_string()).await;
    assert!(matches!(client.next().await, Some(Packet::PubRec(received)) if received.pkid == 7));
    // The second one was answered too if it came after the first was.
    while !client.is_silent().await {
        assert!(matches!(client.next().await, Some(Packet::PubRec(received)) if received.pkid == 7));
    }
    client.socket.write_all(&[0x62, 2, 0, 7, 0xC0, 0]).await.unwrap();
    assert!(matches!(client.next().await, Some(Packet::PubComp(done)) if done.pkid == 7));
    assert_eq!(client.next().await, Some(Packet::PingResp));
    assert_eq!(server.log.records("raw.sensor").len(), 3);
    // Nobody subscribes here, and is told so.
    client.socket.write_all(&[0x82, 6, 0, 9, 0, 1, b'#', 1]).await.unwrap();
    assert!(matches!(client.next().await, Some(Packet::SubAck(answer)) if answer.return_codes == [v4::SubscribeReasonCode::Failure]));
    server.stop().await;
}

#[tokio::test]
async fn bad_messages_are_acknowledged_when_they_are_kept() {
    let server = Server::start(Admission::Open).await;
    let mut client = server.client().await;
    let observations = "v1.1/Datastreams('rg-1/rain')/Observations";
    for (id, (topic, payload)) in (1..).zip([
        (observations, &b"{\"result\":NaN}"[..]),
        (observations, b"{\"result\":\"wet\"}"),
        (observations, b"\xff\xfe"),
        ("v1.1/Datastreams(none)/Observations", b"{\"result\":1}"),
        ("v1.1/Things(1)", b"{}"),
        ("weather/today", b"rain"),
        ("events", b"{\"id\":1}"),
        ("events", b"[{}"),
        ("", b""),
    ]) {
        client.publish(topic, QoS::AtLeastOnce, id, payload).await;
        assert_eq!(client.acknowledged().await, id);
        assert_eq!(dlq(&server.log).len(), usize::from(id), "{topic} is kept");
    }
    client.publish(observations, QoS::AtLeastOnce, 99, vec![b'x'; 2 * 1024 * 1024]).await;
    assert_eq!(client.next().await, None, "what is too large ends the connection");
    assert_eq!(dlq(&server.log).last().unwrap()["code"], "too_large");
    assert!(server.log.records("raw.sensor").is_empty());
    server.stop().await;
}

#[tokio::test]
async fn unknown_and_revoked_devices_are_turned_away() {
    let server = Server::start(Admission::Registered).await;
    let key = server.device(Action::Add).await.unwrap();
    for login in [None, Some(("rg-1", "guess")), Some(("rg-2", key.as_str()))] {
        let mut client = Client::open(&server.address).await;
        assert_eq!(client.try_connect(login).await, ConnectReturnCode::BadUserNamePassword);
        assert_eq!(client.next().await, None);
    }
    let mut client = Client::open(&server.address).await;
    client.connect(Some(("rg-1", &key))).await;
    client.reading(1, 1).await;
    assert_eq!(client.acknowledged().await, 1);
    server.device(Action::Revoke).await;
    assert_eq!(client.next().await, None, "at once, also for who is connected");
    let mut client = Client::open(&server.address).await;
    assert_eq!(client.try_connect(Some(("rg-1", &key))).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(server.log.records("raw.sensor").len(), 1);
    assert!(server.mqtt.metrics().contains("citybrain_mqtt_turned_away_total 4"), "{}", server.mqtt.metrics());
    server.stop().await;
}

#[tokio::test]
async fn other_versions_and_noise_end_the_connection() {
    let server = Server::start(Admission::Open).await;
    let version_5 = [&[0x10, 13, 0, 4][..], b"MQTT", &[5, 2, 0, 10, 0, 0, 0]].concat();
    let version_31 = [&[0x10, 14, 0, 6][..], b"MQIsdp", &[3, 2, 0, 10, 0, 0]].concat();
    for (hello, expected) in [(version_5, &[0x20_u8, 3, 0, 0x84, 0][..]), (version_31, &[0x20, 2, 0, 1]), (b"GET / HTTP/1.1\r\n\r\n".to_vec(), &[])] {
        let mut client = Client::open(&server.address).await;
        client.socket.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(WAIT_MAX, client.socket.read_to_end(&mut answer)).await.expect("it ends");
        assert_eq!(answer, expected);
    }
    // Whatever comes, the server lives on.
    for seed in 0..200_u64 {
        let mut client = server.client().await;
        let noise = blake3::hash(&seed.to_le_bytes());
        let kinds = [0x30, 0x32, 0x34, 0x62, 0x82, 0xA2, 0xC0, 0x10, 0x20, 0x40];
        let mut packet = vec![kinds[seed as usize % kinds.len()], noise.as_bytes()[0] % 33];
        packet.extend_from_slice(noise.as_bytes());
        let _ = client.socket.write_all(&packet).await;
    }
    let mut client = server.client().await;
    client.reading(1, 1).await;
    assert_eq!(client.acknowledged().await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_what_is_on_its_way() {
    let server = Server::start(Admission::Open).await;
    let mut client = server.client().await;
    server.log.set_held(true);
    client.reading(1, 1).await;
    tokio::time::sleep(SILENCE).await;
    let log = server.log.clone();
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(SILENCE).await;
    log.set_held(false);
    assert_eq!(client.acknowledged().await, 1);
    assert_eq!(client.next().await, None);
    stopping.await.unwrap();
}

#[tokio::test]
async fn beyond_loopback_devices_need_keys() {
    let refused = MqttListener::bind("0.0.0.0:0", &Devices::new(Admission::Open)).await.err().expect("it is refused");
    assert!(refused.to_string().contains("devices = \"registered\""), "{refused}");
    assert!(MqttListener::bind("0.0.0.0:0", &Devices::new(Admission::Registered)).await.is_ok());
}
