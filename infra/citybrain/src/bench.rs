//! `citybrain bench`: what the spine costs on this machine, each figure beside its floor from the same run.

mod asking;
mod crowd;
mod feed;
mod graph;
mod ingest;
mod latency;
mod measured;
mod nexmark;
mod soak;
mod windows;

use anyhow::{Context, Result, bail};

use crate::cli::{BenchArgs, Invocation, Ended};
use crate::home::Home;
use crate::lang::t;

const BENCHES: [(&str, &str, &str); 7] = [
    ("ingest", "Kafka 到 Delta 的吞吐，与只读取、只解码的下限并列", "Kafka to Delta, beside the floor of consuming and decoding only"),
    ("latency", "从读数到预警的延迟，与只经过总线的下限并列", "from a reading to its alert, beside the floor of the bus alone"),
    ("asking", "诉求洪峰：没有与有语言模型时，险情到派单、读数到预警、诉求到答复的延迟", "a flood of messages without and with the language model: danger to order, reading to alert, message to answer"),
    ("windows", "一万个传感器的分钟窗口，与哈希表并列", "one-minute windows of ten thousand sensors, beside a hash map"),
    ("nexmark", "Nexmark 查询，与公布的 Flink 数字并列", "the Nexmark queries, beside Flink's published figures"),
    ("graph", "百万条边的图谱：各类提问的耗时，与逐条读取并列", "a graph of a million edges: how long its questions take, beside reading every duty"),
    ("soak", "全部作业同时运行，持续若干分钟：落后、内存与处理器", "all jobs of the city at once for minutes: lag, memory and CPU"),
];

/// The command.
pub async fn run(context: &Invocation, args: BenchArgs) -> Result<Ended> {
    match args.name.as_str() {
        "list" => {
            for (name, zh, en) in BENCHES {
                println!("{name:<10} {}", t(zh, en));
            }
            for (name, zh, en, _) in offline::bench::ALL {
                println!("{name:<10} {}", t(zh, en));
            }
            Ok(Ended::Done)
        }
        "ingest" => ingest::run(context, &args).await,
        "asking" => asking::run(context, &args).await,
        "latency" => latency::run(context, &args).await,
        "windows" => windows::run(context, &args).await,
        "nexmark" => nexmark::run(context, &args).await,
        "graph" => graph::run(context, &args).await,
        "soak" => soak::run(context, &args).await,
        "measured" => measured::run(context, &args).await,
        other => match offline::bench::ALL.into_iter().find(|(name, ..)| *name == other) {
            Some((.., run)) => crate::small::run(context, run).await,
            None => bail!("there is no benchmark {other}: citybrain bench list shows them"),
        },
    }
}

/// An empty home for a run, inside the home of the command line.
pub fn scratch_home(context: &Invocation, name: &str) -> Result<Home> {
    let root = context.global.home.join(name);
    if root.exists() {
        drop(Home::open(&root)?.lock()?);
        std::fs::remove_dir_all(&root).with_context(|| format!("could not empty {}", root.display()))?;
    }
    Home::open(&root)
}

/// Largest resident memory of this process since the last [`forget_peak`], MiB; 0 where `/proc` does not tell it.
pub fn peak_mib() -> u64 {
    status_mib("VmHWM:")
}

/// Resident memory of this process, MiB; 0 where `/proc` does not tell it.
pub fn resident_mib() -> u64 {
    status_mib("VmRSS:")
}

fn status_mib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Begins to measure the largest resident memory anew.
pub fn forget_peak() {
    // Without the right to do so the figure is that of the whole process, which is no less.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
