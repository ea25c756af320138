use proptest::prelude::*;
use serde_json::json;

use super::*;

fn sample() -> Event {
    let mut event = Event::new("e-1", "urn:city:gauges", "io.citybrain.sensor.observation.v1").with_json(&json!({"datastream": "d", "result": 1.5}));
    event.subject = Some("d".to_owned());
    event.time = DateTime::from_timestamp_micros(1_752_800_400_000_001);
    event.recorded_time = DateTime::from_timestamp_micros(1_752_800_401_000_000);
    event.partition_key = Some("d".to_owned());
    event.extensions.insert("chain".to_owned(), "00ff".to_owned());
    event
}

fn from_record(record: &KafkaRecord) -> Result<Event, EventError> {
    let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
    Event::from_kafka(record.key.as_deref(), headers, record.value.as_deref())
}

#[test]
fn an_event_goes_through_kafka() {
    assert_eq!(from_record(&sample().to_kafka()).unwrap(), sample());
}

#[test]
fn an_event_goes_through_json() {
    assert_eq!(Event::from_json(sample().to_json().as_bytes()).unwrap(), sample());
}

#[test]
fn a_structured_record_is_read_too() {
    let headers = [("content-type", Some(&b"application/cloudevents+json; charset=UTF-8"[..]))];
    let read = Event::from_kafka(None, headers.into_iter(), Some(sample().to_json().as_bytes())).unwrap();
    assert_eq!((read.id, read.data), (sample().id, sample().data));
}

#[test]
fn what_is_missing_is_named() {
    for name in ["id", "source", "type", "specversion"] {
        let mut value: serde_json::Value = serde_json::from_str(&sample().to_json()).unwrap();
        value.as_object_mut().unwrap().remove(name);
        let message = Event::from_json(value.to_string().as_bytes()).unwrap_err().to_string();
        assert!(message.contains(name), "{name}: {message}");
    }
}

#[test]
fn clocks_that_cannot_be_are_refused() {
    let now = DateTime::from_timestamp(1_752_800_400, 0).unwrap();
    let at = |seconds| Event { time: DateTime::from_timestamp(seconds, 0), ..sample() };
    assert!(check_time(&at(0), now).is_ok(), "1970 is a time");
    assert!(check_time(&at(-2_300_000_000), now).is_err(), "1897 is not");
    assert!(check_time(&at(4_102_444_800), now).is_err(), "2100 is not yet");
}

proptest! {
    #[test]
    fn any_event_goes_through_both_bindings(
        id in "[ -~]{1,40}", source in "[a-z/:.]{1,20}", subject in proptest::option::of("[一-龥a-z 0-9]{1,12}"),
        time in proptest::option::of(-2_000_000_000_000_000i64..4_000_000_000_000_000), key in "[a-z]{1,9}", value in "[a-z0-9]{1,9}",
        data in proptest::option::of("[一-龥a-z\"]{0,20}"),
    ) {
        prop_assume!(!["id", "source", "type", "subject", "time", "data", "specversion", "dataschema", "datacontenttype", "database64", "recordedtime", "partitionkey", "correlationid", "causationid", "dataclassification"].contains(&key.as_str()));
        let mut event = Event::new(id, source, "org.example.a.v1");
        event.subject = subject;
        event.time = time.and_then(DateTime::from_timestamp_micros);
        event.extensions.insert(key, value);
        if let Some(data) = data {
            event = event.with_json(&json!({ "text": data }));
        }
        prop_assert_eq!(&from_record(&event.to_kafka()).unwrap(), &event);
        prop_assert_eq!(&Event::from_json(event.to_json().as_bytes()).unwrap(), &event);
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "[ -~]{0,20}") {
        let _ = Event::from_json(&bytes);
        let _ = Event::batch_from_json(&bytes);
        let headers = [(name.as_str(), Some(&bytes[..])), ("ce_id", Some(&bytes[..])), ("ce_specversion", Some(&b"1.0"[..]))];
        let _ = Event::from_kafka(Some(&bytes), headers.into_iter(), Some(&bytes));
    }
}
