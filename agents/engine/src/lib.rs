//! citybrain-engine: one language model in one process, asked over its standard input.
//!
//! It is a process of its own because an abort inside of llama.cpp cannot be caught; the program may be this crate's or one
//! that calls `run_from` and does nothing else. Its supervisor is the crate `llm`, whose protocol it speaks; it knows nothing
//! of the city, opens no socket and writes no file.

mod bench;
mod model;
mod pick;
mod serve;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use llama_cpp_2::context::params::KvCacheType;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};
use llm::wire::{self, FromEngine, Ready, ToEngine};

use crate::model::Loaded;
use crate::serve::{Outcome, Server, Settings};

/// Runs one GGUF model for citybrain, which starts it by itself. By hand: `--bench FILE` measures a model.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The model's file.
    #[arg(long, required_unless_present = "bench")]
    model: Option<PathBuf>,
    /// Measures a model instead of serving it.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    bench: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Requests at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    sequences: u32,
    /// Tokens of prompt and answer together, for each request.
    #[arg(long, default_value_t = 2_048, value_parser = clap::value_parser!(u32).range(64..=131_072))]
    context: u32,
    /// Type of the cache of keys and values.
    #[arg(long, value_enum, default_value_t = Cache::F16)]
    cache: Cache,
    /// Tokens of a prompt while measuring.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    bench_prompt: u32,
    /// Tokens of an answer while measuring.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    bench_answer: u32,
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    bench_repeat: u32,
    /// Prints how the model reads each line of a file of JSON strings, as a list of token ids, instead of serving it.
    #[arg(long, value_name = "FILE", requires = "model")]
    ids: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Cache {
    /// Half precision.
    F16,
    /// Eight bits.
    #[value(name = "q8_0")]
    Q80,
}

impl Cache {
    fn kind(self) -> (KvCacheType, &'static str) {
        match self {
            Self::F16 => (KvCacheType::F16, "f16"),
            Self::Q80 => (KvCacheType::Q8_0, "q8_0"),
        }
    }
}

/// The longest silence while idle.
const BEAT: Duration = Duration::from_millis(500);

/// Runs an engine until its standard input ends, or measures a model. `arguments` begin with the program's name. Everything
/// of the process is the engine's from here on: standard output holds frames, and an abort of llama.cpp ends all of it.
pub fn run_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    // Warnings of llama.cpp go to standard error, whose end the supervisor keeps.
    let quiet = tracing_subscriber::filter::LevelFilter::WARN;
    tracing_subscriber::fmt().with_max_level(quiet).with_ansi(false).with_writer(io::stderr).init();
    let result = match &arguments.bench {
        Some(path) => check_processor().and_then(|()| bench::run(path, &arguments)),
        None if arguments.ids.is_some() => print_ids(&arguments),
        None => serve(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if arguments.bench.is_none() && arguments.ids.is_none() {
                let _ = wire::write(&mut io::stdout().lock(), &FromEngine::Fatal { reason: format!("{error:#}") });
            }
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check_processor() -> Result<()> {
    let missing = model::missing();
    if missing.is_empty() {
        return Ok(());
    }
    anyhow::bail!(
        "this processor has no {}: build the engine on this machine with RUSTFLAGS=-Ctarget-cpu=native, or use remote endpoints",
        missing.join(", ")
    )
}

fn backend() -> Result<LlamaBackend> {
    send_logs_to_tracing(LogOptions::default());
    LlamaBackend::init().context("could not start llama.cpp")
}

fn settings(arguments: &Arguments) -> Settings {
    let Arguments { threads, sequences, context, cache, .. } = arguments;
    // llama.cpp rounds a sequence's cache up to this; the limit is told as it is.
    Settings { threads: *threads, sequences: *sequences, context: context.next_multiple_of(256), cache: cache.kind().0 }
}

fn serve(arguments: &Arguments) -> Result<()> {
    check_processor()?;
    let path = arguments.model.as_deref().context("--model is missing")?;
    let backend = backend()?;
    let loaded = Loaded::load(&backend, path)?;
    let digest = digest(path)?;
    let settings = settings(arguments);
    let mut server = Server::new(&backend, &loaded, settings)?;
    let mut out = io::stdout().lock();
    let cache = arguments.cache.kind().1;
    let ready = Ready {
        model: loaded.name.clone(),
        model_digest: digest,
        dialect: loaded.dialect,
        sequences: settings.sequences,
        context: settings.context,
        sampler: format!("greedy under constraint; kv {cache}, separate; {} threads", settings.threads),
        build: model::build(),
    };
    wire::write(&mut out, &FromEngine::Ready(ready))?;
    let (orders_in, orders) = sync_channel::<ToEngine>(1_024);
    // Ends with the supervisor: its end closes the pipe, which ends the loop.
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Ok(Some(order)) = wire::read::<ToEngine>(&mut input) {
            if orders_in.send(order).is_err() {
                return;
            }
        }
    });
    run(&mut server, &orders, &mut out)
}

fn print_ids(arguments: &Arguments) -> Result<()> {
    check_processor()?;
    let (path, lines) = (arguments.model.as_deref().context("--model is missing")?, arguments.ids.as_deref().context("--ids is missing")?);
    let loaded = Loaded::load(&backend()?, path)?;
    let text = std::fs::read_to_string(lines).with_context(|| format!("could not read {}", lines.display()))?;
    for (number, line) in text.lines().enumerate() {
        let said: String = serde_json::from_str(line).with_context(|| format!("{}:{}: no JSON string", lines.display(), number + 1))?;
        println!("{:?}", loaded.ids(&said));
    }
    Ok(())
}

/// BLAKE3 of a file.
fn digest(path: &std::path::Path) -> Result<String> {
    let mut hasher = llm::registry::Hasher::new();
    let mut file = std::fs::File::open(path).with_context(|| format!("could not read {}", path.display()))?;
    io::copy(&mut file, &mut hasher).with_context(|| format!("could not read {}", path.display()))?;
    Ok(hasher.hex())
}

fn run(server: &mut Server<'_>, orders: &Receiver<ToEngine>, out: &mut impl Write) -> Result<()> {
    let mut beaten = Instant::now();
    loop {
        if server.is_idle() {
            match orders.recv_timeout(BEAT) {
                Ok(order) => obey(server, order, out)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        loop {
            match orders.try_recv() {
                Ok(order) => obey(server, order, out)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        for (id, outcome) in server.step() {
            tell(id, outcome, out)?;
        }
        if beaten.elapsed() >= BEAT {
            beaten = Instant::now();
            wire::write(out, &FromEngine::Beat(server.stats()))?;
        }
    }
}

fn obey(server: &mut Server<'_>, order: ToEngine, out: &mut impl Write) -> Result<()> {
    match order {
        ToEngine::Ask(ask) => {
            let id = ask.id;
            if let Some(outcome) = server.enter(ask) {
                tell(id, outcome, out)?;
            }
        }
        ToEngine::Cancel { id } => server.cancel(id),
    }
    Ok(())
}

fn tell(id: u64, outcome: Outcome, out: &mut impl Write) -> Result<()> {
    let frame = match outcome {
        Outcome::Answer(raw) => FromEngine::Answer { id, raw },
        Outcome::Failed(reason) => FromEngine::Failed { id, reason },
    };
    wire::write(out, &frame).context("could not tell an answer")
}
