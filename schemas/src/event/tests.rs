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

/// What a record in binary mode with these headers is refused for.
#[track_caller]
fn refused(headers: &[(&str, &[u8])]) -> EventError {
    let required: [(&str, &[u8]); 4] = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/a"), ("ce_type", b"t")];
    let all = required.iter().chain(headers).map(|(name, value)| (*name, Some(*value)));
    Event::from_kafka(None, all, None).unwrap_err()
}

#[test]
fn hostile_headers_are_refused_by_name() {
    for (header, value, part) in [
        ("ce_time", &b"yesterday"[..], "`time` is not of the form"),
        ("ce_recordedtime", b"2026-11-24T08:00:00", "`recordedtime` has no zone"),
        ("ce_id", b"2", "`id` is given more than once"),
        ("ce_subject", b"", "`subject` must not be empty"),
        ("ce_subject", b"a\0b", "`subject` has the character U+0000"),
        ("ce_subject", "a\u{ffff}".as_bytes(), "`subject` has the character U+FFFF"),
        ("ce_subject", b"\xd6\xd0\xce\xc4", "header `ce_subject` is not UTF-8 from byte 0 on (GBK"),
        ("ce_dataschema", b"a b", "`dataschema` is not a URI reference"),
        ("ce_Tenant", b"x", "\"Tenant\" is not a name"),
        ("ce_tenant_id", b"x", "\"tenant_id\" is not a name"),
        ("ce_", b"x", "it is empty"),
        ("ce_data", b"x", "`data` is the data itself"),
        ("ce_datacontenttype", b"a/b", "the header `content-type`"),
        ("ce_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", b"x", "longer than 64"),
        ("content-type", b"json", "`datacontenttype` is not a media type"),
        ("content-type", b"application/cloudevents+avro", "only application/cloudevents+json"),
        ("content-type", b"application/cloudevents-batch+json", "this is a batch"),
        ("content-type", b"application/cloudevents+json; charset=gbk", "JSON events are UTF-8"),
        ("content-type", b"application/cloudevents+json", "no data"),
    ] {
        let message = refused(&[(header, value)]).to_string();
        assert!(message.contains(part), "{header}: {message}");
    }
    let message = refused(&[("ce_a", b"1"), ("ce_b", b"2"), ("ce_a", b"1")]).to_string();
    assert!(message.contains("`a` is given more than once"), "{message}");
}

#[test]
fn errors_repeat_little_and_no_personal_data() {
    let error = refused(&[("ce_time", b"call 13812345678")]);
    assert_eq!((error.code(), error.attribute()), ("attribute_invalid", Some("time")));
    assert!(error.to_string().contains("138****5678"), "{error}");
    let long = "x".repeat(5000);
    assert!(refused(&[("ce_time", long.as_bytes())]).to_string().len() < 300);
}

#[test]
fn too_much_of_anything_is_refused() {
    let header = ("ce_a", Some(&b"1"[..]));
    let error = Event::from_kafka(None, std::iter::repeat_n(header, 10_000), None).unwrap_err();
    assert_eq!(error.to_string(), "the record has 257 headers or more, and at most 256 are allowed");
    let big = vec![b'x'; 9 * 1024];
    assert_eq!(refused(&[("ce_a", &big)]).code(), "too_large");
    assert_eq!(refused(&[("ce_id", &big)]).code(), "too_large");
    let names: Vec<String> = (0..100).map(|index| format!("ce_a{index}")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &big[..1024])).collect();
    assert!(refused(&many).to_string().contains("the attributes together"));
    let body = vec![b' '; crate::limits::BODY_BYTES_MAX + 1];
    let headers = sample().to_kafka();
    let error = Event::from_kafka(None, headers.header_refs(), Some(&body)).unwrap_err();
    assert!(error.to_string().starts_with("the data has 16777217 bytes"), "{error}");
}

