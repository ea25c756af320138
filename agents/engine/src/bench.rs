//! Measures a model: tokens a second while reading and while writing, through the loop that serves, beside llama.cpp alone.
//!
//! The baseline does what llama-bench does: a prompt in batches of 512, then one token after another, with no text, no
//! constraint and nobody to answer. Both are measured in turn, on the same file, in the same process; with one thread by the
//! processor time that they use, so that a busy machine does not change the figures.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use llm::grammar::Rule;
use llm::task::{Part, PartKind, Prompt};
use llm::wire::Ask;

use crate::Arguments;
use crate::model::{Loaded, build};
use crate::serve::{Outcome, STEP_TOKENS_MAX, Server, Settings, params};

/// Tokens a second.
#[derive(Clone, Copy, Default)]
struct Speed {
    reading: f64,
    writing: f64,
}

/// How many sequences are measured beside one.
const MANY: u32 = 8;

/// What time is taken by.
#[derive(Clone, Copy)]
enum Clock {
    /// The processor time of this thread, which Linux tells.
    Processor,
    /// The clock on the wall.
    Wall(Instant),
}

impl Clock {
    /// With several threads only the wall knows.
    fn of(threads: u32) -> Self {
        if threads == 1 && processor_ns().is_some() { Self::Processor } else { Self::Wall(Instant::now()) }
    }

    /// Seconds since some time.
    fn now(self) -> f64 {
        match self {
            Self::Processor => processor_ns().unwrap_or(0) as f64 * 1e-9,
            Self::Wall(start) => start.elapsed().as_secs_f64(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Wall(_) => "wall",
        }
    }
}

/// Nanoseconds that this thread has run.
fn processor_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().filter(|it| *it > 0)
}

/// Measures and prints.
pub fn run(path: &Path, arguments: &Arguments) -> Result<()> {
    let backend = crate::backend()?;
    let loaded = Loaded::load(&backend, path)?;
    let (read, write) = (arguments.bench_prompt as usize, arguments.bench_answer as usize);
    let text = words(&loaded, read)?;
    let context = (read as u32 + arguments.bench_answer + 64).next_multiple_of(256);
    let settings = Settings { context, sequences: MANY, ..crate::settings(arguments) };
    let mut plain = loaded.model.new_context(&backend, params(Settings { sequences: 1, ..settings }, 1).with_n_batch(512).with_n_ubatch(512))?;
    let mut plain_many = loaded.model.new_context(&backend, params(settings, MANY).with_n_batch(512).with_n_ubatch(512))?;
    let mut server = Server::new(&backend, &loaded, settings)?;
    server.endless = true;

    println!("{} ({}), {} threads, {}", loaded.name, path.display(), settings.threads, build());
    let clock = Clock::of(settings.threads);
    println!("prompt {read} tokens, answer {write} tokens, median of {} rounds, tokens per second of {} time", arguments.bench_repeat, clock.name());
    let mut rounds: [Vec<Speed>; 4] = Default::default();
    // The first round warms up and is not counted. The four take turns, so that all see the same machine.
    for round in 0..=arguments.bench_repeat {
        let speeds = [
            llama_cpp(clock, &mut plain, &loaded, 1, read, write)?,
            served(clock, &mut server, &loaded, &text, 1, write)?,
            llama_cpp(clock, &mut plain_many, &loaded, MANY, read, write)?,
            served(clock, &mut server, &loaded, &text, MANY, write)?,
        ];
        if round > 0 {
            rounds.iter_mut().zip(speeds).for_each(|(all, it)| all.push(it));
        }
    }
    let [plain, ours, plain_many, ours_many] = rounds.map(median);
    println!("{:<24}{:>14}{:>14}{:>10}", "", "llama.cpp", "citybrain", "share");
    row("reading, 1 sequence", plain.reading, ours.reading);
    row("writing, 1 sequence", plain.writing, ours.writing);
    row(&format!("reading, {MANY} sequences"), plain_many.reading, ours_many.reading);
    row(&format!("writing, {MANY} sequences"), plain_many.writing, ours_many.writing);
    println!("writing, {MANY} sequences to 1: {:.2}x (llama.cpp {:.2}x)", ours_many.writing / ours.writing, plain_many.writing / plain.writing);
    Ok(())
}

fn row(name: &str, plain: f64, ours: f64) {
    println!("{name:<24}{plain:>14.1}{ours:>14.1}{:>9.1}%", 100.0 * ours / plain);
}

