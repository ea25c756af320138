//! A flood of messages without and with the language model in the path, in one run: how long a message that tells of danger
//! takes to a unit's order, a dangerous reading to its alert, any message to its case, and a question to its answer.
//!
//! The model answers beside everything else; so the first three must not know whether there is one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bus::Filter;
use schemas::topics;
use serde::Serialize;
use serde_json::json;

use super::latency::{Percentiles, Seen, gas_reading, percentiles, watch};
use super::scratch_home;
use crate::cli::{BenchArgs, Ended, Invocation, Part};
use crate::lang::t;
use crate::parts::Parts;
use crate::service::{Options, Service};

/// Messages for each second when nothing is asked. The busiest city hotline that publishes its figures (Beijing's 12345, 21.4 million reports in 2023)
/// has 0.7: this is more than twenty times as much.
const RATE_DEFAULT: u64 = 16;
/// Messages of each half when nothing is asked.
const EVENTS_DEFAULT: u64 = 960;
/// Of so many messages one tells of danger to life, and as often a station measures gas.
const DANGER_EVERY: u64 = 16;
/// How long the last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Danger that rules see.
const DANGER: [&str; 4] = ["幸福路{}号漏煤气，有人晕倒了，快来救人", "和平街{}号着火了，楼上还有老人没出来", "There is a strong smell of gas at {} Lake Road and my son has collapsed", "学院路{}号电梯坠落，里面的人在流血"];
/// Matters that words leave in doubt.
const DOUBT: [&str; 8] = [
    "育才巷{}号门前那块铁板晃来晃去，半夜吵得睡不着，反映三回了",
    "河西路{}号楼下又支起了锅灶，一身孜然味，窗户都不敢开",
    "东风街{}号拐角黑得伸手不见五指，下夜班的人都绕路",
    "新村{}栋一到周末就放大喇叭卖东西，想问问归谁管",
    "something under the pavement at {} Mill Lane keeps bubbling up, my shoes are ruined",
    "the corner by {} Park Street is full of old mattresses since the weekend",
    "朝阳里{}号院子里的树杈压在线上，风一吹就冒火星",
    "南门口{}号的公交站牌倒了，老人站在车道上等车",
];

/// How long things took.
#[derive(Serialize)]
struct Half {
    model: Option<String>,
    danger_to_order_ms: Percentiles,
    reading_to_alert_ms: Percentiles,
    message_to_case_ms: Percentiles,
    /// From the message, since the one who reads it waits from then on.
    message_to_answer_ms: Option<Percentiles>,
    asked: usize,
    answered: usize,
    failed: usize,
    missing: usize,
}

#[derive(Serialize)]
struct Figures {
    rate: u64,
    messages: u64,
    without: Half,
    with: Half,
}

/// The benchmark.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    let (rate, messages) = (args.rate.unwrap_or(RATE_DEFAULT).max(1), args.events.unwrap_or(EVENTS_DEFAULT).max(DANGER_EVERY));
    let mut without = context.clone();
    (without.config.llm.model, without.config.llm.endpoints) = (String::new(), Vec::new());
    let mut with = context.clone();
    if with.config.llm.asks() == 0 {
        "box".clone_into(&mut with.config.llm.model);
    }
    let figures = Figures { rate, messages, without: half(&without, rate, messages).await?, with: half(&with, rate, messages).await? };
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        print(&figures);
    }
    let missing = figures.without.missing + figures.with.missing;
    if missing > 0 {
        bail!("{missing} messages or readings of danger led to nothing within {} s", PATIENCE.as_secs());
    }
    Ok(Ended::Done)
}

fn print(figures: &Figures) {
    println!("{} {}/s, {} {}", figures.rate, t("条诉求", "messages"), figures.messages, t("条", "of them"));
    for half in [&figures.without, &figures.with] {
        match &half.model {
            None => println!("{}", t("没有语言模型", "without a language model")),
            Some(model) => println!("{} {model}: {} {}, {} {}, {} {}", t("有语言模型", "with"), t("提问", "asked"), half.asked, t("答复", "answered"), half.answered, t("无答案", "without an answer"), half.failed),
        }
        let rows = [
            (t("险情诉求到派单", "danger told to order"), Some(half.danger_to_order_ms)),
            (t("读数到预警", "reading to alert"), Some(half.reading_to_alert_ms)),
            (t("诉求到立案", "message to case"), Some(half.message_to_case_ms)),
            (t("诉求到模型答复", "message to the model's answer"), half.message_to_answer_ms),
        ];
        for (name, p) in rows.into_iter().filter_map(|(name, p)| Some((name, p?))) {
            println!("  {name:<30} p50 {:>8.1} ms  p99 {:>8.1} ms  max {:>8.1} ms", p.p50, p.p99, p.max);
        }
    }
}

