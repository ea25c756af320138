//! The mean of the last values.

/// The last `N` values and their mean.
#[derive(Debug, Clone)]
pub(crate) struct Window<const N: usize> {
    values: [f64; N],
    at: usize,
    filled: usize,
    sum: f64,
}

impl<const N: usize> Default for Window<N> {
    fn default() -> Window<N> {
        Window { values: [0.0; N], at: 0, filled: 0, sum: 0.0 }
    }
}

impl<const N: usize> Window<N> {
    /// Takes a value in and answers with the mean of those in the window.
    pub(crate) fn push(&mut self, value: f64) -> f64 {
        self.sum += value - self.values[self.at];
        self.values[self.at] = value;
        self.at += 1;
        self.filled = self.filled.max(self.at);
        if self.at == N {
            self.at = 0;
            // Summed afresh once a round: rounding errors, and what one huge value swallowed, do not stay.
            self.sum = self.values.iter().sum();
        }
        self.sum / self.filled as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_of_the_last() {
        let mut window = Window::<3>::default();
        let means: Vec<f64> = [3.0, 5.0, 1.0, 0.0, 5.0].map(|value| window.push(value)).to_vec();
        assert_eq!(means, [3.0, 4.0, 3.0, 2.0, 2.0]);
    }

    #[test]
    fn a_huge_value_passes() {
        let mut window = Window::<4>::default();
        window.push(1e150);
        let last = (0..20).map(|_| window.push(1.0)).last();
        assert_eq!(last, Some(1.0));
    }
}
