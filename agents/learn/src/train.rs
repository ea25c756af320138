//! From rows to a model: count, choose features, fit on folds to calibrate and to judge, fit on all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calibrate::Calibration;
use crate::dice::Dice;
use crate::drift::Histograms;
use crate::error::TrainError;
use crate::features::{BLOCKS, Block, Reader, Sink};
use crate::index::Index;
use crate::limits::{FEATURES_MAX, LABEL_BYTES_MAX, LABELS_MAX, ROWS_MAX, WEIGHTS_MAX};
use crate::metrics::{Answer, Figures, threshold};
use crate::model::{Card, Model, weigh};
use crate::solver::{Problem, Rows, Weights, fit};
use crate::{Example, Input};

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// What the model is for: `category`, `unit` or a name of its own.
    pub task: String,
    /// What chance is drawn from.
    pub seed: u64,
    /// How much a wrong row costs beside large weights: more fits the rows closer.
    pub cost: f32,
    /// Share of wrong answers that is tolerated among the accepted ones.
    pub risk: f64,
    /// Most features.
    pub features_max: usize,
    /// Weight of n-grams of characters, words, the title, fields, pairs of fields and the calendar.
    pub weights: [f32; BLOCKS],
}

impl Default for Options {
    fn default() -> Options {
        Options { task: "category".to_owned(), seed: 1, cost: 1.0, risk: 0.03, features_max: FEATURES_MAX, weights: [1.0, 0.7, 0.5, 1.0, 0.7, 0.3] }
    }
}

/// What a training does just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reads the rows.
    Reading,
    /// Fits weights, on folds and on all rows.
    Fitting,
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// Rows done in this stage.
    pub done: u64,
    /// Rows to do in this stage; fitting may end earlier.
    pub total: u64,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Figures on rows that were held out, each row once.
    pub held_out: Figures,
    /// Labels with fewer than five rows, with their rows: they are hardly learnt.
    pub rare: Vec<(String, u32)>,
    /// Rows with nothing in them to learn from.
    pub blank: usize,
}

/// Above so many rows one part is held out, below it each of [`FOLDS`] parts in turn.
const FOLDS_ROWS_MAX: usize = 20_000;
const FOLDS: usize = 5;
/// Held-out rows that calibration looks at.
const CALIBRATION_ROWS_MAX: usize = 20_000;
const RARE_ROWS: u32 = 5;
/// Rounds of the solver as the progress counts them.
const ROUNDS: u64 = 12;

