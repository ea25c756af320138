//! What a value of a request has to be: the properties that the standard asks for, ids, results and times.

use serde_json::Value;

use super::{Set, Wrong, is_number};
use crate::limits::ENTITY_ID_CHARS_MAX;

/// How results are read, by the kinds of observations that the standard names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Measurement,
    Count,
    Truth,
}

const KINDS: [(&str, Kind); 3] = [("OM_Measurement", Kind::Measurement), ("OM_CountObservation", Kind::Count), ("OM_TruthObservation", Kind::Truth)];

/// The kind that a URI of the standard names.
pub(super) fn kind_of(observation_type: &str) -> Option<Kind> {
    let name = observation_type.rsplit(['/', '#']).next()?;
    KINDS.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
}

/// Whether results of a datastream are true or false.
pub fn is_truth(datastream: &Value) -> bool {
    datastream["observationType"].as_str().and_then(kind_of) == Some(Kind::Truth)
}

/// Says that something is not there that has to be.
pub(super) fn missing(set: Set, name: &str) -> Wrong {
    Wrong::bad(format!("{} needs {name}", set.singular()), format!("{} 缺少 {name}", set.singular()))
}

/// The items of a list, of which there may be none.
pub(super) fn listed<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], Wrong> {
    match value.get(name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(Wrong::bad(format!("{name} has to be an array"), format!("{name} 应为数组"))),
    }
}

/// Checks that an entity has what the standard asks of it, in the form that it asks for.
pub(super) fn check(set: Set, value: &Value) -> Result<(), Wrong> {
    let texts: &[&str] = match set {
        Set::Thing => &["name", "description"],
        Set::Location | Set::Sensor => &["name", "description", "encodingType"],
        Set::ObservedProperty => &["name", "definition", "description"],
        Set::Datastream => &["name", "description", "observationType"],
        Set::Observation | Set::Feature => &[],
    };
    for name in texts {
        match value.get(*name) {
            Some(Value::String(text)) if *name != "name" || !text.is_empty() => {}
            None | Some(Value::Null) => return Err(missing(set, name)),
            Some(_) => return Err(Wrong::bad(format!("{name} of {} has to be a text", set.singular()), format!("{} 的 {name} 应为文本", set.singular()))),
        }
    }
    let object = |name: &str| match value.get(name) {
        Some(Value::Object(_)) => Ok(()),
        None | Some(Value::Null) => Err(missing(set, name)),
        Some(_) => Err(Wrong::bad(format!("{name} of {} has to be an object", set.singular()), format!("{} 的 {name} 应为对象", set.singular()))),
    };
    match set {
        Set::Location => object("location"),
        Set::Sensor if value.get("metadata").is_none() => Err(missing(set, "metadata")),
        Set::Datastream => {
            object("unitOfMeasurement")?;
            let kind = value["observationType"].as_str().unwrap_or_default();
            if kind_of(kind).is_none() {
                return Err(Wrong::absent(
                    format!("observationType {kind:?}: this door takes numbers (OM_Measurement, OM_CountObservation) and truths (OM_TruthObservation)"),
                    format!("observationType {kind:?}：此入口只接收数值（OM_Measurement、OM_CountObservation）与真假（OM_TruthObservation）"),
                ));
            }
            match value.get("unitOfMeasurement").and_then(|unit| ["name", "symbol", "definition"].into_iter().find(|name| unit.get(name).is_none())) {
                Some(name) => Err(missing(set, &format!("unitOfMeasurement/{name}"))),
                None => Ok(()),
            }
        }
        Set::Thing | Set::Sensor | Set::ObservedProperty | Set::Observation | Set::Feature => match value.get("properties") {
            None | Some(Value::Null | Value::Object(_)) => Ok(()),
            Some(_) => Err(Wrong::bad("properties has to be an object", "properties 应为对象")),
        },
    }
}

/// An id as text, whether it is sent as a text or as a number.
pub(super) fn id_of(value: &Value) -> Result<String, Wrong> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if is_number(&number.to_string()) => number.to_string(),
        _ => String::new(),
    };
    let fine = !id.is_empty() && id.chars().count() <= ENTITY_ID_CHARS_MAX && !id.chars().any(char::is_control);
    if fine {
        return Ok(id);
    }
    let shown: String = value.to_string().chars().take(60).collect();
    Err(Wrong::bad(
        format!("@iot.id {shown} is neither a whole number nor a text of 1 to {ENTITY_ID_CHARS_MAX} characters"),
        format!("@iot.id {shown} 应为整数，或 1 至 {ENTITY_ID_CHARS_MAX} 个字符的文本"),
    ))
}

/// A value without numbers of people. The door masks too; here so that memory holds what the log will.
pub(super) fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(schemas::pii::mask(text).0),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), masked(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// An id for an entity that came without one.
pub(super) fn fresh_id(set: Set) -> String {
    let letter = set.plural()[..1].to_lowercase();
    format!("{letter}-{}", &random_id()[..16])
}

/// 128 random bits.
pub(super) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The number that a result is, or null when the reading is missing.
pub(super) fn result(value: &Value, kind: Kind) -> Result<Value, Wrong> {
    match (value, kind) {
        // Missing readings are told apart from none.
        (Value::Null, _) => Ok(Value::Null),
        (Value::Number(_), Kind::Measurement) => Ok(value.clone()),
        (Value::Number(number), Kind::Count) if number.as_i64().is_some() => Ok(value.clone()),
        (Value::Bool(truth), Kind::Truth) => Ok(Value::from(u8::from(*truth))),
        _ => {
            let shown: String = value.to_string().chars().take(60).collect();
            let (en, zh) = match kind {
                Kind::Measurement => ("a number", "数字"),
                Kind::Count => ("a whole number", "整数"),
                Kind::Truth => ("true or false", "true 或 false"),
            };
            Err(Wrong::bad(format!("the result {shown} is not {en}, as its datastream says"), format!("结果 {shown} 不是数据流所声明的{zh}")))
        }
    }
}

/// An instant, or the beginning and the end of an interval `a/b`; µs since 1970.
pub(super) fn interval(name: &str, value: &Value) -> Result<(Option<i64>, i64), Wrong> {
    let shown: String = value.to_string().chars().take(80).collect();
    let wrong = |why: &str| Wrong::bad(format!("{name} {shown} {why}"), format!("{name} {shown} 不是时间，形如 2026-11-23T08:00:00Z 或“起/止”"));
    let text = value.as_str().ok_or_else(|| wrong("is no text"))?;
    let instant = |text: &str| {
        // A zone is often forgotten; the standard's times are in UTC.
        schemas::time::parse_us(text).or_else(|why| schemas::time::parse_us(&format!("{text}Z")).map_err(|_| why)).map_err(wrong)
    };
    match text.split_once('/') {
        None => Ok((None, instant(text)?)),
        Some((start, end)) => {
            let (start, end) = (instant(start)?, instant(end)?);
            if start > end { Err(wrong("ends before it begins")) } else { Ok((Some(start), end)) }
        }
    }
}
