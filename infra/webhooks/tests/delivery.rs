//! Delivery to a small receiver that fails, hangs, recovers and refuses, and the bodies that it gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::alert::{AlertState, Headline, Status};
use schemas::notification::{Audience, Notification, Outcome, Told};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use webhooks::{Kind, Patience, Receiver, Webhook};

/// What the receiver does with a request.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Busy,
    Hang,
    Close,
}

/// A request as it came: its head in lower case, and its body.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Answers requests one after another as told, and with 200 from then on.
async fn receiver(answers: Vec<Answer>) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let seen = Seen::default();
    let keep = seen.clone();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut bytes = Vec::new();
            let (head, length) = loop {
                if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    break (String::new(), 0);
                }
                let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
                bytes.drain(..end + 4);
                break (head, length);
            };
            while bytes.len() < length && socket.read_buf(&mut bytes).await.unwrap_or(0) > 0 {}
            keep.lock().unwrap().push((head, bytes));
            let answer = match answers.next().unwrap_or(Answer::Status(200)) {
                Answer::Status(code) => format!("HTTP/1.1 {code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
                Answer::Busy => "HTTP/1.1 429 x\r\nretry-after: 3600\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
                Answer::Hang => {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        drop(socket);
                    });
                    continue;
                }
                Answer::Close => continue,
            };
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (url, seen)
}

fn at() -> DateTime<Utc> {
    "2026-07-18T06:30:05Z".parse().expect("a time")
}

fn told(key: &str, state: AlertState, level: u8) -> Told {
    Told {
        alert_key: key.into(),
        alert: format!("alert-{key}"),
        scenario: "urban_flooding".into(),
        originator: "d02-level-01".into(),
        hazard: "water_level".into(),
        level,
        state,
        acknowledged: false,
        headline: Headline { zh: "内涝".into(), en: "Flooding".into() },
        place: "d02".into(),
        unit: Some("drainage".into()),
        onset: at() - TimeDelta::minutes(1),
        changed: at(),
    }
}

fn notification(outcome: Outcome) -> Notification {
    Notification {
        id: "000000000012-0002".into(),
        group: "g1".into(),
        group_name: "incident-1".into(),
        outcome,
        suppressed: None,
        audience: Audience::Staff,
        status: Status::Actual,
        level: 2,
        units: vec!["drainage".into()],
        step: 0,
        scenario: "urban_flooding".into(),
        incident: Some("incident-1".into()),
        alerts: vec![told("k1", AlertState::Active, 2), told("k2", AlertState::Cleared, 3)],
        truncated: 0,
        reason: "news".into(),
        cap: None,
        at: at(),
        evidence: Vec::new(),
    }
}

fn to(url: &str, kind: Kind) -> Receiver {
    let text = format!("{{\"url\": {url:?}, \"kind\": \"cloudevents\", \"name\": \"duty\", \"secret\": \"s3cret\"}}");
    Receiver { kind, ..serde_json::from_str(&text).expect("a receiver") }
}

fn quick() -> Patience {
    let ms = Duration::from_millis;
    Patience { attempts_max: 4, first_pause: ms(5), longest_pause: ms(20), timeout: ms(300) }
}

fn webhook(receiver: Receiver) -> Webhook {
    Webhook::new(receiver, "http://brain.example", quick()).expect("a receiver that is right")
}

#[tokio::test]
async fn what_fails_hangs_and_recovers_gets_it_once_with_one_key() {
    let (url, seen) = receiver(vec![Answer::Status(503), Answer::Hang, Answer::Close]).await;
    let hook = webhook(to(&url, Kind::Cloudevents));
    let receipt = hook.deliver(&hook.message(&notification(Outcome::Sent), at()).expect("it wants it")).await;
    assert!(receipt.delivered, "{receipt:?}");
    assert_eq!((receipt.attempts, receipt.status, receipt.error.as_deref()), (4, Some(200), None));
    assert_eq!(receipt.id, "duty-000000000012-0002");
    let seen = seen.lock().unwrap();
    let keys: Vec<&str> = seen.iter().filter_map(|(head, _)| head.lines().find_map(|line| line.strip_prefix("idempotency-key: "))).collect();
    assert_eq!(keys, ["duty-000000000012-0002-0"; 4], "a repeat can be recognised");
    let event: Value = serde_json::from_slice(&seen[3].1).expect("JSON");
    assert_eq!((event["specversion"].as_str(), event["data"]["group"].as_str()), (Some("1.0"), Some("g1")));
}

#[tokio::test]
async fn it_is_given_up_after_its_tries_and_at_once_when_it_is_refused() {
    let (url, seen) = receiver(vec![Answer::Status(500), Answer::Busy, Answer::Hang, Answer::Status(502), Answer::Status(404)]).await;
    let hook = webhook(to(&url, Kind::Cloudevents));
    let message = hook.message(&notification(Outcome::Sent), at()).expect("it wants it");
    let receipt = hook.deliver(&message).await;
    assert_eq!((receipt.delivered, receipt.attempts, receipt.status), (false, 4, Some(502)));
    let receipt = hook.deliver(&message).await;
    assert_eq!((receipt.delivered, receipt.attempts, receipt.status), (false, 1, Some(404)), "trying again would change nothing");
    assert_eq!(seen.lock().unwrap().len(), 5);
    let gone = webhook(to("http://127.0.0.1:9/x?key=abc", Kind::Cloudevents));
    let receipt = gone.deliver(&gone.message(&notification(Outcome::Sent), at()).expect("it wants it")).await;
    assert_eq!((receipt.delivered, receipt.error.as_deref()), (false, Some("it cannot be reached")), "and no secret in it");
}