#[test]
fn headers_of_others_and_missing_values() {
    let mut record = sample().to_kafka();
    record.headers.push(("traceparent".into(), Some(Bytes::from_static(b"\xff"))));
    record.headers.push(("Ce_Foo".into(), None));
    assert_eq!(from_record(&record).unwrap(), sample());
    record.headers.push(("ce_foo".into(), None));
    assert!(from_record(&record).unwrap_err().to_string().contains("`foo` is a header without a value"));
}

#[test]
fn a_key_stands_in_for_the_partition_key() {
    let mut record = Event::new("1", "/a", "t").to_kafka();
    record.key = Some(Bytes::from_static(b"gauge-7"));
    assert_eq!(from_record(&record).unwrap().partition_key.as_deref(), Some("gauge-7"));
    record.key = Some(Bytes::from_static(b"\xff\0"));
    assert_eq!(from_record(&record).unwrap().partition_key, None);
}

#[test]
fn the_view_borrows_and_sorts() {
    let mut event = sample();
    event.extensions.insert("a".into(), "1\"".into());
    let record = event.to_kafka();
    let view = EventRef::from_kafka(record.key.as_deref(), record.header_refs(), record.value.as_deref()).unwrap();
    assert!(matches!((&view.id, &view.data, &view.extensions[0].0), (Cow::Borrowed(_), Some(Cow::Borrowed(_)), Cow::Borrowed(_))));
    assert_eq!(view.time_us, Some(1_752_800_400_000_001));
    assert_eq!(view.extensions_json().unwrap(), r#"{"a":"1\"","chain":"00ff"}"#);
}

#[test]
fn json_documents_are_read_strictly() {
    let refused = |member: &str| {
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"/a","type":"t",{member}}}"#);
        Event::from_json(text.as_bytes()).unwrap_err().to_string()
    };
    assert!(refused(r#""id":"2""#).contains("`id` is given more than once"));
    assert!(refused(r#""subject":7"#).contains("`subject` must be a string"));
    assert!(refused(r#""a":1.5"#).contains("`a` is a number but not a 32-bit integer"));
    assert!(refused(r#""a":{}"#).contains("`a` must be a string, an integer or a boolean"));
    assert!(refused(r#""data":1,"data_base64":"MQ==""#).contains("both given"));
    assert!(refused(r#""data":1,"data":2"#).contains("`data` is given more than once"));
    assert!(refused(r#""data_base64":"!""#).contains("not base64"));
    assert!(refused(r#""data_base64":1"#).contains("must be a string"));
    assert!(refused(r#""data":{"text":"\ud83d"}"#).contains("the data is not JSON"));
    assert!(refused(r#""subject":"\ud83d""#).contains("`subject` is not JSON"));
    assert!(refused(r#""subject":"\u0000""#).contains("U+0000"));
    assert!(Event::from_json(b"[]").unwrap_err().to_string().contains("an object"));
    assert!(Event::from_json(b"\xff").unwrap_err().to_string().contains("not UTF-8 from byte 0"));
    assert!(Event::from_json(br#"{"specversion":"0.3"}"#).unwrap_err().to_string().contains("must be `1.0`"));
    assert!(Event::from_json(b"{} x").unwrap_err().to_string().contains("column 4"));
}

#[test]
fn json_data_is_kept_as_it_was_written() {
    let read = |members: &str| {
        let text = format!("\u{feff}{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/a\",\"type\":\"t\",{members}}}");
        Event::from_json(text.as_bytes()).unwrap()
    };
    assert_eq!(read(r#""data":{"b": 1.10, "a":"\ud83d\ude00"}"#).data.unwrap(), r#"{"b": 1.10, "a":"\ud83d\ude00"}"#);
    assert_eq!(read(r#""data":"\u4e2d","datacontenttype":"text/plain""#).data.unwrap(), "中");
    assert_eq!(read(r#""data":"x""#).data.unwrap(), "\"x\"");
    assert_eq!(read(r#""data_base64":"AP8=""#).data.unwrap(), &b"\0\xff"[..]);
    assert_eq!(read(r#""subject":null"#).subject, None);
    assert_eq!(read(r#""a":7,"b":true"#).extensions, BTreeMap::from([("a".into(), "7".into()), ("b".into(), "true".into())]));
}

#[test]
fn a_batch_gives_each_event_its_own_outcome() {
    let batch = format!("[{},{{\"specversion\":\"1.0\"}},7]", sample().to_json());
    let outcomes = Event::batch_from_json(batch.as_bytes());
    assert_eq!(outcomes[0], Ok(sample()));
    assert_eq!(outcomes[1], Err((1, EventError::Missing { attribute: "id" })));
    assert_eq!(outcomes[2].as_ref().unwrap_err().0, 2);
    assert_eq!(Event::batch_from_json(b"{}").len(), 1);
    assert!(Event::batch_from_json(b"[]").is_empty());
}

#[test]
fn requests_are_read_in_each_mode() {
    let (headers, body) = sample().to_http();
    let refs = || headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    assert_eq!(Event::from_http(refs(), body.clone()).unwrap(), sample());
    let structured = [("Content-Type", json::CONTENT_TYPE.as_bytes())];
    assert_eq!(Event::from_http(structured.into_iter(), Bytes::from(sample().to_json())).unwrap(), sample());
    let batch = [("Content-Type", json::BATCH_CONTENT_TYPE.as_bytes())];
    assert!(Event::from_http(batch.into_iter(), body).unwrap_err().to_string().contains("this is a batch"));
    assert_eq!(http::mode(Some("Application/CloudEvents-Batch+json")), http::Mode::Batch);
    assert_eq!(http::mode(Some("application/cloudevents+json")), http::Mode::Structured);
    assert_eq!(http::mode(None), http::Mode::Binary);
}

#[test]
fn header_values_are_unquoted_and_decoded() {
    let base: [(&str, &[u8]); 4] = [("CE-SpecVersion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"/a"), ("ce-type", b"t")];
    let subject = |value: &'static [u8]| {
        let headers = base.into_iter().chain([("ce-subject", value)]);
        Event::from_http(headers, Bytes::new()).map(|event| event.subject.unwrap())
    };
    assert_eq!(subject(b"%E6%AD%A6%e6%b1%89%21").unwrap(), "武汉!");
    assert_eq!(subject(b"\"a \\\" b\"").unwrap(), "a \" b");
    assert_eq!(subject(b"100%").unwrap(), "100%");
    assert!(subject(b"%ff").unwrap_err().to_string().contains("not UTF-8"));
    assert!(subject(b"a%00").unwrap_err().to_string().contains("U+0000"));
}

proptest! {
    #[test]
    fn any_event_goes_through_http(id in "[^\\p{Cc}\\p{Cn}]{1,20}", body in proptest::collection::vec(any::<u8>(), 1..50)) {
        let mut event = Event::new(id.clone(), "/a", "t");
        event.subject = Some(format!("\"{id}%41"));
        event.data_content_type = Some("application/octet-stream".into());
        event.data = Some(Bytes::from(body));
        prop_assume!(event.check().is_ok());
        let (headers, body) = event.to_http();
        prop_assert!(headers.iter().all(|(_, value)| value.bytes().all(|byte| (0x20..0x7f).contains(&byte))));
        let read = Event::from_http(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())), body).unwrap();
        prop_assert_eq!(&read, &event);
        prop_assert_eq!(&Event::from_json(event.to_json().as_bytes()).unwrap(), &event);
    }

    #[test]
    fn any_request_is_refused_or_read(name in "(ce-|CE-)?[ -~]{0,12}", value in proptest::collection::vec(any::<u8>(), 0..60)) {
        let headers = [(name.as_str(), &value[..]), ("ce-id", &value[..]), ("ce-specversion", &b"1.0"[..])];
        let _ = Event::from_http(headers.into_iter(), Bytes::copy_from_slice(&value));
    }
}
