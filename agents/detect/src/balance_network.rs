//! Balances of the zones of a water network, from readings of flows and tank levels as they come.
//!
//! Readings are gathered into hours. Which flow fills which tank, how large the tank is, and whether the water that fills it
//! comes out of the rest of the network, is learnt from the first week unless it is told: a tank's level follows its own
//! pump only, and what a pump takes inside the network the other inflows must bring. Knows nothing of pipes and pressures.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::balance::{Balance, Change, Direction, Settings};

/// What a column measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A flow, m³/h.
    Flow,
    /// The level of a tank, m.
    Level,
    /// Something else; it is not looked at.
    Other,
}

/// A part of the network whose inflows and stores are known; columns by their place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Flows into it.
    pub inflows: Vec<usize>,
    /// Flows out of it that are no consumption: into another zone, into a tank that is not its own.
    pub outflows: Vec<usize>,
    /// Levels of its tanks.
    pub levels: Vec<Tank>,
}

/// A tank of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tank {
    /// The column of its level.
    pub level: usize,
    /// Its surface, m²; learnt when `None`.
    pub area_m2: Option<f64>,
}

/// A change of a zone's consumption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The zone's place among [`Network::zones`].
    pub zone: usize,
    /// What changed.
    pub change: Change,
    /// Whether it goes on with the last alarm of the zone, which rose less than four days before: the size was larger than
    /// it looked, or the leak grows.
    pub update: bool,
}

/// Another rise within so many hours belongs to the first.
const UPDATE_HOURS: i64 = 96;
/// More flows than this are not told apart: the equations grow with the square.
const FLOWS_MAX: usize = 32;
/// Readings whose mean is the level at the end of an hour: a gauge counts whole centimetres.
const LEVEL_READINGS: usize = 3;

/// The balances of a network's zones.
#[derive(Debug, Clone)]
pub struct Network {
    settings: Settings,
    roles: Vec<Role>,
    told: Option<Vec<Zone>>,
    zones: Vec<Zone>,
    balances: Vec<Balance>,
    rose: Vec<Option<i64>>,
    bin: Bin,
    before: Option<Hour>,
    learning: Option<Vec<Hour>>,
    most_readings: u32,
}

#[derive(Debug, Clone, Default)]
struct Bin {
    hour: Option<i64>,
    sums: Vec<f64>,
    counts: Vec<u32>,
    levels: Vec<VecDeque<f64>>,
}

/// Means of flows, and levels at the end; `NaN` where nothing was read.
#[derive(Debug, Clone)]
struct Hour {
    hour: i64,
    values: Vec<f64>,
}

impl Network {
    /// A network whose zones are told, or to be learnt.
    pub fn new(settings: Settings, roles: Vec<Role>, zones: Option<Vec<Zone>>) -> Network {
        let columns = roles.len();
        let bin = Bin { hour: None, sums: vec![0.0; columns], counts: vec![0; columns], levels: vec![VecDeque::new(); columns] };
        Network {
            settings,
            roles,
            told: zones,
            zones: Vec::new(),
            balances: Vec::new(),
            rose: Vec::new(),
            bin,
            before: None,
            learning: Some(Vec::new()),
            most_readings: 0,
        }
    }

    /// The zones, once the learning is over; empty when no structure was found.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Whether the learning is over.
    pub fn ready(&self) -> bool {
        self.learning.is_none()
    }

    /// Takes a row of readings at `time_s`, seconds since 1970 by the file's own clock; what is no finite number was not
    /// read, and a row before the current hour is left out. Answers when an hour has ended: the highest score of a zone, and
    /// the alarms.
    pub fn push(&mut self, time_s: i64, row: &[f64]) -> (f64, Vec<Alarm>) {
        let hour = time_s.div_euclid(3600);
        let mut answer = (0.0, Vec::new());
        match self.bin.hour {
            Some(current) if hour < current => return answer,
            Some(current) if hour > current => {
                let ended = self.end(current);
                answer = self.take(ended);
                self.bin.hour = Some(hour);
            }
            Some(_) => {}
            None => self.bin.hour = Some(hour),
        }
        for (at, value) in row.iter().enumerate().take(self.roles.len()).filter(|(_, value)| value.abs() < 1e9) {
            self.bin.sums[at] += value;
            self.bin.counts[at] += 1;
            if self.roles[at] == Role::Level {
                let levels = &mut self.bin.levels[at];
                levels.push_back(*value);
                if levels.len() > LEVEL_READINGS {
                    levels.pop_front();
                }
            }
        }
        answer
    }

