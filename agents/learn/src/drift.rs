//! Whether a model sees today what it was trained on: histograms of its answers and of its inputs, and how far two are apart.

use serde::{Deserialize, Serialize};

use crate::{Card, Input, Prediction};

/// Bins of shares from 0 to 1.
const SHARES: usize = 10;
/// Bins of lengths: 0, 1, 2..=3, 4..=7 and so on.
const LENGTHS: usize = 16;

/// What a model saw and answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Histograms {
    /// How sure it was, in tenths.
    pub confidence: Vec<u32>,
    /// How often it gave each label, in the order of the card.
    pub labels: Vec<u32>,
    /// Characters of all texts, by powers of two.
    pub text_chars: Vec<u32>,
    /// How much of the text it knew, in tenths.
    pub familiarity: Vec<u32>,
}

/// How far one histogram is from its reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// `confidence`, `labels`, `text_chars` or `familiarity`.
    pub what: &'static str,
    /// Population stability index: below 0.1 like before, above 0.25 another population.
    pub index: f64,
}

/// Above it the inputs are others than those of the training (Siddiqi: Credit Risk Scorecards, 2006).
pub const INDEX_GRAVE: f64 = 0.25;
/// What an empty bin counts as, in observations: an index must not be infinite.
const LEAST: f64 = 0.5;

impl Histograms {
    /// Empty ones for a model with so many labels.
    pub fn new(labels: usize) -> Histograms {
        Histograms { confidence: vec![0; SHARES], labels: vec![0; labels], text_chars: vec![0; LENGTHS], familiarity: vec![0; SHARES] }
    }

    /// Counts one input and its answer.
    pub fn observe(&mut self, card: &Card, input: &Input, prediction: &Prediction) {
        if let Some((label, confidence)) = prediction.ranked.first() {
            self.answer(card.labels.binary_search_by(|own| own.as_str().cmp(label)).unwrap_or(usize::MAX), *confidence);
        }
        self.text(input, Some(prediction.familiarity));
    }

    pub(crate) fn answer(&mut self, label: usize, confidence: f32) {
        add(&mut self.confidence, share_bin(confidence));
        add(&mut self.labels, label);
    }

    pub(crate) fn text(&mut self, input: &Input, familiarity: Option<f32>) {
        let chars: usize = input.texts.iter().map(|text| text.chars().count()).sum();
        add(&mut self.text_chars, (usize::BITS - chars.leading_zeros()).min(LENGTHS as u32 - 1) as usize);
        if let Some(familiarity) = familiarity {
            add(&mut self.familiarity, share_bin(familiarity));
        }
    }

    /// How many answers were counted.
    pub fn answers(&self) -> u64 {
        self.confidence.iter().map(|count| u64::from(*count)).sum()
    }
}

fn share_bin(share: f32) -> usize {
    ((share * SHARES as f32) as usize).min(SHARES - 1)
}

fn add(bins: &mut [u32], bin: usize) {
    if let Some(count) = bins.get_mut(bin) {
        *count = count.saturating_add(1);
    }
}

/// How far each histogram is from its reference, in a fixed order.
pub fn compare(reference: &Histograms, now: &Histograms) -> Vec<Drift> {
    let pairs = [
        ("confidence", &reference.confidence, &now.confidence),
        ("labels", &reference.labels, &now.labels),
        ("text_chars", &reference.text_chars, &now.text_chars),
        ("familiarity", &reference.familiarity, &now.familiarity),
    ];
    pairs.into_iter().map(|(what, reference, now)| Drift { what, index: stability_index(reference, now) }).collect()
}

/// Population stability index of two histograms with the same bins; 0 where one of them is empty.
pub fn stability_index(reference: &[u32], now: &[u32]) -> f64 {
    let total = |bins: &[u32]| bins.iter().map(|count| f64::from(*count)).sum::<f64>();
    let (before, after) = (total(reference), total(now));
    if before == 0.0 || after == 0.0 {
        return 0.0;
    }
    let share = |count: u32, total: f64| f64::from(count).max(LEAST) / total;
    reference.iter().zip(now).filter(|(a, b)| **a > 0 || **b > 0).map(|(a, b)| {
        let (a, b) = (share(*a, before), share(*b, after));
        (b - a) * (b / a).ln()
    }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_no_drift_and_another_is() {
        assert_eq!(stability_index(&[10, 20, 30], &[100, 200, 300]), 0.0);
        assert!(stability_index(&[90, 10, 0], &[10, 10, 80]) > INDEX_GRAVE);
        assert_eq!(stability_index(&[0, 0], &[1, 2]), 0.0);
    }
}
