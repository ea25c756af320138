//! `citybrain hotspots`: messages of a file, in the order of their time, grouped into issues.
//!
//! Reads the file whole, since what is not in order has to be put in order. A row without a time or without a text is
//! in no issue; it is counted and told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use hotspots::{Hotspots, Matter, MatterId, Membership, Message, Options, Raised, Tie};
use serde::Serialize;

use crate::context::Context;
use crate::table::{Output, Rows};

/// Group the messages of a file into hot issues / 把一个文件里的留言归成热点问题.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Messages: CSV, JSON lines or Parquet; .gz, .zst too
    #[arg(long = "in", value_name = "FILE")]
    pub input: PathBuf,
    /// Columns of the text; of several, the first is the title
    #[arg(long, value_name = "COL[,COL]", value_delimiter = ',', required = true)]
    pub text: Vec<String>,
    /// Column of the time
    #[arg(long, value_name = "COL")]
    pub time: String,
    /// Column of the caller; without it each message has a caller of its own
    #[arg(long, value_name = "COL")]
    pub user: Option<String>,
    /// Column of the id; without it the number of the row, from 1
    #[arg(long, value_name = "COL")]
    pub id: Option<String>,
    /// Column of the likes
    #[arg(long, value_name = "COL")]
    pub likes: Option<String>,
    /// Only so many issues, the hottest
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Issues: JSON lines, the hottest first
    #[arg(long, value_name = "FILE.jsonl")]
    pub out: PathBuf,
}

/// One message of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Its id, or its number.
    pub id: String,
    /// Its caller, or `""`.
    pub caller: String,
    /// The first of several columns of text.
    pub title: String,
    /// The rest.
    pub text: String,
    /// When it came, microseconds since 1970; of a time without a zone as if it were UTC.
    pub time_us: i64,
    /// Whether the time named its zone.
    pub zoned: bool,
    /// Its likes.
    pub likes: u64,
}

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// Messages in the order of their time; of one time, in the order of the file.
    pub rows: Vec<Row>,
    /// Rows that cannot be read.
    pub unreadable: u64,
    /// Rows whose text is empty.
    pub without_text: u64,
    /// Rows whose time cannot be read.
    pub without_time: u64,
}

/// One hot issue as it is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Issue {
    /// Its place among the issues, from 1.
    pub rank: usize,
    /// The line that says it best.
    pub title: String,
    /// Where it is, or `""`.
    pub place: String,
    /// Its messages, in the order of their time.
    pub members: Vec<String>,
    /// Different callers among them.
    pub callers: u64,
    /// Callers with several reports.
    pub repeat_callers: Vec<RepeatCaller>,
    /// Time of its first message.
    pub first: String,
    /// Time of its last message.
    pub last: String,
    /// When it was raised, if it was.
    pub raised_at: Option<String>,
    /// After how many messages.
    pub raised_after: Option<u64>,
    /// Its highest heat.
    pub score: f64,
    /// Why each message belongs to it; the first began it.
    pub why: Vec<Why>,
}

/// A caller with several reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepeatCaller {
    /// Who.
    pub caller: String,
    /// How many.
    pub reports: u32,
}

/// Why a message belongs to its issue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// The message.
    pub id: String,
    /// What tied it; `null` when it began a matter.
    pub tie: Option<Tie>,
}

/// What a stream of messages gave.
#[derive(Debug, Clone, Default)]
pub struct Grouped {
    /// Issues of at least two messages, the hottest first.
    pub issues: Vec<Issue>,
    /// The matter of each message, in the order of the messages, after all that turned out to be one were joined.
    pub matters: Vec<MatterId>,
    /// What was raised, in the order of time.
    pub raised: Vec<Raised>,
    /// Most matters that were live at one time.
    pub live_max: usize,
}

impl Args {
    /// Reads, groups, writes.
    pub fn run(&self, context: &Context) -> Result<()> {
        ensure!(self.top != Some(0), "--top 0 asks for no issue; name 1 or more, or leave it out for all");
        let messages = self.read()?;
        let bar = context.progress(messages.rows.len() as u64, context.t("归并留言", "grouping messages"));
        let grouped = group(&messages.rows, Options::default(), &mut || bar.inc(1));
        bar.finish_and_clear();
        let mut out = Output::create(&self.out)?;
        let top = self.top.unwrap_or(usize::MAX);
        for issue in grouped.issues.iter().take(top) {
            out.json_line(issue)?;
        }
        out.finish()?;
        let raised = grouped.issues.iter().take(top).filter(|issue| issue.raised_at.is_some()).count();
        let counts = [("messages", messages.rows.len() as u64), ("issues", grouped.issues.len().min(top) as u64), ("raised", raised as u64)];
        let lost = [("unreadable", messages.unreadable), ("without_text", messages.without_text), ("without_time", messages.without_time)];
        if context.json {
            let told: BTreeMap<&str, u64> = counts.into_iter().chain(lost).collect();
            println!("{}", serde_json::to_string(&told)?);
        } else if !context.quiet {
            println!("{}: {} {}, {} {}, {} {}", self.out.display(), counts[0].1, context.t("条留言", "messages"), counts[1].1, context.t("个问题", "issues"), raised, context.t("个热点", "raised"));
        }
        if lost.iter().any(|(_, count)| *count > 0) {
            let what = context.t("不在任何问题里：读不了的行、没有文字的、时间读不了的", "in no issue: rows that cannot be read, without a text, without a time that can be read");
            eprintln!("{what}: {}, {}, {}", messages.unreadable, messages.without_text, messages.without_time);
        }
        Ok(())
    }

