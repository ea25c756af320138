//! A notification in the words of those who receive it.

use schemas::alert::AlertState;
use schemas::notification::{Notification, Outcome, Told};
use serde_json::{Map, Value, json};

use crate::receiver::Kind;

/// Alertmanager's word for an alert that has not ended.
const NO_END: &str = "0001-01-01T00:00:00Z";
/// Longest summary that PagerDuty takes, in characters.
const SUMMARY_CHARS_MAX: usize = 1024;

/// Who sends, for links, and to whom.
pub(crate) struct Parties<'a> {
    /// Where the brain's own pages are.
    pub(crate) home: &'a str,
    pub(crate) receiver: &'a str,
    pub(crate) secret: &'a str,
}

/// The requests that tell a receiver of a notification: content type and body of each.
pub(crate) fn of(kind: Kind, notification: &Notification, parties: &Parties<'_>) -> Vec<(&'static str, Value)> {
    match kind {
        // Alertmanager knows no acknowledgement.
        Kind::Alertmanager if notification.outcome == Outcome::Acknowledged => Vec::new(),
        Kind::Alertmanager => vec![("application/json", alertmanager(notification, parties))],
        Kind::Cloudevents => vec![("application/cloudevents+json", cloudevent(notification))],
        Kind::Pagerduty => notification.alerts.iter().map(|alert| ("application/json", pagerduty(notification, alert, parties))).collect(),
    }
}

fn alertmanager(it: &Notification, parties: &Parties<'_>) -> Value {
    let alerts: Vec<Value> = it.alerts.iter().map(|alert| alertmanager_alert(it, alert, parties)).collect();
    let common = |part: &str| {
        let mut sets = alerts.iter().filter_map(|alert| alert[part].as_object());
        let mut common: Map<String, Value> = sets.next().cloned().unwrap_or_default();
        sets.for_each(|set| common.retain(|name, value| set.get(name) == Some(value)));
        common
    };
    let over = it.alerts.iter().all(|alert| alert.state == AlertState::Cleared);
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{group={:?}}}", it.group_name),
        "truncatedAlerts": it.truncated,
        "status": if over { "resolved" } else { "firing" },
        "receiver": parties.receiver,
        "groupLabels": { "group": it.group_name },
        "commonLabels": common("labels"),
        "commonAnnotations": common("annotations"),
        "externalURL": parties.home,
        "notification_reason": format!("{}: {}", it.outcome.name(), it.reason),
        "alerts": alerts,
    })
}

fn alertmanager_alert(it: &Notification, alert: &Told, parties: &Parties<'_>) -> Value {
    let over = alert.state == AlertState::Cleared;
    let mut labels = json!({
        "alertname": alert.scenario,
        "alert_key": alert.alert_key,
        "scenario": alert.scenario,
        "originator": alert.originator,
        "hazard": alert.hazard,
        "level": alert.level.to_string(),
        "severity": severity(alert.level),
        "place": alert.place,
        "status": it.status.name(),
    });
    if let Some(unit) = &alert.unit {
        labels["unit"] = json!(unit);
    }
    json!({
        "status": if over { "resolved" } else { "firing" },
        "labels": labels,
        "annotations": {
            "summary": alert.headline.en,
            "summary_zh": alert.headline.zh,
            "state": alert.state.name(),
            "acknowledged": alert.acknowledged.to_string(),
        },
        "startsAt": schemas::time::format(alert.onset),
        "endsAt": if over { schemas::time::format(alert.changed) } else { NO_END.to_owned() },
        "generatorURL": format!("{}/v1/alerts/{}", parties.home, alert.alert),
        // Of the episode: a later flood at the same gauge is another alert.
        "fingerprint": &schemas::id::of_parts(&[&alert.alert])[..16],
    })
}

fn cloudevent(it: &Notification) -> Value {
    json!({
        "specversion": "1.0",
        "id": it.id,
        "source": "citybrain/brain",
        "type": "io.citybrain.notification.v1",
        "subject": it.group,
        "time": schemas::time::format(it.at),
        "datacontenttype": "application/json",
        "data": it,
    })
}

fn pagerduty(it: &Notification, alert: &Told, parties: &Parties<'_>) -> Value {
    let action = match alert.state {
        AlertState::Cleared => "resolve",
        AlertState::Active | AlertState::Unknown if alert.acknowledged => "acknowledge",
        AlertState::Active | AlertState::Unknown => "trigger",
    };
    let summary: String = format!("{} / {}", alert.headline.en, alert.headline.zh).chars().take(SUMMARY_CHARS_MAX).collect();
    json!({
        "routing_key": parties.secret,
        "event_action": action,
        "dedup_key": alert.alert_key,
        "client": "citybrain",
        "client_url": parties.home,
        "payload": {
            "summary": summary,
            "source": alert.originator,
            "severity": severity(alert.level),
            "timestamp": schemas::time::format(it.at),
            "component": alert.hazard,
            "group": it.group_name,
            "class": alert.scenario,
            "custom_details": { "place": alert.place, "unit": alert.unit, "level": alert.level, "status": it.status.name(), "reason": it.reason },
        },
    })
}

/// A level in the words of PagerDuty, which monitoring shares.
fn severity(level: u8) -> &'static str {
    match level {
        1 => "critical",
        2 => "error",
        3 => "warning",
        _ => "info",
    }
}
