//! An alert as a CAP 1.2 message. Its scope is Restricted: the brain tells the control centre, people tell the public.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use graph::Scenario;
use schemas::alert::{AlertState, AlertTransition};
use schemas::cap::{CapAlert, CapArea, CapInfo, categories_of_scenario, format_time, severity_of_level};

const SENDER: &str = "citybrain";
/// CAP asks for an end; an alert that is still there by then has been sent again.
const EXPIRES: TimeDelta = TimeDelta::hours(24);

/// The message for one change of an alert; `earlier` are its messages before. Nothing when the standard has no place
/// for what the alert says (an area without a name): the alert goes out without it.
pub(crate) fn render(
    alert: &AlertTransition,
    scenario: Option<&Scenario>,
    utc_offset_minutes: i32,
    earlier: &[(String, DateTime<Utc>)],
) -> Option<String> {
    let zone = FixedOffset::east_opt(utc_offset_minutes * 60)?;
    let sent = alert.at.with_timezone(&zone);
    let over = alert.state == AlertState::Cleared;
    let first = earlier.is_empty();
    let references = earlier.iter().map(|(id, at)| format!("{SENDER},{id},{}", format_time(at.with_timezone(&zone))));
    let info = |language: &str, event: String, headline: &str| CapInfo {
        language: language.to_owned(),
        category: categories_of_scenario(&alert.scenario).iter().map(|category| (*category).to_owned()).collect(),
        event,
        response_type: vec![if over { "AllClear" } else { "Execute" }.to_owned()],
        urgency: if over { "Past" } else { "Immediate" }.to_owned(),
        severity: severity_of_level(alert.level).to_owned(),
        certainty: if alert.state == AlertState::Unknown { "Possible" } else { "Observed" }.to_owned(),
        effective: Some(sent),
        // CAP knows no onset before the message; when it really began is a parameter.
        onset: None,
        expires: Some(sent + EXPIRES),
        sender_name: Some(SENDER.to_owned()),
        headline: Some(headline.to_owned()),
        description: Some(alert.reason.clone()),
        instruction: None,
        parameters: parameters(alert, zone),
        area: vec![area(alert)],
    };
    let name = |zh: bool| match scenario {
        Some(scenario) if zh => scenario.name.zh.clone(),
        Some(scenario) => scenario.name.en.clone(),
        None => alert.scenario.clone(),
    };
    let message = CapAlert {
        identifier: alert.id.clone(),
        sender: SENDER.to_owned(),
        sent: Some(sent),
        status: "Actual".to_owned(),
        msg_type: if over && !first { "Cancel" } else if first { "Alert" } else { "Update" }.to_owned(),
        scope: "Restricted".to_owned(),
        restriction: Some("city operations centre".to_owned()),
        addresses: None,
        note: None,
        references: references.collect(),
        incidents: alert.incident.iter().cloned().collect(),
        info: vec![info("zh-CN", name(true), &alert.headline.zh), info("en", name(false), &alert.headline.en)],
    };
    message.to_xml().ok()
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

fn area(alert: &AlertTransition) -> CapArea {
    let mut area = CapArea { area_desc: alert.area.name.clone(), ..CapArea::default() };
    if let Some((low, high)) = alert.area.bounds {
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
