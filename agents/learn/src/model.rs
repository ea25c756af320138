//! A trained model: what it knows, and its answers.

use serde::{Deserialize, Serialize};

use crate::Input;
use crate::calibrate::Calibration;
use crate::features::{BLOCKS, Block, Reader, Sink};
use crate::index::Index;
use crate::metrics::Figures;
use crate::train::Options;

/// A classifier of texts and fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(crate) card: Card,
    pub(crate) index: Index,
    /// How rare each feature is; 1 for those that are not of texts.
    pub(crate) rarities: Vec<f32>,
    /// For each feature one weight for each label, in units of `units`.
    pub(crate) weights: Vec<i16>,
    pub(crate) units: Vec<f32>,
    pub(crate) biases: Vec<f32>,
    pub(crate) calibration: Calibration,
    /// Least confidence of an accepted answer; infinite where none may be.
    pub(crate) threshold: f32,
    /// Least familiarity of an accepted answer.
    pub(crate) familiarity_min: f32,
    pub(crate) digest: [u8; 32],
}

/// What a model was made of, and what it was worth on rows that were held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What it is for: `category`, `unit` or a name of its own.
    pub task: String,
    /// Its labels, sorted.
    pub labels: Vec<String>,
    /// How many rows of the training had each label.
    pub label_rows: Vec<u32>,
    /// Rows of the training.
    pub rows: usize,
    /// BLAKE3 of the rows in their order.
    pub data_digest: String,
    /// How many features it has.
    pub features: usize,
    /// How it was trained.
    pub options: Options,
    /// Figures on rows that were held out.
    pub held_out: Figures,
    /// What it answered on rows that were held out, and what the rows were like: the reference of its drift.
    pub reference: crate::drift::Histograms,
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction<'a> {
    /// All labels with their probabilities, the likeliest first; they add up to 1.
    pub ranked: Vec<(&'a str, f32)>,
    /// Whether the first may be acted upon; else a person looks.
    pub accepted: bool,
    /// Share of the text that the model has seen in its training, 0..=1; 1 where there is no text.
    pub familiarity: f32,
}

/// One thing that spoke for a label.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// A piece of text, a field with its value, or a part of the calendar.
    pub what: String,
    /// How much it spoke for the label rather than for the others.
    pub weight: f32,
}

/// Memory of a prediction, kept between inputs.
#[derive(Debug, Default)]
pub struct Scratch {
    reader: Reader,
    counts: Vec<u16>,
    found: Vec<(u32, Block)>,
    cells: Vec<(u32, f32)>,
    margins: Vec<f32>,
    order: Vec<u32>,
}

struct Counter<'a> {
    index: &'a Index,
    counts: &'a mut Vec<u16>,
    found: &'a mut Vec<(u32, Block)>,
    seen: u32,
    known: u32,
}

impl Sink for Counter<'_> {
    fn feature(&mut self, block: Block, hash: u64, _: impl FnOnce() -> String) {
        let feature = self.index.get(hash);
        if block == Block::Chars {
            self.seen += 1;
            self.known += u32::from(feature.is_some());
        }
        if let Some(feature) = feature {
            let count = &mut self.counts[feature as usize];
            if *count == 0 {
                self.found.push((feature, block));
            }
            *count = count.saturating_add(1);
        }
    }
}

struct Names<'a> {
    index: &'a Index,
    names: std::collections::BTreeMap<u32, String>,
}

impl Sink for Names<'_> {
    fn feature(&mut self, _: Block, hash: u64, name: impl FnOnce() -> String) {
        if let Some(feature) = self.index.get(hash) {
            self.names.entry(feature).or_insert_with(name);
        }
    }
}

/// Turns counts into values: sublinear, times rarity, each block of length 1 times its weight.
pub(crate) fn weigh(cells: &mut [(u32, f32)], blocks: impl Fn(usize) -> Block, rarities: &[f32], weights: &[f32; BLOCKS]) {
    let mut squares = [0.0f32; BLOCKS];
    for (at, (feature, value)) in cells.iter_mut().enumerate() {
        let block = blocks(at);
        if block.is_text() {
            *value = (1.0 + value.ln()) * rarities[*feature as usize];
        } else {
            *value = 1.0;
        }
        squares[block as usize] += *value * *value;
    }
    for (at, (_, value)) in cells.iter_mut().enumerate() {
        let block = blocks(at) as usize;
        *value *= weights[block] / squares[block].sqrt();
    }
}

