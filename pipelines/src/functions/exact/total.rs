//! Exact sums of floats: a wide integer in bins of 64 bits, rounded once when it is read.
//!
//! A float is `m * 2^e` with an integer `m` below 2^53, so every sum of floats is an integer in units of 2^-1074. It is kept
//! in signed bins, each 2^64 times as heavy as the one below. One value goes into one bin by one addition of 128 bits, and
//! nearly all groups need no second bin: the first one holds everything between 2^-32 and 2^32. Integers can be added in
//! any order, so the sum has no order either.

use num_bigint::{BigInt, BigUint, Sign};

/// How many bits of a float's significand are stored.
const STORED_BITS: u32 = 52;
const STORED: u64 = (1 << STORED_BITS) - 1;
const EXPONENT: u64 = 0x7ff;

/// The bits of one bin.
const BIN_BITS: u32 = 64;
/// No bin is in use.
const NOWHERE: u8 = u8::MAX;
/// Enough for the square of the largest float, 2^63 times: see `Squares`.
const LIMBS: usize = 72;
/// States that reach higher than this are not ours.
const BYTES_MAX: usize = (LIMBS - 2) * 8;

/// The least float is bit 34 of a sum. With this shift 1.0 lies in the middle of a bin.
const SHIFT: u32 = 34;
/// The power of two that one unit of a sum stands for.
pub(super) const UNIT: i32 = -1_074 - SHIFT as i32;
/// The same for squares, of which 2^-2148 is the least: 1.0 lies in the middle of both halves' bins.
const SQUARE_SHIFT: u32 = 41;
/// The power of two that one unit of a sum of squares stands for.
pub(super) const SQUARE_UNIT: i32 = -2_148 - SQUARE_SHIFT as i32;

/// There was a value.
const SOME: u8 = 1;
/// There was a value other than -0.0.
const NOT_MINUS_ZERO: u8 = 2;
const PLUS_INFINITY: u8 = 4;
const MINUS_INFINITY: u8 = 8;
const NAN: u8 = 16;
const MARKS: u8 = SOME | NOT_MINUS_ZERO | PLUS_INFINITY | MINUS_INFINITY | NAN;
/// In a state: the sum is negative.
const NEGATIVE: u8 = 128;

/// The exact sum of floats.
#[derive(Debug, Clone)]
pub(super) struct Total {
    /// The bin at `place`.
    main: i128,
    /// The bins that are used besides.
    more: Option<Box<More>>,
    place: u8,
    marks: u8,
}

#[derive(Debug, Clone, Default)]
struct More {
    bins: Vec<(u8, i128)>,
}

impl Default for Total {
    fn default() -> Total {
        Total { main: 0, more: None, place: NOWHERE, marks: 0 }
    }
}

