//! `eval hotspots`: whether one matter in many words is found as one, beside two simple ways to group.
//!
//! Planted matters are measured pair by pair of messages; the stream of 2019, where it is there, by its two issues
//! that published solutions agree on. What those solutions grouped is printed beside, and is not the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Result;
use hotspots::{Options, PlaceKind};
use serde::Serialize;

use super::hotspots_planted::{Part, Planted, plant};
use crate::context::Context;
use crate::hotspots::{Args, Grouped, Row, group};
use crate::table::Rows;

const STREAM: &str = "hotline_messages/hotspot_stream_2019.csv.gz";
const PEERS: &str = "hotline_messages/hotspot_peer_clusters.csv";
/// The two agreed issues: a word of each that its messages mention.
const AGREED: &[(&str, &str)] = &[("丽发新城", "搅拌"), ("伊景园", "车位")];
const SEEDS: &[u64] = &[1, 2, 3];
const YEAR_2019_US: (i64, i64) = (1_546_300_800_000_000, 1_577_836_800_000_000);
const RAISED_WITHIN_US: i64 = 300_000_000;
const REPORTS: usize = 10;

/// Pairs of messages: how many are rightly together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pairs {
    /// Share of the pairs together that belong together.
    pub precision: f64,
    /// Share of the pairs that belong together that are.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// Figures of one way to group, on one part of the planted matters.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    part: &'static str,
    background: usize,
    method: &'static str,
    #[serde(flatten)]
    pairs: Pairs,
    /// Share of the matters of ten reports and more that were raised within five minutes of the tenth.
    raised_in_time: Option<f64>,
}

/// How one agreed issue came out.
#[derive(Debug, Clone, Serialize)]
struct Agreed {
    place: &'static str,
    mentions: usize,
    rank: Option<usize>,
    title: String,
    members: usize,
    members_that_mention: usize,
    raised_at: Option<String>,
    raised_after: Option<u64>,
    tenth_report_at_us: i64,
    in_time: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Report {
    planted: Vec<Measured>,
    agreed: Vec<Agreed>,
    baseline_ranks: Vec<(&'static str, Vec<Option<usize>>)>,
    peers: Vec<(String, Pairs)>,
    top: Vec<(usize, String, usize, u64, f64)>,
    messages: usize,
    messages_per_second: f64,
    live_matters_max: usize,
}

/// Evaluates and prints.
pub fn run(context: &Context) -> Result<()> {
    let stream = context.data_file(STREAM).ok().map(|input| {
        let column = |name: &str| Some(name.to_owned());
        let text = vec!["留言主题".to_owned(), "留言详情".to_owned()];
        Args { input, text, time: "留言时间".into(), user: column("留言用户"), id: column("留言编号"), likes: column("点赞数"), top: None, out: "unused.jsonl".into() }.read()
    });
    let stream = stream.transpose()?.map(|messages| messages.rows);
    let background = stream.clone().unwrap_or_default();
    let threshold = bigram_threshold();
    let mut report = Report { planted: Vec::new(), agreed: Vec::new(), baseline_ranks: Vec::new(), peers: Vec::new(), top: Vec::new(), messages: 0, messages_per_second: 0.0, live_matters_max: 0 };
    for (part, name) in [(Part::Development, "development"), (Part::HeldOut, "held out")] {
        for rows in [&background[..], &[]] {
            report.planted.extend(measure(part, name, rows, threshold));
            if background.is_empty() {
                break;
            }
        }
    }
    if let Some(rows) = &stream {
        agreed_issues(context, rows, threshold, &mut report)?;
    }
    if context.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(context, &report, stream.is_some());
    }
    Ok(())
}

/// Planted messages among others, in the order of time; the truth of each is `None` for the others.
fn mixed(planted: Planted, background: &[Row]) -> (Vec<Row>, Vec<Option<usize>>) {
    let mut all: Vec<(Row, Option<usize>)> = planted.rows.into_iter().zip(planted.truth.into_iter().map(Some)).collect();
    all.extend(background.iter().map(|row| (row.clone(), None)));
    all.sort_by_key(|(row, _)| row.time_us);
    all.into_iter().unzip()
}

fn measure(part: Part, name: &'static str, background: &[Row], threshold: f64) -> Vec<Measured> {
    let mut sums: BTreeMap<&'static str, Vec<Pairs>> = BTreeMap::new();
    let (mut due, mut in_time) = (0, 0);
    for seed in SEEDS {
        let (rows, truth) = mixed(plant(part, *seed, YEAR_2019_US.0, YEAR_2019_US.1), background);
        let grouped = group(&rows, Options::default(), &mut || {});
        sums.entry("hotspots").or_default().push(pairs(&grouped.matters, &truth));
        sums.entry("place string").or_default().push(pairs(&by_place(&rows), &truth));
        sums.entry("bigram cosine").or_default().push(pairs(&by_bigrams(&rows, threshold), &truth));
        let (raised, all) = raised_in_time(&rows, &truth, &grouped);
        due += all;
        in_time += raised;
    }
    let mean = |of: &[Pairs], field: fn(&Pairs) -> f64| of.iter().map(field).sum::<f64>() / of.len().max(1) as f64;
    sums.into_iter()
        .map(|(method, of)| Measured {
            part: name,
            background: background.len(),
            method,
            pairs: Pairs { precision: mean(&of, |p| p.precision), recall: mean(&of, |p| p.recall), f1: mean(&of, |p| p.f1) },
            raised_in_time: (method == "hotspots").then(|| f64::from(in_time) / f64::from(due.max(1))),
        })
        .collect()
}

/// Matters of ten reports and more whose issue was raised within five minutes of the tenth, and how many there are.
fn raised_in_time(rows: &[Row], truth: &[Option<usize>], grouped: &Grouped) -> (u32, u32) {
    let mut times: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, matter) in truth.iter().enumerate() {
        if let Some(matter) = matter {
            times.entry(*matter).or_default().push(at);
        }
    }
    let mut raised_us: BTreeMap<u64, i64> = BTreeMap::new();
    for raised in &grouped.raised {
        raised_us.entry(raised.matter).or_insert(raised.time_us);
    }
    let (mut in_time, mut due) = (0, 0);
    for members in times.values().filter(|members| members.len() >= REPORTS) {
        due += 1;
        let mut homes: BTreeMap<u64, usize> = BTreeMap::new();
        for at in members {
            *homes.entry(grouped.matters[*at]).or_default() += 1;
        }
        let home = homes.into_iter().max_by_key(|(_, count)| *count).map(|(home, _)| home);
        let raised = home.and_then(|home| raised_us.get(&home));
        in_time += u32::from(raised.is_some_and(|us| *us <= rows[members[REPORTS - 1]].time_us + RAISED_WITHIN_US));
    }
    (in_time, due)
}

