//! The body of every alert: OASIS CAP 1.2, written strictly and read back for a check.
//!
//! The rules are those of the standard's section 3 and its XSD; each that is easily broken has a test below.

use chrono::{DateTime, FixedOffset, SecondsFormat};
use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event as Xml;

use crate::limits::{CAP_BYTES_MAX, CAP_POLYGON_POINTS_MAX, CAP_REPEATS_MAX};

/// The namespace of CAP 1.2.
pub const NAMESPACE: &str = "urn:oasis:names:tc:emergency:cap:1.2";

const STATUSES: &[&str] = &["Actual", "Exercise", "System", "Test", "Draft"];
const MSG_TYPES: &[&str] = &["Alert", "Update", "Cancel", "Ack", "Error"];
const SCOPES: &[&str] = &["Public", "Restricted", "Private"];
const CATEGORIES: &[&str] =
    &["Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other"];
const RESPONSES: &[&str] = &["Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"];
const URGENCIES: &[&str] = &["Immediate", "Expected", "Future", "Past", "Unknown"];
const SEVERITIES: &[&str] = &["Extreme", "Severe", "Moderate", "Minor", "Unknown"];
const CERTAINTIES: &[&str] = &["Observed", "Likely", "Possible", "Unlikely", "Unknown"];

/// What is wrong with an alert, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{element}: {problem}")]
pub struct CapError {
    /// The element.
    pub element: String,
    /// What is wrong.
    pub problem: String,
}

/// A CAP alert. Values of enumerations are the standard's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CapAlert {
    /// Unique id from this sender; no spaces, commas, `<` or `&`.
    pub identifier: String,
    /// Who sends; same characters.
    pub sender: String,
    /// When.
    pub sent: Option<DateTime<FixedOffset>>,
    /// Actual, Exercise, System, Test or Draft.
    pub status: String,
    /// Alert, Update, Cancel, Ack or Error.
    pub msg_type: String,
    /// Public, Restricted or Private.
    pub scope: String,
    /// Needed when the scope is Restricted.
    pub restriction: Option<String>,
    /// Needed when the scope is Private.
    pub addresses: Option<String>,
    /// A note on purpose or meaning.
    pub note: Option<String>,
    /// Earlier messages, as `sender,identifier,sent`; needed but for Alert.
    pub references: Vec<String>,
    /// Incidents that it belongs to.
    pub incidents: Vec<String>,
    /// One for each language.
    pub info: Vec<CapInfo>,
}

/// What happens, in one language.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CapInfo {
    /// RFC 3066 language, such as `zh-CN`.
    pub language: String,
    /// At least one category.
    pub category: Vec<String>,
    /// The kind of event.
    pub event: String,
    /// What to do.
    pub response_type: Vec<String>,
    /// Immediate, Expected, Future, Past or Unknown.
    pub urgency: String,
    /// Extreme, Severe, Moderate, Minor or Unknown.
    pub severity: String,
    /// Observed, Likely, Possible, Unlikely or Unknown.
    pub certainty: String,
    /// From when it holds.
    pub effective: Option<DateTime<FixedOffset>>,
    /// When it is expected to begin.
    pub onset: Option<DateTime<FixedOffset>>,
    /// Until when it holds: always set.
    pub expires: Option<DateTime<FixedOffset>>,
    /// The sender's name.
    pub sender_name: Option<String>,
    /// A headline.
    pub headline: Option<String>,
    /// What happens.
    pub description: Option<String>,
    /// What to do.
    pub instruction: Option<String>,
    /// Further values by name.
    pub parameters: Vec<(String, String)>,
    /// Where.
    pub area: Vec<CapArea>,
}

/// Where something happens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CapArea {
    /// In words.
    pub area_desc: String,
    /// Closed rings of (latitude, longitude), degrees.
    pub polygon: Vec<Vec<(f64, f64)>>,
    /// (latitude, longitude, radius in km).
    pub circle: Vec<(f64, f64, f64)>,
    /// Codes by name.
    pub geocode: Vec<(String, String)>,
}

