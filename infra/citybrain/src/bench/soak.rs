//! The whole city for minutes on end: a steady feed, all jobs on, and what it costs. The feed is in the same process as the
//! brain, so that its share is in the figures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bus::{Filter, cpu_time};
use serde::Serialize;

use super::crowd::{self, Crowd};
use super::{resident_mib, scratch_home};
use crate::cli::{BenchArgs, Ended, Invocation};
use crate::jobs::Report;
use crate::lang::t;
use crate::parts::Parts;
use crate::progress::Positions;
use crate::service::{Options, Service};

/// Events for each second when nothing is asked.
const RATE_DEFAULT: u64 = 10_000;
/// Minutes when nothing is asked.
const MINUTES_DEFAULT: u64 = 10;
/// Devices when nothing is asked.
const DEVICES_DEFAULT: u64 = 160_000;
/// How often it is looked how far everybody is: as exact is a lag.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a line is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// From when on the memory is no longer that of the start.
const WARM_AFTER: Duration = Duration::from_secs(60);
/// Share of the rate that a feed must keep, per mille.
const KEPT_PER_MILLE: u64 = 980;

#[derive(Serialize)]
struct Figures {
    rate: u64,
    rate_kept: f64,
    seconds: f64,
    devices: u64,
    jobs: usize,
    events: u64,
    /// Of the slowest job: how long ago the moment was up to which it has worked everything off.
    lag_seconds: Spread,
    lag_records: Spread,
    /// The job that was behind most.
    slowest: String,
    /// The same of the brain and of landing.
    others_lag_seconds: Spread,
    slowest_other: String,
    memory_mib: Memory,
    cores: f64,
    late: u64,
    alerts: i64,
    /// What each job took, the busiest first.
    each: Vec<Each>,
    /// Jobs that have failed meanwhile, with the reason.
    failed: Vec<String>,
}

#[derive(Serialize)]
struct Each {
    job: String,
    /// Share of the time in which it had an epoch under way.
    busy: f64,
    epochs: u64,
    rows_in: u64,
    rows_out: u64,
    state_mib: u64,
    state_memory_mib: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    max: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Memory {
    after_one_minute: u64,
    median: u64,
    max: u64,
    end: u64,
}

/// What one look has found.
#[derive(Clone, Debug, Default)]
struct Look {
    after: Duration,
    taken: u64,
    lag_seconds: f64,
    lag_records: f64,
    slowest: String,
    others_lag_seconds: f64,
    slowest_other: String,
    memory_mib: u64,
    cpu: Duration,
    late: u64,
    alerts: i64,
}

/// The benchmark.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    let rate = args.rate.unwrap_or(RATE_DEFAULT).max(1_000);
    let lasts = Duration::from_secs(args.minutes.unwrap_or(MINUTES_DEFAULT).max(1) * 60);
    let devices = args.devices.unwrap_or(DEVICES_DEFAULT).max(1);
    let home = scratch_home(context, "bench-soak")?;
    let service = Service::start(context, &home, &Options::quiet(), Parts::new()).await?;
    let measured = measure(&service, rate, lasts, devices, context.global.json).await;
    let stopped = service.stop().await;
    let figures = measured?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        figures.print();
    }
    stopped?;
    if !figures.failed.is_empty() {
        bail!("{}: {}", t("有作业失败", "jobs failed"), figures.failed.join("; "));
    }
    if figures.rate_kept * 1_000.0 < (rate * KEPT_PER_MILLE) as f64 {
        bail!("{} ({:.0}/s < {rate}/s)", t("发送跟不上要求的速率", "the feed did not keep its rate"), figures.rate_kept);
    }
    Ok(Ended::Done)
}

async fn measure(service: &Service, rate: u64, lasts: Duration, devices: u64, quiet: bool) -> Result<Figures> {
    let taken = Arc::new(AtomicU64::new(0));
    let crowd = Crowd { begun: chrono::Utc::now(), rate, devices };
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut feed = tokio::spawn(crowd::send(crowd, service.bus.producer()?, lasts, taken.clone()));
    let mut watch = Watch { begun, ends: VecDeque::new() };
    let mut looks: Vec<Look> = Vec::new();
    let mut told = Look { cpu, ..Look::default() };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let fed = loop {
        tokio::select! {
            fed = &mut feed => break fed,
            _ = ticks.tick() => {}
        }
        let look = watch.look(service, &taken).await?;
        if !quiet && look.after >= told.after + TELL_EVERY {
            println!("{}", look.line(&told, &looks));
            told = look.clone();
        }
        looks.push(look);
    };
    fed.context("the feed was cut off")??;
    let seconds = begun.elapsed().as_secs_f64();
    looks.push(watch.look(service, &taken).await?);
    figures(service, rate, devices, seconds, cpu, &looks)
}

