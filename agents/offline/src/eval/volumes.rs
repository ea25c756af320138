//! `eval volumes`: the cases of a city's hotline by category and district, a week ahead, and its surges before noon.
//!
//! Walks forward through all years: a forecast for a day uses nothing after that day less seven. The method's constants were chosen
//! on these years; the figure from a later day on stands for none that were looked at.

use std::collections::BTreeMap;

use anyhow::Result;
use forecast::{Counts, Intraday, Skill, Step};
use serde_json::json;

use crate::context::Context;
use crate::forecast::{Series, Table, figures, mean_skill, print_skills, time_us};

const FILE: &str = "dispatch_cases/taipei1999_2015_2024.parquet";
const FROM: &str = "2017-01-01";
const HORIZON: usize = 7;
const LEVELS: [f64; 2] = [0.8, 0.9];
/// A surge has at least this many cases.
const SURGE_MIN: f64 = 10.0;
/// From this chance of a surge on a day is flagged.
const FLAG: f64 = 0.5;

fn skills(table: &Table, level: f64) -> (Skill, Vec<Skill>) {
    let mut skills = vec![Skill::default(); table.series.len()];
    let from = time_us(FROM).map(|time| table.step.of(time));
    table.backtest(HORIZON, level, from, |one| skills[one.series].add(&one.outlook, level, one.naive, one.actual));
    let mut all = Skill::default();
    skills.iter().for_each(|skill| all.join(skill));
    (all, skills)
}

/// How surges were flagged.
#[derive(Debug, Clone, Default)]
struct Flags {
    surges: u32,
    flagged: u32,
    right: u32,
    naive_flagged: u32,
    naive_right: u32,
    /// Hours from the flag to the moment at which the day had become a surge.
    leads: Vec<f64>,
}

/// Goes through the days of series of hourly counts. A surge is a day above the 99.5 % quantile of what was foretold for it the
/// evening before, with ten cases at least; it is looked for at each full hour until noon. The baseline flags a day that has by
/// noon as many cases as the same weekday of last week had in all, plus three times their root, and ten.
fn surges(hourly: &Table) -> Flags {
    let mut flags = Flags::default();
    let day_of = |series: &Series, step: i64| -> [f64; 24] { std::array::from_fn(|hour| series.value(step * 24 + hour as i64)).map(|count: f64| if count.is_nan() { 0.0 } else { count }) };
    let mut counts = Counts::new(Step::Day, &[1]);
    let mut pools: BTreeMap<&str, usize> = BTreeMap::new();
    let mut hours: Vec<Intraday> = Vec::new();
    let mut pool_of = Vec::new();
    for series in &hourly.series {
        let pool = *pools.entry(series.key.split('/').next().unwrap_or_default()).or_insert_with(|| {
            hours.push(Intraday::default());
            counts.pool()
        });
        pool_of.push(pool);
        counts.key(pool);
    }
    let Some(first) = hourly.series.iter().map(|series| series.first.div_euclid(24)).min() else { return flags };
    let Some(last) = hourly.series.iter().map(|series| (series.last() + 1).div_euclid(24)).max() else { return flags };
    let from = time_us(FROM).map_or(first, |time| Step::Day.of(time));
    for day in first..last {
        let mut totals = Vec::with_capacity(hourly.series.len());
        for (number, series) in hourly.series.iter().enumerate() {
            let today = day_of(series, day);
            let total: f64 = today.iter().sum();
            totals.push(if day * 24 + 23 < series.first { f64::NAN } else { total });
            let Some(outlook) = counts.outlook(number, 1, 0.99).filter(|_| counts.seen(number) > 60) else { continue };
            let limit = (outlook.hi + 1.0).max(SURGE_MIN);
            let pool = pool_of[number];
            if day >= from {
                let surge = total >= limit;
                let by = |hour: usize| today[..hour].iter().sum::<f64>();
                let dispersion = counts.dispersion(number, 1);
                let flag = (6..=12).find(|hour| hours[pool].chance(outlook.mean, dispersion, by(*hour), *hour as u32 * 60, limit) >= FLAG);
                let week: f64 = day_of(series, day - 7).iter().sum();
                let naive = by(12) >= (week + 3.0 * week.sqrt()).max(SURGE_MIN);
                flags.surges += u32::from(surge);
                flags.flagged += u32::from(flag.is_some());
                flags.right += u32::from(flag.is_some() && surge);
                flags.naive_flagged += u32::from(naive);
                flags.naive_right += u32::from(naive && surge);
                if let (Some(flag), true) = (flag, surge) {
                    let become_one = (1..=24).find(|hour| by(*hour) >= limit).unwrap_or(24);
                    flags.leads.push(become_one as f64 - flag as f64);
                }
            }
            hours[pool].learn(&today, 1.5 * outlook.mean);
        }
        counts.observe(day, &totals);
    }
    flags.leads.sort_by(f64::total_cmp);
    flags
}

