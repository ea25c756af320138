//! What is sent: parameters in a form or in JSON, a report as an event, a search.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use schemas::Event;
use serde_json::{Map, Value, json};

use super::{Forms, Search, Service, Wrong};
use crate::limits::{OPEN311_DESCRIPTION_CHARS_MAX, OPEN311_PAGE_MAX, OPEN311_PARAMETERS_MAX};
use crate::query::parse_bounds;

/// The type of what is reported.
const CREATED_TYPE: &str = "io.citybrain.workorder.created.v1";

/// The CloudEvents source of what is reported by this standard.
pub const SOURCE: &str = "urn:citybrain:open311";

/// How far back a search without dates looks.
const SEARCH_DAYS: i64 = 90;

/// Names and values, in the order in which they came.
pub type Parameters = Vec<(String, String)>;

/// Reads a body: `application/x-www-form-urlencoded`, or JSON with the same names.
///
/// # Errors
/// When it is neither.
pub fn parameters(content_type: &str, body: &Bytes) -> Result<Parameters, Wrong> {
    let text = crate::encoding::utf8(body).map_err(|wrong| Wrong::bad(format!("the body {}", wrong.en()), format!("正文{}", wrong.zh())))?;
    let parameters: Parameters = if content_type.contains("json") {
        let value: Value = serde_json::from_str(text).map_err(|error| Wrong::bad(format!("the body is no JSON: {error}"), format!("正文不是 JSON：{error}")))?;
        let members = value.as_object().ok_or_else(|| Wrong::bad("the body is no JSON object", "正文不是 JSON 对象"))?;
        members.iter().map(|(name, value)| flat(name, value)).collect::<Result<Vec<_>, _>>()?.concat()
    } else if content_type.is_empty() || content_type.contains("application/x-www-form-urlencoded") {
        url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    } else {
        return Err(Wrong::bad(
            format!("the content type {content_type:?} is not taken; send application/x-www-form-urlencoded or application/json"),
            format!("不接收内容类型 {content_type:?}；请使用 application/x-www-form-urlencoded 或 application/json"),
        ));
    };
    if parameters.len() > OPEN311_PARAMETERS_MAX {
        return Err(Wrong::bad(format!("more than {OPEN311_PARAMETERS_MAX} parameters"), format!("参数超过 {OPEN311_PARAMETERS_MAX} 个")));
    }
    // What is not UTF-8 behind its percent signs comes out with this character.
    match parameters.iter().find(|(_, value)| value.contains('\u{fffd}')) {
        Some((name, _)) => Err(Wrong::bad(format!("{name} is not UTF-8"), format!("{name} 不是 UTF-8 编码"))),
        None => Ok(parameters),
    }
}

/// A member of a JSON body as parameters: `{"attribute": {"a": ["x"]}}` is `attribute[a][]=x`.
fn flat(name: &str, value: &Value) -> Result<Parameters, Wrong> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![(name.to_owned(), text.clone())],
        Value::Number(_) | Value::Bool(_) => vec![(name.to_owned(), value.to_string())],
        Value::Array(items) if name.contains('[') && items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            items.iter().map(|item| flat(&format!("{name}[]"), item)).collect::<Result<Vec<_>, _>>()?.concat()
        }
        Value::Object(members) if name == "attribute" => {
            members.iter().map(|(code, value)| flat(&format!("attribute[{code}]"), value)).collect::<Result<Vec<_>, _>>()?.concat()
        }
        Value::Array(_) | Value::Object(_) => return Err(Wrong::bad(format!("{name} has to be a text or a number"), format!("{name} 应为文本或数字"))),
    })
}

/// The value of a parameter, unless it is empty.
pub fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// The event of a report, with this number.
///
/// # Errors
/// What is missing or wrong.
pub fn event(services: &[Service], forms: &Forms, parameters: &[(String, String)], id: &str, now: DateTime<Utc>) -> Result<Event, Wrong> {
    let code = value(parameters, "service_code").ok_or_else(|| Wrong::bad("service_code was not given", "缺少 service_code"))?;
    let service = services.iter().find(|service| service.code == code).ok_or_else(|| Wrong::none("service", "服务", code))?;
    let place = place(parameters)?;
    let address = value(parameters, "address_string");
    let address_id = value(parameters, "address_id");
    if place.is_none() && address.is_none() && address_id.is_none() {
        return Err(Wrong::bad("no place: give lat and long, or address_string, or address_id", "缺少位置：请提供 lat 与 long，或 address_string，或 address_id"));
    }
    let description = value(parameters, "description").unwrap_or_default();
    if description.chars().count() > OPEN311_DESCRIPTION_CHARS_MAX {
        return Err(Wrong::bad(
            format!("the description has more than {OPEN311_DESCRIPTION_CHARS_MAX} characters"),
            format!("description 超过 {OPEN311_DESCRIPTION_CHARS_MAX} 个字符"),
        ));
    }
    let given = attributes(parameters);
    let answers = forms.answers(service, &given)?;
    let mut said: Vec<String> = Vec::from_iter((!description.is_empty()).then(|| description.to_owned()));
    said.extend(answers.iter().map(|(question, answer)| format!("{question}: {answer}")));
    let attributes: Map<String, Value> = given.into_iter().map(|(code, values)| (code, json!(values))).collect();
    let data = json!({
        "request_id": id,
        "category": service.code,
        "description": (!said.is_empty()).then(|| said.join("\n")),
        "address": address.or(address_id),
        "lat": place.map(|place| place.0),
        "lon": place.map(|place| place.1),
        "channel": "open311",
        "status": "open",
        "attributes": attributes,
        "address_id": address_id,
        "media_url": value(parameters, "media_url"),
    });
    let mut event = Event::new(id, SOURCE, CREATED_TYPE).with_json(&data);
    event.time = Some(now);
    event.subject = Some(id.to_owned());
    Ok(event)
}