fn median(mut speeds: Vec<Speed>) -> Speed {
    let mut middle = |of: fn(&Speed) -> f64| {
        speeds.sort_by(|a, b| of(a).total_cmp(&of(b)));
        speeds.get(speeds.len() / 2).map_or(0.0, of)
    };
    Speed { reading: middle(|it| it.reading), writing: middle(|it| it.writing) }
}

/// A text that is exactly so many tokens long.
fn words(loaded: &Loaded, tokens: usize) -> Result<String> {
    let vocab = loaded.model.vocab();
    let begins = usize::from(vocab.should_add_bos());
    let mut text = String::new();
    for index in 0.. {
        let next = format!("{text}{}", ["灯", "路", "水", "坏", " 3", "。"][index % 6]);
        let length = vocab.tokenize(next.as_bytes(), false, false).len() + begins;
        if length > tokens {
            break;
        }
        text = next;
        if length == tokens {
            return Ok(text);
        }
    }
    // The last character is several tokens: letters fill what is left.
    for letter in (0..tokens).map(|it| char::from(b'a' + (it % 26) as u8)) {
        let next = format!("{text}{letter}");
        let length = vocab.tokenize(next.as_bytes(), false, false).len() + begins;
        if length > tokens {
            break;
        }
        text = next;
        if length == tokens {
            return Ok(text);
        }
    }
    bail!("no text of exactly {tokens} tokens was found")
}

/// What llama-bench measures.
fn llama_cpp(clock: Clock, context: &mut LlamaContext<'_>, loaded: &Loaded, sequences: u32, read: usize, write: usize) -> Result<Speed> {
    context.clear_kv_cache();
    let some = |at: usize| LlamaToken::new(((at * 7 + 11) % loaded.words.pieces.len()) as i32);
    let all = sequences as usize;
    let mut batch = LlamaBatch::new(STEP_TOKENS_MAX, 1);
    let started = clock.now();
    for sequence in 0..sequences as i32 {
        let mut at = 0;
        while at < read {
            batch.clear();
            let to = read.min(at + STEP_TOKENS_MAX);
            for place in at..to {
                batch.add(some(place), place as i32, &[sequence], place + 1 == read)?;
            }
            context.decode(&mut batch).context("llama.cpp could not read")?;
            at = to;
        }
    }
    context.synchronize();
    let reading = (read * all) as f64 / (clock.now() - started);
    let started = clock.now();
    for step in 0..write {
        batch.clear();
        for sequence in 0..sequences as i32 {
            batch.add(some(step), (read + step) as i32, &[sequence], true)?;
        }
        context.decode(&mut batch).context("llama.cpp could not write")?;
        context.synchronize();
    }
    Ok(Speed { reading, writing: (write * all) as f64 / (clock.now() - started) })
}

/// The same through the loop that serves.
fn served(clock: Clock, server: &mut Server<'_>, loaded: &Loaded, text: &str, sequences: u32, write: usize) -> Result<Speed> {
    let before = server.stats();
    let prompt = Prompt::Native { parts: vec![Part { kind: PartKind::Untrusted, text: text.to_owned() }] };
    let started = clock.now();
    for id in 0..u64::from(sequences) {
        let ask = Ask { id, prompt: prompt.clone(), rule: Rule::Any, tokens_max: write as u32 + 1, time_ms_max: u64::MAX >> 20 };
        if let Some(Outcome::Failed(reason)) = server.enter(ask) {
            bail!("could not measure: {reason}");
        }
    }
    // Those who have read begin to write while the others still read; that is counted as reading time, as it is for people.
    let prompts = loaded.tokens(&prompt)?.line.len() as u64 * u64::from(sequences);
    let mut over = Vec::new();
    while server.stats().tokens_prefilled - before.tokens_prefilled < prompts {
        over.extend(server.step());
    }
    let read = server.stats();
    let reading = (read.tokens_prefilled - before.tokens_prefilled) as f64 / (clock.now() - started);
    let started = clock.now();
    while !server.is_idle() {
        over.extend(server.step());
    }
    let written = server.stats().tokens_decoded - read.tokens_decoded;
    let writing = written as f64 / (clock.now() - started);
    if over.iter().any(|(_, it)| matches!(it, Outcome::Failed(_))) || over.len() != sequences as usize {
        bail!("could not measure: the model did not answer");
    }
    Ok(Speed { reading, writing })
}
