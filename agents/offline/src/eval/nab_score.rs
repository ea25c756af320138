//! The score of the Numenta Anomaly Benchmark: a detection inside a window earns the more the earlier it is, one outside
//! costs, and a window without any costs.
//!
//! After Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms" (2015), and the rules of NAB 1.1: each window
//! counts once, by its best detection; the first min(15 %, 750) rows of a series do not count; one threshold serves the whole
//! corpus. Knows nothing of detectors.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// What a profile of NAB weighs.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Cost of a false alarm.
    pub false_alarm: f64,
    /// Cost of a window without a detection.
    pub miss: f64,
}

/// Standard, reward low FP rate, reward low FN rate; a detection earns 1 in each.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", false_alarm: 0.11, miss: 1.0 },
    Profile { name: "low FP", false_alarm: 0.22, miss: 1.0 },
    Profile { name: "low FN", false_alarm: 0.11, miss: 2.0 },
];

/// One row that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// What the detector said.
    pub anomaly: f64,
    /// What an alarm here is worth: in a window what it earns at most 1, outside -1 to 0, both without the profile's weights.
    pub worth: f64,
    /// The number of the window, over the whole corpus; `None` outside.
    pub window: Option<usize>,
}

fn sigmoid(position: f64) -> f64 {
    if position >= 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// The first and the last row of each window, from its first and last time.
pub fn windows(times: &[i64], limits: &[(i64, i64)]) -> Result<Vec<(usize, usize)>> {
    let row = |time: i64| times.iter().position(|there| *there == time).context("a window begins or ends at a time that the series does not have");
    let mut windows = limits.iter().map(|(from, to)| Ok((row(*from)?, row(*to)?))).collect::<Result<Vec<_>>>()?;
    windows.sort_unstable();
    ensure!(windows.iter().all(|(from, to)| from <= to), "a window ends before it begins");
    Ok(windows)
}

/// The rows of a series that count; its windows are numbered from `first`.
pub fn marks(scores: &[f64], windows: &[(usize, usize)], first: usize) -> Vec<Mark> {
    let probation = (0.15 * scores.len() as f64).floor().min(750.0) as usize;
    let mut next = 0;
    let mut before: Option<(usize, usize)> = None;
    let mut marks = Vec::with_capacity(scores.len());
    for (at, anomaly) in scores.iter().enumerate() {
        while let Some(window) = windows.get(next).filter(|window| window.1 < at) {
            before = Some(*window);
            next += 1;
        }
        let (worth, window) = match windows.get(next).filter(|window| window.0 <= at) {
            Some((from, to)) => (sigmoid(-((to - at + 1) as f64) / (to - from + 1) as f64) / sigmoid(-1.0), Some(first + next)),
            None => (before.map_or(-1.0, |(from, to)| sigmoid((at - to) as f64 / (to - from).max(1) as f64)), None),
        };
        if at >= probation {
            marks.push(Mark { anomaly: *anomaly, worth, window });
        }
    }
    marks
}

/// The score of a corpus at each threshold at which it changes, the highest first: `(threshold, score)`, from 0 for a detector
/// that never alarms to 100 for one that alarms at the beginning of each window and nowhere else.
pub fn by_threshold(marks: &[Mark], profile: Profile) -> Vec<(f64, f64)> {
    let mut marks = marks.to_vec();
    marks.sort_by(|a, b| b.anomaly.total_cmp(&a.anomaly));
    let mut best: BTreeMap<usize, f64> = marks.iter().filter_map(|mark| mark.window).map(|window| (window, -profile.miss)).collect();
    let windows = best.len() as f64;
    let of_hundred = |raw: f64| if windows > 0.0 { 100.0 * (raw + profile.miss * windows) / (windows * (1.0 + profile.miss)) } else { raw };
    let mut raw = -profile.miss * windows;
    let mut scores = vec![(f64::INFINITY, of_hundred(raw))];
    let mut at = 0;
    while at < marks.len() {
        let threshold = marks[at].anomaly;
        while at < marks.len() && marks[at].anomaly == threshold {
            let mark = marks[at];
            match mark.window.and_then(|window| best.get_mut(&window)) {
                None => raw += profile.false_alarm * mark.worth,
                Some(best) if mark.worth > *best => {
                    raw += mark.worth - *best;
                    *best = mark.worth;
                }
                Some(_) => {}
            }
            at += 1;
        }
        scores.push((threshold, of_hundred(raw)));
    }
    scores
}

/// The best threshold and its score.
pub fn best(marks: &[Mark], profile: Profile) -> (f64, f64) {
    by_threshold(marks, profile).into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |best, score| if score.1 > best.1 { score } else { best })
}

/// The score at a threshold.
pub fn at(marks: &[Mark], profile: Profile, threshold: f64) -> f64 {
    by_threshold(marks, profile).into_iter().take_while(|score| score.0 >= threshold).last().map_or(0.0, |score| score.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series of 1,000 rows with windows, and alarms at some rows.
    fn check(windows: &[(usize, usize)], alarms: &[usize], profile: Profile) -> f64 {
        let scores: Vec<f64> = (0..1_000).map(|at| if alarms.contains(&at) { 0.9 } else { 0.1 }).collect();
        at(&marks(&scores, windows, 0), profile, 0.5)
    }

    #[test]
    fn from_nothing_to_perfect() {
        for profile in PROFILES {
            assert_eq!(check(&[(400, 499)], &[], profile), 0.0);
            assert!((check(&[(400, 499)], &[400], profile) - 100.0).abs() < 1e-9);
            assert!((check(&[(400, 499)], &[400, 450, 499], profile) - 100.0).abs() < 1e-9, "a window counts once");
        }
    }

    #[test]
    fn late_costs() {
        // Halfway: 0.84828 / 0.98661 of 1, and 1 for not missing it, of 2.
        let half = check(&[(400, 499)], &[450], PROFILES[0]);
        assert!((half - 50.0 * (1.0 + 0.848_283_64 / 0.986_614_3)).abs() < 1e-4, "{half}");
    }

    #[test]
    fn false_alarms_cost_less_just_behind_a_window() {
        let [far, near] = [900, 505].map(|alarm| check(&[(400, 499)], &[400, alarm], PROFILES[0]));
        assert!((far - (100.0 - 5.5)).abs() < 1e-6, "{far}");
        assert!(near > far && near < 100.0, "{near}");
        assert!((check(&[(400, 499)], &[400, 200], PROFILES[1]) - 89.0).abs() < 1e-9);
    }

    #[test]
    fn the_beginning_does_not_count() {
        assert_eq!(check(&[(400, 499)], &[0, 149], PROFILES[0]), 0.0);
        assert!(check(&[(400, 499)], &[150], PROFILES[0]) < 0.0);
    }

    #[test]
    fn one_threshold_for_all() {
        let mut scores = vec![0.1; 1_000];
        scores[410] = 0.6;
        scores[700] = 0.8;
        let found = best(&marks(&scores, &[(400, 499)], 0), PROFILES[0]);
        assert_eq!(found.0, 0.6, "the false alarm at 0.8 is the lesser evil");
    }

    #[test]
    fn windows_are_found_by_their_times() {
        assert_eq!(windows(&[1, 2, 3, 4], &[(3, 4), (1, 2)]).unwrap(), [(0, 1), (2, 3)]);
        assert!(windows(&[1, 2], &[(1, 3)]).is_err());
    }
}
