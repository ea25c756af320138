//! An alert as a CAP 1.2 message: Restricted for the control centre, Public only for what people have approved.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use graph::Name;
use schemas::alert::{AlertState, AlertTransition, Area, Headline, WarningStage};
use schemas::cap::{CapAlert, CapArea, CapError, CapInfo, categories_of_scenario, format_time, severity_of_level};

use crate::alerts::warning::Meant;
use crate::limits;

const SENDER: &str = "citybrain";
/// How long a Cancel holds.
const CANCEL_LIFE: TimeDelta = TimeDelta::hours(1);

/// The message for one change of an alert; `earlier` are its messages before. Nothing when the standard has no place
/// for what the alert says: the alert goes out without it.
pub(crate) fn internal(
    alert: &AlertTransition,
    scenario: Option<&Name>,
    city: &Name,
    utc_offset_minutes: i32,
    earlier: &[(String, DateTime<Utc>)],
) -> Option<String> {
    let zone = FixedOffset::east_opt(utc_offset_minutes * 60)?;
    let over = alert.state == AlertState::Cleared;
    let facts = Facts { scenario: &alert.scenario, level: alert.level, state: alert.state, area: &alert.area, onset: alert.onset, over };
    let sent = alert.at.with_timezone(&zone);
    let info = |zh: bool, headline: &str| CapInfo {
        description: Some(alert.reason.clone()),
        parameters: parameters(alert, zone),
        ..facts.info(zh, scenario, city, sent, sent + limits::ALERT_LIFE, headline)
    };
    let message = CapAlert {
        identifier: alert.id.clone(),
        status: alert.status.cap().to_owned(),
        msg_type: message_type(over, earlier).to_owned(),
        scope: "Restricted".to_owned(),
        restriction: Some("city operations centre".to_owned()),
        incidents: alert.incident.iter().cloned().collect(),
        info: vec![info(true, &alert.headline.zh), info(false, &alert.headline.en)],
        ..envelope(sent, zone, earlier)
    };
    message.to_xml().ok()
}

/// What the public is, or would be, told.
pub(crate) struct PublicMessage<'a> {
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) stage: WarningStage,
    pub(crate) text: &'a Headline,
    pub(crate) earlier: &'a [(String, DateTime<Utc>)],
}

/// A message of scope Public. What is not published has the status Draft.
pub(crate) fn public(meant: &Meant<'_>, message: &PublicMessage<'_>, scenario: Option<&Name>, city: &Name, utc_offset_minutes: i32) -> Result<String, CapError> {
    let zone = FixedOffset::east_opt(utc_offset_minutes * 60).unwrap_or(FixedOffset::east_opt(0).expect("UTC"));
    let alert = meant.alert();
    let over = message.stage == WarningStage::Cancelled;
    let facts = Facts { scenario: &alert.scenario, level: alert.level, state: alert.state, area: &alert.area, onset: alert.onset, over };
    let sent = message.at.with_timezone(&zone);
    let published = matches!(message.stage, WarningStage::Published | WarningStage::Cancelled);
    let expires = if over { sent + CANCEL_LIFE } else { sent + limits::WARNING_LIFE };
    CapAlert {
        identifier: message.id.clone(),
        status: if published { alert.status.cap() } else { "Draft" }.to_owned(),
        msg_type: message_type(over, message.earlier).to_owned(),
        scope: "Public".to_owned(),
        info: vec![
            facts.info(true, scenario, city, sent, expires, &message.text.zh),
            facts.info(false, scenario, city, sent, expires, &message.text.en),
        ],
        ..envelope(sent, zone, message.earlier)
    }
    .to_xml()
}

fn message_type(over: bool, earlier: &[(String, DateTime<Utc>)]) -> &'static str {
    match (over, earlier.is_empty()) {
        (_, true) => "Alert",
        (true, false) => "Cancel",
        (false, false) => "Update",
    }
}

/// Who sends when, and what was sent before.
fn envelope(sent: DateTime<FixedOffset>, zone: FixedOffset, earlier: &[(String, DateTime<Utc>)]) -> CapAlert {
    let reference = |(id, at): &(String, DateTime<Utc>)| format!("{SENDER},{id},{}", format_time(at.with_timezone(&zone)));
    CapAlert { sender: SENDER.to_owned(), sent: Some(sent), references: earlier.iter().map(reference).collect(), ..CapAlert::default() }
}

/// What a message says in every language.
struct Facts<'a> {
    scenario: &'a str,
    level: u8,
    state: AlertState,
    area: &'a Area,
    onset: DateTime<Utc>,
    over: bool,
}

impl Facts<'_> {
    fn info(&self, zh: bool, scenario: Option<&Name>, city: &Name, sent: DateTime<FixedOffset>, expires: DateTime<FixedOffset>, headline: &str) -> CapInfo {
        // CAP knows no onset before the message; when it really began is a parameter.
        let onset = Some(self.onset.with_timezone(&sent.timezone())).filter(|onset| *onset > sent && !self.over);
        let urgency = match onset {
            _ if self.over => "Past",
            None => "Immediate",
            // The standard's words for the next hour, and for later.
            Some(onset) if onset - sent <= TimeDelta::hours(1) => "Expected",
            Some(_) => "Future",
        };
        let certainty = match (self.state, onset) {
            (AlertState::Unknown, _) => "Possible",
            (_, Some(_)) => "Likely",
            (_, None) => "Observed",
        };
        let of = |name: &Name| if zh { name.zh.clone() } else { name.en.clone() };
        CapInfo {
            language: if zh { "zh-CN" } else { "en" }.to_owned(),
            category: categories_of_scenario(self.scenario).iter().map(|category| (*category).to_owned()).collect(),
            event: scenario.map_or_else(|| self.scenario.to_owned(), of),
            response_type: vec![if self.over { "AllClear" } else { "Execute" }.to_owned()],
            urgency: urgency.to_owned(),
            severity: severity_of_level(self.level).to_owned(),
            certainty: certainty.to_owned(),
            effective: Some(sent),
            onset,
            expires: Some(expires),
            sender_name: Some(SENDER.to_owned()),
            headline: Some(headline.to_owned()),
            area: vec![area(self.area, &of(city))],
            ..CapInfo::default()
        }
    }
}

fn parameters(alert: &AlertTransition, zone: FixedOffset) -> Vec<(String, String)> {
    let mut parameters = vec![
        ("alert_key".to_owned(), alert.alert_key.clone()),
        ("level".to_owned(), alert.level.to_string()),
        ("change".to_owned(), alert.change.clone()),
        ("since".to_owned(), format_time(alert.onset.with_timezone(&zone))),
    ];
    parameters.extend(alert.unit.iter().map(|unit| ("unit".to_owned(), unit.clone())));
    parameters.extend(alert.plan.iter().map(|plan| ("plan".to_owned(), plan.clone())));
    parameters
}

/// A place without a name is somewhere in the city.
fn area(place: &Area, city: &str) -> CapArea {
    let name = if place.name.is_empty() { city } else { &place.name };
    let mut area = CapArea { area_desc: name.to_owned(), ..CapArea::default() };
    if let Some((low, high)) = place.bounds {
        let (south, west) = (low.lat.degrees(), low.lon.degrees());
        let (north, east) = (high.lat.degrees(), high.lon.degrees());
        if low == high {
            area.circle.push((south, west, 0.5));
        } else {
            area.polygon.push(vec![(south, west), (south, east), (north, east), (north, west), (south, west)]);
        }
    }
    area
}