/// The severity of a level from 1 (Ⅰ 特别重大) to 4 (Ⅳ 一般).
pub fn severity_of_level(level: u8) -> &'static str {
    match level {
        1 => "Extreme",
        2 => "Severe",
        3 => "Moderate",
        4 => "Minor",
        _ => "Unknown",
    }
}

/// The categories of a scenario.
pub fn categories_of_scenario(scenario: &str) -> &'static [&'static str] {
    match scenario {
        "gas_explosion" => &["Infra", "Safety", "Fire"],
        "water_main_burst" | "power_lighting" => &["Infra"],
        "urban_flooding" => &["Met", "Infra"],
        "bridge" => &["Infra", "Transport"],
        "road_collapse" => &["Transport", "Infra", "Geo"],
        "forest_fire" => &["Fire", "Env"],
        "crowd" => &["Safety", "Transport"],
        "garbage" => &["Env"],
        _ => &["Other"],
    }
}

/// A time as CAP wants it: no fraction, an offset in numbers, `-00:00` for UTC.
pub fn format_time(time: DateTime<FixedOffset>) -> String {
    let text = time.to_rfc3339_opts(SecondsFormat::Secs, false);
    if time.offset().local_minus_utc() == 0 { text.replace("+00:00", "-00:00") } else { text }
}

impl CapAlert {
    /// The `sender,identifier,sent` triplet by which a later message refers to this one.
    pub fn reference(&self) -> Option<String> {
        Some(format!("{},{},{}", self.sender, self.identifier, format_time(self.sent?)))
    }

    /// Checks the rules of the standard.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), CapError> {
        for (element, value) in [("identifier", &self.identifier), ("sender", &self.sender)] {
            let wrong = value.is_empty() || value.chars().any(|c| c.is_whitespace() || matches!(c, ',' | '<' | '&'));
            refuse_if(wrong, element, || format!("{value:?} must not be empty nor have spaces, commas, < or &"))?;
        }
        let sent = self.sent.ok_or_else(|| error("sent", "is missing"))?;
        one_of("status", &self.status, STATUSES)?;
        one_of("msgType", &self.msg_type, MSG_TYPES)?;
        one_of("scope", &self.scope, SCOPES)?;
        refuse_if(self.scope == "Restricted" && self.restriction.is_none(), "restriction", || "is needed when the scope is Restricted".into())?;
        refuse_if(self.scope == "Private" && self.addresses.is_none(), "addresses", || "are needed when the scope is Private".into())?;
        refuse_if(self.msg_type != "Alert" && self.references.is_empty(), "references", || format!("are needed for {}", self.msg_type))?;
        for reference in &self.references {
            let parts: Vec<&str> = reference.split(',').collect();
            let wrong = parts.len() != 3 || parts.iter().any(|part| part.is_empty() || part.contains(char::is_whitespace)) || parse_time("references", parts[2]).is_err();
            refuse_if(wrong, "references", || format!("{reference:?} is no sender,identifier,sent"))?;
        }
        refuse_if(self.info.len() > CAP_REPEATS_MAX, "info", || "too many".into())?;
        self.info.iter().try_for_each(|info| info.check(sent))
    }

    /// The alert as XML.
    ///
    /// # Errors
    /// When a rule of the standard is broken: nothing invalid is ever written.
    pub fn to_xml(&self) -> Result<String, CapError> {
        self.check()?;
        let mut xml = String::with_capacity(2048);
        xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<alert xmlns=\"");
        xml.push_str(NAMESPACE);
        xml.push_str("\">");
        put(&mut xml, "identifier", &self.identifier);
        put(&mut xml, "sender", &self.sender);
        put_time(&mut xml, "sent", self.sent);
        put(&mut xml, "status", &self.status);
        put(&mut xml, "msgType", &self.msg_type);
        put(&mut xml, "scope", &self.scope);
        put_some(&mut xml, "restriction", &self.restriction);
        put_some(&mut xml, "addresses", &self.addresses);
        put_some(&mut xml, "note", &self.note);
        if !self.references.is_empty() {
            put(&mut xml, "references", &self.references.join(" "));
        }
        if !self.incidents.is_empty() {
            put(&mut xml, "incidents", &self.incidents.join(" "));
        }
        for info in &self.info {
            info.write(&mut xml);
        }
        xml.push_str("</alert>");
        Ok(xml)
    }

    /// Reads an alert and checks it.
    ///
    /// # Errors
    /// When it is no XML, has an unknown or misplaced element, or breaks a rule.
    pub fn parse(xml: &str) -> Result<CapAlert, CapError> {
        refuse_if(xml.len() > CAP_BYTES_MAX, "alert", || format!("has {} bytes; at most {CAP_BYTES_MAX} are read", xml.len()))?;
        let alert = parse::alert(xml)?;
        alert.check()?;
        Ok(alert)
    }
}