    /// Reads the messages of the file into the order of their time.
    pub fn read(&self) -> Result<Messages> {
        let optional: Vec<&String> = [&self.user, &self.id, &self.likes].into_iter().flatten().collect();
        let wanted: Vec<&String> = self.text.iter().chain([&self.time]).chain(optional).collect();
        read(&self.input, &wanted, self)
    }
}

fn read(path: &Path, wanted: &[&String], args: &Args) -> Result<Messages> {
    let mut messages = Messages::default();
    for row in Rows::open(path, wanted)? {
        let row = row?;
        if row.problem.is_some() {
            messages.unreadable += 1;
            continue;
        }
        let mut cells = row.cells.into_iter();
        let mut texts: Vec<String> = cells.by_ref().take(args.text.len()).collect();
        let time = cells.next().unwrap_or_default();
        let mut next = |given: bool| if given { cells.next() } else { None };
        let (caller, id, likes) = (next(args.user.is_some()), next(args.id.is_some()), next(args.likes.is_some()));
        let title = if texts.len() > 1 { texts.remove(0) } else { String::new() };
        let text = texts.join("\n");
        let Some((time_us, zoned)) = time_us(&time) else {
            messages.without_time += 1;
            continue;
        };
        if title.trim().is_empty() && text.trim().is_empty() {
            messages.without_text += 1;
            continue;
        }
        let likes = likes.and_then(|likes| likes.trim().parse::<f64>().ok()).map_or(0, |likes| likes.max(0.0) as u64);
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| row.number.to_string());
        messages.rows.push(Row { id, caller: caller.unwrap_or_default().trim().to_owned(), title, text, time_us, zoned, likes });
    }
    messages.rows.sort_by_key(|row| row.time_us);
    Ok(messages)
}

/// Groups messages that are in the order of their time; `done` is called after each.
pub fn group(rows: &[Row], options: Options, done: &mut dyn FnMut()) -> Grouped {
    let mut hotspots = Hotspots::new(options);
    let mut grouped = Grouped::default();
    let mut ties: Vec<Option<Tie>> = Vec::with_capacity(rows.len());
    let mut homes: BTreeMap<MatterId, MatterId> = BTreeMap::new();
    let mut ended: BTreeMap<MatterId, Matter> = BTreeMap::new();
    for row in rows {
        let message = Message { id: &row.id, caller: &row.caller, title: &row.title, text: &row.text, place: "", time_us: row.time_us, likes: row.likes };
        let Membership { matter, tie, merged, raised, retired, .. } = hotspots.observe(&message);
        grouped.matters.push(matter);
        ties.push(tie);
        homes.extend(merged.into_iter().map(|gone| (gone, matter)));
        grouped.raised.extend(raised);
        ended.extend(retired.into_iter().map(|matter| (matter.id, matter)));
        grouped.live_max = grouped.live_max.max(hotspots.matters().len());
        done();
    }
    // A matter that was merged away lives on in its home, and so does what was raised of it.
    for matter in grouped.matters.iter_mut().chain(grouped.raised.iter_mut().map(|raised| &mut raised.matter)) {
        while let Some(home) = homes.get(matter) {
            *matter = *home;
        }
    }
    ended.extend(hotspots.matters().map(|matter| (matter.id, matter.clone())));
    grouped.issues = issues(rows, &grouped.matters, ties, &ended);
    grouped
}

fn issues(rows: &[Row], matters: &[MatterId], mut ties: Vec<Option<Tie>>, ended: &BTreeMap<MatterId, Matter>) -> Vec<Issue> {
    let mut members: BTreeMap<MatterId, Vec<usize>> = BTreeMap::new();
    for (at, matter) in matters.iter().enumerate() {
        members.entry(*matter).or_default().push(at);
    }
    let zoned_at = |us: i64, members: &[usize]| shown(us, members.iter().any(|at| rows[*at].zoned));
    let mut issues: Vec<Issue> = Vec::new();
    for (matter, members) in members.into_iter().filter(|(_, members)| members.len() > 1) {
        let Some(matter) = ended.get(&matter) else { continue };
        let repeat_callers = matter.repeat_callers().into_iter().map(|(caller, reports)| RepeatCaller { caller: caller.to_owned(), reports }).collect();
        issues.push(Issue {
            rank: 0,
            title: matter.title.clone(),
            place: matter.place().to_owned(),
            callers: matter.callers,
            repeat_callers,
            first: zoned_at(matter.first_us, &members),
            last: zoned_at(matter.last_us, &members),
            raised_at: matter.raised.map(|(at_us, _)| zoned_at(at_us, &members)),
            raised_after: matter.raised.map(|(_, reports)| reports),
            score: matter.peak_heat(),
            why: members.iter().map(|at| Why { id: rows[*at].id.clone(), tie: ties[*at].take() }).collect(),
            members: members.iter().map(|at| rows[*at].id.clone()).collect(),
        });
    }
    issues.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.first.cmp(&b.first)).then_with(|| a.members.cmp(&b.members)));
    for (at, issue) in issues.iter_mut().enumerate() {
        issue.rank = at + 1;
    }
    issues
}

