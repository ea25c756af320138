//! What is shown: the standard's objects in JSON, and the same in XML.

use chrono::{DateTime, Utc};
use quick_xml::escape::escape;
use serde_json::{Value, json};

use super::{Forms, Request, Service, Wrong};
use crate::limits::OPEN311_DESCRIPTION_CHARS_MAX;

/// A service of the list.
pub fn service(service: &Service, forms: &Forms) -> Value {
    json!({
        "service_code": service.code,
        "service_name": format!("{} / {}", service.name_zh, service.name_en),
        "description": format!("{} · {} / {}", service.group, service.name_zh, service.name_en),
        "metadata": forms.has(service),
        "type": "realtime",
        "keywords": service.scenario.clone().unwrap_or_default(),
        "group": service.group,
    })
}

/// A service's questions.
pub fn definition(service: &Service, forms: &Forms) -> Value {
    json!({"service_code": service.code, "attributes": forms.attributes(service)})
}

fn time(time: DateTime<Utc>) -> String {
    schemas::time::format(time)
}

/// A request; `extended` with where its case really stands, and its steps.
pub fn request(request: &Request, extended: bool) -> Value {
    let mut shown = json!({
        "service_request_id": request.id,
        "status": if request.state.is_final() { "closed" } else { "open" },
        "status_notes": format!("{} / {}", request.state.zh(), request.state.name()),
        "service_name": request.service_name,
        "service_code": request.service,
        // Answers to questions were added to what was said; the standard ends it here.
        "description": request.description.as_ref().map(|said| said.chars().take(OPEN311_DESCRIPTION_CHARS_MAX).collect::<String>()),
        "agency_responsible": request.agency,
        "service_notice": null,
        "requested_datetime": time(request.requested),
        "updated_datetime": time(request.updated),
        "expected_datetime": request.expected.map(time),
        "address": request.address,
        "address_id": null,
        "zipcode": null,
        "lat": request.place.map(|place| place.0),
        "long": request.place.map(|place| place.1),
        "media_url": null,
    });
    if extended {
        shown["extended_attributes"] = json!({
            "case": request.case,
            "state": request.state.name(),
            "state_zh": request.state.zh(),
            "urgency": request.urgency,
            "overdue": request.overdue,
            "district": request.district,
            "incident": request.incident,
        });
        let note = |note: &super::Note| json!({"datetime": time(note.at), "description": format!("{}: {}", note.to.zh(), note.reason), "type": note.to.name()});
        shown["notes"] = request.notes.iter().map(note).collect();
    }
    shown
}

/// Errors, in the standard's form.
pub fn errors(wrong: &Wrong) -> Value {
    json!([{"code": wrong.status, "description": format!("{} / {}", wrong.en, wrong.zh)}])
}

/// Where the service is and what it speaks.
pub fn discovery(base: &str) -> Value {
    let changeset = "2026-11-25T00:00:00Z";
    json!({
        "changeset": changeset,
        "contact": "the operator of this citybrain / 本系统的运维人员",
        "key_service": "a person's token, or the HTTP token of the configuration, is the api_key / api_key 为人员令牌或配置中的 http_token",
        "endpoints": [{
            "specification": "http://wiki.open311.org/GeoReport_v2",
            "url": base,
            "changeset": changeset,
            "type": "production",
            "formats": ["application/json", "text/xml"],
        }],
    })
}

/// A document of this standard as XML.
pub fn xml(root: &str, value: &Value) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    element(&mut text, root, value);
    text
}

fn element(text: &mut String, name: &str, value: &Value) {
    text.push('<');
    text.push_str(name);
    text.push('>');
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
        // What XML 1.0 cannot hold in any way is left out.
        Value::String(said) => text.push_str(&escape(said.chars().filter(|c| matches!(c, '\t' | '\n' | '\r') || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))).collect::<String>())),
        Value::Array(items) => items.iter().for_each(|item| element(text, one_of(name), item)),
        Value::Object(members) => members.iter().for_each(|(name, member)| element(text, name, member)),
    }
    text.push_str("</");
    text.push_str(name);
    text.push('>');
}

/// What one of a list is called.
fn one_of(list: &str) -> &str {
    match list {
        "service_requests" => "request",
        list => list.strip_suffix('s').unwrap_or("item"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quick_xml::Reader;
    use quick_xml::events::Event;
    use schemas::case::CaseState;

    fn example() -> Request {
        Request {
            id: "638344".into(), case: "case-000000000007".into(), state: CaseState::Rework, service: "flooding".into(), service_name: "积水 / Flooding".into(),
            description: Some("A <b>deep</b> puddle & a \u{0}car".into()), agency: Some("排水处".into()), requested: DateTime::UNIX_EPOCH, updated: DateTime::UNIX_EPOCH,
            expected: None, address: None, place: Some((37.76, -122.42)), district: None, urgency: 2, overdue: true, incident: None,
            notes: vec![super::super::Note { at: DateTime::UNIX_EPOCH, to: CaseState::Rework, reason: "not done".into() }],
        }
    }

    #[test]
    fn requests_have_what_the_standard_requires() {
        let shown = request(&example(), true);
        for required in ["service_request_id", "status", "service_code", "requested_datetime"] {
            assert!(shown[required].is_string(), "{required}");
        }
        assert_eq!((&shown["status"], &shown["long"]), (&json!("open"), &json!(-122.42)));
        assert_eq!(shown["notes"][0], json!({"datetime": "1970-01-01T00:00:00Z", "description": "返工: not done", "type": "rework"}));
        let closed = Request { state: CaseState::Voided, ..example() };
        assert_eq!(request(&closed, false)["status"], "closed");
    }

    #[test]
    fn xml_says_what_json_says() {
        let text = xml("service_requests", &json!([request(&example(), true)]));
        assert!(text.contains("<service_requests><request>") && text.contains("<notes><note><datetime>"), "{text}");
        assert!(text.contains("&lt;b&gt;deep&lt;/b&gt; puddle &amp; a car"), "{text}");
        let mut reader = Reader::from_str(&text);
        let mut depth = 0;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        assert_eq!(xml("errors", &errors(&Wrong::bad("no", "否"))).lines().nth(1).unwrap(), "<errors><error><code>400</code><description>no / 否</description></error></errors>");
    }
}