impl CapInfo {
    fn check(&self, sent: DateTime<FixedOffset>) -> Result<(), CapError> {
        refuse_if(self.language.is_empty(), "language", || "is always set: the standard's default is en-US".into())?;
        refuse_if(self.category.is_empty(), "category", || "at least one is needed".into())?;
        self.category.iter().try_for_each(|value| one_of("category", value, CATEGORIES))?;
        refuse_if(self.event.is_empty(), "event", || "is missing".into())?;
        self.response_type.iter().try_for_each(|value| one_of("responseType", value, RESPONSES))?;
        one_of("urgency", &self.urgency, URGENCIES)?;
        one_of("severity", &self.severity, SEVERITIES)?;
        one_of("certainty", &self.certainty, CERTAINTIES)?;
        refuse_if(self.expires.is_none(), "expires", || "is always set".into())?;
        for (element, time) in [("effective", self.effective), ("onset", self.onset), ("expires", self.expires)] {
            refuse_if(time.is_some_and(|time| time < sent), element, || "is before sent".into())?;
        }
        refuse_if(self.area.len() > CAP_REPEATS_MAX, "area", || "too many".into())?;
        self.area.iter().try_for_each(CapArea::check)
    }

    fn write(&self, xml: &mut String) {
        xml.push_str("<info>");
        put(xml, "language", &self.language);
        self.category.iter().for_each(|value| put(xml, "category", value));
        put(xml, "event", &self.event);
        self.response_type.iter().for_each(|value| put(xml, "responseType", value));
        put(xml, "urgency", &self.urgency);
        put(xml, "severity", &self.severity);
        put(xml, "certainty", &self.certainty);
        put_time(xml, "effective", self.effective);
        put_time(xml, "onset", self.onset);
        put_time(xml, "expires", self.expires);
        put_some(xml, "senderName", &self.sender_name);
        put_some(xml, "headline", &self.headline);
        put_some(xml, "description", &self.description);
        put_some(xml, "instruction", &self.instruction);
        put_pairs(xml, "parameter", &self.parameters);
        for area in &self.area {
            area.write(xml);
        }
        xml.push_str("</info>");
    }
}

impl CapArea {
    fn check(&self) -> Result<(), CapError> {
        refuse_if(self.area_desc.is_empty(), "areaDesc", || "is missing".into())?;
        let off_earth = |lat: f64, lon: f64| !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lon);
        for ring in &self.polygon {
            refuse_if(ring.len() < 4, "polygon", || format!("{} points; at least 4 are needed", ring.len()))?;
            refuse_if(ring.len() > CAP_POLYGON_POINTS_MAX, "polygon", || "too many points".into())?;
            refuse_if(ring.first() != ring.last(), "polygon", || "the last point is not the first".into())?;
            refuse_if(ring.iter().any(|(lat, lon)| off_earth(*lat, *lon)), "polygon", || "a point is off the earth: latitude comes first".into())?;
            refuse_if(crosses_itself(ring), "polygon", || "the ring crosses itself".into())?;
        }
        for (lat, lon, radius) in &self.circle {
            refuse_if(off_earth(*lat, *lon) || !(*radius >= 0.0 && radius.is_finite()), "circle", || "is off the earth, or its radius is wrong".into())?;
        }
        Ok(())
    }

    fn write(&self, xml: &mut String) {
        xml.push_str("<area>");
        put(xml, "areaDesc", &self.area_desc);
        for ring in &self.polygon {
            put(xml, "polygon", &ring.iter().map(|(lat, lon)| format!("{lat},{lon}")).collect::<Vec<_>>().join(" "));
        }
        for (lat, lon, radius) in &self.circle {
            put(xml, "circle", &format!("{lat},{lon} {radius}"));
        }
        put_pairs(xml, "geocode", &self.geocode);
        xml.push_str("</area>");
    }
}