    fn end(&mut self, hour: i64) -> Hour {
        let most = self.bin.counts.iter().copied().max().unwrap_or(0);
        self.most_readings = self.most_readings.max(most);
        let mut values = vec![f64::NAN; self.roles.len()];
        for (at, value) in values.iter_mut().enumerate() {
            let count = self.bin.counts[at];
            // Half an hour's readings make no hour.
            if count * 3 >= self.most_readings && count > 0 {
                *value = match self.roles[at] {
                    Role::Level => self.bin.levels[at].iter().sum::<f64>() / self.bin.levels[at].len().max(1) as f64,
                    Role::Flow | Role::Other => self.bin.sums[at] / f64::from(count),
                };
            }
            self.bin.sums[at] = 0.0;
            self.bin.counts[at] = 0;
            self.bin.levels[at].clear();
        }
        Hour { hour, values }
    }

    fn take(&mut self, ended: Hour) -> (f64, Vec<Alarm>) {
        if let Some(learning) = &mut self.learning {
            let first = learning.first().map_or(ended.hour, |hour| hour.hour);
            let enough = ended.hour.saturating_sub(first) >= i64::from(self.settings.learning_hours) && learning.len() >= 72;
            learning.push(ended);
            if enough {
                let learnt = self.learning.take().unwrap_or_default();
                self.zones = match &self.told {
                    Some(zones) => zones.iter().map(|zone| with_areas(zone, &learnt)).collect(),
                    None => structure(&self.roles, &learnt),
                };
                self.balances = vec![Balance::new(self.settings); self.zones.len()];
                self.rose = vec![None; self.zones.len()];
                let mut answer = (0.0, Vec::new());
                for hour in learnt {
                    answer = self.balance(hour);
                }
                return answer;
            }
            return (0.0, Vec::new());
        }
        self.balance(ended)
    }

    fn balance(&mut self, ended: Hour) -> (f64, Vec<Alarm>) {
        let (mut score, mut alarms) = (0.0_f64, Vec::new());
        let before = self.before.take().filter(|before| before.hour == ended.hour - 1);
        for (at, zone) in self.zones.iter().enumerate() {
            let verdict = self.balances[at].push(ended.hour, zone.consumption(&ended, before.as_ref()));
            score = score.max(verdict.score);
            let Some(change) = verdict.change else { continue };
            let rose = change.direction == Direction::Rose;
            let update = rose && self.rose[at].is_some_and(|last| change.hour - last <= UPDATE_HOURS);
            self.rose[at] = rose.then_some(change.hour);
            alarms.push(Alarm { zone: at, change, update });
        }
        self.before = Some(ended);
        (score, alarms)
    }
}

impl Zone {
    /// What was used in an hour, m³/h; `NaN` where a reading is missing.
    fn consumption(&self, hour: &Hour, before: Option<&Hour>) -> f64 {
        let sum = |columns: &[usize]| columns.iter().map(|column| hour.values[*column]).sum::<f64>();
        let stored: f64 = self.levels.iter().map(|tank| tank.area_m2.unwrap_or(0.0) * rise(tank.level, hour, before)).sum();
        sum(&self.inflows) - sum(&self.outflows) - stored
    }
}

fn rise(level: usize, hour: &Hour, before: Option<&Hour>) -> f64 {
    before.map_or(f64::NAN, |before| hour.values[level] - before.values[level])
}

/// Columns of what each hour says, less what is usual at its hour of the day: rows without a hole.
fn deseasoned(hours: &[Hour], terms: &[&dyn Fn(&Hour, Option<&Hour>) -> f64]) -> Vec<Vec<f64>> {
    let mut rows: Vec<(usize, Vec<f64>)> = Vec::new();
    let mut before: Option<&Hour> = None;
    for hour in hours {
        let row: Vec<f64> = terms.iter().map(|term| term(hour, before.filter(|before| before.hour == hour.hour - 1))).collect();
        if row.iter().all(|it| it.is_finite()) {
            rows.push((hour.hour.rem_euclid(24) as usize, row));
        }
        before = Some(hour);
    }
    for at in 0..24 {
        let count = rows.iter().filter(|row| row.0 == at).count().max(1) as f64;
        for term in 0..terms.len() {
            let mean = rows.iter().filter(|row| row.0 == at).map(|row| row.1[term]).sum::<f64>() / count;
            rows.iter_mut().filter(|row| row.0 == at).for_each(|row| row.1[term] -= mean);
        }
    }
    rows.into_iter().map(|row| row.1).collect()
}