#[tokio::test]
async fn what_is_sent_is_signed() {
    let (url, seen) = receiver(vec![]).await;
    let hook = webhook(to(&url, Kind::Cloudevents));
    assert!(hook.deliver(&hook.message(&notification(Outcome::Sent), at()).expect("it wants it")).await.delivered);
    let seen = seen.lock().unwrap();
    let (head, body) = &seen[0];
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_else(|| panic!("{name} in {head}"));
    let signed = [header("x-citybrain-timestamp").as_bytes(), b".", body].concat();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cret");
    let expected: String = ring::hmac::sign(&key, &signed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(header("x-citybrain-signature"), format!("v1={expected}"));
    assert_eq!(header("x-citybrain-status"), "actual");
}

#[tokio::test]
async fn alertmanagers_receivers_find_what_they_know() {
    let (url, seen) = receiver(vec![]).await;
    let hook = webhook(to(&url, Kind::Alertmanager));
    assert!(hook.deliver(&hook.message(&notification(Outcome::Sent), at()).expect("it wants it")).await.delivered);
    assert!(hook.message(&notification(Outcome::Acknowledged), at()).is_none(), "Alertmanager knows no acknowledgement");
    let body: Value = serde_json::from_slice(&seen.lock().unwrap()[0].1).expect("JSON");
    assert_eq!(body["version"], "4");
    assert_eq!(body["status"], "firing");
    assert_eq!(body["receiver"], "duty");
    assert_eq!(body["groupKey"], "{}:{group=\"incident-1\"}");
    assert_eq!(body["truncatedAlerts"], 0);
    assert_eq!(body["commonLabels"]["alertname"], "urban_flooding");
    assert!(body["commonLabels"].get("alert_key").is_none(), "what differs is not common");
    for (index, status, ends) in [(0, "firing", "0001-01-01T00:00:00Z"), (1, "resolved", "2026-07-18T06:30:05Z")] {
        let alert = &body["alerts"][index];
        assert_eq!((&alert["status"], &alert["endsAt"]), (&status.into(), &ends.into()));
        assert_eq!(alert["startsAt"], "2026-07-18T06:29:05Z");
        assert_eq!(alert["fingerprint"].as_str().map(str::len), Some(16));
        assert!(alert["generatorURL"].as_str().is_some_and(|url| url.starts_with("http://brain.example/v1/alerts/alert-k")));
        assert!(alert["labels"].as_object().is_some_and(|labels| labels.values().all(Value::is_string)), "labels are text");
    }
}

#[tokio::test]
async fn pagerduty_hears_of_each_alert_by_itself() {
    let (url, seen) = receiver(vec![]).await;
    let hook = webhook(to(&url, Kind::Pagerduty));
    let mut it = notification(Outcome::Sent);
    it.alerts.push(Told { acknowledged: true, ..told("k3", AlertState::Unknown, 4) });
    let receipt = hook.deliver(&hook.message(&it, at()).expect("it wants it")).await;
    assert_eq!((receipt.delivered, receipt.attempts), (true, 3));
    let bodies: Vec<Value> = seen.lock().unwrap().iter().map(|(_, body)| serde_json::from_slice(body).expect("JSON")).collect();
    let said: Vec<_> = bodies.iter().map(|body| (body["event_action"].as_str().unwrap(), body["dedup_key"].as_str().unwrap(), body["payload"]["severity"].as_str().unwrap())).collect();
    assert_eq!(said, [("trigger", "k1", "error"), ("resolve", "k2", "warning"), ("acknowledge", "k3", "info")]);
    assert!(bodies.iter().all(|body| body["routing_key"] == "s3cret"));
}

#[test]
fn a_receiver_gets_what_it_wants_and_nothing_that_was_kept_back_or_is_history() {
    let wants = |change: fn(&mut Receiver), it: &Notification| {
        let mut receiver = to("http://h/", Kind::Cloudevents);
        change(&mut receiver);
        webhook(receiver).message(it, at()).is_some()
    };
    let sent = notification(Outcome::Sent);
    assert!(wants(|_| {}, &sent));
    assert!(!wants(|_| {}, &notification(Outcome::Suppressed)));
    assert!(wants(|it| it.levels = vec![1, 2], &sent) && !wants(|it| it.levels = vec![1], &sent));
    assert!(wants(|it| it.scenarios = vec!["urban_flooding".into()], &sent) && !wants(|it| it.scenarios = vec!["bridge".into()], &sent));
    let old = Notification { at: at() - TimeDelta::days(2), ..sent.clone() };
    assert!(!wants(|_| {}, &old) && wants(|it| it.max_age_s = 3 * 86_400, &old));
}

/// Whatever is decided elsewhere: a public receiver is given published warnings that are meant, and nothing else.
#[test]
fn the_public_gets_published_warnings_only_and_never_an_exercise() {
    let hook = webhook(Receiver { public: true, ..to("http://h/", Kind::Cloudevents) });
    let all = [Outcome::Sent, Outcome::Repeated, Outcome::Resolved, Outcome::Acknowledged, Outcome::Escalated, Outcome::Published, Outcome::Suppressed];
    for outcome in all {
        for audience in [Audience::Staff, Audience::Public] {
            for status in [Status::Actual, Status::Exercise, Status::Test] {
                let it = Notification { audience, status, ..notification(outcome) };
                let meant = outcome == Outcome::Published && audience == Audience::Public && status == Status::Actual;
                assert_eq!(hook.message(&it, at()).is_some(), meant, "{outcome:?} {audience:?} {status:?}");
            }
        }
    }
}
