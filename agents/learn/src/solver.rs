//! Linear support vector machines, one label against the others, all labels at once, by dual coordinate descent.
//!
//! Hsieh, Chang, Lin, Keerthi, Sundararajan: A Dual Coordinate Descent Method for Large-scale Linear SVM, ICML 2008,
//! with the squared hinge. One thread and a fixed order from the seed: the same rows give the same weights.

use crate::dice::Dice;

/// Rows of features, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    /// Where each row begins; one more than rows.
    pub(crate) starts: Vec<usize>,
    /// Feature and value.
    pub(crate) cells: Vec<(u32, f32)>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub(crate) fn row(&self, at: usize) -> &[(u32, f32)] {
        &self.cells[self.starts[at]..self.starts[at + 1]]
    }
}

/// Weights of features, `labels` of them for each feature, and one bias for each label.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) labels: usize,
    pub(crate) features: Vec<f32>,
    pub(crate) biases: Vec<f32>,
}

impl Weights {
    pub(crate) fn margins(&self, row: &[(u32, f32)], out: &mut [f32]) {
        out.copy_from_slice(&self.biases);
        for (feature, value) in row {
            let weights = &self.features[*feature as usize * self.labels..][..self.labels];
            for (margin, weight) in out.iter_mut().zip(weights) {
                *margin += weight * value;
            }
        }
    }
}

/// What is to be fitted.
pub(crate) struct Problem<'a> {
    pub(crate) rows: &'a Rows,
    /// The label of each row.
    pub(crate) truths: &'a [u32],
    /// How much each row counts.
    pub(crate) costs: &'a [f32],
    pub(crate) labels: usize,
    pub(crate) features: usize,
}

const ROUNDS_MAX: usize = 12;
/// A round whose largest violation is below this is the last.
const VIOLATION: f32 = 0.05;

/// Fits the weights to the rows `chosen`; `told` hears how many rows have been looked at since it was last told.
pub(crate) fn fit(problem: &Problem, chosen: &[u32], seed: u64, told: &mut dyn FnMut(usize)) -> Weights {
    let labels = problem.labels;
    let mut weights = Weights { labels, features: vec![0.0; problem.features * labels], biases: vec![0.0; labels] };
    let mut alphas = vec![0.0f32; chosen.len() * labels];
    let squares: Vec<f32> = chosen.iter().map(|row| 1.0 + problem.rows.row(*row as usize).iter().map(|(_, value)| value * value).sum::<f32>()).collect();
    let mut order: Vec<u32> = (0..chosen.len() as u32).collect();
    let mut dice = Dice::new(seed);
    let mut margins = vec![0.0f32; labels];
    let mut moves = vec![0.0f32; labels];
    for _ in 0..ROUNDS_MAX {
        dice.shuffle(&mut order);
        let mut violation = 0.0f32;
        for (done, place) in order.iter().enumerate() {
            let place = *place as usize;
            let row = chosen[place] as usize;
            let cells = problem.rows.row(row);
            weights.margins(cells, &mut margins);
            let diagonal = 0.5 / problem.costs[row];
            let curvature = squares[place] + diagonal;
            let alphas = &mut alphas[place * labels..][..labels];
            let mut any = false;
            for (label, alpha) in alphas.iter_mut().enumerate() {
                let sign = if problem.truths[row] as usize == label { 1.0 } else { -1.0 };
                let gradient = sign * margins[label] - 1.0 + *alpha * diagonal;
                let before = *alpha;
                *alpha = (before - gradient / curvature).max(0.0);
                violation = violation.max(if before > 0.0 { gradient.abs() } else { (-gradient).max(0.0) });
                moves[label] = (*alpha - before) * sign;
                any |= moves[label] != 0.0;
            }
            if any {
                for (feature, value) in cells {
                    let target = &mut weights.features[*feature as usize * labels..][..labels];
                    for (weight, step) in target.iter_mut().zip(&moves) {
                        *weight += step * value;
                    }
                }
                for (bias, step) in weights.biases.iter_mut().zip(&moves) {
                    *bias += step;
                }
            }
            if done % 1024 == 1023 {
                told(1024);
            }
        }
        told(order.len() % 1024);
        if violation < VIOLATION {
            break;
        }
    }
    weights
}