/// A time as it occurs in files: microseconds since 1970, and whether it named its zone.
pub fn time_us(text: &str) -> Option<(i64, bool)> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some((time.timestamp_micros(), true));
    }
    // One way to write the same: 2019/2/28, 2019.2.28 and 2019年2月28日 become 2019-2-28.
    let (date, time) = match text.find([' ', 'T', '日']) {
        Some(at) => (&text[..at], text[at..].trim_start_matches([' ', 'T', '日'])),
        None => (text, ""),
    };
    let date: String = date.chars().map(|c| if matches!(c, '/' | '.' | '年' | '月') { '-' } else { c }).collect();
    if time.is_empty() {
        let midnight = NaiveDate::parse_from_str(&date, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
        return Some((midnight.and_utc().timestamp_micros(), false));
    }
    let whole = format!("{date} {time}");
    let zoned = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z", "%Y-%m-%d %H:%M%#z"];
    if let Some(time) = zoned.iter().find_map(|format| DateTime::parse_from_str(&whole, format).ok()) {
        return Some((time.timestamp_micros(), true));
    }
    let local = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p"];
    local.iter().find_map(|format| NaiveDateTime::parse_from_str(&whole, format).ok()).map(|time| (time.and_utc().timestamp_micros(), false))
}

/// A time as it is written: with `Z` when the file named zones, else as the local time that it was.
fn shown(us: i64, zoned: bool) -> String {
    let Some(time) = DateTime::from_timestamp_micros(us) else { return String::new() };
    let text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
    if zoned { text + "Z" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_they_occur() {
        let at = |text: &str| time_us(text).map(|(us, zoned)| (shown(us, zoned), zoned));
        let local = Some(("2019-02-28T11:25:00".to_owned(), false));
        for text in ["2019/2/28 11:25:00", "2019-02-28 11:25", "2019-2-28T11:25:00.0", " 2019年2月28日 11:25", "2019.2.28 11:25", "2019/02/28 11:25 AM"] {
            assert_eq!(at(text), local, "{text}");
        }
        assert_eq!(at("2019-02-28T11:25:00+08:00"), Some(("2019-02-28T03:25:00Z".to_owned(), true)));
        assert_eq!(at("2019-02-28 11:25:00+0800"), Some(("2019-02-28T03:25:00Z".to_owned(), true)));
        assert_eq!(at("2019/2/28"), Some(("2019-02-28T00:00:00".to_owned(), false)));
        for text in ["", "soon", "2019/2/30", "2019-02-28 25:00", "日", "9999999999999-1-1"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    fn args(folder: &Path, csv: &str) -> Args {
        std::fs::write(folder.join("in.csv"), csv).unwrap();
        let column = |name: &str| Some(name.to_owned());
        Args { input: folder.join("in.csv"), text: vec!["text".into()], time: "time".into(), user: column("user"), id: column("id"), likes: None, top: None, out: folder.join("out.jsonl") }
    }

    #[test]
    fn rows_without_time_or_text_are_counted_and_the_rest_is_put_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let csv = "id,user,time,text\n3,c,2024-05-03,清风新城附近的搅拌站噪音扰民\n1,a,2024-05-01,清风新城旁边的搅拌站夜里太吵\n2,b,soon,清风新城搅拌站\n4,d,2024-05-04,\n5,short\n";
        let args = args(folder.path(), csv);
        let messages = args.read().unwrap();
        assert_eq!((messages.unreadable, messages.without_text, messages.without_time), (1, 1, 1));
        assert_eq!(messages.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
        let context = Context { home: PathBuf::new(), data: None, json: false, quiet: true, zh: true };
        args.run(&context).unwrap();
        let out = std::fs::read_to_string(&args.out).unwrap();
        let issue: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        assert_eq!(issue["members"], serde_json::json!(["1", "3"]));
        assert_eq!(issue["place"], "清风新城");
        assert_eq!(issue["first"], "2024-05-01T00:00:00");
        assert_eq!(issue["raised_at"], serde_json::Value::Null);
        assert!(issue["why"][1]["tie"]["words"].as_array().unwrap().iter().any(|word| word == "concrete plant"), "{issue}");
    }
}