fn figures(service: &Service, rate: u64, devices: u64, seconds: f64, cpu: Duration, looks: &[Look]) -> Result<Figures> {
    let last = looks.last().context("nothing was seen")?;
    let worst = looks.iter().max_by(|a, b| a.lag_seconds.total_cmp(&b.lag_seconds)).unwrap_or(last);
    let worst_other = looks.iter().max_by(|a, b| a.others_lag_seconds.total_cmp(&b.others_lag_seconds)).unwrap_or(last);
    let warm = looks.iter().find(|look| look.after >= WARM_AFTER).unwrap_or(last);
    let memory = || looks.iter().map(|look| look.memory_mib as f64);
    let reports = service.jobs.reports();
    let failed = reports.iter().filter(|report| report.failures > 0 || report.state == "failed");
    Ok(Figures {
        rate,
        rate_kept: last.taken as f64 / seconds,
        seconds,
        devices,
        jobs: reports.iter().filter(|report| report.state == "running").count(),
        events: last.taken,
        lag_seconds: Spread::of(looks.iter().map(|look| look.lag_seconds)),
        lag_records: Spread::of(looks.iter().map(|look| look.lag_records)),
        slowest: worst.slowest.clone(),
        others_lag_seconds: Spread::of(looks.iter().map(|look| look.others_lag_seconds)),
        slowest_other: worst_other.slowest_other.clone(),
        memory_mib: Memory { after_one_minute: warm.memory_mib, median: Spread::of(memory()).median as u64, max: Spread::of(memory()).max as u64, end: last.memory_mib },
        cores: (last.cpu.saturating_sub(cpu)).as_secs_f64() / seconds,
        late: last.late,
        alerts: last.alerts,
        each: each(&reports, seconds),
        failed: failed.map(|report| format!("{} ({})", report.name, report.note.clone().unwrap_or_default())).collect(),
    })
}

fn each(reports: &[Report], seconds: f64) -> Vec<Each> {
    let mut each: Vec<_> = reports
        .iter()
        .map(|Report { name, figures, .. }| Each {
            job: name.clone(),
            busy: figures.busy_ms as f64 / 1e3 / seconds,
            epochs: figures.epochs,
            rows_in: figures.rows_in,
            rows_out: figures.rows_out,
            state_mib: figures.state_bytes >> 20,
            state_memory_mib: figures.state_memory_bytes >> 20,
        })
        .collect();
    each.sort_by(|a, b| b.busy.total_cmp(&a.busy));
    each
}

/// Where the topics ended at which moment.
struct Watch {
    begun: Instant,
    ends: VecDeque<(Instant, Positions)>,
}

impl Watch {
    async fn look(&mut self, service: &Service, taken: &AtomicU64) -> Result<Look> {
        let ends = service.bus.ends(&Filter::all()).await?;
        let now = Instant::now();
        let alerts = ends.iter().filter(|((topic, _), _)| topic.starts_with("alert.")).map(|(_, end)| end).sum();
        self.ends.push_back((now, ends));
        let mut look = Look {
            after: now - self.begun,
            taken: taken.load(Ordering::Relaxed),
            memory_mib: resident_mib(),
            cpu: cpu_time(),
            late: service.jobs.reports().iter().map(|report| report.figures.late).sum(),
            alerts,
            ..Look::default()
        };
        for (progress, filter, is_job) in service.readers() {
            let reached = progress.get();
            let (seconds, records) = self.lag(now, &reached, &filter);
            match is_job {
                true if look.slowest.is_empty() || seconds > look.lag_seconds => {
                    look.slowest = progress.name().trim_start_matches("job ").to_owned();
                    look.lag_seconds = seconds;
                    look.lag_records = look.lag_records.max(records as f64);
                }
                true => look.lag_records = look.lag_records.max(records as f64),
                false if look.slowest_other.is_empty() || seconds > look.others_lag_seconds => {
                    look.slowest_other = progress.name().to_owned();
                    look.others_lag_seconds = seconds;
                }
                false => {}
            }
        }
        // What everybody has worked off is not looked at again.
        while self.ends.len() > 1 && (now - self.ends[1].0).as_secs_f64() > look.lag_seconds.max(look.others_lag_seconds) + 1.0 {
            self.ends.pop_front();
        }
        Ok(look)
    }

    /// How long ago the last moment was of which a reader has read everything, and how many records it has not read.
    fn lag(&self, now: Instant, reached: &Positions, filter: &Filter) -> (f64, i64) {
        let behind = |ends: &Positions| -> i64 {
            let own = ends.iter().filter(|((topic, _), _)| filter.matches(topic));
            own.map(|(place, end)| (end - reached.get(place).copied().unwrap_or(0)).max(0)).sum()
        };
        let records = self.ends.back().map_or(0, |(_, ends)| behind(ends));
        let moment = self.ends.iter().rev().find(|(_, ends)| behind(ends) == 0);
        let moment = moment.or(self.ends.front()).map_or(now, |(moment, _)| *moment);
        ((now - moment).as_secs_f64(), records)
    }
}