impl Total {
    /// Adds a value; it may be infinite or not a number.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        let Parts { mantissa, exponent, negative, finite } = Parts::of(value);
        let (place, amount) = placed(mantissa, exponent + SHIFT, negative);
        if place == self.place
            && finite
            && let Some(sum) = self.main.checked_add(amount)
        {
            self.main = sum;
        } else {
            self.add_rarely(value, place, amount);
        }
    }

    #[cold]
    #[inline(never)]
    fn add_rarely(&mut self, value: f64, place: u8, amount: i128) {
        self.marks |= marks_of(value);
        if value.is_finite() {
            self.put(place, amount);
        }
    }

    /// Adds an integer of less than 2^126 at a bin.
    #[inline]
    fn put(&mut self, place: u8, amount: i128) {
        if place == self.place
            && let Some(sum) = self.main.checked_add(amount)
        {
            self.main = sum;
        } else if amount != 0 {
            self.put_elsewhere(place, amount);
        }
    }

    #[inline(never)]
    fn put_elsewhere(&mut self, place: u8, amount: i128) {
        if self.place == NOWHERE {
            (self.place, self.main) = (place, amount);
            return;
        }
        let slot = if place == self.place { &mut self.main } else { self.more.get_or_insert_default().at(place) };
        if let Some(sum) = slot.checked_add(amount) {
            *slot = sum;
            return;
        }
        // The bin is full: what exceeds 64 bits belongs to the next one.
        let carry = *slot >> BIN_BITS;
        *slot = i128::from(*slot as u64) + amount;
        self.put(place + 1, carry);
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.marks == 0
    }

    /// Whether an infinity or something that is no number was added.
    pub(super) fn is_special(&self) -> bool {
        self.marks & (PLUS_INFINITY | MINUS_INFINITY | NAN) != 0
    }

    /// The sum, rounded to the nearest float, ties to even. Nothing sums up to 0.0.
    pub(super) fn rounded(&self) -> f64 {
        let infinities = (self.marks & PLUS_INFINITY != 0, self.marks & MINUS_INFINITY != 0);
        match infinities {
            _ if self.marks & NAN != 0 => f64::NAN,
            (true, true) => f64::NAN,
            (true, false) => f64::INFINITY,
            (false, true) => f64::NEG_INFINITY,
            (false, false) => self.finite(),
        }
    }

    fn finite(&self) -> f64 {
        let sum = match &self.more {
            None => {
                let place = if self.place == NOWHERE { 0 } else { i32::from(self.place) };
                scaled(self.main as f64, place * BIN_BITS as i32 + UNIT)
            }
            Some(_) => self.limbs().nearest(UNIT),
        };
        let minus_zero = sum == 0.0 && self.marks & (SOME | NOT_MINUS_ZERO) == SOME;
        if minus_zero { -0.0 } else { sum }
    }

    /// The sum as an integer, in units of 2^[`UNIT`] or, for squares, of 2^[`SQUARE_UNIT`].
    pub(super) fn integer(&self) -> BigInt {
        self.limbs().integer()
    }

    fn limbs(&self) -> Limbs {
        let mut bins = [0_i128; LIMBS];
        if self.place != NOWHERE {
            bins[usize::from(self.place)] = self.main;
        }
        for (place, bin) in self.more.iter().flat_map(|more| &more.bins) {
            bins[usize::from(*place)] = *bin;
        }
        Limbs::of(&bins)
    }

    /// Writes the state: the same for the same values, in whatever order and in whatever parts they came.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match (&self.more, self.place) {
            (None, NOWHERE) => write_state(self.marks, false, 0, &[], out),
            (None, place) => {
                let magnitude = self.main.unsigned_abs().to_le_bytes();
                write_state(self.marks, self.main < 0, usize::from(place) * 8, &magnitude, out);
            }
            (Some(_), _) => {
                let limbs = self.limbs();
                let magnitude: Vec<u8> = limbs.magnitude.iter().flat_map(|limb| limb.to_le_bytes()).collect();
                write_state(self.marks, limbs.negative, 0, &magnitude, out);
            }
        }
    }

    /// Adds what [`Total::write`] wrote; says what is wrong with bytes that it cannot have written.
    pub(super) fn merge(&mut self, state: &[u8]) -> Result<(), String> {
        let Some((marks, rest)) = state.split_first() else { return Ok(()) };
        if marks & !(MARKS | NEGATIVE) != 0 {
            return Err(format!("the state of an exact sum begins with {marks:#04x}"));
        }
        self.marks |= marks & MARKS;
        let Some((offset, magnitude)) = rest.split_first_chunk::<2>() else {
            return if rest.is_empty() { Ok(()) } else { Err("the state of an exact sum is cut off".to_owned()) };
        };
        let offset = usize::from(u16::from_le_bytes(*offset));
        if offset + magnitude.len() > BYTES_MAX {
            return Err(format!("the state of an exact sum has {} bytes at {offset}", magnitude.len()));
        }
        self.put_bytes(marks & NEGATIVE != 0, offset, magnitude);
        Ok(())
    }

    fn put_bytes(&mut self, negative: bool, offset: usize, magnitude: &[u8]) {
        let signed = |amount: i128| if negative { -amount } else { amount };
        let first = offset / 8;
        let mut bytes = [0_u8; LIMBS * 8];
        let used = &mut bytes[..(offset % 8 + magnitude.len()).next_multiple_of(8)];
        used[offset % 8..offset % 8 + magnitude.len()].copy_from_slice(magnitude);
        let limbs: Vec<i128> = used.chunks_exact(8).map(limb_of).map(i128::from).collect();
        match limbs.as_slice() {
            // The bin below keeps the sum in one bin when the lower half happens to be zero.
            [limb] if first == usize::from(self.place) + 1 && *limb < 1 << 62 => self.put(self.place, signed(limb << BIN_BITS)),
            [low, high] if *high < 1 << 62 => self.put(first as u8, signed(high << BIN_BITS | low)),
            limbs => (first..).zip(limbs).for_each(|(place, limb)| self.put(place as u8, signed(*limb))),
        }
    }

    /// The bytes that are held besides the struct itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.more.as_ref().map_or(0, |more| size_of::<More>() + more.bins.capacity() * size_of::<(u8, i128)>())
    }
}