/// Trains a model; `told` hears of the progress. The same examples in the same order and options give the same bytes.
pub fn train(examples: &[Example], options: &Options, told: &mut dyn FnMut(Progress)) -> Result<(Model, Report), TrainError> {
    let (labels, truths) = labels(examples)?;
    let mut label_rows = vec![0u32; labels.len()];
    truths.iter().for_each(|truth| label_rows[*truth as usize] += 1);
    let Counted { bits, mut rows, blocks, uses } = count(examples, told);
    let blank = (0..rows.len()).filter(|at| rows.row(*at).is_empty()).count();
    if blank == rows.len() {
        return Err(TrainError::NoFeatures);
    }
    let features_max = options.features_max.clamp(1, WEIGHTS_MAX / labels.len());
    let index = choose(bits, &uses, examples.len(), features_max);
    let (rarities, familiarities) = keep_chosen(&mut rows, blocks, &index, &uses, options);
    drop(uses);
    let features = index.len();

    let costs = vec![options.cost.max(1e-6); rows.len()];
    let problem = Problem { rows: &rows, truths: &truths, costs: &costs, labels: labels.len(), features };
    let folds = folds(&truths, labels.len(), options.seed);
    let rounds = folds.len() as u64 + 1;
    let total = ROUNDS * rounds * rows.len() as u64;
    let mut done = 0;
    let mut tell = |more: usize| {
        done += more as u64;
        told(Progress { stage: Stage::Fitting, done: done.min(total), total });
    };

    let mut held_rows: Vec<u32> = Vec::new();
    let mut margins: Vec<f32> = Vec::new();
    for held in &folds {
        let chosen = others(held, rows.len());
        let weights = fit(&problem, &chosen, options.seed, &mut tell);
        let mut row_margins = vec![0.0; labels.len()];
        for row in held {
            weights.margins(rows.row(*row as usize), &mut row_margins);
            margins.extend_from_slice(&row_margins);
            held_rows.push(*row);
        }
    }
    let held_truths: Vec<u32> = held_rows.iter().map(|row| truths[*row as usize]).collect();
    let looked_at = held_truths.len().min(CALIBRATION_ROWS_MAX);
    let calibration = Calibration::fit(&margins[..looked_at * labels.len()], &held_truths[..looked_at], labels.len());
    let judged = judge(&calibration, &mut margins, &held_truths, &labels);
    let threshold = threshold(&judged.iter().map(|(given, confidence, truth)| (*confidence, given == truth)).collect::<Vec<_>>(), options.risk);
    let answers: Vec<Answer> = judged.iter().map(|(given, confidence, truth)| Answer { truth, given, confidence: *confidence, accepted: *confidence >= threshold }).collect();
    let held_out = Figures::of(&answers);
    let mut reference = Histograms::new(labels.len());
    for (given, confidence, _) in &judged {
        reference.answer(labels.binary_search(given).unwrap_or(usize::MAX), *confidence);
    }
    for (example, familiarity) in examples.iter().zip(&familiarities) {
        reference.text(&example.input, *familiarity);
    }

    let all: Vec<u32> = (0..rows.len() as u32).collect();
    let (units, weights, biases) = packed(fit(&problem, &all, options.seed, &mut tell));
    tell(total as usize);
    let rare = labels.iter().zip(&label_rows).filter(|(_, rows)| **rows < RARE_ROWS).map(|(label, rows)| ((*label).to_owned(), *rows)).collect();
    let card = Card {
        task: options.task.clone(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        label_rows,
        rows: rows.len(),
        data_digest: data_digest(examples),
        features,
        options: options.clone(),
        held_out: held_out.clone(),
        reference,
    };
    let mut model = Model { card, index, rarities, weights, units, biases, calibration, threshold, familiarity_min: familiarity_min(&familiarities), digest: [0; 32] };
    let bytes = model.to_bytes();
    model.digest.copy_from_slice(&bytes[bytes.len() - 32..]);
    Ok((model, Report { held_out, rare, blank }))
}

fn labels<'a>(examples: &[Example<'a>]) -> Result<(Vec<&'a str>, Vec<u32>), TrainError> {
    if examples.is_empty() {
        return Err(TrainError::NoRows);
    }
    if examples.len() > ROWS_MAX {
        return Err(TrainError::TooManyRows { rows: examples.len() });
    }
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for (at, example) in examples.iter().enumerate() {
        if example.label.is_empty() || example.label.len() > LABEL_BYTES_MAX {
            return Err(TrainError::Label { row: at + 1, bytes: example.label.len() });
        }
        numbers.insert(example.label, 0);
    }
    if numbers.len() == 1 {
        return Err(TrainError::OneLabel { label: examples[0].label.to_owned(), rows: examples.len() });
    }
    if numbers.len() > LABELS_MAX {
        return Err(TrainError::TooManyLabels { labels: numbers.len() });
    }
    for (number, place) in numbers.values_mut().enumerate() {
        *place = number as u32;
    }
    let truths = examples.iter().map(|example| numbers[example.label]).collect();
    Ok((numbers.into_keys().collect(), truths))
}

struct Counted {
    bits: u32,
    /// Buckets and counts of each row.
    rows: Rows,
    blocks: Vec<u8>,
    /// How many rows use each bucket.
    uses: Vec<u32>,
}

struct Tally<'a> {
    bits: u32,
    counts: &'a mut [u16],
    found: &'a mut Vec<(u32, Block)>,
}

