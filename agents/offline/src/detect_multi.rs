//! Several columns of readings: one score for each row, the column that drove it, and balances of water networks.
//!
//! Every input row has its output row. A cell that is no number is not read; a row without a time that can be read, and one
//! that cannot be read at all, have score 0.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use chrono::DateTime;
use detect::balance::{Direction, Settings};
use detect::balance_network::{Alarm, Network, Role, Tank, Zone};
use detect::multi::Multi;
use serde::Serialize;

use crate::Context;
use crate::detect::{Columns, time_us_of};
use crate::table::{Output, Rows, columns};

/// Scores rows of several columns.
#[derive(Debug, Clone)]
pub struct DetectMulti {
    /// The readings: a first column with the time, then the values.
    pub input: PathBuf,
    /// The rows with their score.
    pub output: PathBuf,
    /// Writes the column that drove the score, too.
    pub explain: bool,
    /// Balances of a water network: zones parted by `/`, each `name:in=a,b;out=c;level=d;area=m2`; what is left out is
    /// learnt. `auto` learns all of it from columns named flow* and level*.
    pub balance: Option<String>,
    /// Alarms of the balances, JSON lines.
    pub alarms: Option<PathBuf>,
}

impl DetectMulti {
    /// Scores the file.
    pub fn run(&self, context: &Context, of: &Columns) -> Result<()> {
        let names = columns(&self.input)?;
        let place = |column: &String| names.iter().position(|name| name == column).expect("the columns are those of the file");
        let time = place(&of.time);
        let values: Vec<usize> = of.values.iter().map(place).collect();
        let value_names = of.values.clone();
        let zones = match self.balance.as_deref() {
            None | Some("auto") => None,
            Some(told) => Some(zones(told, &value_names)?),
        };
        ensure!(self.alarms.is_none() || self.balance.is_some() || roles(&value_names).contains(&Role::Level), "--alarms needs balances: name them in --balance");
        let mut detector = Scorer::new(&value_names, zones);

        let mut header = names.clone();
        header.push("anomaly_score".to_owned());
        if self.explain {
            header.push("driver".to_owned());
        }
        let mut output = Output::create(&self.output)?;
        output.csv_row(&header)?;
        let mut alarms = self.alarms.as_deref().map(Output::create).transpose()?;
        let mut told = 0;
        let bar = context.progress(0, context.t("逐行打分", "scoring rows"));
        for row in Rows::open(&self.input, &names)? {
            let mut row = row?;
            let numbers: Vec<f64> = values.iter().map(|at| row.cells[*at].trim().parse().unwrap_or(f64::NAN)).collect();
            let scored = time_us_of(&row.cells[time]).map(|time| detector.score(time, &numbers)).unwrap_or_default();
            row.cells.push(format!("{:.6}", scored.score));
            if self.explain {
                row.cells.push(scored.driver);
            }
            output.csv_row(&row.cells)?;
            for alarm in &scored.alarms {
                told += 1;
                if let Some(alarms) = &mut alarms {
                    alarms.json_line(&Told::of(alarm, &detector))?;
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        output.finish()?;
        if let Some(alarms) = alarms {
            alarms.finish()?;
        }
        if !context.quiet && !detector.network.as_ref().is_none_or(|it| it.zones().is_empty()) {
            eprintln!("{}: {told}", context.t("水量变化告警", "changes of balance"));
        }
        Ok(())
    }
}

/// The detector of a file: columns and, where there are any, balances.
pub struct Scorer {
    names: Vec<String>,
    multi: Multi,
    network: Option<Network>,
}

/// What is said of one row.
#[derive(Default)]
pub struct Scored {
    /// 0..1.
    pub score: f64,
    /// The column or the zone that drove it.
    pub driver: String,
    /// Changes of balance that became known with this row.
    pub alarms: Vec<Alarm>,
}

/// Where a balance is watched, what only a single row says stays below an alarm of the balance.
const ROW_BESIDE_BALANCE_MAX: f64 = 0.8;

impl Scorer {
    /// For columns of these names; zones that are not told are learnt where names say flow and level.
    pub fn new(names: &[String], zones: Option<Vec<Zone>>) -> Scorer {
        let mut roles = roles(names);
        for zone in zones.iter().flatten() {
            zone.inflows.iter().chain(&zone.outflows).for_each(|at| roles[*at] = Role::Flow);
            zone.levels.iter().for_each(|tank| roles[tank.level] = Role::Level);
        }
        let network = (zones.is_some() || roles.contains(&Role::Flow) && roles.contains(&Role::Level)).then(|| Network::new(Settings::default(), roles, zones));
        Scorer { names: names.to_vec(), multi: Multi::new(names.len()), network }
    }

    /// Scores a row at a time in microseconds since 1970.
    pub fn score(&mut self, time_us: i64, row: &[f64]) -> Scored {
        let of_row = self.multi.score(time_us, row);
        let mut scored = Scored { score: of_row.anomaly, driver: of_row.driver.map(|at| self.names[at].clone()).unwrap_or_default(), alarms: Vec::new() };
        if let Some(network) = &mut self.network {
            let (score, alarms) = network.push(time_us.div_euclid(1_000_000), row);
            if !network.zones().is_empty() {
                scored.score = scored.score.min(ROW_BESIDE_BALANCE_MAX);
            }
            if score > scored.score {
                scored.score = score;
                let zone = alarms.iter().max_by(|a, b| a.change.z.total_cmp(&b.change.z)).map(|alarm| alarm.zone);
                scored.driver = zone.map_or_else(|| "balance".to_owned(), |zone| format!("balance {}", self.zone_name(zone)));
            }
            scored.alarms = alarms;
        }
        scored
    }

    /// A zone as its name or its sum: `a + b - c`.
    pub fn zone_name(&self, zone: usize) -> String {
        let Some(zone) = self.network.as_ref().and_then(|network| network.zones().get(zone)) else { return String::new() };
        if !zone.name.is_empty() {
            return zone.name.clone();
        }
        let inflows = zone.inflows.iter().map(|at| self.names[*at].clone()).collect::<Vec<_>>().join(" + ");
        let outflows: String = zone.outflows.iter().map(|at| format!(" - {}", self.names[*at])).collect();
        let levels: String = zone.levels.iter().map(|tank| format!(" - {:.0} m2 d({})", tank.area_m2.unwrap_or(0.0), self.names[tank.level])).collect();
        inflows + &outflows + &levels
    }
}

/// One line of `--alarms`.
#[derive(Serialize)]
struct Told {
    time: String,
    zone: String,
    kind: &'static str,
    began: String,
    size_m3h: f64,
    size_error_m3h: f64,
    confidence: f64,
    update: bool,
    zh: String,
    en: String,
}

impl Told {
    fn of(alarm: &Alarm, scorer: &Scorer) -> Told {
        let change = &alarm.change;
        let zone = scorer.zone_name(alarm.zone);
        let (kind, zh, en) = match (change.direction, alarm.update) {
            (Direction::Rose, false) => ("rose", "多用水,可能漏损", "more than usual: a leak, or a new consumer"),
            (Direction::Rose, true) => ("rose", "继续多用水,接上一告警", "still more than usual, with the last alarm"),
            (Direction::Fell, _) => ("fell", "少用水,可能已修复", "less than usual: a repair, or a consumer that went"),
        };
        let round = |value: f64| (value * 100.0).round() / 100.0;
        let numbers = (change.window, change.mean, change.mean - change.size, change.z.abs());
        Told {
            time: shown(change.hour),
            kind,
            began: shown(change.began),
            size_m3h: round(change.size),
            size_error_m3h: round(change.error),
            // How far beyond the threshold of about six standard errors, between 0 and 1: an order, no probability.
            confidence: round(1.0 - (-(change.z.abs() - 3.0) / 2.0).exp()),
            update: alarm.update,
            zh: format!("{zone}:{} 小时平均 {:.1} m³/h,按往常应为 {:.1},相差 {:.1} 个标准误;{zh}", numbers.0, numbers.1, numbers.2, numbers.3),
            en: format!("{zone}: {} hours' mean {:.1} m³/h where {:.1} is usual, {:.1} standard errors off; {en}", numbers.0, numbers.1, numbers.2, numbers.3),
            zone,
        }
    }
}

fn shown(hour: i64) -> String {
    DateTime::from_timestamp(hour.saturating_mul(3600), 0).map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

fn roles(names: &[String]) -> Vec<Role> {
    let role = |name: &String| match name.to_lowercase() {
        name if name.starts_with("flow") || name.starts_with("inflow") || name.contains("流量") => Role::Flow,
        name if name.starts_with("level") || name.contains("液位") || name.contains("水位") => Role::Level,
        _ => Role::Other,
    };
    names.iter().map(role).collect()
}

/// Zones as they are told: `name:in=a,b;out=c;level=d;area=201`, parted by `/`.
pub fn zones(told: &str, names: &[String]) -> Result<Vec<Zone>> {
    told.split('/').map(|zone| one_zone(zone.trim(), names)).collect()
}

fn one_zone(told: &str, names: &[String]) -> Result<Zone> {
    let place = |name: &str| match names.iter().position(|it| it == name.trim()) {
        Some(at) => Ok(at),
        None => bail!("--balance names {}, which is no column; there are: {}", name.trim(), names.join(", ")),
    };
    let (name, parts) = told.split_once(':').unwrap_or(("", told));
    let mut zone = Zone { name: name.trim().to_owned(), ..Zone::default() };
    let mut area = None;
    for part in parts.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else { bail!("--balance: {part} is not key=columns; write in=a,b;out=c;level=d;area=m2") };
        let list: Vec<&str> = value.split(',').filter(|it| !it.trim().is_empty()).collect();
        match key.trim() {
            "in" => zone.inflows = list.iter().map(|it| place(it)).collect::<Result<_>>()?,
            "out" => zone.outflows = list.iter().map(|it| place(it)).collect::<Result<_>>()?,
            "level" => zone.levels = list.iter().map(|it| Ok(Tank { level: place(it)?, area_m2: None })).collect::<Result<_>>()?,
            "area" => match value.trim().parse::<f64>() {
                Ok(it) if it.is_finite() && it > 0.0 => area = Some(it),
                _ => bail!("--balance: area={value} is no surface in m2"),
            },
            other => bail!("--balance: {other} is none of in, out, level and area"),
        }
    }
    ensure!(!zone.inflows.is_empty(), "--balance: a zone needs in=...: {told}");
    zone.levels.iter_mut().for_each(|tank| tank.area_m2 = area);
    Ok(zone)
}

/// Reads a file's rows for evaluations: times and numbers, in the order of `names`, the first of which is the time.
pub fn read(path: &Path, names: &[&str]) -> Result<Vec<(i64, Vec<f64>)>> {
    let mut rows = Vec::new();
    for row in Rows::open(path, names)? {
        let row = row?;
        if let Some(time) = time_us_of(&row.cells[0]) {
            rows.push((time, row.cells[1..].iter().map(|cell| cell.trim().parse().unwrap_or(f64::NAN)).collect()));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context { home: PathBuf::new(), data: None, json: false, quiet: true, zh: false }
    }

    #[test]
    fn each_row_has_its_row_and_a_driver() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in.csv"), folder.path().join("out.csv"));
        let mut text = String::from("timestamp,a,b,c\n");
        for at in 0..1_500_i64 {
            let b = if at == 1_400 { 500 } else { at * 11 % 17 };
            text += &format!("{},{},{b},{}\n", at * 300, at * 7 % 13, if at == 700 { "broken".to_owned() } else { (at % 5).to_string() });
        }
        text += "no time,1,2,3\n2020-01-01\n";
        std::fs::write(&input, text).unwrap();
        let columns = Columns::of(&input).unwrap();
        let command = DetectMulti { input, output: output.clone(), explain: true, balance: None, alarms: None };
        command.run(&context(), &columns).unwrap();
        let written = std::fs::read_to_string(output).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!((lines.len(), lines[0]), (1_503, "timestamp,a,b,c,anomaly_score,driver"));
        assert!(lines[1_401].ends_with(",b"), "{}", lines[1_401]);
        assert!(lines[701].contains(",broken,"));
        assert_eq!(lines[1_501], "no time,1,2,3,0.000000,");
        let score = |line: &str| line.split(',').nth(4).unwrap().parse::<f64>().unwrap();
        let highest = lines[1_001..1_400].iter().map(|line| score(line)).fold(0.0, f64::max);
        assert!(score(lines[1_401]) >= highest, "{} {highest}", lines[1_401]);
    }

    #[test]
    fn zones_as_told() {
        let names = ["a", "b", "c", "l"].map(str::to_owned);
        let told = zones("north: in=a, b; out=c / in=c;level=l;area=201", &names).unwrap();
        assert_eq!((told[0].name.as_str(), &told[0].inflows, &told[0].outflows), ("north", &vec![0, 1], &vec![2]));
        assert_eq!(told[1].levels, [Tank { level: 3, area_m2: Some(201.0) }]);
        for wrong in ["", "in=", "in=z", "a,b", "in=a;size=3", "in=a;area=none"] {
            assert!(zones(wrong, &names).is_err(), "{wrong}");
        }
    }
}