/// Pairs with at least one message whose matter is known; a message without one belongs with no such message.
fn pairs(groups: &[u64], truth: &[Option<usize>]) -> Pairs {
    let pair = |n: u64| n * n.saturating_sub(1) / 2;
    let mut cells: BTreeMap<(u64, Option<usize>), u64> = BTreeMap::new();
    for (group, matter) in groups.iter().zip(truth) {
        *cells.entry((*group, *matter)).or_default() += 1;
    }
    let (mut group_sizes, mut unknown, mut matter_sizes): (BTreeMap<u64, u64>, BTreeMap<u64, u64>, BTreeMap<usize, u64>) = Default::default();
    let mut right = 0;
    for ((group, matter), count) in cells {
        *group_sizes.entry(group).or_default() += count;
        match matter {
            Some(matter) => {
                *matter_sizes.entry(matter).or_default() += count;
                right += pair(count);
            }
            None => *unknown.entry(group).or_default() += count,
        }
    }
    let together: u64 = group_sizes.iter().map(|(group, size)| pair(*size) - pair(unknown.get(group).copied().unwrap_or(0))).sum();
    let belong: u64 = matter_sizes.values().map(|size| pair(*size)).sum();
    let share = |of: u64| if of > 0 { right as f64 / of as f64 } else { 0.0 };
    let (precision, recall) = (share(together), share(belong));
    let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
    Pairs { precision, recall, f1 }
}

/// Baseline: the first site or road that is named, letter by letter.
fn by_place(rows: &[Row]) -> Vec<u64> {
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    let mut next = 0;
    let mut new = || {
        next += 1;
        next
    };
    let group = |row: &Row| {
        let places = hotspots::places(&format!("{} {}", row.title, row.text));
        let first = places.into_iter().find(|place| matches!(place.kind, PlaceKind::Site | PlaceKind::Road));
        match first {
            Some(place) => *groups.entry(place.name).or_insert_with(&mut new),
            None => new(),
        }
    };
    rows.iter().map(group).collect()
}

