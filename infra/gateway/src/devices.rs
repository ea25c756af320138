//! The device registry: which devices may send, each with a key of its own.
//!
//! It is the fold of the topic `city.device`, whose events say that a device was added, got a new key, or was revoked; no
//! event takes a device away, so absence never means deletion. Of a key only the BLAKE3 digest is kept. A change made here
//! is in force before it is answered; one made by another process, when its event arrives.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use schemas::{Event, Position, Registry, topics};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::limits::{DEVICE_ID_BYTES_MAX, DEVICES_MAX};
use crate::ports::{EventLog, LogError};
use crate::refusal::{Incoming, Refusal};

/// Topics that carry what devices say.
pub const DEVICE_TOPICS: [&str; 2] = ["raw.sensor", "raw.entity"];

/// The type of the registry's events.
const CHANGE_TYPE: &str = "io.citybrain.device.change.v1";

/// The extension attribute that names the registered device that sent an event.
const DEVICE_ATTRIBUTE: &str = "deviceid";

/// Who may send what devices say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Whoever may use the door.
    #[default]
    Open,
    /// Registered devices, with their keys.
    Registered,
}

/// A device as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its id.
    pub device: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it may send.
    pub active: bool,
    /// When it last changed.
    pub changed: Option<DateTime<Utc>>,
    /// Why it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip)]
    key: Option<blake3::Hash>,
    #[serde(skip)]
    offset: i64,
}

/// What is to be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let it in, with a new key.
    Add,
    /// Give it a new key; the old one is void.
    Rotate,
    /// Let it in no more.
    Revoke,
}

impl Action {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Action::Add => "add",
            Action::Rotate => "rotate",
            Action::Revoke => "revoke",
        }
    }
}

/// A change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What is to be done.
    pub action: Action,
    /// With which device.
    pub device: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The device.
    pub device: String,
    /// Its new key, told this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where the log has the change.
    pub position: Position,
}

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeError {
    /// It cannot be made.
    #[error("{en} / {zh}")]
    Wrong {
        /// Why, in English.
        en: String,
        /// Why, in Chinese.
        zh: String,
    },
    /// The log did not take it.
    #[error("could not write the change of device {device} to the log: {source}")]
    Log {
        /// The device.
        device: String,
        /// Why.
        #[source]
        source: LogError,
    },
}

/// Who sends something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// Somebody whom the door trusts: devices are not asked for keys, or it is the operator.
    Trusted,
    /// A registered device, and the digest of the key that it showed.
    Device(String, blake3::Hash),
    /// Nobody whom the registry knows.
    Unknown(Refusal),
}

/// The registry.
#[derive(Debug)]
pub struct Devices {
    admission: Admission,
    known: RwLock<BTreeMap<String, Device>>,
    /// One change at a time: the second one has to see the first.
    changing: tokio::sync::Mutex<()>,
    /// Counts changes, so that open connections look again.
    version: watch::Sender<u64>,
    /// Times that somebody was turned away for lack of a good key.
    pub turned_away: AtomicU64,
}

impl Default for Devices {
    fn default() -> Devices {
        Devices::new(Admission::Open)
    }
}