fn crosses_itself(ring: &[(f64, f64)]) -> bool {
    let side = |a: (f64, f64), b: (f64, f64), c: (f64, f64)| (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
    let edges: Vec<_> = ring.windows(2).map(|pair| (pair[0], pair[1])).collect();
    edges.iter().enumerate().any(|(i, (a, b))| {
        edges.iter().enumerate().skip(i + 2).any(|(j, (c, d))| {
            let neighbours = i == 0 && j == edges.len() - 1;
            !neighbours && side(*a, *b, *c) * side(*a, *b, *d) < 0.0 && side(*c, *d, *a) * side(*c, *d, *b) < 0.0
        })
    })
}

fn error(element: &str, problem: impl Into<String>) -> CapError {
    CapError { element: element.to_owned(), problem: problem.into() }
}

fn refuse_if(wrong: bool, element: &str, problem: impl FnOnce() -> String) -> Result<(), CapError> {
    if wrong { Err(error(element, problem())) } else { Ok(()) }
}

fn one_of(element: &str, value: &str, allowed: &[&str]) -> Result<(), CapError> {
    refuse_if(!allowed.contains(&value), element, || format!("{value:?} is none of {}", allowed.join(", ")))
}

/// What XML 1.0 has no place for becomes the replacement character: an alert goes out in any case.
fn put(xml: &mut String, element: &str, value: &str) {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    let clean: String = value.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect();
    xml.push_str(&format!("<{element}>{}</{element}>", escape(&clean)));
}

fn put_some(xml: &mut String, element: &str, value: &Option<String>) {
    if let Some(value) = value {
        put(xml, element, value);
    }
}

fn put_time(xml: &mut String, element: &str, time: Option<DateTime<FixedOffset>>) {
    if let Some(time) = time {
        put(xml, element, &format_time(time));
    }
}

fn put_pairs(xml: &mut String, element: &str, pairs: &[(String, String)]) {
    for (name, value) in pairs {
        xml.push_str(&format!("<{element}>"));
        put(xml, "valueName", name);
        put(xml, "value", value);
        xml.push_str(&format!("</{element}>"));
    }
}

fn parse_time(element: &str, text: &str) -> Result<DateTime<FixedOffset>, CapError> {
    let wrong = || error(element, format!("{text:?} is no YYYY-MM-DDThh:mm:ss±hh:mm (no fraction, no Z)"));
    if text.len() != 25 || text.contains(['Z', 'z', '.']) {
        return Err(wrong());
    }
    DateTime::parse_from_rfc3339(text).map_err(|_| wrong())
}

/// The reader: a tree of elements first, then the alert from it.
mod parse {
    use super::*;

    #[derive(Default)]
    struct Element {
        name: String,
        text: String,
        /// Whether one of its attributes declares CAP's namespace.
        namespaced: bool,
        children: Vec<Element>,
    }

    const DEPTH_MAX: usize = 8;

    /// The sequence of the schema; a `*` marks what may repeat.
    const ALERT: &[&str] = &[
        "identifier", "sender", "sent", "status", "msgType", "source", "scope", "restriction", "addresses", "code*", "note",
        "references", "incidents", "info*", "Signature*",
    ];
    const INFO: &[&str] = &[
        "language", "category*", "event", "responseType*", "urgency", "severity", "certainty", "audience", "eventCode*",
        "effective", "onset", "expires", "senderName", "headline", "description", "instruction", "web", "contact",
        "parameter*", "resource*", "area*",
    ];
    const AREA: &[&str] = &["areaDesc", "polygon*", "circle*", "geocode*", "altitude", "ceiling"];
    const PAIR: &[&str] = &["valueName", "value"];

    /// Free text, in which spaces count; around all other values they do not.
    const FREE: &[&str] =
        &["note", "event", "senderName", "headline", "description", "instruction", "areaDesc", "valueName", "value", "restriction"];

    /// Checks that children come in the schema's order, and once unless they may repeat.
    fn in_order(parent: &str, element: &Element, order: &[&str]) -> Result<(), CapError> {
        let mut reached = None;
        for child in &element.children {
            let at = order.iter().position(|entry| entry.trim_end_matches('*') == child.name);
            let at = at.ok_or_else(|| error(&child.name, format!("has no place in {parent}")))?;
            let again = reached == Some(at) && !order[at].ends_with('*');
            refuse_if(again, &child.name, || format!("stands twice in {parent}"))?;
            refuse_if(reached.is_some_and(|reached| at < reached), &child.name, || format!("stands too late in {parent}: order matters"))?;
            reached = Some(at);
        }
        Ok(())
    }

    pub(super) fn alert(xml: &str) -> Result<CapAlert, CapError> {
        let root = tree(xml)?;
        refuse_if(root.name != "alert", "alert", || format!("the root is <{}>", root.name))?;
        refuse_if(!root.namespaced, "alert", || format!("the namespace is not {NAMESPACE}"))?;
        in_order("alert", &root, ALERT)?;
        let mut alert = CapAlert::default();
        for child in root.children {
            let name = child.name.clone();
            match name.as_str() {
                "identifier" => alert.identifier = child.text,
                "sender" => alert.sender = child.text,
                "sent" => alert.sent = Some(parse_time("sent", &child.text)?),
                "status" => alert.status = child.text,
                "msgType" => alert.msg_type = child.text,
                "scope" => alert.scope = child.text,
                "restriction" => alert.restriction = Some(child.text),
                "addresses" => alert.addresses = Some(child.text),
                "note" => alert.note = Some(child.text),
                "references" => alert.references = child.text.split_whitespace().map(str::to_owned).collect(),
                "incidents" => alert.incidents = child.text.split_whitespace().map(str::to_owned).collect(),
                "info" => alert.info.push(info(child)?),
                "source" | "code" | "Signature" => {}
                other => return Err(error(other, "has no place in alert")),
            }
        }
        Ok(alert)
    }

    fn info(element: Element) -> Result<CapInfo, CapError> {
        in_order("info", &element, INFO)?;
        let mut info = CapInfo { language: "en-US".to_owned(), ..CapInfo::default() };
        for child in element.children {
            let name = child.name.clone();
            let time = |child: &Element| parse_time(&child.name, &child.text).map(Some);
            match name.as_str() {
                "language" => info.language = child.text,
                "category" => info.category.push(child.text),
                "event" => info.event = child.text,
                "responseType" => info.response_type.push(child.text),
                "urgency" => info.urgency = child.text,
                "severity" => info.severity = child.text,
                "certainty" => info.certainty = child.text,
                "effective" => info.effective = time(&child)?,
                "onset" => info.onset = time(&child)?,
                "expires" => info.expires = time(&child)?,
                "senderName" => info.sender_name = Some(child.text),
                "headline" => info.headline = Some(child.text),
                "description" => info.description = Some(child.text),
                "instruction" => info.instruction = Some(child.text),
                "parameter" => info.parameters.push(pair(child)?),
                "area" => info.area.push(area(child)?),
                "audience" | "eventCode" | "web" | "contact" | "resource" => {}
                other => return Err(error(other, "has no place in info")),
            }
        }
        Ok(info)
    }

    fn pair(element: Element) -> Result<(String, String), CapError> {
        in_order(&element.name, &element, PAIR)?;
        refuse_if(element.children.len() != 2, &element.name, || "needs a valueName and a value".into())?;
        let mut pair = (String::new(), String::new());
        for child in element.children {
            match child.name.as_str() {
                "valueName" => pair.0 = child.text,
                _ => pair.1 = child.text,
            }
        }
        Ok(pair)
    }

    fn area(element: Element) -> Result<CapArea, CapError> {
        in_order("area", &element, AREA)?;
        let mut area = CapArea::default();
        let number = |element: &str, text: &str| text.parse::<f64>().map_err(|_| error(element, format!("{text:?} is no number")));
        let point = |element: &str, text: &str| -> Result<(f64, f64), CapError> {
            let (lat, lon) = text.split_once(',').ok_or_else(|| error(element, format!("{text:?} is no lat,lon")))?;
            Ok((number(element, lat)?, number(element, lon)?))
        };
        for child in element.children {
            let name = child.name.clone();
            match name.as_str() {
                "areaDesc" => area.area_desc = child.text,
                "polygon" => area.polygon.push(child.text.split_whitespace().map(|text| point("polygon", text)).collect::<Result<_, _>>()?),
                "circle" => {
                    let (centre, radius) = child.text.split_once(' ').ok_or_else(|| error("circle", "is no lat,lon radius"))?;
                    let (lat, lon) = point("circle", centre)?;
                    area.circle.push((lat, lon, number("circle", radius)?));
                }
                "geocode" => area.geocode.push(pair(child)?),
                "altitude" | "ceiling" => {}
                other => return Err(error(other, "has no place in area")),
            }
        }
        Ok(area)
    }

    fn tree(xml: &str) -> Result<Element, CapError> {
        let mut reader = Reader::from_str(xml);
        let mut stack = vec![Element::default()];
        loop {
            let event = reader.read_event().map_err(|problem| error("alert", format!("no XML: {problem}")))?;
            match event {
                Xml::Start(start) => {
                    refuse_if(stack.len() > DEPTH_MAX, "alert", || "elements are nested too deep".into())?;
                    let name = start.local_name().as_ref().to_owned();
                    let namespaced = start.attributes().flatten().any(|attribute| {
                        let key = attribute.key.as_ref();
                        (key == "xmlns" || key.starts_with("xmlns:")) && attribute.value.as_ref() == NAMESPACE
                    });
                    stack.push(Element { name, namespaced, ..Element::default() });
                }
                Xml::Empty(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    if let Some(parent) = stack.last_mut() {
                        parent.children.push(Element { name, ..Element::default() });
                    }
                }
                Xml::End(_) => {
                    let ended = stack.pop().filter(|_| !stack.is_empty());
                    let mut done = ended.ok_or_else(|| error("alert", "an element ends that never began"))?;
                    if !FREE.contains(&done.name.as_str()) {
                        done.text = done.text.trim().to_owned();
                    }
                    if let Some(parent) = stack.last_mut() {
                        parent.children.push(done);
                    }
                }
                Xml::Text(text) => append(&mut stack, &text.xml10_content()),
                Xml::GeneralRef(reference) => {
                    let name = reference.xml10_content();
                    let value = quick_xml::escape::unescape(&format!("&{name};")).map_err(|problem| error("alert", problem.to_string()))?.into_owned();
                    append(&mut stack, &value);
                }
                Xml::CData(text) => append(&mut stack, &text.xml10_content()),
                Xml::DocType(_) => return Err(error("alert", "a document type is not taken")),
                Xml::Eof => break,
                _ => {}
            }
        }
        let mut root = stack.pop().filter(|_| stack.is_empty()).ok_or_else(|| error("alert", "an element never ends"))?;
        refuse_if(root.children.len() != 1, "alert", || "there has to be one root".into())?;
        root.children.pop().ok_or_else(|| error("alert", "there is no root"))
    }

    fn append(stack: &mut [Element], text: &str) {
        if let Some(element) = stack.last_mut() {
            element.text.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<DateTime<FixedOffset>> {
        Some(DateTime::parse_from_rfc3339(text).unwrap())
    }

    fn flood() -> CapAlert {
        CapAlert {
            identifier: "000012-01".into(),
            sender: "citybrain.example".into(),
            sent: at("2025-07-18T14:20:00+08:00"),
            status: "Actual".into(),
            msg_type: "Alert".into(),
            scope: "Public".into(),
            info: vec![CapInfo {
                language: "zh-CN".into(),
                category: vec!["Met".into(), "Infra".into()],
                event: "城市内涝".into(),
                urgency: "Immediate".into(),
                severity: "Severe".into(),
                certainty: "Observed".into(),
                expires: at("2025-07-18T20:20:00+08:00"),
                headline: Some("江岸区积水 <0.5 m & 上涨".into()),
                area: vec![CapArea {
                    area_desc: "江岸区".into(),
                    polygon: vec![vec![(30.5, 114.2), (30.5, 114.4), (30.7, 114.4), (30.5, 114.2)]],
                    ..CapArea::default()
                }],
                ..CapInfo::default()
            }],
            ..CapAlert::default()
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut CapAlert), element: &str) {
        let mut alert = flood();
        change(&mut alert);
        assert_eq!(alert.to_xml().unwrap_err().element, element);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let xml = flood().to_xml().unwrap();
        assert!(xml.contains("&lt;0.5 m &amp; 上涨"), "{xml}");
        assert_eq!(CapAlert::parse(&xml).unwrap(), flood());
    }

    #[test]
    fn times_have_no_fraction_and_no_z() {
        assert_eq!(format_time(DateTime::parse_from_rfc3339("2025-07-18T06:20:00.75Z").unwrap()), "2025-07-18T06:20:00-00:00");
        assert_eq!(format_time(DateTime::parse_from_rfc3339("2025-07-18T14:20:00+08:00").unwrap()), "2025-07-18T14:20:00+08:00");
        for wrong in ["2025-07-18T06:20:00Z", "2025-07-18T06:20:00.5+08:00", "2025-07-18 06:20:00+08:00:00"] {
            assert!(parse_time("sent", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_rule_is_kept() {
        refused(|alert| alert.identifier = "a b".into(), "identifier");
        refused(|alert| alert.sender = "a,b".into(), "sender");
        refused(|alert| alert.sender = "a&b".into(), "sender");
        refused(|alert| alert.sent = None, "sent");
        refused(|alert| alert.status = "Real".into(), "status");
        for kind in ["Update", "Cancel", "Ack", "Error"] {
            refused(|alert| alert.msg_type = kind.into(), "references");
        }
        for wrong in ["", "a b", "a,b", "a<b", "a&b", "a\tb"] {
            refused(|alert| alert.identifier = wrong.into(), "identifier");
            refused(|alert| alert.sender = wrong.into(), "sender");
        }
        refused(|alert| alert.references = vec!["a,b,2025-07-18T06:20:00Z".into()], "references");
        refused(|alert| alert.references = vec!["a,b".into()], "references");
        refused(|alert| alert.scope = "Restricted".into(), "restriction");
        refused(|alert| alert.scope = "Private".into(), "addresses");
        refused(|alert| alert.info[0].language.clear(), "language");
        refused(|alert| alert.info[0].category.clear(), "category");
        refused(|alert| alert.info[0].severity = "High".into(), "severity");
        refused(|alert| alert.info[0].expires = None, "expires");
        refused(|alert| alert.info[0].onset = at("2025-07-18T14:19:59+08:00"), "onset");
        refused(|alert| alert.info[0].effective = at("2025-07-18T14:19:59+08:00"), "effective");
        refused(|alert| alert.info[0].expires = at("2025-07-18T06:19:59+00:00"), "expires");
        refused(|alert| alert.msg_type = "Warn".into(), "msgType");
        refused(|alert| alert.scope = "Everybody".into(), "scope");
        refused(|alert| alert.info[0].response_type = vec!["Run".into()], "responseType");
        refused(|alert| alert.info[0].urgency = "Soon".into(), "urgency");
        refused(|alert| alert.info[0].certainty = "Sure".into(), "certainty");
        refused(|alert| alert.info[0].area[0].area_desc.clear(), "areaDesc");
        refused(|alert| alert.info[0].area[0].polygon[0].truncate(3), "polygon");
        refused(|alert| alert.info[0].area[0].polygon[0][3] = (30.6, 114.2), "polygon");
        refused(|alert| alert.info[0].area[0].polygon[0][1] = (114.2, 30.5), "polygon");
        refused(
            |alert| alert.info[0].area[0].polygon[0] = vec![(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)],
            "polygon",
        );
        refused(|alert| alert.info[0].area[0].circle = vec![(30.0, 114.0, -1.0)], "circle");
    }

    #[test]
    fn what_others_write_is_read_as_strictly() {
        let xml = flood().to_xml().unwrap();
        let refused = |from: &str, to: &str| {
            assert!(xml.contains(from), "{from}");
            CapAlert::parse(&xml.replace(from, to)).unwrap_err().to_string()
        };
        assert!(refused(NAMESPACE, "urn:oasis:names:tc:emergency:cap:1.1").contains("namespace"));
        assert!(refused("<sender>citybrain.example</sender>", "").contains("sender"));
        assert!(refused("<status>", "<note>early</note><status>").contains("status: stands too late"));
        assert!(refused("<status>", "<status>Test</status><status>").contains("stands twice"));
        assert!(refused("<status>", "<colour>red</colour><status>").contains("no place in alert"));
        assert!(refused("14:20:00+08:00", "06:20:00Z").contains("no Z"));
        assert!(refused("14:20:00+08:00", "14:20:00.5+08:00").contains("no fraction"));
        assert!(refused("</alert>", "").contains("alert"));
        assert!(refused("<alert", "<!DOCTYPE a [<!ENTITY b \"c\">]><alert").contains("document type"));
        assert!(refused("&amp;", "&b;").contains("alert"));
        let spaced = xml.replace("<sent>", "<sent>\n ").replace("<info>", "\n<info>").replace("<polygon>", "<polygon>\n");
        assert_eq!(CapAlert::parse(&spaced).unwrap(), flood());
        let prefixed = xml.replace("<", "<cap:").replace("<cap:/", "</cap:").replace("<cap:?", "<?").replace("xmlns=", "xmlns:cap=");
        assert_eq!(CapAlert::parse(&prefixed).unwrap(), flood());
    }

    #[test]
    fn both_languages_travel_in_one_alert() {
        let mut alert = flood();
        let english = CapInfo { language: "en-US".into(), event: "Urban flooding".into(), ..alert.info[0].clone() };
        alert.info.push(english);
        let read = CapAlert::parse(&alert.to_xml().unwrap()).unwrap();
        assert_eq!(read.info.iter().map(|info| info.language.as_str()).collect::<Vec<_>>(), ["zh-CN", "en-US"]);
    }

    #[test]
    fn levels_and_scenarios_have_their_words() {
        assert_eq!([1, 2, 3, 4].map(severity_of_level), ["Extreme", "Severe", "Moderate", "Minor"]);
        for scenario in crate::topics::SCENARIOS {
            let categories = categories_of_scenario(scenario);
            assert!(categories.iter().all(|category| CATEGORIES.contains(category)) && categories != ["Other"], "{scenario}");
        }
        assert_eq!(categories_of_scenario("urban_flooding"), ["Met", "Infra"]);
    }

    #[test]
    fn an_update_names_what_it_updates() {
        let mut update = flood();
        update.msg_type = "Update".into();
        update.references = vec![flood().reference().unwrap()];
        let xml = update.to_xml().unwrap();
        assert!(xml.contains("<references>citybrain.example,000012-01,2025-07-18T14:20:00+08:00</references>"), "{xml}");
    }

    proptest! {
        #[test]
        fn any_text_survives(headline in "[^\\p{C}\r\n]{0,60}", name in "[a-z]{1,8}") {
            let mut alert = flood();
            alert.info[0].headline = Some(headline);
            alert.info[0].parameters = vec![(name, "1".into())];
            let read = CapAlert::parse(&alert.to_xml().unwrap()).unwrap();
            prop_assert_eq!(read, alert);
        }

        #[test]
        fn any_bytes_are_refused_or_read(text in any::<String>()) {
            let _ = CapAlert::parse(&text);
        }
    }
}