impl More {
    fn at(&mut self, place: u8) -> &mut i128 {
        let index = self.bins.iter().position(|bin| bin.0 == place).unwrap_or_else(|| {
            self.bins.push((place, 0));
            self.bins.len() - 1
        });
        &mut self.bins[index].1
    }
}

/// The exact sum of the squares of floats.
///
/// The square of a significand has 106 bits. Its halves are summed up apart, so that each is one addition to one bin: for
/// values between 2^-13 and 2^13 always to the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Squares {
    high: Total,
    low: Total,
}

impl Squares {
    /// Adds the square of a value. Those that are not finite are left out: the sum beside knows of them.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        const HALF: u32 = STORED_BITS + 1;
        let parts = Parts::of(value);
        if parts.finite {
            let square = u128::from(parts.mantissa).pow(2);
            let exponent = 2 * parts.exponent + SQUARE_SHIFT;
            let (place, amount) = placed((square >> HALF) as u64, exponent + HALF, false);
            self.high.put(place, amount);
            let (place, amount) = placed(square as u64 & ((1 << HALF) - 1), exponent, false);
            self.low.put(place, amount);
        }
    }

    /// The sum in units of 2^[`SQUARE_UNIT`].
    pub(super) fn integer(&self) -> BigInt {
        self.high.integer() + self.low.integer()
    }

    /// Writes the state, as [`Total::write`] does.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut both = self.high.clone();
        both.put_all(&self.low);
        // Empty bytes stand for a sum without values; the marks of this one are kept by the sum beside.
        both.marks = SOME;
        both.write(out);
    }

    /// Adds what [`Squares::write`] wrote.
    pub(super) fn merge(&mut self, state: &[u8]) -> Result<(), String> {
        self.high.merge(state)
    }

    /// The bytes that are held besides the struct itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.high.heap_bytes() + self.low.heap_bytes()
    }
}

impl Total {
    fn put_all(&mut self, other: &Total) {
        let more = other.more.iter().flat_map(|more| more.bins.iter().copied());
        for (place, bin) in more.chain((other.place != NOWHERE).then_some((other.place, other.main))) {
            // In two steps, since a bin may hold more than can be put at once.
            self.put(place, i128::from(bin as u64));
            self.put(place + 1, bin >> BIN_BITS);
        }
    }
}

/// A float as an integer times a power of two above the least float; without meaning when it is not finite.
struct Parts {
    mantissa: u64,
    exponent: u32,
    negative: bool,
    finite: bool,
}

impl Parts {
    #[inline]
    fn of(value: f64) -> Parts {
        let bits = value.to_bits();
        let exponent = bits >> STORED_BITS & EXPONENT;
        let normal = u64::from(exponent != 0);
        Parts {
            mantissa: bits & STORED | normal << STORED_BITS,
            exponent: (exponent - normal) as u32,
            negative: value.is_sign_negative(),
            finite: exponent != EXPONENT,
        }
    }
}

