//! Chance from a seed, in integers only: the same seed gives the same city on every machine.

/// A generator (SplitMix64). Each part of the city has its own, so that a change in one part leaves the others alone.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The generator of one part of the city.
    pub fn new(seed: u64, part: &str) -> Dice {
        // FNV-1a over the part's name, so that neighbouring names start far apart.
        let name = part.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Dice { state: mix(seed ^ name) }
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a choice needs at least one possibility");
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "a range does not end before it begins");
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A number around zero, rarely near `±spread`: the sum of three.
    pub fn wobble(&mut self, spread: i64) -> i64 {
        let third = spread / 3;
        (0..3).map(|_| self.between(-third, third)).sum()
    }

    /// A waiting time in seconds with a long tail: half of them are below `median_s`, few above eight times of it.
    pub fn delay_s(&mut self, median_s: i64) -> i64 {
        let halves = self.between(0, 1000);
        let stretched = match halves {
            0..=499 => 200 + halves * 800 / 500,
            500..=899 => 1000 + (halves - 500) * 2000 / 400,
            _ => 3000 + (halves - 900) * 5000 / 100,
        };
        median_s * stretched / 1000
    }

    /// An index drawn by weight.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if at < *weight {
                return index;
            }
            at -= weight;
        }
        unreachable!("the number drawn is below the sum of the weights")
    }
}

fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_part_fix_the_numbers() {
        let mut dice = Dice::new(2025, "rain");
        let drawn: Vec<u64> = (0..3).map(|_| dice.below(1000)).collect();
        let mut again = Dice::new(2025, "rain");
        assert_eq!(drawn, (0..3).map(|_| again.below(1000)).collect::<Vec<_>>());
        assert_ne!(Dice::new(2025, "rain").next(), Dice::new(2025, "pipes").next());
        assert_ne!(Dice::new(2025, "rain").next(), Dice::new(2026, "rain").next());
    }

    #[test]
    fn ranges_hold() {
        let mut dice = Dice::new(1, "test");
        for _ in 0..10_000 {
            assert!((-3..=4).contains(&dice.between(-3, 4)));
            assert!(dice.wobble(30).abs() <= 30);
            assert!((120..=4_800).contains(&dice.delay_s(600)));
            assert!(dice.weighted(&[0, 5, 0, 1]) % 2 == 1);
        }
    }
}
