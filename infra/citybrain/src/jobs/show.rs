//! Jobs as people and Prometheus read them: `job list`, `job explain`, the families of `/metrics`.

use anyhow::Result;
use chrono::{DateTime, Utc};
use pipelines::Job;
use serde_json::json;

use super::catalog::{Catalog, Entry, Wish};
use super::figures::{Figures, Step};
use super::io;
use super::manager::Report;
use crate::cli::Invocation;
use crate::home::Home;
use crate::items::print_table;
use crate::lake::Row;
use crate::lang::t;

/// Longest error in a label of a metric.
const ERROR_CHARS: usize = 200;

/// Longest description in a list.
const DESCRIPTION_CHARS: usize = 72;

/// Prometheus text of all jobs.
pub fn metrics(reports: &[Report]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Report) -> Option<String>| {
        text.push_str(&format!("# HELP citybrain_job_{name} {help}\n# TYPE citybrain_job_{name} {kind}\n"));
        for report in reports {
            if let Some(value) = value(report) {
                text.push_str(&format!("citybrain_job_{name}{{job=\"{}\"}} {value}\n", report.name));
            }
        }
    };
    let now = Utc::now();
    let number = |of: fn(&Figures) -> u64| move |report: &Report| Some(of(&report.figures).to_string());
    family("up", "gauge", "Whether a job runs.", &|report| Some(u8::from(report.state == "running").to_string()));
    family("epoch", "gauge", "Last epoch that is done.", &number(|figures| figures.epoch));
    family("rows_in_total", "counter", "Rows read.", &number(|figures| figures.rows_in));
    family("rows_out_total", "counter", "Rows given.", &number(|figures| figures.rows_out));
    family("rows_late_total", "counter", "Rows that came too late.", &number(|figures| figures.late));
    family("state_bytes", "gauge", "Bytes of the state.", &number(|figures| figures.state_bytes));
    family("state_memory_bytes", "gauge", "Bytes of the state that are in memory.", &number(|figures| figures.state_memory_bytes));
    family("state_disk_bytes", "gauge", "Bytes of the state's files.", &number(|figures| figures.state_disk_bytes));
    family("open_windows", "gauge", "Windows that are open.", &number(|figures| figures.open_windows));
    family("lag_records", "gauge", "Records that are not worked off.", &|report| Some(report.figures.lag_records.to_string()));
    family("lag_seconds", "gauge", "Age of the last record that was worked off, while others wait.", &|report| Some(format!("{:.3}", report.figures.lag_seconds)));
    family("watermark_behind_seconds", "gauge", "How far event time is behind the clock.", &|report| behind(&report.figures, now).map(|seconds| format!("{seconds:.3}")));
    family("busy_seconds_total", "counter", "Time spent in epochs.", &|report| Some(format!("{:.3}", report.figures.busy_ms as f64 / 1e3)));
    family("failures_total", "counter", "Failures.", &|report| Some(report.failures.to_string()));
    text.push_str("# HELP citybrain_job_error What people should know about a job, while there is something.\n# TYPE citybrain_job_error gauge\n");
    for report in reports {
        if let Some(note) = &report.note {
            text.push_str(&format!("citybrain_job_error{{job=\"{}\",error=\"{}\"}} 1\n", report.name, label(note)));
        }
    }
    for (name, kind, help, value) in STEP_FAMILIES {
        text.push_str(&format!("# HELP citybrain_job_step_{name} {help}\n# TYPE citybrain_job_step_{name} {kind}\n"));
        for report in reports {
            for step in &report.figures.steps {
                text.push_str(&format!("citybrain_job_step_{name}{{job=\"{}\",step=\"{}\"}} {}\n", report.name, label(&step.id), value(step)));
            }
        }
    }
    text
}

