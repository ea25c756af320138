//! Made consumption for the tests of balances: a day, a weekend and reproducible noise.

/// A generator of its own, so that tests need no crate: SplitMix64.
pub(crate) struct Noise(pub u64);

impl Noise {
    /// Between 0 and 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Roughly normal: the sum of twelve.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// What a quarter uses in an hour: little at night, more by day, a third less on two days of seven.
pub(crate) fn consumption(hour: i64) -> f64 {
    let day = (hour as f64 / 24.0 * std::f64::consts::TAU - 1.8).sin();
    let weekend = if (hour / 24) % 7 >= 5 { 0.85 } else { 1.0 };
    weekend * (150.0 + 60.0 * day)
}