/// Baseline: one pass, cosine of the counts of character pairs to the sum of each group, one threshold.
fn by_bigrams(rows: &[Row], threshold: f64) -> Vec<u64> {
    struct Group {
        sum: BTreeMap<[char; 2], f64>,
        square: f64,
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut index: BTreeMap<[char; 2], Vec<usize>> = BTreeMap::new();
    let mut homes = Vec::with_capacity(rows.len());
    for row in rows {
        let chars: Vec<char> = row.title.chars().chain(row.text.chars().take(150)).filter(|c| c.is_alphanumeric()).collect();
        let mut said: BTreeMap<[char; 2], f64> = BTreeMap::new();
        for pair in chars.windows(2) {
            *said.entry([pair[0], pair[1]]).or_default() += 1.0;
        }
        let mut dots: BTreeMap<usize, f64> = BTreeMap::new();
        for (pair, count) in &said {
            for group in index.get(pair).into_iter().flatten() {
                *dots.entry(*group).or_default() += count * groups[*group].sum[pair];
            }
        }
        let norm = said.values().map(|count| count * count).sum::<f64>().sqrt();
        let best = dots.into_iter().map(|(group, dot)| (dot / (norm * groups[group].square.sqrt()), group)).max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let home = best.filter(|(cosine, _)| *cosine >= threshold).map(|(_, group)| group).unwrap_or_else(|| {
            groups.push(Group { sum: BTreeMap::new(), square: 0.0 });
            groups.len() - 1
        });
        let group = &mut groups[home];
        for (pair, count) in said {
            let sum = group.sum.entry(pair).or_insert_with(|| {
                index.entry(pair).or_default().push(home);
                0.0
            });
            group.square += (*sum + count).powi(2) - sum.powi(2);
            *sum += count;
        }
        homes.push(home as u64);
    }
    homes
}

/// The threshold that serves the baseline best on the development part.
fn bigram_threshold() -> f64 {
    let (rows, truth) = mixed(plant(Part::Development, SEEDS[0], YEAR_2019_US.0, YEAR_2019_US.1), &[]);
    let f1 = |threshold: f64| pairs(&by_bigrams(&rows, threshold), &truth).f1;
    [0.25, 0.3, 0.35, 0.4, 0.5].into_iter().map(|threshold| (f1(threshold), threshold)).max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.3, |(_, threshold)| threshold)
}

fn agreed_issues(context: &Context, rows: &[Row], threshold: f64, report: &mut Report) -> Result<()> {
    let begin = Instant::now();
    let grouped = group(rows, Options::default(), &mut || {});
    report.messages = rows.len();
    report.messages_per_second = rows.len() as f64 / begin.elapsed().as_secs_f64();
    report.live_matters_max = grouped.live_max;
    let by_id: BTreeMap<&str, usize> = rows.iter().enumerate().map(|(at, row)| (row.id.as_str(), at)).collect();
    let mentions = |row: &Row, word: &str| row.title.contains(word) || row.text.contains(word);
    for (place, about) in AGREED {
        let all: Vec<&Row> = rows.iter().filter(|row| mentions(row, place)).collect();
        // The tenth report of the issue itself: it names the place and what is wrong.
        let tenth_us = all.iter().filter(|row| mentions(row, about)).nth(REPORTS - 1).map_or(i64::MAX, |row| row.time_us);
        let count = |members: &[String]| members.iter().filter(|id| mentions(&rows[by_id[id.as_str()]], place)).count();
        let issue = grouped.issues.iter().max_by_key(|issue| count(&issue.members));
        let home = issue.and_then(|issue| issue.members.first()).map(|id| grouped.matters[by_id[id.as_str()]]);
        let raised_us = grouped.raised.iter().find(|raised| Some(raised.matter) == home).map(|raised| raised.time_us);
        report.agreed.push(Agreed {
            place,
            mentions: all.len(),
            rank: issue.map(|issue| issue.rank),
            title: issue.map(|issue| issue.title.clone()).unwrap_or_default(),
            members: issue.map_or(0, |issue| issue.members.len()),
            members_that_mention: issue.map_or(0, |issue| count(&issue.members)),
            raised_at: issue.and_then(|issue| issue.raised_at.clone()),
            raised_after: issue.and_then(|issue| issue.raised_after),
            tenth_report_at_us: tenth_us,
            in_time: raised_us.is_some_and(|us| us <= tenth_us.saturating_add(RAISED_WITHIN_US)),
        });
    }
    for (method, groups) in [("place string", by_place(rows)), ("bigram cosine", by_bigrams(rows, threshold))] {
        report.baseline_ranks.push((method, AGREED.iter().map(|(place, about)| rank_by_size(rows, &groups, |row| mentions(row, place) && mentions(row, about))).collect()));
    }
    report.top = grouped.issues.iter().take(10).map(|issue| (issue.rank, issue.place.clone(), issue.members.len(), issue.callers, issue.score)).collect();
    report.peers = peers(context, &by_id, &grouped)?;
    Ok(())
}

/// The rank by size of the group that holds most of the messages meant.
fn rank_by_size(rows: &[Row], groups: &[u64], meant: impl Fn(&Row) -> bool) -> Option<usize> {
    let (mut sizes, mut held): (BTreeMap<u64, usize>, BTreeMap<u64, usize>) = Default::default();
    for (row, group) in rows.iter().zip(groups) {
        *sizes.entry(*group).or_default() += 1;
        *held.entry(*group).or_default() += usize::from(meant(row));
    }
    let (home, held) = held.into_iter().max_by_key(|(_, count)| *count)?;
    (held > 0).then(|| 1 + sizes.values().filter(|size| **size > sizes[&home]).count())
}