impl Spread {
    fn of(samples: impl Iterator<Item = f64>) -> Spread {
        let mut samples: Vec<f64> = samples.collect();
        samples.sort_by(f64::total_cmp);
        let at = |index: usize| samples.get(index).copied().unwrap_or_default();
        Spread { median: at(samples.len() / 2), max: at(samples.len().saturating_sub(1)) }
    }
}

impl Look {
    /// What has happened since the last line.
    fn line(&self, before: &Look, looks: &[Look]) -> String {
        let seconds = (self.after - before.after).as_secs_f64().max(1e-9);
        let worst = looks.iter().rev().take_while(|look| look.after > before.after).map(|look| look.lag_seconds).fold(self.lag_seconds, f64::max);
        format!(
            "{:>5.0} s  {:>6.0}/s  {} {:>4.1} s ({} {:.1}, {}) {:>7.0} {}  {} {:>5} MiB  {:>4.2} {}  {} {}  {} {}",
            self.after.as_secs_f64(),
            (self.taken - before.taken) as f64 / seconds,
            t("最慢作业落后", "slowest job behind"), self.lag_seconds,
            t("最多", "at most"), worst,
            self.slowest,
            self.lag_records,
            t("条", "records"),
            t("内存", "memory"), self.memory_mib,
            (self.cpu.saturating_sub(before.cpu)).as_secs_f64() / seconds,
            t("核", "cores"),
            t("迟到", "late"), self.late,
            t("预警", "alerts"), self.alerts,
        )
    }
}

impl Figures {
    fn print(&self) {
        println!(
            "{} {}, {} {}, {:.0} s: {} {} ({:.0}/s {})",
            self.devices, t("个设备", "devices"), self.jobs, t("个作业", "jobs"), self.seconds, self.events, t("条事件", "events"), self.rate_kept, t("实际速率", "kept")
        );
        let spread = |name: &str, spread: Spread, unit: &str| println!("  {name:<34} {} {:>9.1} {unit}  {} {:>9.1} {unit}", t("中位", "median"), spread.median, t("最大", "max"), spread.max);
        spread(t("最慢作业的落后", "lag of the slowest job"), self.lag_seconds, "s");
        spread(t("最慢作业未处理的记录", "records it had not worked off"), self.lag_records, "");
        println!("  {:<34} {}, {}", t("落后最多的", "furthest behind"), self.slowest, self.slowest_other);
        spread(t("大脑与入湖的落后", "lag of the brain and of landing"), self.others_lag_seconds, "s");
        let memory = self.memory_mib;
        println!(
            "  {:<34} {} {} MiB  {} {}  {} {}  {} {}",
            t("内存", "memory"),
            t("一分钟时", "after 1 min"), memory.after_one_minute,
            t("中位", "median"), memory.median,
            t("最大", "max"), memory.max,
            t("结束时", "at the end"), memory.end
        );
        println!("  {:<34} {:.2}  {} {}  {} {}", t("处理器核数", "CPU cores"), self.cores, t("迟到行", "rows late"), self.late, t("预警", "alerts"), self.alerts);
        for Each { job, busy, epochs, rows_in, rows_out, state_mib, state_memory_mib } in &self.each {
            println!(
                "  {job:<20} {} {:>4.0} %  {} {epochs:>6}  {} {rows_in:>9}  {} {rows_out:>8}  {} {state_mib:>5} MiB ({} {state_memory_mib})",
                t("占用", "busy"), busy * 100.0, t("轮次", "epochs"), t("读取", "in"), t("输出", "out"), t("状态", "state"), t("内存中", "in memory")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_reaches_back_to_the_last_moment_of_which_everything_is_read() {
        let begun = Instant::now();
        let place = |topic: &str| (topic.to_owned(), 0);
        let at = |second: u64, sensor: i64, other: i64| (begun + Duration::from_secs(second), Positions::from([(place("raw.sensor"), sensor), (place("city.case"), other)]));
        let watch = Watch { begun, ends: VecDeque::from([at(0, 0, 0), at(1, 10, 5), at(2, 20, 9), at(3, 30, 9)]) };
        let lag = |next: i64| watch.lag(begun + Duration::from_secs(3), &Positions::from([(place("raw.sensor"), next)]), &Filter::topics(["raw.sensor"]));
        assert_eq!(lag(30), (0.0, 0));
        assert_eq!(lag(29), (1.0, 1));
        assert_eq!(lag(10), (2.0, 20));
        assert_eq!(lag(3), (3.0, 27));
        let idle = watch.lag(begun + Duration::from_secs(3), &Positions::new(), &Filter::topics(["raw.context"]));
        assert_eq!(idle, (0.0, 0), "who has nothing to read is not behind");
    }

    #[test]
    fn a_spread_of_nothing_is_nothing() {
        let spread = |samples: &[f64]| Spread::of(samples.iter().copied());
        assert_eq!((spread(&[]).median, spread(&[]).max), (0.0, 0.0));
        assert_eq!((spread(&[3.0, 1.0, 2.0]).median, spread(&[3.0, 1.0, 2.0]).max), (2.0, 3.0));
    }
}