/// Least squares of the first term on the others: a coefficient and its t-value each; empty where that is not to be had.
fn regress(rows: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let terms = rows.first().map_or(0, |row| row.len() - 1);
    if terms == 0 || rows.len() < terms + 24 + 12 {
        return Vec::new();
    }
    // The normal equations with the unit matrix beside them, made triangular and then diagonal.
    let mut matrix = vec![vec![0.0; 2 * terms + 1]; terms];
    for row in rows {
        for i in 0..terms {
            for j in 0..terms {
                matrix[i][j] += row[i + 1] * row[j + 1];
            }
            matrix[i][2 * terms] += row[i + 1] * row[0];
        }
    }
    for (i, line) in matrix.iter_mut().enumerate() {
        line[i] = line[i] * (1.0 + 1e-9) + 1e-12;
        line[terms + i] = 1.0;
    }
    for i in 0..terms {
        let Some(pivot) = (i..terms).max_by(|a, b| matrix[*a][i].abs().total_cmp(&matrix[*b][i].abs())) else { return Vec::new() };
        matrix.swap(i, pivot);
        let by = matrix[i][i];
        if by.abs() < 1e-30 {
            return Vec::new();
        }
        matrix[i].iter_mut().for_each(|it| *it /= by);
        let line = matrix[i].clone();
        for (j, other) in matrix.iter_mut().enumerate() {
            if j != i {
                let by = other[i];
                other.iter_mut().zip(&line).for_each(|(a, b)| *a -= by * b);
            }
        }
    }
    let coefficients: Vec<f64> = matrix.iter().map(|line| line[2 * terms]).collect();
    let off = |row: &Vec<f64>| row[0] - row[1..].iter().zip(&coefficients).map(|(x, a)| x * a).sum::<f64>();
    let variance = rows.iter().map(|row| off(row).powi(2)).sum::<f64>() / (rows.len() - terms - 24) as f64;
    (0..terms).map(|i| (coefficients[i], coefficients[i] / (variance * matrix[i][terms + i]).max(1e-300).sqrt())).collect()
}

/// A tank of which this flow and others fill: coefficients at least this many standard errors from 0.
const T_MIN: f64 = 6.0;

/// The zones that a week shows: one for each tank that a flow fills, and one for the rest. None without such a tank, since flows
/// alone may be of anything.
fn structure(roles: &[Role], hours: &[Hour]) -> Vec<Zone> {
    let of = |wanted: Role| (0..roles.len()).filter(|at| roles[*at] == wanted).collect::<Vec<usize>>();
    let (flows, levels) = (of(Role::Flow), of(Role::Level));
    if flows.is_empty() || flows.len() > FLOWS_MAX {
        return Vec::new();
    }
    let mut zones: Vec<Zone> = Vec::new();
    let mut fed: Vec<usize> = Vec::new();
    for level in levels {
        let risen = |hour: &Hour, before: Option<&Hour>| rise(level, hour, before);
        let readers: Vec<Box<dyn Fn(&Hour, Option<&Hour>) -> f64>> =
            flows.iter().map(|flow| Box::new(move |hour: &Hour, _: Option<&Hour>| hour.values[*flow]) as Box<dyn Fn(&Hour, Option<&Hour>) -> f64>).collect();
        let mut terms: Vec<&dyn Fn(&Hour, Option<&Hour>) -> f64> = vec![&risen];
        terms.extend(readers.iter().map(|it| &**it));
        let found = regress(&deseasoned(hours, &terms));
        let strongest = found.iter().map(|it| it.0).fold(0.0, f64::max);
        let fills: Vec<usize> = flows.iter().zip(&found).filter(|(_, it)| it.1 > T_MIN && it.0 > 0.5 * strongest).map(|(flow, _)| *flow).collect();
        let empties: Vec<usize> = flows.iter().zip(&found).filter(|(_, it)| it.1 < -T_MIN && it.0 < -0.5 * strongest).map(|(flow, _)| *flow).collect();
        if fills.is_empty() {
            continue;
        }
        fed.extend(&fills);
        let zone = Zone { name: String::new(), inflows: fills, outflows: empties, levels: vec![Tank { level, area_m2: None }] };
        zones.push(with_areas(&zone, hours));
    }
    if zones.is_empty() {
        return zones;
    }
    let rest: Vec<usize> = flows.iter().copied().filter(|flow| !fed.contains(flow)).collect();
    if !rest.is_empty() {
        // A pump that takes from the network makes the other inflows rise by as much when it starts.
        let inside = |pump: usize| {
            let others = |hour: &Hour, before: Option<&Hour>| rest.iter().map(|flow| rise(*flow, hour, before)).sum::<f64>();
            let own = |hour: &Hour, before: Option<&Hour>| rise(pump, hour, before);
            regress(&deseasoned(hours, &[&others, &own])).first().is_some_and(|it| it.1 > T_MIN && it.0 > 0.5)
        };
        let mut outflows: Vec<usize> = fed.iter().copied().filter(|pump| inside(*pump)).collect();
        outflows.sort_unstable();
        outflows.dedup();
        zones.insert(0, Zone { name: String::new(), inflows: rest, outflows, levels: Vec::new() });
    }
    zones
}

