//! A message by its topic: what goes through the door.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use schemas::Event;
use serde_json::value::RawValue;

use super::Mqtt;
use crate::devices::Sender;
use crate::refusal::{Incoming, Origin, Place, Refusal};
use crate::sensorthings::request::{self, Item, Planned};
use crate::sensorthings::{Wrong, path};

/// Reads a message. What cannot be understood, or comes from nobody who may send, is an item that will be refused.
pub(super) fn read(mqtt: &Mqtt, sender: &Sender, topic: &str, payload: &Bytes, now: DateTime<Utc>) -> Vec<Item> {
    let origin = Origin {
        door: Arc::from("mqtt"),
        content_type: Arc::from("application/json"),
        headers: Arc::new(vec![("mqtt-topic".to_owned(), topic.to_owned())]),
        original: Some(payload.clone()),
        ..Origin::default()
    };
    let refused = |refusal: Refusal| vec![item(Incoming { event: Err(refusal), origin: origin.clone() })];
    if let Err(refusal) = mqtt.devices.may_send(sender) {
        return refused(refusal);
    }
    let topic = topic.trim_start_matches('/');
    let items = match topic.strip_prefix("v1.1/") {
        Some(resource) => {
            let read = path::parse(resource).and_then(|resource| request::read(&mqtt.things, &resource, payload, &origin, now));
            read.unwrap_or_else(|wrong: Wrong| refused(request::refusal(&wrong)))
        }
        None if topic == "events" => events(payload, &origin),
        None => {
            let shown: String = topic.chars().take(120).collect();
            refused(Refusal::new(
                "unknown_topic",
                "",
                format!("nothing is taken on the topic {shown:?}; there are v1.1/Datastreams(id)/Observations and the other paths of SensorThings, and events"),
                format!("主题 {shown:?} 不接收数据；可用：v1.1/Datastreams(编号)/Observations 等 SensorThings 路径，以及 events"),
            ))
        }
    };
    let registry = mqtt.door.types().now();
    let admit = |item: Item| Item { incoming: item.incoming.map(|incoming| mqtt.devices.admit(&registry, sender, true, incoming)), ..item };
    items.into_iter().map(admit).collect()
}

fn item(incoming: Incoming) -> Item {
    Item { planned: Planned::Nothing, incoming: Some(incoming) }
}

/// One structured CloudEvent, or an array of them.
fn events(payload: &Bytes, origin: &Origin) -> Vec<Item> {
    let single = |original: &Bytes, place: Place| {
        let event = Event::from_json(original).map_err(|error| Refusal::of_event_error(&error, original));
        let content_type = Arc::from("application/cloudevents+json");
        item(Incoming { event, origin: Origin { original: Some(original.clone()), content_type, place, ..origin.clone() } })
    };
    if payload.trim_ascii_start().first() != Some(&b'[') {
        return vec![single(payload, Place::default())];
    }
    match serde_json::from_slice::<Vec<&RawValue>>(payload) {
        Ok(events) => (0..).zip(events).map(|(index, event)| single(&payload.slice_ref(event.get().as_bytes()), Place { index: Some(index), ..Place::default() })).collect(),
        Err(error) => {
            let refusal = Refusal::new("not_json", "", format!("the payload is no JSON array of events: {error}"), format!("消息不是事件的 JSON 数组：{error}"));
            vec![item(Incoming { event: Err(refusal), origin: origin.clone() })]
        }
    }
}
