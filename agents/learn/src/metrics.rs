//! How good answers are: accuracy, macro-F1, the confusion of labels, the accuracy at each coverage, and calibration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One answer beside what is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer<'a> {
    /// The right label.
    pub truth: &'a str,
    /// The label that was given.
    pub given: &'a str,
    /// How sure, 0..=1.
    pub confidence: f32,
    /// Whether it may be acted upon.
    pub accepted: bool,
}

/// What answers are worth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// How many answers.
    pub rows: usize,
    /// Share of right ones.
    pub accuracy: f64,
    /// Mean of the labels' F1, over labels that are right for at least one row.
    pub macro_f1: f64,
    /// Share of the commonest right label: what saying it always would reach.
    pub majority: f64,
    /// Expected calibration error: mean distance of confidence and accuracy over ten bins (Naeini et al. 2015).
    pub calibration_error: f64,
    /// Share of answers that were accepted.
    pub accepted: f64,
    /// Share of right ones among the accepted; 0 where none was.
    pub accepted_accuracy: f64,
    /// Each label, by name.
    pub labels: Vec<LabelFigures>,
    /// For each label of `labels` as the right one, how often each was given.
    pub confusion: Vec<Vec<u32>>,
    /// Accuracy of the surest answers.
    pub coverage: Vec<Coverage>,
    /// Confidence against accuracy, in bins of a tenth; empty bins are left out.
    pub reliability: Vec<Bin>,
}

/// How well one label is found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LabelFigures {
    /// The label.
    pub label: String,
    /// Rows that have it.
    pub rows: u32,
    /// Share of right ones among the rows that were given it.
    pub precision: f64,
    /// Share of its rows that were given it.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// The accuracy of the surest answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Share of all answers.
    pub share: f64,
    /// Share of right ones among them.
    pub accuracy: f64,
    /// The least confidence among them.
    pub confidence: f64,
}

/// Answers of like confidence.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bin {
    /// How many.
    pub rows: u32,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of right ones.
    pub accuracy: f64,
}

const BINS: usize = 10;
const COVERAGES: [f64; 12] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0];

impl Figures {
    /// Of answers in any order; of none, all is 0.
    pub fn of(answers: &[Answer]) -> Figures {
        if answers.is_empty() {
            return Figures::default();
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for answer in answers {
            names.insert(answer.truth, 0);
            names.insert(answer.given, 0);
        }
        for (number, place) in names.values_mut().enumerate() {
            *place = number;
        }
        let mut confusion = vec![vec![0u32; names.len()]; names.len()];
        for answer in answers {
            confusion[names[answer.truth]][names[answer.given]] += 1;
        }
        let labels: Vec<LabelFigures> = names.iter().map(|(label, place)| label_figures(label, *place, &confusion)).collect();
        let there: Vec<&LabelFigures> = labels.iter().filter(|label| label.rows > 0).collect();
        let right = |answer: &&Answer| answer.truth == answer.given;
        let accepted = answers.iter().filter(|answer| answer.accepted).count();
        let reliability = reliability(answers);
        Figures {
            rows: answers.len(),
            accuracy: share(answers.iter().filter(right).count(), answers.len()),
            macro_f1: there.iter().map(|label| label.f1).sum::<f64>() / there.len() as f64,
            majority: share(labels.iter().map(|label| label.rows as usize).max().unwrap_or(0), answers.len()),
            calibration_error: reliability.iter().map(|bin| (bin.confidence - bin.accuracy).abs() * f64::from(bin.rows)).sum::<f64>() / answers.len() as f64,
            accepted: share(accepted, answers.len()),
            accepted_accuracy: share(answers.iter().filter(|answer| answer.accepted).filter(right).count(), accepted),
            labels,
            confusion,
            coverage: coverage(answers),
            reliability,
        }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn label_figures(label: &str, place: usize, confusion: &[Vec<u32>]) -> LabelFigures {
    let rows: u32 = confusion[place].iter().sum();
    let given: u32 = confusion.iter().map(|row| row[place]).sum();
    let right = confusion[place][place];
    let f1 = share(2 * right as usize, (rows + given) as usize);
    LabelFigures { label: label.to_owned(), rows, precision: share(right as usize, given as usize), recall: share(right as usize, rows as usize), f1 }
}

fn coverage(answers: &[Answer]) -> Vec<Coverage> {
    let mut sorted: Vec<&Answer> = answers.iter().collect();
    sorted.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut rights = Vec::with_capacity(sorted.len());
    let mut right = 0;
    for answer in &sorted {
        right += usize::from(answer.truth == answer.given);
        rights.push(right);
    }
    let of = |wanted: f64| {
        let rows = ((wanted * sorted.len() as f64).round() as usize).clamp(1, sorted.len());
        Coverage { share: share(rows, sorted.len()), accuracy: share(rights[rows - 1], rows), confidence: f64::from(sorted[rows - 1].confidence) }
    };
    COVERAGES.iter().map(|wanted| of(*wanted)).collect()
}

fn reliability(answers: &[Answer]) -> Vec<Bin> {
    let mut bins = vec![(0u32, 0.0f64, 0u32); BINS];
    for answer in answers {
        let bin = &mut bins[((f64::from(answer.confidence) * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += 1;
        bin.1 += f64::from(answer.confidence);
        bin.2 += u32::from(answer.truth == answer.given);
    }
    let filled = bins.into_iter().filter(|(rows, _, _)| *rows > 0);
    filled.map(|(rows, sum, right)| Bin { rows, confidence: sum / f64::from(rows), accuracy: f64::from(right) / f64::from(rows) }).collect()
}

/// The least confidence from which on the answers given with at least it are wrong in no more than `risk` of cases: the
/// upper end of Wilson's interval (one-sided, 90 %) is meant, so that few rows do not promise much. Above 1 where
/// there is none. `answers` are confidence and whether right, held out from training.
pub fn threshold(answers: &[(f32, bool)], risk: f64) -> f32 {
    let mut sorted = answers.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut wrong = 0usize;
    let mut found = f32::INFINITY;
    for (at, (confidence, right)) in sorted.iter().enumerate() {
        wrong += usize::from(!right);
        let last_of_its_kind = sorted.get(at + 1).is_none_or(|next| next.0 < *confidence);
        if last_of_its_kind && wilson_upper(wrong, at + 1) <= risk {
            found = *confidence;
        }
    }
    found
}

fn wilson_upper(wrong: usize, rows: usize) -> f64 {
    const Z: f64 = 1.2816;
    let n = rows as f64;
    let p = wrong as f64 / n;
    let square = Z * Z;
    (p + square / (2.0 * n) + Z * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt()) / (1.0 + square / n)
}