/// The zone with the surfaces of its tanks, learnt from how fast they rise when more flows in.
fn with_areas(zone: &Zone, hours: &[Hour]) -> Zone {
    let mut zone = zone.clone();
    let net = |hour: &Hour, _: Option<&Hour>| {
        zone.inflows.iter().map(|it| hour.values[*it]).sum::<f64>() - zone.outflows.iter().map(|it| hour.values[*it]).sum::<f64>()
    };
    let areas: Vec<Option<f64>> = zone
        .levels
        .iter()
        .map(|tank| {
            let risen = |hour: &Hour, before: Option<&Hour>| rise(tank.level, hour, before);
            let found = regress(&deseasoned(hours, &[&risen, &net])).first().copied();
            tank.area_m2.or(found.filter(|it| it.1 > T_MIN && it.0 > 0.0).map(|it| 1.0 / it.0))
        })
        .collect();
    zone.levels.iter_mut().zip(areas).for_each(|(tank, area)| tank.area_m2 = area);
    zone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance_made::{Noise, consumption};

    /// A town of two zones: a pump takes from the first into a tank of 150 m², from which the second drinks.
    fn town(hours: i64, leak: impl Fn(i64) -> f64) -> (Network, Vec<Alarm>) {
        let roles = vec![Role::Flow, Role::Other, Role::Flow, Role::Flow, Role::Level];
        let (mut network, mut noise) = (Network::new(Settings::default(), roles, None), Noise(7));
        let (mut level, mut on, mut alarms) = (3.0, true, Vec::new());
        for minute in (0..hours * 60).step_by(10) {
            let hour = minute / 60;
            let (upper, lower) = (consumption(hour) * 0.15 + noise.normal(), consumption(hour) + 5.0 * noise.normal() + leak(hour));
            on = if level > 3.5 { false } else { on || level < 2.0 };
            let pump = if on { 44.0 } else { 0.0 };
            level += (pump - upper) / 6.0 / 150.0;
            let row = [0.5 * (lower + pump), noise.normal(), 0.5 * (lower + pump), pump, (level * 100.0).round() / 100.0];
            alarms.extend(network.push(minute * 60, &row).1);
        }
        (network, alarms)
    }

    #[test]
    fn who_fills_the_tank_is_learnt() {
        let (network, alarms) = town(24 * 30, |hour| if hour >= 500 { 10.0 } else { 0.0 });
        let zones = network.zones();
        assert_eq!((&zones[0].inflows, &zones[0].outflows), (&vec![0, 2], &vec![3]), "{zones:?}");
        assert_eq!((&zones[1].inflows, zones[1].levels[0].level), (&vec![3], 4));
        assert!((zones[1].levels[0].area_m2.unwrap() - 150.0).abs() < 15.0, "{zones:?}");
        let first = alarms.iter().find(|alarm| !alarm.update).expect("the leak is told");
        assert!(first.zone == 0 && (501..=524).contains(&first.change.hour), "{alarms:?}");
    }

    #[test]
    fn any_rows_are_taken() {
        let mut network = Network::new(Settings::default(), vec![Role::Flow, Role::Level], None);
        let odd = [f64::NAN, f64::INFINITY, 0.0, -1e308, 1e308, 5.0];
        for at in 0..3_000_i64 {
            let time = if at % 50 == 49 { i64::MIN } else { at * 1800 };
            let (score, _) = network.push(time, &[odd[at as usize % 6], odd[at as usize % 5]]);
            assert!((0.0..=1.0).contains(&score));
        }
        assert_eq!(network.push(i64::MAX, &[]).1, []);
        let mut none = Network::new(Settings::default(), Vec::new(), None);
        (0..500).for_each(|hour| assert_eq!(none.push(hour * 3600, &[1.0]).0, 0.0));
    }
}
