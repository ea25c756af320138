use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Fields, Schema};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use proptest::prelude::*;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::scan::DEPTH_MAX;
use super::*;
use crate::chunk::timestamp_type;

fn fields() -> Vec<Field> {
    let place = Fields::from(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true))), true),
        json_field("raw"),
    ]);
    let places = DataType::List(Arc::new(Field::new_list_field(DataType::Struct(place.clone()), true)));
    vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("small", DataType::Int32, true),
        Field::new("big", DataType::Int64, true),
        Field::new("real", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("time", timestamp_type(), true),
        Field::new("day", DataType::Date32, true),
        json_field("json"),
        Field::new("place", DataType::Struct(place), true),
        Field::new("places", places, true),
        Field::new("ключ\n\"", DataType::Utf8, true),
    ]
}

fn batch(texts: &[Option<String>]) -> RecordBatch {
    let data: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
    let schema = Schema::new(vec![Field::new("data", DataType::Utf8, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![data]).unwrap()
}

fn decoded(texts: &[Option<String>], fields: &[Field]) -> Vec<ArrayRef> {
    from_json(&batch(texts), &fields.iter().collect::<Vec<_>>())
}

// The reference: serde_json takes the text apart, value by value; nothing is shared with the decoder.

type Raw<'a> = &'a RawValue;

fn expected(texts: &[Option<String>], fields: &[Field]) -> Vec<ArrayRef> {
    let objects: Vec<Option<BTreeMap<String, Raw<'_>>>> = texts.iter().map(|text| text.as_deref().and_then(document)).collect();
    let column = |field: &Field| {
        let cells: Vec<Option<Raw<'_>>> = objects.iter().map(|object| object.as_ref()?.get(field.name()).copied()).collect();
        array(field, &cells)
    };
    fields.iter().map(column).collect()
}

fn document(text: &str) -> Option<BTreeMap<String, Raw<'_>>> {
    let whole: Raw<'_> = serde_json::from_str(text).ok()?;
    (depth(text) <= DEPTH_MAX).then(|| object(whole)).flatten()
}

/// The deepest nesting of a text that is JSON.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest, mut quoted, mut bytes) = (0_usize, 0, false, text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            b'[' | b'{' if !quoted => open += 1,
            b']' | b'}' if !quoted => open -= 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

fn object(raw: Raw<'_>) -> Option<BTreeMap<String, Raw<'_>>> {
    raw.get().starts_with('{').then(|| fields_of(raw.get()))
}

fn fields_of(text: &str) -> BTreeMap<String, Raw<'_>> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = BTreeMap<String, Raw<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = BTreeMap::new();
            while let Some((Name(name), value)) = map.next_entry()? {
                name.and_then(|name| pairs.insert(name, value));
            }
            Ok(pairs)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Pairs).unwrap()
}

