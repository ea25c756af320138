//! Days in the life of a city, as text that a city manager can read: what came in, and what the brain made of it.
//!
//! Each file of `days/` has what arrived, one line each, then `----`, then what followed. `REWRITE=1 cargo test` writes
//! the second half anew; look at the difference before believing it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use brain::{Brain, Config, Effect, effect_event};
use chrono::{DateTime, TimeDelta, Utc};
use graph::Graph;
use schemas::alert::Status;
use schemas::journal::*;
use schemas::position::Position;
use schemas::{Event, Registry};
use schemas::signal::{Signal, SignalKind, SignalState};

/// Midnight of the day that all files tell of, in the city (eight hours before UTC).
const MIDNIGHT: &str = "2026-07-18T00:00:00+08:00";

#[test]
fn days() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/days");
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the folder of days").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no days in {}", folder.display());
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a day can be read");
        let (script, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        let told = tell(script);
        if std::env::var_os("REWRITE").is_some() {
            fs::write(&path, format!("{script}----\n{told}")).expect("a day can be written");
        } else if told != expected {
            wrong.push(format!("{}:\n{}", path.display(), first_difference(expected, &told)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn first_difference(expected: &str, told: &str) -> String {
    let mut lines = expected.lines().zip(told.lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((index, (a, b))) => format!("line {} was `{a}`\n     and is `{b}`", index + 1),
        None => format!("{} lines were expected, {} are there", expected.lines().count(), told.lines().count()),
    }
}

/// Applies a script, timers in their places, and tells what followed.
fn tell(script: &str) -> String {
    let mut brain = Brain::new(Graph::builtin(), Config::default());
    let (mut seq, mut told) = (0, String::new());
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (clock, what) = line.split_once(' ').expect("a time and what happened");
        let time = at(clock);
        while let Some((due, name)) = brain.next_timer().filter(|(due, _)| *due <= time) {
            let body = Body::TimerFired(TimerFired { timer: name.to_owned(), due });
            let name = plain(name);
            apply(&mut brain, &mut seq, None, body, due, &format!("{} timer {name}", clock_of(due)), &mut told);
        }
        if let Some((kind, rest)) = what.split_once(' ') {
            for body in bodies(&brain, kind, rest) {
                apply(&mut brain, &mut seq, Some(()), body, time, line, &mut told);
            }
        }
    }
    told
}

fn apply(brain: &mut Brain, seq: &mut u64, event: Option<()>, body: Body, time: DateTime<Utc>, line: &str, told: &mut String) {
    let event_or_more = event.is_some();
    let record = JournalRecord {
        seq: *seq,
        log_time: time,
        source: event.map(|()| Position::new("raw", 0, *seq as i64)),
        event: event.map(|()| EventRef { source: "test".to_owned(), id: seq.to_string(), time: Some(time) }),
        body,
        understood: None,
    };
    let mut effects = Vec::new();
    brain.apply(&record, &mut effects);
    *seq += 1;
    for (topic, event) in effects.iter().filter_map(|effect| effect_event(effect, &record)) {
        check_schema(&topic, &event);
    }
    // A timer that only asks for the next one, and the cases of a crowd, are told by what stands out.
    let crowd = line.contains(" reports ");
    let stands_out = |effect: &&Effect| match effect {
        Effect::Graph(_) => true,
        Effect::Case(_) | Effect::Decision(_) => !crowd,
        Effect::Incident(change) => !crowd || change.member.as_deref().is_some_and(|member| member.starts_with("alert")),
        // That people are told later is told when they are.
        Effect::WakeAt(it) => !crowd && event_or_more && !it.timer.starts_with("notify/") && !it.timer.ends_with("/life"),
        Effect::Alert(_) | Effect::Ask(_) | Effect::Dispatch(_) | Effect::Notification(_) => true,
    };
    let sentences: Vec<String> = effects.iter().filter(stands_out).map(sentence).collect();
    if !sentences.is_empty() || (event_or_more && !crowd) {
        let _ = writeln!(told, "> {line}");
    }
    for sentence in sentences {
        let _ = writeln!(told, "  {sentence}");
    }
}

/// Every event that leaves the brain is what its schema file says, and has a column for each of its fields.
fn check_schema(topic: &str, event: &Event) {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);
    let name = event.event_type.as_str();
    let definition = REGISTRY.get(name).unwrap_or_else(|| panic!("{name} has no schema"));
    assert!(definition.is_on(topic), "{name} is not for {topic}");
    let data: serde_json::Value = serde_json::from_slice(event.data.as_deref().expect("data")).expect("JSON");
    assert!(definition.validate(&data).is_ok(), "{name}: {:?} in {data}", definition.validate(&data));
    assert_eq!(data[&definition.key].as_str(), event.partition_key.as_deref(), "the partition key of {name}");
    for field in data.as_object().expect("an object").keys() {
        assert!(!definition.schema["properties"][field].is_null(), "{name} has no place for {field}");
    }
}

fn at(clock: &str) -> DateTime<Utc> {
    let (days, clock) = clock.split_once('+').map_or((0, clock), |(days, clock)| (days.parse().expect("days"), clock));
    let (hour, minute) = clock.split_once(':').expect("hh:mm");
    let midnight: DateTime<Utc> = MIDNIGHT.parse().expect("a time");
    midnight + TimeDelta::days(days) + TimeDelta::hours(hour.parse().expect("hours")) + TimeDelta::minutes(minute.parse().expect("minutes"))
}

fn clock_of(time: DateTime<Utc>) -> String {
    let minutes = (time - at("00:00")).num_minutes();
    let (days, minutes) = (minutes / 1440, minutes % 1440);
    let prefix = if days > 0 { format!("{days}+") } else { String::new() };
    format!("{prefix}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The records of one line.
fn bodies(brain: &Brain, kind: &str, rest: &str) -> Vec<Body> {
    let words: Vec<&str> = rest.splitn(4, ' ').collect();
    let some = |text: &str| Some(text.to_owned());
    match kind {
        "hotline" => vec![Body::Hotline(HotlineMessage {
            message_id: words[0].to_owned(),
            district: some(words[1]),
            address: some(words[2]),
            text: words[3].to_owned(),
            ..HotlineMessage::default()
        })],
        "created" => vec![Body::WorkOrder(WorkOrder::Created(created(words[0], words[1], words[2], words[3])))],
        // `reports 20 道路积水 from d01,d02`: many work orders in the same minute.
        "reports" => {
            let districts: Vec<&str> = words[3].split(',').collect();
            let count: usize = words[0].parse().expect("a count");
            let order = |n: usize| created(&format!("{}-{n}", brain.next_seq()), words[1], districts[n % districts.len()], "中山路");
            (0..count).map(|n| Body::WorkOrder(WorkOrder::Created(order(n)))).collect()
        }
        "updated" => vec![Body::WorkOrder(WorkOrder::Updated(WorkOrderUpdated {
            request_id: words[0].to_owned(),
            note: some(words[1]),
            ..WorkOrderUpdated::default()
        }))],
        "closed" => vec![Body::WorkOrder(WorkOrder::Closed(WorkOrderClosed {
            request_id: words[0].to_owned(),
            status: None,
            resolution: some(words[1]),
        }))],
        "signal" => {
            let words: Vec<&str> = rest.split(' ').collect();
            vec![Body::Signal(Signal {
                signal: if words[4] == "silent" { SignalKind::NoSignal } else { SignalKind::Threshold },
                scenario: words[0].to_owned(),
                rule: format!("{}_high", words[3]),
                level: words[5].parse().expect("a level"),
                state: match words[4] {
                    "raised" => SignalState::Raised,
                    "cleared" => SignalState::Cleared,
                    _ => SignalState::Unknown,
                },
                property: some(words[3]),
                station: some(words[1]),
                district: some(words[2]),
                value_milli: words.get(6).map(|value| value.parse().expect("thousandths")),
                threshold_milli: Some(300),
                unit: some("m"),
                window_start: None,
                window_end: None,
                expected: None,
                lat: None,
                lon: None,
                pending_s: None,
                status: Status::Actual,
                evidence: vec![Position::new("raw.sensor", 1, brain.next_seq() as i64 * 10)],
            })]
        }
        // `person 王调度 acknowledge alert0 看到了`: alert or case by its number of order.
        "person" => {
            let words: Vec<&str> = rest.splitn(5, ' ').collect();
            let target = match words[2].strip_prefix("alert") {
                Some(n) => brain.alerts().nth(n.parse().expect("a number")).map(|alert| alert.id.clone()),
                None => brain.cases().nth(words[2].trim_start_matches("case").parse().expect("a number")).map(|case| case.id.clone()),
            };
            vec![Body::Command(Command {
                command_id: brain.next_seq().to_string(),
                action: serde_json::from_value(words[1].into()).expect("an action"),
                target: target.unwrap_or_default(),
                actor: words[0].to_owned(),
                reason: words[4].to_owned(),
                unit: some(words[3]).filter(|unit| unit != "-"),
                category: None,
                due: None,
                other: None,
                ground: None,
                alerting: AlertOrder::default(),
            })]
        }
        "malformed" => vec![Body::Malformed(Malformed { event_type: words[0].to_owned(), reason: words[1..].join(" ") })],
        other => panic!("`{other}` is nothing that happens in a city"),
    }
}

fn created(request: &str, category: &str, district: &str, address: &str) -> WorkOrderCreated {
    WorkOrderCreated {
        request_id: request.to_owned(),
        category: Some(category.to_owned()),
        district: Some(district.to_owned()),
        address: Some(address.to_owned()),
        ..WorkOrderCreated::default()
    }
}

/// Ids without the zeros in front: `case-000000000036` is `case-36`.
fn plain(id: &str) -> String {
    let short = |part: &str| match part.trim_start_matches('0') {
        _ if !part.bytes().all(|byte| byte.is_ascii_digit()) => part.to_owned(),
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    };
    let ours = ["case-", "alert-", "incident-"].iter().any(|prefix| id.starts_with(prefix));
    if !ours {
        return id.to_owned();
    }
    let (id, rest) = id.split_once('/').map_or((id, String::new()), |(id, rest)| (id, format!("/{rest}")));
    id.split('-').map(short).collect::<Vec<_>>().join("-") + &rest
}

fn sentence(effect: &Effect) -> String {
    match effect {
        Effect::Ask(it) => format!("asks about {}: {} questions", plain(&it.case), it.questions.len()),
        Effect::Graph(it) => format!("graph: {} {} by {}", it.change, it.key, it.actor),
        Effect::Case(it) => {
            let from = it.from.map(|from| format!("{} → ", from.zh())).unwrap_or_default();
            let unit = it.unit.as_ref().map(|unit| format!(", {unit}")).unwrap_or_default();
            let incident = it.incident.as_ref().map(|incident| format!(", in {}", plain(incident))).unwrap_or_default();
            let overdue = if it.overdue { ", overdue" } else { "" };
            format!("{}: {from}{} by {} ({}{unit}{incident}{overdue}): {}", plain(&it.case), it.to.zh(), it.actor, it.category, it.reason)
        }
        Effect::Alert(it) => {
            let cap = it.cap.as_deref().and_then(|cap| Some(cap.split_once("<msgType>")?.1.split_once('<')?.0)).unwrap_or("none");
            let seen = if it.acknowledged { ", acknowledged" } else { "" };
            format!(
                "{}: {}, level {}, {}{seen}, CAP {cap}: {} / {} ({}; {} of {} records named; {} owes, {})",
                plain(&it.alert),
                it.change,
                it.level,
                it.state.name(),
                it.headline.zh,
                it.headline.en,
                it.reason,
                it.evidence.len(),
                it.evidence_count,
                it.unit.as_deref().unwrap_or("nobody"),
                it.plan.as_deref().unwrap_or("no plan"),
            )
        }
        Effect::Incident(it) => {
            let member = it.member.as_deref().map(plain).unwrap_or_default();
            format!("{}: {} {member}: {} ({} alerts, {} cases, level {})", plain(&it.incident), it.change, it.reason, it.alerts, it.cases, it.level)
        }
        Effect::Dispatch(it) => {
            let what = it.case.as_deref().map(plain).or_else(|| it.plan.clone()).unwrap_or_default();
            format!("{} {}: {what} to {}: {}", if it.proposed { "propose" } else { "send" }, it.kind, it.unit, it.reason)
        }
        Effect::Notification(it) => {
            let about = it.alerts.iter().map(|alert| plain(&alert.alert)).collect::<Vec<_>>().join(", ");
            let units = if it.is_told() { format!(" to {}", it.units.join(", ")) } else { String::new() };
            format!("{}{units}, {}, level {}: {about}: {}", it.outcome.name(), plain(&it.group_name), it.level, it.reason)
        }
        Effect::Decision(it) => {
            format!("{} of {} by {} ({}‰): {}: {}", it.kind, plain(&it.subject), it.tier, it.confidence_permille, it.outcome, it.reason)
        }
        Effect::WakeAt(it) => format!("wake at {} for {}", clock_of(it.due), plain(&it.timer)),
    }
}