/// A family of the steps: name, kind, meaning, value.
type StepFamily = (&'static str, &'static str, &'static str, fn(&Step) -> u64);

const STEP_FAMILIES: [StepFamily; 4] = [
    ("rows_in_total", "counter", "Rows that went into a step.", |step| step.rows_in),
    ("rows_out_total", "counter", "Rows that came out of a step.", |step| step.rows_out),
    ("busy_milliseconds_total", "counter", "Time that a step has worked.", |step| step.busy_ms),
    ("state_rows", "gauge", "Rows that a step keeps.", |step| step.state_rows),
];

/// A text as the value of a label.
fn label(text: &str) -> String {
    let short: String = text.chars().take(ERROR_CHARS).collect();
    short.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Seconds that event time is behind `now`.
fn behind(figures: &Figures, now: DateTime<Utc>) -> Option<f64> {
    // The watermark of a source that has ended lies beyond all times.
    figures.watermark.map(|watermark| ((now - watermark).num_milliseconds() as f64 / 1e3).max(0.0))
}

/// The first sentence of a job's description.
pub fn first_sentence(job: &Job) -> String {
    let text = job.description().split_whitespace().collect::<Vec<_>>().join(" ");
    let end = text.find(". ").or_else(|| text.find('。')).map_or(text.len(), |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    text[..end].to_owned()
}

/// Reports about jobs of which nothing runs: what the files say.
///
/// # Errors
/// When the folder cannot be read.
pub fn at_rest(home: &Home) -> Result<Vec<Report>> {
    let entries = Catalog::new(home).look()?;
    Ok(entries.into_iter().map(|(name, entry)| resting(home, name, &entry)).collect())
}

fn resting(home: &Home, name: String, entry: &Entry) -> Report {
    let job = entry.job.as_ref().ok();
    let note = match (&entry.job, Wish::Off.is_there(home, &name)) {
        (Err(error), _) => Some(error.clone()),
        (Ok(_), true) => Some(t("由人停止", "stopped by hand").to_owned()),
        (Ok(_), false) => None,
    };
    let state_bytes = io::state_bytes(&super::record::state_dir(home, &name));
    Report {
        description: job.map(first_sentence).unwrap_or_default(),
        state: "stopped".to_owned(),
        note,
        retries: false,
        from_file: entry.from_file,
        pack: entry.pack.clone(),
        version: None,
        asked: job.map(Job::digest),
        target: job.map(io::target_name).unwrap_or_default(),
        plan: job.map(Job::explain).unwrap_or_default(),
        failures: 0,
        figures: Figures { state_bytes, state_disk_bytes: state_bytes, ..Figures::default() },
        name,
    }
}

/// `job list`.
///
/// # Errors
/// When the report cannot be written as JSON.
pub fn list(context: &Invocation, reports: &[Report]) -> Result<()> {
    if context.global.json {
        let items: Vec<_> = reports.iter().map(item).collect();
        println!("{}", serde_json::to_string_pretty(&items)?);
        return Ok(());
    }
    let rows: Vec<Row> = reports.iter().map(|report| line(report, Utc::now())).collect();
    print_table(&["name", "state", "epoch", "watermark", "lag", "lag_s", "rows/s", "state_bytes", "description"], &rows);
    for report in reports {
        if let Some(note) = &report.note {
            let again = if report.retries { t("（会自动重试）", " (it is tried again)") } else { "" };
            println!("\n{}: {note}{again}", report.name);
        }
    }
    Ok(())
}

fn item(report: &Report) -> serde_json::Value {
    let mut item = serde_json::to_value(report).expect("a report is text and finite numbers");
    if let Some(fields) = item.as_object_mut() {
        fields.remove("plan");
        let figures = fields.remove("figures").and_then(|figures| figures.as_object().cloned());
        fields.extend(figures.unwrap_or_default());
    }
    item
}

fn line(report: &Report, now: DateTime<Utc>) -> Row {
    let figures = &report.figures;
    let runs = report.state == "running";
    let shown = |value: serde_json::Value| if runs { value } else { serde_json::Value::Null };
    let cells = json!({
        "name": report.name,
        "state": state_name(&report.state),
        "epoch": shown(figures.epoch.into()),
        "watermark": figures.watermark.map(|watermark| time(watermark, now)),
        "lag": shown(figures.lag_records.into()),
        "lag_s": shown(format!("{:.1}", figures.lag_seconds).into()),
        "rows/s": shown(format!("{:.0}", figures.rows_per_second).into()),
        "state_bytes": figures.state_bytes,
        "description": shortened(&report.description),
    });
    cells.as_object().cloned().unwrap_or_default()
}

/// A description as it fits a line.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(DESCRIPTION_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn state_name(state: &str) -> &str {
    match state {
        "running" => t("运行", "running"),
        "failed" => t("失败", "failed"),
        _ => t("停止", "stopped"),
    }
}

fn time(watermark: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match watermark > now + chrono::TimeDelta::days(366) {
        true => t("已结束", "ended").to_owned(),
        false => watermark.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    }
}

/// `job explain`: the plan, and while the job runs the numbers of each step.
///
/// # Errors
/// When the report cannot be written as JSON.
pub fn explain(context: &Invocation, report: &Report) -> Result<()> {
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    println!("{}", report.plan.trim_end());
    if report.state == "running" {
        println!("\n{}", live(report, Utc::now()).trim_end());
    }
    if let Some(note) = &report.note {
        println!("\n{}: {note}", state_name(&report.state));
    }
    Ok(())
}

/// The numbers of a running job, drawn along its steps.
fn live(report: &Report, now: DateTime<Utc>) -> String {
    let figures = &report.figures;
    let mut text = format!(
        "{} {}  {} {}  {} {}  {} {} ({:.1} s)  {} {}  {} {}\n",
        t("轮次", "epoch"), figures.epoch,
        t("水位线", "watermark"), figures.watermark.map_or("-".to_owned(), |watermark| time(watermark, now)),
        t("打开的窗口", "open windows"), figures.open_windows,
        t("积压", "lag"), figures.lag_records, figures.lag_seconds,
        t("状态字节", "state bytes"), figures.state_bytes,
        t("迟到", "late"), figures.late,
    );
    for (index, step) in figures.steps.iter().enumerate() {
        let pass = step.selectivity_per_mille().map_or("-".to_owned(), |share| format!("{}.{} %", share / 10, share % 10));
        text.push_str(&format!("{}{} {}\n", "  ".repeat(index), if index == 0 { "●" } else { "└▶" }, step.label));
        text.push_str(&format!(
            "{}   {} {}  {} {}  {:.0}/s  {} {pass}{}\n",
            "  ".repeat(index),
            t("进", "in"), step.rows_in,
            t("出", "out"), step.rows_out,
            step.rows_per_second,
            t("通过", "passes"),
            kept(step),
        ));
    }
    text
}

/// What a step keeps and how long it worked, when it says so.
fn kept(step: &Step) -> String {
    if step.busy_ms == 0 && step.state_rows == 0 {
        return String::new();
    }
    format!(
        "  {} {:.1} s  {} {} {}  {} {}",
        t("耗时", "busy"), step.busy_ms as f64 / 1e3,
        t("保留", "keeps"), step.state_rows, t("行", "rows"),
        t("窗口", "windows"), step.open_windows
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let figures = Figures {
            epoch: 7,
            rows_in: 10,
            rows_out: 5,
            steps: vec![Step { id: "source".into(), label: "raw.sensor".into(), rows_in: 10, rows_out: 5, ..Step::default() }],
            ..Figures::default()
        };
        Report {
            name: "busy".into(),
            description: "Counts.".into(),
            state: "failed".into(),
            note: Some("a \"quoted\"\nreason".into()),
            retries: true,
            from_file: true,
            pack: None,
            version: None,
            asked: None,
            target: "table gold.n".into(),
            plan: "job busy".into(),
            failures: 3,
            figures,
        }
    }

    #[test]
    fn a_reason_stays_on_its_line_of_the_metrics() {
        let text = metrics(&[report()]);
        assert!(text.contains("citybrain_job_error{job=\"busy\",error=\"a \\\"quoted\\\"\\nreason\"} 1\n"), "{text}");
        for line in ["citybrain_job_up{job=\"busy\"} 0", "citybrain_job_epoch{job=\"busy\"} 7", "citybrain_job_failures_total{job=\"busy\"} 3", "citybrain_job_step_rows_out_total{job=\"busy\",step=\"source\"} 5"] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("watermark_behind_seconds{"), "a job without a watermark has no distance to it");
    }

    #[test]
    fn the_drawing_shows_what_passes_each_step() {
        assert!(live(&report(), Utc::now()).contains("50.0 %"));
    }
}
