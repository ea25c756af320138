//! Margins into probabilities that hold: a scale and a shift for each label, fitted to rows that were held out.
//!
//! Vector scaling (Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017), drawn towards one
//! common scale so that a label with few rows does not fit their noise.

/// A scale and a shift for each label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibration {
    pub(crate) scales: Vec<f32>,
    pub(crate) shifts: Vec<f32>,
}

const STEPS: usize = 200;
/// How strongly a label's scale and shift are held to the common ones, in rows.
const PULL: f64 = 8.0;
const SCALE_BEGIN: f64 = 3.0;
const SCALE_RANGE: (f64, f64) = (0.05, 50.0);

impl Calibration {
    /// The probabilities of margins, in place.
    pub(crate) fn apply(&self, margins: &mut [f32]) {
        for ((margin, scale), shift) in margins.iter_mut().zip(&self.scales).zip(&self.shifts) {
            *margin = *margin * scale + shift;
        }
        softmax(margins);
    }

    /// Fits to margins (`labels` for each row) and true labels, by gradient descent with steps of its own for each
    /// parameter (RMSprop), from one and the same beginning.
    pub(crate) fn fit(margins: &[f32], truths: &[u32], labels: usize) -> Calibration {
        let rows = truths.len();
        let mut parameters = vec![0.0f64; 2 * labels + 1];
        parameters[2 * labels] = SCALE_BEGIN.ln();
        let mut squares = vec![0.0f64; parameters.len()];
        let mut probabilities = vec![0.0f32; labels];
        for step in 0..STEPS {
            let mut gradient = vec![0.0f64; parameters.len()];
            let calibration = Calibration::from_parameters(&parameters, labels);
            for (row, truth) in margins.chunks_exact(labels).zip(truths) {
                probabilities.copy_from_slice(row);
                calibration.apply(&mut probabilities);
                for label in 0..labels {
                    let error = f64::from(probabilities[label]) - f64::from(u8::from(*truth as usize == label));
                    let by_scale = error * f64::from(row[label]) * f64::from(calibration.scales[label]);
                    gradient[label] += by_scale;
                    gradient[labels + label] += error;
                    gradient[2 * labels] += by_scale;
                }
            }
            for (at, value) in gradient.iter_mut().enumerate().take(2 * labels) {
                *value += PULL * parameters[at];
            }
            let pace = 0.1 / (1.0 + step as f64 / 20.0);
            for ((parameter, gradient), square) in parameters.iter_mut().zip(&gradient).zip(&mut squares) {
                let gradient = gradient / rows.max(1) as f64;
                *square = 0.9 * *square + 0.1 * gradient * gradient;
                *parameter -= pace * gradient / (square.sqrt() + 1e-6);
            }
        }
        Calibration::from_parameters(&parameters, labels)
    }

    /// Each label's scale is the common one times its own factor.
    fn from_parameters(parameters: &[f64], labels: usize) -> Calibration {
        let common = parameters[2 * labels];
        let scale = |own: &f64| (common + own).exp().clamp(SCALE_RANGE.0, SCALE_RANGE.1) as f32;
        Calibration { scales: parameters[..labels].iter().map(scale).collect(), shifts: parameters[labels..2 * labels].iter().map(|shift| *shift as f32).collect() }
    }
}

/// Shares that add up to one, in place.
pub(crate) fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    for value in values.iter_mut() {
        *value /= sum;
    }
}