/// The bin of `mantissa * 2^shift` and what to add to it.
#[inline]
fn placed(mantissa: u64, shift: u32, negative: bool) -> (u8, i128) {
    let amount = i128::from(mantissa) << (shift % BIN_BITS);
    ((shift / BIN_BITS) as u8, if negative { -amount } else { amount })
}

fn marks_of(value: f64) -> u8 {
    let zero = value == 0.0 && value.is_sign_negative();
    let kind = match value {
        _ if value.is_nan() => NAN,
        f64::INFINITY => PLUS_INFINITY,
        f64::NEG_INFINITY => MINUS_INFINITY,
        _ => 0,
    };
    SOME | kind | if zero { 0 } else { NOT_MINUS_ZERO }
}

fn limb_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("a limb has eight bytes"))
}

fn write_state(marks: u8, negative: bool, offset: usize, magnitude: &[u8], out: &mut Vec<u8>) {
    if marks == 0 {
        return;
    }
    let Some(first) = magnitude.iter().position(|byte| *byte != 0) else { return out.push(marks) };
    let last = magnitude.iter().rposition(|byte| *byte != 0).unwrap_or(first);
    out.push(marks | if negative { NEGATIVE } else { 0 });
    out.extend_from_slice(&((offset + first) as u16).to_le_bytes());
    out.extend_from_slice(&magnitude[first..=last]);
}

/// An integer as sign and magnitude, the least limb first.
struct Limbs {
    negative: bool,
    magnitude: [u64; LIMBS],
}

impl Limbs {
    fn of(bins: &[i128; LIMBS]) -> Limbs {
        let mut limbs = [0_u64; LIMBS];
        let mut carry = 0_i128;
        for (limb, bin) in limbs.iter_mut().zip(bins) {
            let low = i128::from(*bin as u64) + carry;
            *limb = low as u64;
            carry = (bin >> BIN_BITS) + (low >> BIN_BITS);
        }
        assert!(carry == 0 || carry == -1, "a sum of floats has far fewer bits than there are limbs");
        let negative = carry < 0;
        if negative {
            let mut one = true;
            for limb in &mut limbs {
                (*limb, one) = (!*limb).overflowing_add(u64::from(one));
            }
        }
        Limbs { negative, magnitude: limbs }
    }

    /// The nearest float to this integer times 2^unit, which must be a multiple of the least float.
    fn nearest(&self, unit: i32) -> f64 {
        let Some(top) = self.magnitude.iter().rposition(|limb| *limb != 0) else { return 0.0 };
        let below = top.saturating_sub(1);
        let high = if top == 0 { 0 } else { u128::from(self.magnitude[top]) << BIN_BITS };
        // 65 bits at the least, so that a one at the end stands for everything that is cut off.
        let cut_off = self.magnitude[..below].iter().any(|limb| *limb != 0);
        let window = high | u128::from(self.magnitude[below]) | u128::from(cut_off);
        let magnitude = scaled(window as f64, below as i32 * BIN_BITS as i32 + unit);
        if self.negative { -magnitude } else { magnitude }
    }

    fn integer(&self) -> BigInt {
        let used = self.magnitude.iter().rposition(|limb| *limb != 0).map_or(0, |top| top + 1);
        let digits = self.magnitude[..used].iter().flat_map(|limb| [*limb as u32, (*limb >> 32) as u32]);
        let sign = if self.negative { Sign::Minus } else { Sign::Plus };
        BigInt::from_biguint(sign, BigUint::new(digits.collect()))
    }
}

/// `value * 2^exponent`, exact where the result is a float or rounds to infinity.
pub(super) fn scaled(value: f64, exponent: i32) -> f64 {
    // In two steps, since 2^-1108 is no float. Beyond 2^2046 the result is infinite anyway.
    let exponent = exponent.min(2_046);
    let half = exponent / 2;
    value * power_of_two(half) * power_of_two(exponent - half)
}

fn power_of_two(exponent: i32) -> f64 {
    assert!((-1_022..=1_023).contains(&exponent), "2^{exponent} is no normal float");
    f64::from_bits(((exponent + 1_023) as u64) << STORED_BITS)
}
