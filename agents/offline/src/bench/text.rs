//! `bench text`: messages a second on one core, read whole and sorted by a small model.
//!
//! Messages are generated, of the length of ordinary ones; those of the data folder, where it is there, are measured as
//! well, and are several times longer. The floor beside it counts the characters of each message and nothing else.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use graph::Graph;
use serde::Serialize;

use crate::Context;
use crate::labelled::{Labelled, with_examples};
use crate::table::Rows;
use crate::triage::Triage;

const LONG: &str = "hotline_messages/unlabelled.csv.gz";
const MESSAGES: usize = 6_000;
const TRAINED_ON: usize = 1_000;
const AIM: f64 = 5_000.0;
/// Noon of a working day, for words like yesterday.
const NOON_US: i64 = 1_767_700_800_000_000;

const MATTERS: [(&str, &str); 6] = [
    ("water", "水管爆裂，水一直往外冒，路面都淹了"),
    ("water", "家里停水两天了，打电话没人接"),
    ("road", "路面坑洼不平，昨晚有老人摔倒受伤"),
    ("road", "井盖缺失，夜里没有路灯，很危险"),
    ("noise", "工地夜间施工噪音太大，孩子无法休息"),
    ("noise", "烧烤店油烟扰民，多次投诉没有结果"),
];
const PLACES: [&str; 5] = ["西城区中山大道88号", "青山小区3栋2单元", "人民路与解放路路口", "第一中学旁边", "科技园地铁站C口"];
const WHEN: [&str; 4] = ["昨晚八点多", "上周二开始", "1月3日下午三点", "今天早上"];

#[derive(Serialize)]
struct Measured {
    messages: &'static str,
    count: usize,
    characters_mean: f64,
    per_second: f64,
    reading_per_second: f64,
    floor_per_second: f64,
}

/// Measures and prints.
pub fn run(context: &Context) -> Result<()> {
    let made: Vec<(String, &str)> = (0..MESSAGES).map(message).collect();
    let rows: Vec<Labelled> = made.iter().take(TRAINED_ON).map(|(text, label)| Labelled { texts: vec![text.clone()], fields: Vec::new(), time_us: None, label: (*label).to_owned() }).collect();
    let (model, _) = with_examples(&rows, |examples| learn::train(examples, &learn::Options::default(), &mut |_| {}))?;
    let mut triage = Triage::new(Graph::builtin(), Some(model));
    let mut all = vec![measure("generated", &made.into_iter().map(|(text, _)| text).collect::<Vec<_>>(), &mut triage)];
    if let Ok(path) = context.data_file(LONG) {
        let texts: Vec<String> = Rows::open(&path, &["留言主题", "留言详情"])?.filter_map(|row| Some(row.ok()?.cells.join("。"))).take(MESSAGES).collect();
        all.push(measure("real, long", &texts, &mut triage));
    }
    if context.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!("{}", context.t("条/秒，单核", "messages a second on one core"));
    println!("{:<12} {:>8} {:>10} {:>14} {:>12} {:>12}", "messages", "count", "characters", "everything", "no model", "floor");
    for row in &all {
        println!("{:<12} {:>8} {:>10.0} {:>14.0} {:>12.0} {:>12.0}", row.messages, row.count, row.characters_mean, row.per_second, row.reading_per_second, row.floor_per_second);
    }
    println!("{} {AIM:.0}", context.t("目标", "aim"));
    Ok(())
}

fn message(at: usize) -> (String, &'static str) {
    let (label, matter) = MATTERS[at % MATTERS.len()];
    let (place, when) = (PLACES[at / 6 % PLACES.len()], WHEN[at / 30 % WHEN.len()]);
    (format!("您好！我是住在{place}的居民，{when}{matter}，已经影响到附近{}户人家的正常生活，之前向社区反映过{}次都没有处理，请有关部门尽快派人来看看，谢谢！联系电话138{:08}", at % 90 + 3, at % 5 + 1, at * 7919 % 100_000_000), label)
}

fn measure(messages: &'static str, texts: &[String], triage: &mut Triage) -> Measured {
    let count = texts.len();
    let rate = |seconds: f64| count as f64 / seconds;
    let begin = Instant::now();
    let characters: usize = texts.iter().map(|text| black_box(text).chars().count()).sum();
    let floor = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for text in texts {
        black_box(triage.read(&[text.as_str()], Some(NOON_US)));
    }
    let everything = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for text in texts {
        black_box(triage.only_read(text, Some(NOON_US)));
    }
    let reading = begin.elapsed().as_secs_f64();
    Measured { messages, count, characters_mean: characters as f64 / count.max(1) as f64, per_second: rate(everything), reading_per_second: rate(reading), floor_per_second: rate(floor) }
}