/// A name; nothing when half of a surrogate pair is in it.
struct Name(Option<String>);

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                Ok(Name(String::from_utf8(bytes.to_vec()).ok()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

fn array(field: &Field, cells: &[Option<Raw<'_>>]) -> ArrayRef {
    let texts = || cells.iter().map(|cell| string((*cell)?));
    match field.data_type() {
        DataType::Utf8 if is_json(field) => {
            Arc::new(cells.iter().map(|cell| cell.map(RawValue::get).filter(|text| *text != "null")).collect::<StringArray>())
        }
        DataType::Utf8 => Arc::new(texts().collect::<StringArray>()),
        DataType::Int32 => Arc::new(cells.iter().map(|cell| i32::try_from(integer((*cell)?)?).ok()).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(cells.iter().map(|cell| integer((*cell)?)).collect::<Int64Array>()),
        DataType::Float64 => Arc::new(cells.iter().map(|cell| float((*cell)?)).collect::<Float64Array>()),
        DataType::Boolean => Arc::new(cells.iter().map(|cell| cell.as_ref()?.get().parse::<bool>().ok()).collect::<BooleanArray>()),
        DataType::Date32 => Arc::new(
            texts()
                .map(|text| {
                    let date = NaiveDate::parse_from_str(&text.filter(|text| text.len() == 10)?, "%Y-%m-%d").ok()?;
                    Some(date.signed_duration_since(NaiveDate::default()).num_days() as i32)
                })
                .collect::<Date32Array>(),
        ),
        DataType::Timestamp(_, _) => {
            let times = cells.iter().map(|cell| integer((*cell)?).map_or_else(|| time(&string((*cell)?)?), |ms| ms.checked_mul(1_000)));
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        DataType::Struct(fields) => {
            let objects: Vec<Option<BTreeMap<String, Raw<'_>>>> = cells.iter().map(|cell| object((*cell)?)).collect();
            let children = fields.iter().map(|field| {
                let cells: Vec<_> = objects.iter().map(|object| object.as_ref()?.get(field.name()).copied()).collect();
                array(field, &cells)
            });
            let valid = NullBuffer::from_iter(objects.iter().map(Option::is_some));
            Arc::new(StructArray::new(fields.clone(), children.collect(), Some(valid)))
        }
        DataType::List(item) => {
            let lists: Vec<Option<Vec<Raw<'_>>>> = cells.iter().map(|cell| serde_json::from_str(cell.as_ref()?.get()).ok()).collect();
            let items: Vec<_> = lists.iter().flatten().flatten().map(|item| Some(*item)).collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.as_ref().map_or(0, Vec::len)));
            let valid = NullBuffer::from_iter(lists.iter().map(Option::is_some));
            Arc::new(ListArray::new(Arc::clone(item), offsets, array(item, &items), Some(valid)))
        }
        other => panic!("no column has type {other}"),
    }
}

fn string(raw: Raw<'_>) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn float(raw: Raw<'_>) -> Option<f64> {
    let number = raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
    number.then(|| raw.get().parse().ok()).flatten().filter(|value: &f64| value.is_finite())
}

fn integer(raw: Raw<'_>) -> Option<i64> {
    let number = float(raw)?;
    let written_whole = !raw.get().contains(['.', 'e', 'E']);
    if written_whole {
        return raw.get().parse().ok();
    }
    (number.fract() == 0.0 && number.abs() < 2_f64.powi(53)).then_some(number as i64)
}

fn time(text: &str) -> Option<i64> {
    let with_offset = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_micros());
    let plain = |text: &str| -> Option<i64> {
        let (date, time) = text.split_at_checked(10)?;
        let time = time.strip_prefix(['T', 't', ' '])?;
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let second = time.get(6..8)?;
        let formed = digits(time.get(..2)?) && digits(time.get(3..5)?) && digits(second) && second < "60" && !time.ends_with('.');
        let date_formed = date.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
        let time = NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%Y-%m-%d %H:%M:%S%.f").ok()?;
        (formed && date_formed).then(|| time.and_utc().timestamp_micros())
    };
    with_offset.ok().or_else(|| plain(text))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<i32>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        (-100_000_i64..100_000).prop_map(|value| format!("{}", value as f64 / 100.0)),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,4})?",
        prop::sample::select(vec![
            "0", "-0", "-0.0", "0e9999", "1e400", "-1e400", "1e-400", "12.0", "9223372036854775807", "9223372036854775808",
            "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "9007199254740993", "9007199254740993.0",
            "4.9e-324", "2.4703282292062328e-324", "1.7976931348623157e308", "1.7976931348623159e308", "2147483648", "1e2", "1.5e3",
            "123456789012345678901234567890", "0.1", "1e23", "8.41e21", "9.5367431640625e-7", "1700000000000", "1e99999999999",
        ])
        .prop_map(str::to_owned),
    ]
}

fn quoted() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ -~]{0,30}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        2 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        2 => "(滨江|区|[a-z]|\\\\n|\\\\\"|\\\\\\\\|\\\\/|\\\\u00e9|\\\\u6EE8|\\\\ud83d\\\\ude00|\\\\ud83d|\\\\ude00){0,12}"
            .prop_map(|text| format!("\"{text}\"")),
        2 => moment().prop_map(|text| format!("\"{text}\"")),
    ]
}