impl Sink for Tally<'_> {
    fn feature(&mut self, block: Block, hash: u64, _: impl FnOnce() -> String) {
        let bucket = Index::bucket(self.bits, hash);
        let count = &mut self.counts[bucket as usize];
        if *count == 0 {
            self.found.push((bucket, block));
        }
        *count = count.saturating_add(1);
    }
}

/// More text needs more buckets, so that two features seldom share one.
fn bits(examples: &[Example]) -> u32 {
    let bytes: usize = examples.iter().map(|example| example.input.texts.iter().map(|text| text.len()).sum::<usize>() + 64 * example.input.fields.len()).sum();
    match bytes {
        0..=65_535 => 18,
        65_536..=1_048_575 => 20,
        1_048_576..=33_554_431 => 22,
        _ => 24,
    }
}

fn count(examples: &[Example], told: &mut dyn FnMut(Progress)) -> Counted {
    let bits = bits(examples);
    let mut uses = vec![0u32; 1 << bits];
    let mut counts = vec![0u16; 1 << bits];
    let mut found = Vec::new();
    let mut reader = Reader::default();
    let mut rows = Rows { starts: vec![0], cells: Vec::new() };
    let mut blocks = Vec::new();
    for (at, example) in examples.iter().enumerate() {
        found.clear();
        reader.read(&example.input, &mut Tally { bits, counts: &mut counts, found: &mut found });
        for (bucket, block) in &found {
            uses[*bucket as usize] += 1;
            rows.cells.push((*bucket, f32::from(std::mem::take(&mut counts[*bucket as usize]))));
            blocks.push(*block as u8);
        }
        rows.starts.push(rows.cells.len());
        if at % 1024 == 1023 || at + 1 == examples.len() {
            told(Progress { stage: Stage::Reading, done: at as u64 + 1, total: examples.len() as u64 });
        }
    }
    Counted { bits, rows, blocks, uses }
}

/// Features are the buckets that enough rows use; so many that they are not too many.
fn choose(bits: u32, uses: &[u32], rows: usize, features_max: usize) -> Index {
    let chosen = |least: u32| uses.iter().filter(|count| **count >= least).count();
    // Where no two rows share anything, each feature is of one row.
    let mut least = if rows < 50 || chosen(2) == 0 { 1 } else { 2 };
    while chosen(least) > features_max && chosen(least + 1) > 0 {
        least += 1;
    }
    let mut words = vec![0u64; 1 << (bits - 6)];
    for (bucket, count) in uses.iter().enumerate() {
        if *count >= least {
            words[bucket >> 6] |= 1 << (bucket & 63);
        }
    }
    Index::new(bits, words).expect("the index has a bit for each bucket")
}

/// Leaves in the rows what was chosen, as features with their values; gives how rare each feature is, and how much of
/// each row's text other rows have too.
fn keep_chosen(rows: &mut Rows, blocks: Vec<u8>, index: &Index, uses: &[u32], options: &Options) -> (Vec<f32>, Vec<Option<f32>>) {
    let examples = rows.len();
    let mut familiarities = Vec::with_capacity(examples);
    let mut rarities = Vec::with_capacity(index.len());
    for (bucket, count) in uses.iter().enumerate() {
        if index.rank(bucket as u32).is_some() {
            rarities.push(((1.0 + examples as f32) / (1.0 + *count as f32)).ln() + 1.0);
        }
    }
    const ALL: [Block; BLOCKS] = [Block::Chars, Block::Words, Block::Title, Block::Fields, Block::Crossings, Block::Calendar];
    let mut kept = 0;
    let mut kept_blocks = Vec::new();
    let mut start = 0;
    for row in 1..rows.starts.len() {
        let end = rows.starts[row];
        let begin = kept;
        kept_blocks.clear();
        let (mut seen, mut known) = (0.0f32, 0.0f32);
        for at in start..end {
            let (bucket, count) = rows.cells[at];
            if blocks[at] == Block::Chars as u8 {
                seen += count;
                known += if uses[bucket as usize] > 1 { count } else { 0.0 };
            }
            if let Some(feature) = index.rank(bucket) {
                rows.cells[kept] = (feature, count);
                kept_blocks.push(ALL[blocks[at] as usize]);
                kept += 1;
            }
        }
        weigh(&mut rows.cells[begin..kept], |at| kept_blocks[at], &rarities, &options.weights);
        familiarities.push((seen > 0.0).then(|| known / seen));
        start = end;
        rows.starts[row] = kept;
    }
    rows.cells.truncate(kept);
    (rarities, familiarities)
}