/// `attribute[code]` and `attribute[code][]`, those of one code together.
fn attributes(parameters: &[(String, String)]) -> Vec<(String, Vec<String>)> {
    let mut attributes: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in parameters {
        let Some(code) = name.strip_prefix("attribute[").and_then(|rest| rest.strip_suffix("[]").unwrap_or(rest).strip_suffix(']')) else { continue };
        match attributes.iter_mut().find(|(other, _)| other == code) {
            Some((_, values)) => values.push(value.trim().to_owned()),
            None => attributes.push((code.to_owned(), vec![value.trim().to_owned()])),
        }
    }
    attributes
}

fn place(parameters: &[(String, String)]) -> Result<Option<(f64, f64)>, Wrong> {
    let degrees = |name: &str, most: f64| match value(parameters, name) {
        None => Ok(None),
        Some(text) => match text.parse::<f64>() {
            Ok(angle) if angle.abs() <= most => Ok(Some(angle)),
            _ => Err(Wrong::bad(format!("{name} {text:?} is no angle of at most {most} degrees"), format!("{name} {text:?} 不是 {most} 度以内的角度"))),
        },
    };
    match (degrees("lat", 90.0)?, degrees("long", 180.0)?) {
        (Some(lat), Some(lon)) => Ok(Some((lat, lon))),
        (None, None) => Ok(None),
        _ => Err(Wrong::bad("lat and long belong together", "lat 与 long 必须同时提供")),
    }
}

/// The names that a search knows.
const SEARCH_NAMES: [&str; 15] = [
    "service_request_id", "service_code", "status", "start_date", "end_date", "updated_after", "updated_before", "bbox", "page", "page_size", "extensions",
    "jurisdiction_id", "api_key", "lang", "_",
];