fn moment() -> impl Strategy<Value = String> {
    let date = "(19|20)[0-9]{2}-(0[0-9]|1[0-3])-[0-3][0-9]";
    let offset = "(Z|z|[+-][0-2][0-9]:[0-6][0-9])?";
    prop_oneof![
        date,
        (date, "[Tt ]", "[0-2][0-9]:[0-6][0-9]:[0-6][0-9]", "(\\.[0-9]{0,11})?", offset)
            .prop_map(|(date, between, time, fraction, offset)| format!("{date}{between}{time}{fraction}{offset}")),
        (-62_135_596_800_000_i64..253_402_300_799_999).prop_map(|ms| DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339()),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{5,9}",
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r  ")]
}

fn value() -> impl Strategy<Value = String> {
    let plain = prop_oneof![3 => number(), 3 => quoted(), 1 => Just("null".to_owned()), 1 => Just("true".to_owned()), 1 => Just("false".to_owned())];
    plain.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            (prop::collection::vec((inner.clone(), space()), 0..5), space())
                .prop_map(|(items, open)| format!("[{open}{}]", items.iter().map(|(item, space)| format!("{item}{space}")).collect::<Vec<_>>().join(", "))),
            pairs(inner),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let known = ["text", "small", "big", "real", "flag", "time", "day", "json", "place", "places", "name", "at", "raw"];
    prop_oneof![
        8 => prop::sample::select(known.to_vec()).prop_map(|name| format!("\"{name}\"")),
        1 => prop::sample::select(vec!["\"t\\u0065xt\"", "\"\\u0062ig\"", "\"ключ\\n\\\"\"", "\"\\u043a\\u043b\\u044e\\u0447\\n\\u0022\"", "\"\"", "\"\\ud83d\"", "\"other\""]).prop_map(str::to_owned),
        1 => "[a-z\\\\ud83d]{0,9}".prop_map(|name| serde_json::to_string(&name).unwrap()),
    ]
}

fn pairs(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let pair = (name(), space(), space(), value, space()).prop_map(|(name, s1, s2, value, s3)| format!("{name}{s1}:{s2}{value}{s3}"));
    (prop::collection::vec(pair, 0..9), space(), space()).prop_map(|(pairs, s1, s2)| format!("{{{s1}{}}}", pairs.join(&format!(",{s2}"))))
}

/// Objects, and what becomes of them when bytes are cut off, left out, doubled or replaced.
fn text() -> impl Strategy<Value = Option<String>> {
    let whole = || (space(), pairs(value()), space()).prop_map(|(s1, object, s2)| format!("{s1}{object}{s2}"));
    let hurt = (whole(), any::<prop::sample::Index>(), 0..4_u8, prop::sample::select(b"{}[]\",:\\01-.eE+ntf \n\x01/u".to_vec())).prop_map(|(text, at, how, byte)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes.truncate(at),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            _ => bytes[at] = byte,
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    prop_oneof![
        8 => whole().prop_map(Some),
        6 => hurt.prop_map(Some),
        1 => value().prop_map(Some),
        1 => any::<String>().prop_map(Some),
        1 => "[\\[\\]{}\",:0-9a ]{0,20}".prop_map(Some),
        1 => Just(None),
    ]
}

fn check(texts: &[Option<String>]) {
    let fields = fields();
    let (told, wanted) = (decoded(texts, &fields), expected(texts, &fields));
    for ((told, wanted), field) in told.iter().zip(&wanted).zip(&fields) {
        assert_eq!(told.data_type(), field.data_type());
        assert_eq!(told, wanted, "column {} of {texts:?}", field.name());
    }
    // Whether a row is whole does not depend on what else is read.
    let one_by_one: Vec<ArrayRef> = fields.iter().flat_map(|field| decoded(texts, std::slice::from_ref(field))).collect();
    assert_eq!(told, one_by_one);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn decodes_as_the_reference_does(texts in prop::collection::vec(text(), 1..6)) {
        check(&texts);
    }

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them(number in number()) {
        check(&[Some(format!(r#"{{"real":{number},"big":{number},"small":{number},"time":{number}}}"#))]);
    }

    #[test]
    fn times_are_read_as_chrono_reads_them(moment in moment()) {
        check(&[Some(format!(r#"{{"time":"{moment}","day":"{moment}"}}"#))]);
    }
}

#[test]
fn every_day_from_year_0_to_9999_is_counted() {
    let mut day = NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
    while let Some(next) = day.succ_opt().filter(|next| *next <= NaiveDate::from_ymd_opt(9_999, 12, 31).unwrap()) {
        let days = day.signed_duration_since(NaiveDate::default()).num_days() as i32;
        assert_eq!(time::date(&day.format("%Y-%m-%d").to_string()), Some(days));
        day = next;
    }
}

fn texts_of(text: &str, field: Field) -> Vec<Option<String>> {
    let columns = decoded(&[Some(text.to_owned())], &[field]);
    columns[0].as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!(r#"{{"other":{}{},"text":"a"}}"#, "[".repeat(depth), "]".repeat(depth));
    let text = || Field::new("text", DataType::Utf8, true);
    assert_eq!(texts_of(&nested(DEPTH_MAX - 1), text()), [Some("a".to_owned())]);
    assert_eq!(texts_of(&nested(DEPTH_MAX), text()), [None]);
    let objects = format!(r#"{{"text":"a","json":{}1{}}}"#, r#"{"a":"#.repeat(1_000_000), "}".repeat(1_000_000));
    assert_eq!(texts_of(&objects, text()), [None]);
}

#[test]
fn json_columns_hold_what_was_written() {
    let json = |value: &str| texts_of(&format!(r#"{{"json": {value} }}"#), json_field("json"));
    for value in [r#"{"b": 1.50, "a":[ ]}"#, r#""a\u0062\n""#, "1e400", "true", "[null]"] {
        assert_eq!(json(value), [Some(value.to_owned())]);
    }
    assert_eq!(json("null"), [None]);
}

#[test]
fn a_lost_comma_is_found_where_names_are_known() {
    let rows = [r#"{"text":"a","real":1}"#, r#"{"text":"a""text":"b"}"#, r#"{,"real":1}"#, r#"{"text":"c","real":1}"#];
    check(&rows.map(|row| Some(row.to_owned())));
}

#[test]
fn more_names_than_are_remembered() {
    let object = |from: usize| {
        let fields: Vec<String> = (from..from + 150).map(|n| format!(r#""field{n}":{n}"#)).collect();
        Some(format!(r#"{{{},"big":{from},"text":"x"}}"#, fields.join(",")))
    };
    check(&[object(0), object(100), object(0), Some(r#"{"text":"y"}"#.to_owned())]);
}