async fn half(context: &Invocation, rate: u64, messages: u64) -> Result<Half> {
    let home = scratch_home(context, "bench-asking")?;
    let mut options = Options::quiet();
    options.parts.insert(Part::Agents);
    let service = Service::start(context, &home, &options, Parts::new()).await?;
    let measured = measure(&service, rate, messages).await;
    service.stop().await?;
    measured
}

async fn measure(service: &Service, rate: u64, messages: u64) -> Result<Half> {
    let tap = bus::Tap::start(service.bus.clone(), bus::TapConfig::default())?;
    let watched = |name: &'static str, filter: Filter, key| tokio::spawn(watch(tap.reader(name, filter, BTreeMap::new()), "", key));
    let alerts = watched("alerts", Filter::prefixes([topics::ALERT_PREFIX]), |row| row["originator"].as_str());
    let cases = watched("cases", Filter::topics([topics::CASE]), |row| row["request"].as_str());
    let orders = watched("orders", Filter::topics([topics::DISPATCH]), |row| row["case"].as_str());
    let questions = watched("questions", Filter::topics([topics::REQUEST]), |row| row["case"].as_str());
    let answers = watched("answers", Filter::topics([topics::ANSWER]), |row| row["case"].as_str());
    let sent = send(service, rate, messages).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = tokio::time::timeout(PATIENCE, service.settle()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    tap.stop().await;
    let ((alerts, _), (cases, steps), (orders, _), (questions, _), (answers, said)) = (alerts.await??, cases.await??, orders.await??, questions.await??, answers.await??);
    // A case by the message that opened it.
    let case_of: BTreeMap<&str, &str> = steps.iter().rev().filter_map(|step| Some((step["request"].as_str()?, step["case"].as_str()?))).collect();
    let after = |at: &Instant, seen: Option<&Instant>| Some(seen?.saturating_duration_since(*at));
    let to_order: Vec<Duration> = sent.danger.iter().filter_map(|(id, at)| after(at, orders.get(*case_of.get(id.as_str())?))).collect();
    let to_alert: Vec<Duration> = sent.gas.iter().filter_map(|(station, at)| after(at, alerts.get(station))).collect();
    let to_case: Vec<Duration> = sent.messages.iter().filter_map(|(id, at)| after(at, cases.get(id))).collect();
    let to_answer: Vec<Duration> = sent.messages.iter().filter_map(|(id, at)| after(at, answers.get(*case_of.get(id.as_str())?))).collect();
    let failed = said.iter().filter(|row| row["failed"].is_string()).count();
    let model = said.iter().find_map(|row| row["model"].as_str().filter(|name| !name.is_empty()));
    Ok(Half {
        model: model.map(str::to_owned),
        missing: sent.danger.len() - to_order.len() + sent.gas.len() - to_alert.len() + sent.messages.len() - to_case.len(),
        danger_to_order_ms: percentiles(to_order),
        reading_to_alert_ms: percentiles(to_alert),
        message_to_case_ms: percentiles(to_case),
        message_to_answer_ms: Some(to_answer).filter(|all| !all.is_empty()).map(percentiles),
        asked: questions.len(),
        answered: said.len() - failed,
        failed,
    })
}

/// When what was sent.
#[derive(Default)]
struct Sent {
    messages: Seen,
    danger: Seen,
    gas: Seen,
}

async fn send(service: &Service, rate: u64, messages: u64) -> Result<Sent> {
    let producer = service.bus.producer()?;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate as f64));
    let (mut sent, mut acknowledged) = (Sent::default(), Vec::new());
    for number in 0..messages {
        ticks.tick().await;
        let id = format!("bench-{number}");
        let is_danger = number % DANGER_EVERY == DANGER_EVERY / 2;
        let of = |texts: &[&str]| texts[(number / 3) as usize % texts.len()].replace("{}", &(number + 1).to_string());
        let text = if is_danger { of(&DANGER) } else { of(&DOUBT) };
        let data = json!({"message_id": id, "text": text, "channel": "phone", "caller": format!("caller-{number}")});
        let mut event = schemas::Event::new(id.clone(), "urn:citybrain:bench:asking", "io.citybrain.hotline.message.v1").with_json(&data);
        event.time = Some(chrono::Utc::now());
        let now = Instant::now();
        acknowledged.push(producer.send("raw.hotline", &event.to_kafka(), None));
        sent.messages.insert(id.clone(), now);
        if is_danger {
            sent.danger.insert(id, now);
            // One wild reading is no danger: the second one confirms it, and is the one that is measured.
            let station = format!("bench-station-{number}");
            acknowledged.push(producer.send("raw.sensor", &gas_reading(&station, 2 * number, 60.0).to_kafka(), None));
            tokio::time::sleep(Duration::from_millis(5)).await;
            sent.gas.insert(station.clone(), Instant::now());
            acknowledged.push(producer.send("raw.sensor", &gas_reading(&station, 2 * number + 1, 60.0).to_kafka(), None));
        }
    }
    for one in acknowledged {
        one.await?;
    }
    Ok(sent)
}