impl Model {
    /// Ranks the labels for an input.
    pub fn predict(&self, input: &Input, scratch: &mut Scratch) -> Prediction<'_> {
        let (known, familiarity) = self.probabilities(input, scratch);
        scratch.order.clear();
        scratch.order.extend(0..self.card.labels.len() as u32);
        let Scratch { margins, order, .. } = scratch;
        order.sort_unstable_by(|a, b| margins[*b as usize].total_cmp(&margins[*a as usize]).then(a.cmp(b)));
        let ranked: Vec<(&str, f32)> = order.iter().map(|label| (self.card.labels[*label as usize].as_str(), margins[*label as usize])).collect();
        let accepted = known && ranked.first().is_some_and(|first| first.1 >= self.threshold) && familiarity >= self.familiarity_min;
        Prediction { ranked, accepted, familiarity }
    }

    /// What spoke for a label, the strongest first, at most `most` things; none for a label that the model does not have.
    pub fn explain(&self, input: &Input, label: &str, most: usize, scratch: &mut Scratch) -> Vec<Reason> {
        let Some(label) = self.card.labels.iter().position(|own| own == label) else { return Vec::new() };
        self.probabilities(input, scratch);
        let mut names = Names { index: &self.index, names: std::collections::BTreeMap::new() };
        scratch.reader.read(input, &mut names);
        let labels = self.card.labels.len();
        let speaks = |(feature, value): &(u32, f32)| {
            let weights = &self.weights[*feature as usize * labels..][..labels];
            let weight = |label: usize| f32::from(weights[label]) * self.units[label];
            let others = (0..labels).filter(|other| *other != label).map(weight).sum::<f32>() / (labels - 1).max(1) as f32;
            value * (weight(label) - others)
        };
        let mut found: Vec<(f32, u32)> = scratch.cells.iter().map(|cell| (speaks(cell), cell.0)).filter(|(weight, _)| *weight > 0.0).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let reason = |(weight, feature): (f32, u32)| Some(Reason { what: names.names.get(&feature)?.clone(), weight });
        found.into_iter().filter_map(reason).take(most).collect()
    }

    /// Leaves the probabilities in the scratch's margins; says whether anything was known, and how much of the text.
    fn probabilities(&self, input: &Input, scratch: &mut Scratch) -> (bool, f32) {
        let labels = self.card.labels.len();
        if scratch.counts.len() < self.rarities.len() {
            scratch.counts.resize(self.rarities.len(), 0);
        }
        scratch.found.clear();
        let mut counter = Counter { index: &self.index, counts: &mut scratch.counts, found: &mut scratch.found, seen: 0, known: 0 };
        scratch.reader.read(input, &mut counter);
        let familiarity = if counter.seen == 0 { 1.0 } else { counter.known as f32 / counter.seen as f32 };
        scratch.cells.clear();
        for (feature, _) in &scratch.found {
            let count = std::mem::take(&mut scratch.counts[*feature as usize]);
            scratch.cells.push((*feature, f32::from(count)));
        }
        let Scratch { found, cells, margins, .. } = scratch;
        weigh(cells, |at| found[at].1, &self.rarities, &self.card.options.weights);
        margins.clear();
        margins.resize(labels, 0.0);
        for (feature, value) in cells.iter() {
            let weights = &self.weights[*feature as usize * labels..][..labels];
            for (margin, weight) in margins.iter_mut().zip(weights) {
                *margin += value * f32::from(*weight);
            }
        }
        for ((margin, unit), bias) in margins.iter_mut().zip(&self.units).zip(&self.biases) {
            *margin = *margin * unit + bias;
        }
        self.calibration.apply(margins);
        (!found.is_empty(), familiarity)
    }

    /// What it was made of.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// BLAKE3 of its bytes up to the checksum at their end, in hex: equal for equal models.
    pub fn digest(&self) -> String {
        blake3::Hash::from(self.digest).to_hex().to_string()
    }

    /// Least confidence of an accepted answer; above 1 where none is ever accepted.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }
}