impl Devices {
    /// An empty registry.
    pub fn new(admission: Admission) -> Devices {
        Devices {
            admission,
            known: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            version: watch::Sender::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// Whether only registered devices may send.
    pub fn registered_only(&self) -> bool {
        self.admission == Admission::Registered
    }

    /// All devices, in the order of their ids.
    pub fn list(&self) -> Vec<Device> {
        self.read().values().cloned().collect()
    }

    /// How many may send, and how many may no more.
    pub fn count(&self) -> (usize, usize) {
        let known = self.read();
        let active = known.values().filter(|device| device.active).count();
        (active, known.len() - active)
    }

    /// Told at every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Who shows this id and key.
    pub fn sender(&self, credentials: Option<(&str, &str)>) -> Sender {
        if !self.registered_only() {
            return Sender::Trusted;
        }
        let Some((id, key)) = credentials else {
            return self.turn_away(Refusal::new(
                "device_unknown",
                "",
                "this door takes data of registered devices only: send the device's id and key (HTTP: basic authentication; MQTT: user name and password)",
                "此入口只接收已登记设备的数据：请携带设备编号与密钥（HTTP 基本认证；MQTT 用户名与口令）",
            ));
        };
        let digest = blake3::hash(key.as_bytes());
        match self.standing(id, digest) {
            Ok(()) => Sender::Device(id.to_owned(), digest),
            Err(refusal) => self.turn_away(refusal),
        }
    }

    fn turn_away(&self, refusal: Refusal) -> Sender {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        Sender::Unknown(refusal)
    }

    /// Whether a sender may still send: a device may have been revoked, or have got another key, since it came.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_send(&self, sender: &Sender) -> Result<(), Refusal> {
        match sender {
            Sender::Trusted => Ok(()),
            Sender::Device(id, digest) => self.standing(id, *digest),
            Sender::Unknown(refusal) => Err(refusal.clone()),
        }
    }

    /// Hashes are compared in constant time by blake3's own equality.
    fn standing(&self, id: &str, digest: blake3::Hash) -> Result<(), Refusal> {
        let shown: String = id.chars().take(80).collect();
        let known = self.read();
        let Some(device) = known.get(id) else {
            return Err(Refusal::new(
                "device_unknown",
                "",
                format!("there is no device {shown:?} in the registry; `citybrain device add` registers one"),
                format!("没有登记过设备 {shown:?}；请用 citybrain device add 登记"),
            ));
        };
        if device.key != Some(digest) {
            return Err(Refusal::new(
                "device_key",
                "",
                format!("this is not the key of device {shown:?}; `citybrain device rotate` gives a new one"),
                format!("设备 {shown:?} 的密钥不对；可用 citybrain device rotate 换发"),
            ));
        }
        // Asked last: that a device was revoked is said only to whom has its key.
        if !device.active {
            return Err(Refusal::new("device_revoked", "", format!("device {shown:?} was revoked"), format!("设备 {shown:?} 已被吊销")));
        }
        Ok(())
    }

    /// What comes from a sender, as it may go through the door: data of devices only from those that may send, with the
    /// device's id on it. With `everything`, a sender whom the registry does not know may send nothing at all.
    pub fn admit(&self, registry: &Registry, sender: &Sender, everything: bool, mut incoming: Incoming) -> Incoming {
        if *sender == Sender::Trusted {
            return incoming;
        }
        let Ok(event) = &mut incoming.event else { return incoming };
        let of_devices = registry.get(&event.event_type).is_some_and(|def| DEVICE_TOPICS.contains(&def.topic.as_str()));
        match (self.may_send(sender), sender) {
            (Ok(()), Sender::Device(id, _)) => {
                event.extensions.insert(DEVICE_ATTRIBUTE.to_owned(), id.clone());
            }
            (Ok(()), _) => {}
            (Err(refusal), _) if of_devices || everything => {
                if incoming.origin.original.is_none() {
                    incoming.origin.original = Some(bytes::Bytes::from(event.to_json()));
                    incoming.origin.content_type = Arc::from("application/cloudevents+json");
                }
                incoming.event = Err(refusal);
            }
            (Err(_), _) => {}
        }
        incoming
    }

    /// Makes a change: writes it to the log, and lets it be in force.
    ///
    /// # Errors
    /// When it makes no sense as things stand, or the log does not take it.
    pub async fn change(&self, log: &dyn EventLog, now: DateTime<Utc>, change: &Change) -> Result<Changed, ChangeError> {
        let _one_at_a_time = self.changing.lock().await;
        self.check(change)?;
        let key = (change.action != Action::Revoke).then(new_key);
        let action = match change.action {
            Action::Add => "added",
            Action::Rotate => "rotated",
            Action::Revoke => "revoked",
        };
        let data = json!({
            "device": change.device,
            "action": action,
            "key_hash": key.as_ref().map(|key| blake3::hash(key.as_bytes()).to_hex().to_string()),
            "name": change.name,
            "actor": change.actor,
            "reason": change.reason.as_ref().map(|reason| schemas::pii::mask(reason).0.into_owned()),
        });
        let mut event = Event::new(new_key(), "urn:citybrain:devices", CHANGE_TYPE).with_json(&data);
        event.time = Some(now);
        event.recorded_time = Some(now);
        event.subject = Some(change.device.clone());
        event.partition_key = Some(change.device.clone());
        let failed = |source| ChangeError::Log { device: change.device.clone(), source };
        let position = log.send(topics::DEVICE, event.to_kafka(), now.timestamp_millis()).await.map_err(failed)?;
        self.apply(position.offset, Some(now), &data);
        Ok(Changed { device: change.device.clone(), key, position })
    }

    fn check(&self, change: &Change) -> Result<(), ChangeError> {
        let wrong = |en: String, zh: String| Err(ChangeError::Wrong { en, zh });
        let id = &change.device;
        // A colon would end the id in basic authentication.
        if id.is_empty() || id.len() > DEVICE_ID_BYTES_MAX || id.contains(':') || id.chars().any(char::is_control) {
            return wrong(
                format!("{id:?} is no id for a device: 1 to {DEVICE_ID_BYTES_MAX} bytes, without colons and control characters"),
                format!("{id:?} 不能作为设备编号：1 至 {DEVICE_ID_BYTES_MAX} 字节，不含冒号和控制字符"),
            );
        }
        let known = self.read();
        match (change.action, known.get(id)) {
            (Action::Add, Some(device)) if device.active => {
                wrong(format!("device {id} is registered already; rotate gives it a new key"), format!("设备 {id} 已登记；可用 rotate 换发密钥"))
            }
            (Action::Add, None) if known.len() >= DEVICES_MAX => {
                wrong(format!("there are {DEVICES_MAX} devices, and no more are taken"), format!("设备已达上限 {DEVICES_MAX}"))
            }
            (Action::Add, _) => Ok(()),
            (Action::Rotate, Some(device)) if !device.active => {
                wrong(format!("device {id} was revoked; add lets it in again, with a new key"), format!("设备 {id} 已吊销；可用 add 重新登记"))
            }
            (Action::Revoke, Some(device)) if !device.active => wrong(format!("device {id} was revoked before"), format!("设备 {id} 此前已吊销")),
            (Action::Rotate | Action::Revoke, Some(_)) => Ok(()),
            (Action::Rotate | Action::Revoke, None) => wrong(format!("there is no device {id}"), format!("没有设备 {id}")),
        }
    }

    /// Takes in rows of the topic, in bronze form and in their order. One that is known already changes nothing.
    pub fn take_rows(&self, rows: &RecordBatch) {
        let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let offset = rows.column_by_name("offset").and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let times = rows.column_by_name("ce_time").and_then(|column| column.as_any().downcast_ref::<arrow::array::TimestampMicrosecondArray>());
        let (Some(offset), Some(data), Some(kind)) = (offset, text("data"), text("ce_type")) else { return };
        for row in 0..rows.num_rows() {
            if kind.is_null(row) || kind.value(row) != CHANGE_TYPE || data.is_null(row) {
                continue;
            }
            let Ok(value) = serde_json::from_str::<Value>(data.value(row)) else { continue };
            let time = times.filter(|times| times.is_valid(row)).and_then(|times| DateTime::from_timestamp_micros(times.value(row)));
            self.apply(offset.value(row), time, &value);
        }
    }

    fn apply(&self, offset: i64, time: Option<DateTime<Utc>>, data: &Value) {
        let Some(id) = data["device"].as_str() else { return };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let device = known.entry(id.to_owned()).or_insert_with(|| Device {
            device: id.to_owned(),
            name: None,
            active: false,
            changed: None,
            reason: None,
            key: None,
            offset: -1,
        });
        if device.offset >= offset {
            return;
        }
        device.offset = offset;
        device.changed = time;
        device.active = data["action"] != "revoked";
        device.reason = data["reason"].as_str().map(str::to_owned);
        if let Some(name) = data["name"].as_str() {
            device.name = Some(name.to_owned());
        }
        if let Some(hash) = data["key_hash"].as_str() {
            // A digest that cannot be read fits no key.
            device.key = blake3::Hash::from_hex(hash).ok();
        }
        drop(known);
        self.version.send_modify(|version| *version += 1);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Device>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id and key in a header `Authorization: Basic ...`.
pub fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (id, key) = text.split_once(':')?;
    Some((id.to_owned(), key.to_owned()))
}

/// 160 random bits, as a device's key or an event's id.
fn new_key() -> String {
    rand::random::<[u8; 20]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryLog;

    fn change(action: Action) -> Change {
        Change { action, device: "rg-1".into(), name: None, reason: Some("call 13812345678".into()), actor: None }
    }

    async fn make(devices: &Devices, log: &MemoryLog, action: Action) -> Result<Changed, ChangeError> {
        devices.change(log, Utc::now(), &change(action)).await
    }

    #[tokio::test]
    async fn a_key_lets_in_until_it_is_rotated_or_revoked() {
        let (devices, log) = (Devices::new(Admission::Registered), MemoryLog::new());
        let code = |key: Option<(&str, &str)>| match devices.sender(key) {
            Sender::Unknown(refusal) => refusal.code,
            _ => "in",
        };
        assert_eq!(code(None), "device_unknown");
        assert!(make(&devices, &log, Action::Rotate).await.is_err(), "nobody is there");
        let first = make(&devices, &log, Action::Add).await.unwrap().key.unwrap();
        assert_eq!((code(Some(("rg-1", &first))), code(Some(("rg-1", "x"))), code(Some(("rg-2", &first)))), ("in", "device_key", "device_unknown"));
        let connected = devices.sender(Some(("rg-1", &first)));
        assert!(make(&devices, &log, Action::Add).await.is_err(), "it is there");
        let second = make(&devices, &log, Action::Rotate).await.unwrap().key.unwrap();
        assert_eq!((code(Some(("rg-1", &first))), code(Some(("rg-1", &second)))), ("device_key", "in"));
        assert_eq!(devices.may_send(&connected).unwrap_err().code, "device_key", "also for who came before");
        make(&devices, &log, Action::Revoke).await.unwrap();
        assert_eq!(code(Some(("rg-1", &second))), "device_revoked");
        make(&devices, &log, Action::Add).await.unwrap();
        assert_eq!((devices.count(), devices.turned_away.load(Ordering::Relaxed)), ((1, 0), 5));
    }

    #[tokio::test]
    async fn the_log_has_digests_only_and_folds_to_the_same_registry() {
        let (devices, log) = (Devices::new(Admission::Registered), MemoryLog::new());
        let key = make(&devices, &log, Action::Add).await.unwrap().key.unwrap();
        make(&devices, &log, Action::Revoke).await.unwrap();
        let records = log.records(topics::DEVICE);
        let text: String = records.iter().map(|record| String::from_utf8_lossy(record.value.as_ref().unwrap()).into_owned()).collect();
        assert!(!text.contains(&key) && !text.contains("13812345678"), "{text}");
        let def = Registry::builtin();
        let folded = Devices::new(Admission::Registered);
        for (offset, record) in (0..).zip(&records) {
            let data: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
            def.get(CHANGE_TYPE).unwrap().validate(&data).unwrap();
            folded.apply(offset, None, &data);
            folded.apply(0, None, &json!({"device": "rg-1", "action": "added"}));
        }
        assert_eq!(folded.sender(Some(("rg-1", &key))), devices.sender(Some(("rg-1", &key))));
    }

    #[test]
    fn basic_authentication_is_read() {
        assert_eq!(basic_credentials("Basic cmctMTprOmV5"), Some(("rg-1".into(), "k:ey".into())));
        for wrong in ["Basic", "Bearer cmctMTprOmV5", "Basic %%", "Basic cmc="] {
            assert_eq!(basic_credentials(wrong), None, "{wrong}");
        }
    }
}