/// Reads a search. Unknown parameters are refused: a misspelt filter would silently give everything.
///
/// # Errors
/// Which parameter is wrong.
pub fn search(parameters: &[(String, String)], now: DateTime<Utc>) -> Result<Search, Wrong> {
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !SEARCH_NAMES.contains(&name.as_str())) {
        let names = SEARCH_NAMES[..11].join(", ");
        return Err(Wrong::bad(format!("there is no parameter {name:?}; there are {names}"), format!("没有参数 {name:?}；可用：{names}")));
    }
    let list = |name: &str| value(parameters, name).into_iter().flat_map(|text| text.split(',')).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let time = |name: &str| {
        value(parameters, name).map(|text| {
            // A plus sign in a query string means a space.
            let us = schemas::time::parse_us(&text.replace(' ', "+"));
            us.ok().and_then(DateTime::from_timestamp_micros).ok_or_else(|| {
                Wrong::bad(format!("{name} {text:?} is no time such as 2026-11-23T08:00:00Z"), format!("{name} {text:?} 不是形如 2026-11-23T08:00:00Z 的时间"))
            })
        })
    };
    let number = |name: &str, default: usize, most: usize| match value(parameters, name) {
        None => Ok(default),
        Some(text) => text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
            Wrong::bad(format!("{name} {text:?} is no whole number from 1 to {most}"), format!("{name} {text:?} 不是 1 到 {most} 的整数"))
        }),
    };
    let statuses = list("status");
    let open = match (statuses.iter().any(|status| status == "open"), statuses.iter().any(|status| status == "closed")) {
        _ if statuses.iter().any(|status| status != "open" && status != "closed") => {
            return Err(Wrong::bad("status is open, closed, or both", "status 应为 open、closed 或两者"));
        }
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    };
    let bounds = value(parameters, "bbox").map(|text| parse_bounds(text).map_err(|(en, zh)| Wrong::bad(en, zh))).transpose()?;
    let limit = number("page_size", OPEN311_PAGE_MAX, OPEN311_PAGE_MAX)?;
    let page = number("page", 1, 1_000_000)?;
    let (from, to) = (time("start_date").transpose()?, time("end_date").transpose()?);
    let (updated_after, updated_before) = (time("updated_after").transpose()?, time("updated_before").transpose()?);
    // The standard's default; whoever names a time names how far back.
    let dated = from.is_some() || updated_after.is_some();
    let from = if dated { from } else { Some(to.unwrap_or(now) - TimeDelta::days(SEARCH_DAYS)) };
    let notes = value(parameters, "extensions") == Some("true");
    Ok(Search { ids: list("service_request_id"), services: list("service_code"), open, from, to, updated_after, updated_before, bounds, skip: (page - 1) * limit, limit, notes, live: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Event, Wrong> {
        let services = [Service { code: "flooding".into(), scenario: Some("urban_flooding".into()), ..Service::default() }];
        let parameters = parameters("application/x-www-form-urlencoded; charset=utf-8", &Bytes::copy_from_slice(text.as_bytes()))?;
        event(&services, &Forms::default(), &parameters, "r-1", DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_report_is_a_work_order_without_the_person() {
        let text = "api_key=k&service_code=flooding&lat=30.5&long=114.3&address_string=%E5%8C%97%E4%BA%AC%E8%B7%AF&email=a%40b.c&device_id=d&account_id=x&first_name=Jane\
            &last_name=Doe&phone=13812345678&description=Water+everywhere&attribute[danger]=trapped&attribute[depth_cm]=40";
        let event = form(text).unwrap();
        let data = event.data_json().unwrap();
        assert_eq!((&data["category"], &data["lat"], &data["channel"]), (&json!("flooding"), &json!(30.5), &json!("open311")));
        assert!(data["description"].as_str().unwrap().starts_with("Water everywhere\n") && data["description"].as_str().unwrap().contains("有人被困"));
        let all = data.to_string();
        for personal in ["a@b.c", "Jane", "Doe", "13812345678", "\"x\"", "\"d\""] {
            assert!(!all.contains(personal), "{personal} in {all}");
        }
        schemas::Registry::builtin().get("workorder.created").unwrap().validate(&data).unwrap();
    }

    #[test]
    fn json_says_the_same_as_a_form() {
        let json = br#"{"service_code":"flooding","lat":30.5,"long":"114.3","attribute":{"danger":"no","depth_cm":3},"email":null}"#;
        let read = parameters("application/json", &Bytes::from_static(json)).unwrap();
        let mut read: Vec<String> = read.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        read.sort();
        assert_eq!(read, ["attribute[danger]=no", "attribute[depth_cm]=3", "lat=30.5", "long=114.3", "service_code=flooding"]);
        assert!(parameters("application/json", &Bytes::from_static(b"{\"lat\":[1]}")).is_err());
        assert!(parameters("multipart/form-data; boundary=x", &Bytes::new()).is_err());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, status, expected) in [
            ("lat=1&long=2", 400, "service_code was not given"),
            ("service_code=dragons&lat=1&long=2", 404, "no service"),
            ("service_code=flooding", 400, "no place"),
            ("service_code=flooding&lat=1", 400, "belong together"),
            ("service_code=flooding&lat=NaN&long=2", 400, "no angle"),
            ("service_code=flooding&lat=91&long=2", 400, "no angle"),
            ("service_code=flooding&lat=1&long=2&attribute[depth_cm]=deep", 400, "no number"),
            ("service_code=flooding&address_string=%C2%B7%FF", 400, "not UTF-8"),
        ] {
            let wrong = form(text).unwrap_err();
            assert!(wrong.status == status && wrong.en.contains(expected), "{text}: {wrong:?}");
        }
        assert!(form(&format!("service_code=flooding&lat=1&long=2&description={}", "字".repeat(4_001))).is_err());
    }

    #[test]
    fn searches_are_read() {
        let read = |text: &str| search(&url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>(), DateTime::UNIX_EPOCH + TimeDelta::days(100));
        let all = read("service_request_id=a,b&status=open&service_code=x&page=3&page_size=10&bbox=1,2,3,4&extensions=true&start_date=2026-01-01T00:00:00Z").unwrap();
        assert_eq!((all.ids.len(), all.open, all.skip, all.limit, all.notes), (2, Some(true), 20, 10, true));
        assert_eq!(read("").unwrap().from, Some(DateTime::UNIX_EPOCH + TimeDelta::days(10)));
        assert_eq!(read("status=open,closed").unwrap().open, None);
        assert_eq!(read("updated_after=1970-01-02T00:00:00Z").unwrap().from, None);
        for wrong in ["status=done", "page=0", "page_size=1001", "start_date=yesterday", "bbox=1,2", "colour=red"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
