//! How long many sections take: `cargo run --release -p knowledge --example scale -- 300000`.
//!
//! Sections are made of the shipped ones, cut and shuffled, so that words are as frequent as in real documents. Prints the
//! time of the build, the memory of the process, and times of searches beside those of looking at every section.

use std::time::Instant;

use knowledge::{Knowledge, QUERIES, Query, evaluate};

/// Sections of one document.
const OF_ONE: usize = 200;

fn main() {
    let wanted: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let small = Knowledge::builtin();
    let paragraphs: Vec<&str> = small.sections().iter().map(|section| small.words_of(section).split_once('\n').map_or("", |(_, words)| words).trim()).collect();
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut files: Vec<(String, String)> = Vec::new();
    for number in 0..wanted.div_ceil(OF_ONE) {
        let mut text = format!("---\nid: doc-{number}\ntitle: {{ zh: 文档{number}, en: Document {number} }}\nkind: case\nissuer: 示范市\nsource: made\nvalid_from: 2026-01-01\nreviewed_by: 甲\nreviewed_at: 2026-01-01\n---\n");
        for section in 0..OF_ONE.min(wanted - number * OF_ONE) {
            let (one, other) = (paragraphs[next(paragraphs.len())], paragraphs[next(paragraphs.len())]);
            text.push_str(&format!("\n## {section} {{#s{section}}}\n\n{one}\n\n{other}\n"));
        }
        files.push((format!("{number}.md"), text));
    }
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let begun = Instant::now();
    let knowledge = Knowledge::read(&files).expect("what was made is right");
    let built = begun.elapsed();
    drop(files);
    println!("{} sections of {} characters in the mean, {:.1} MB: built in {:.1} s; the process has {} MB", knowledge.sections().len(), bytes / 3 / wanted.max(1), bytes as f64 / 1e6, built.as_secs_f64(), resident_mb());
    let questions = evaluate::read(QUERIES).expect("they ship");
    let today = "2026-06-01".parse().expect("it is a day");
    let mut times: Vec<u128> = questions
        .iter()
        .map(|asked| {
            let begun = Instant::now();
            std::hint::black_box(knowledge.search(&Query::of(&asked.text, today)));
            begun.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    let begun = Instant::now();
    let found = knowledge.sections().iter().filter(|section| knowledge.words_of(section).contains("路灯")).count();
    println!("a search: median {} µs, 99 of 100 within {} µs; one word looked for in every section ({found} have it): {} µs", times[times.len() / 2], times[times.len() * 99 / 100], begun.elapsed().as_micros());
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