/// Agreement with what each published solution grouped, over the messages that it grouped.
fn peers(context: &Context, by_id: &BTreeMap<&str, usize>, grouped: &Grouped) -> Result<Vec<(String, Pairs)>> {
    let Ok(path) = context.data_file(PEERS) else { return Ok(Vec::new()) };
    let mut teams: BTreeMap<String, (Vec<u64>, Vec<Option<usize>>, BTreeSet<usize>)> = BTreeMap::new();
    for row in Rows::open(&path, &["team", "问题ID", "留言编号"])? {
        let cells = row?.cells;
        let (Some(at), Ok(issue)) = (by_id.get(cells[2].as_str()), cells[1].parse::<usize>()) else { continue };
        let team = teams.entry(cells[0].clone()).or_default();
        if team.2.insert(*at) {
            team.0.push(grouped.matters[*at]);
            team.1.push(Some(issue));
        }
    }
    Ok(teams.into_iter().map(|(team, (groups, truth, _))| (team, pairs(&groups, &truth))).collect())
}

fn print(context: &Context, report: &Report, real: bool) {
    println!("{}", context.t("植入的事项（成对）", "planted matters, pair by pair"));
    println!("{:12} {:>10} {:15} {:>9} {:>7} {:>7} {:>14}", "part", "background", "method", "precision", "recall", "F1", "raised in time");
    for row in &report.planted {
        let raised = row.raised_in_time.map_or("-".to_owned(), |share| format!("{share:.3}"));
        println!("{:12} {:>10} {:15} {:>9.3} {:>7.3} {:>7.3} {:>14}", row.part, row.background, row.method, row.pairs.precision, row.pairs.recall, row.pairs.f1, raised);
    }
    if !real {
        println!("{}", context.t("2019 年的留言不在：在 CITYBRAIN_DATA 里写明数据目录", "the stream of 2019 is not here: name the data folder in CITYBRAIN_DATA"));
        return;
    }
    println!("\n{}", context.t("2019 年公认的两个热点", "the two agreed issues of 2019"));
    for (at, issue) in report.agreed.iter().enumerate() {
        let baseline: Vec<String> = report.baseline_ranks.iter().map(|(method, ranks)| format!("{method} {}", ranks[at].map_or("-".to_owned(), |rank| format!("#{rank}")))).collect();
        let rank = issue.rank.map_or("-".to_owned(), |rank| format!("#{rank}"));
        let raised = format!("{} / {}", issue.raised_at.as_deref().unwrap_or("-"), issue.raised_after.map_or("-".to_owned(), |n| n.to_string()));
        println!(
            "{} {rank} ({}), {} {}/{}, {} {raised}, {} {}",
            issue.place,
            baseline.join(", "),
            context.t("成员中提到的", "members that mention it"),
            issue.members_that_mention,
            issue.members,
            context.t("预警时间 / 第几条", "raised at / after"),
            context.t("及时", "in time"),
            issue.in_time
        );
        println!("    {} {}", context.t("提到的留言", "messages that mention it"), issue.mentions);
    }
    println!("\n{:>4} {:>8} {:>8} {:>8}  {}", "rank", "messages", "callers", "heat", context.t("地点", "place"));
    for (rank, place, members, callers, score) in &report.top {
        println!("{rank:>4} {members:>8} {callers:>8} {score:>8.1}  {place}");
    }
    println!("\n{}", context.t("与五个公开方案的一致（弱参照）", "agreement with five published solutions (a weak reference)"));
    for (team, pairs) in &report.peers {
        println!("{team:12} {:>9.3} {:>7.3} {:>7.3}", pairs.precision, pairs.recall, pairs.f1);
    }
    println!("\n{} {}, {:.0} {}, {} {}", report.messages, context.t("条留言", "messages"), report.messages_per_second, context.t("条/秒", "messages/s"), context.t("同时在册的事项最多", "live matters at most"), report.live_matters_max);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_as_by_hand() {
        // Groups {a a b} {b x} {x x}: one right pair of the three and the one with a known message; two belong together.
        let truth = [Some(0), Some(0), Some(1), Some(1), None, None, None];
        let pairs = pairs(&[1, 1, 1, 2, 2, 3, 3], &truth);
        assert_eq!((pairs.precision, pairs.recall), (0.25, 0.5));
    }

    #[test]
    fn planted_matters_are_found_without_a_background_to_learn_from() {
        let measured = measure(Part::Development, "development", &[], 0.3);
        let f1 = |method: &str| measured.iter().find(|row| row.method == method).map_or(0.0, |row| row.pairs.f1);
        assert!(f1("hotspots") > f1("place string") && f1("hotspots") > f1("bigram cosine"), "{measured:?}");
    }
}