/// Half of what all but a hundredth of the rows reach: below it a text is of another kind than those of the training.
fn familiarity_min(familiarities: &[Option<f32>]) -> f32 {
    let mut familiarities: Vec<f32> = familiarities.iter().copied().flatten().collect();
    familiarities.sort_by(f32::total_cmp);
    familiarities.get(familiarities.len() / 100).map_or(0.0, |low| low / 2.0)
}

/// The rows that are held out in each turn, drawn so that each label is spread evenly.
fn folds(truths: &[u32], labels: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..truths.len() as u32).collect();
    Dice::new(seed ^ 0x0f01d5).shuffle(&mut order);
    let mut by_label: Vec<Vec<u32>> = vec![Vec::new(); labels];
    for row in order {
        by_label[truths[row as usize] as usize].push(row);
    }
    let mut folds = vec![Vec::new(); FOLDS];
    for (place, row) in by_label.into_iter().flatten().enumerate() {
        folds[place % FOLDS].push(row);
    }
    if truths.len() > FOLDS_ROWS_MAX {
        folds.truncate(1);
    }
    folds.retain(|fold| !fold.is_empty());
    for (number, fold) in folds.iter_mut().enumerate() {
        // Shuffled, because calibration may look at the first of them only.
        fold.sort_unstable();
        Dice::new(seed ^ number as u64).shuffle(fold);
    }
    folds
}

fn others(held: &[u32], rows: usize) -> Vec<u32> {
    let mut out = vec![true; rows];
    held.iter().for_each(|row| out[*row as usize] = false);
    (0..rows as u32).filter(|row| out[*row as usize]).collect()
}

/// Given label, confidence and true label of each row that was held out.
fn judge<'a>(calibration: &Calibration, margins: &mut [f32], truths: &[u32], labels: &[&'a str]) -> Vec<(&'a str, f32, &'a str)> {
    let mut judged = Vec::with_capacity(truths.len());
    for (row, truth) in margins.chunks_exact_mut(labels.len()).zip(truths) {
        calibration.apply(row);
        let mut best = 0;
        for (label, probability) in row.iter().enumerate() {
            if *probability > row[best] {
                best = label;
            }
        }
        judged.push((labels[best], row[best], labels[*truth as usize]));
    }
    judged
}

/// Weights in 16 bits, with a unit for each label.
fn packed(weights: Weights) -> (Vec<f32>, Vec<i16>, Vec<f32>) {
    let mut largest = vec![0.0f32; weights.labels];
    for row in weights.features.chunks_exact(weights.labels) {
        for (largest, weight) in largest.iter_mut().zip(row) {
            *largest = largest.max(weight.abs());
        }
    }
    let units: Vec<f32> = largest.iter().map(|largest| (largest / f32::from(i16::MAX)).max(f32::MIN_POSITIVE)).collect();
    let mut packed = Vec::with_capacity(weights.features.len());
    for row in weights.features.chunks_exact(weights.labels) {
        packed.extend(row.iter().zip(&units).map(|(weight, unit)| (weight / unit).round().clamp(-32_767.0, 32_767.0) as i16));
    }
    (units, packed, weights.biases)
}

fn data_digest(examples: &[Example]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |kind: u8, text: &str| {
        hasher.update(&[kind]);
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for example in examples {
        let Input { texts, fields, time_us } = example.input;
        part(b'l', example.label);
        texts.iter().for_each(|text| part(b't', text));
        for (name, value) in fields {
            part(b'n', name);
            part(b'v', value);
        }
        if let Some(time_us) = time_us {
            part(b'u', &time_us.to_string());
        }
    }
    hasher.finalize().to_hex().to_string()
}