/// Runs and prints.
pub fn run(context: &Context) -> Result<()> {
    let path = context.data_file(FILE)?;
    let key = ["item".to_owned(), "district".to_owned()];
    let (table, _) = Table::read(&path, "ts", None, &key, None)?;
    let items = table.summed(|series| series.pool.clone());
    let districts = table.summed(|series| series.key.rsplit('/').next().unwrap_or_default().to_owned());
    let total = table.summed(|_| "total".to_owned());
    let views = [
        (context.t("类别 × 区", "item x district"), &table),
        (context.t("类别", "item"), &items),
        (context.t("区", "district"), &districts),
        (context.t("全市", "city"), &total),
    ];
    let mut documents = Vec::new();
    for level in LEVELS {
        let found: Vec<_> = views.iter().map(|(name, table)| (*name, skills(table, level))).collect();
        for (name, (all, by_key)) in &found {
            let mut document = figures(all, Some(name));
            document["level"] = json!(level);
            document["mean_skill_of_keys"] = json!(mean_skill(by_key));
            let dense: Vec<&Skill> = by_key.iter().filter(|skill| skill.actual >= 3.0 * skill.forecasts as f64).collect();
            let mut together = Skill::default();
            dense.iter().for_each(|skill| together.join(skill));
            document["coverage_of_keys_above_3_a_day"] = json!(together.coverage());
            documents.push(document);
        }
        if !context.json {
            println!("{} {FROM}", context.t("提前七天，基准为七天前的数，自", "a week ahead beside the count of seven days before, from"));
            print_skills(context, level, found.iter().map(|(name, (all, _))| (*name, all)));
            for document in &documents[documents.len() - found.len()..] {
                println!(
                    "  {}: {} {:.3}; {} {:.1}%",
                    document["key"].as_str().unwrap_or_default(),
                    context.t("各序列技巧的平均", "mean of keys' skills"),
                    document["mean_skill_of_keys"].as_f64().unwrap_or(f64::NAN),
                    context.t("日均三件以上的序列覆盖", "coverage of keys above 3 a day"),
                    document["coverage_of_keys_above_3_a_day"].as_f64().unwrap_or(f64::NAN) * 100.0
                );
            }
        }
    }
    let mut surge_documents = Vec::new();
    for (name, key) in [(views[1].0, &key[..1]), (views[0].0, &key[..])] {
        let (hourly, _) = Table::read(&path, "ts", None, key, Some(Step::HOUR))?;
        let flags = surges(&hourly);
        let share = |part: u32, of: u32| f64::from(part) / f64::from(of.max(1));
        let lead = flags.leads.get(flags.leads.len() / 2).copied();
        surge_documents.push(json!({
            "key": name, "surges": flags.surges, "flagged": flags.flagged, "recall": share(flags.right, flags.surges), "precision": share(flags.right, flags.flagged),
            "lead_hours_median": lead, "baseline_recall": share(flags.naive_right, flags.surges), "baseline_precision": share(flags.naive_right, flags.naive_flagged),
        }));
        if !context.json {
            println!(
                "{} {name}: {} {}; {} {:.3} {} {:.3}, {} {}; {} {:.3} / {:.3}",
                context.t("突增日，中午前标出，", "surge days flagged by noon,"),
                flags.surges,
                context.t("个", "of them"),
                context.t("召回", "recall"),
                share(flags.right, flags.surges),
                context.t("精度", "precision"),
                share(flags.right, flags.flagged),
                context.t("提前（小时，中位）", "lead (hours, median)"),
                lead.unwrap_or(f64::NAN),
                context.t("基准（上周同日）", "baseline (last week's count)"),
                share(flags.naive_right, flags.surges),
                share(flags.naive_right, flags.naive_flagged)
            );
        }
    }
    if context.json {
        println!("{}", json!({"evaluation": "volumes", "data": FILE, "from": FROM, "horizon_days": HORIZON, "skill": documents, "surges": surge_documents}));
    }
    Ok(())
}
