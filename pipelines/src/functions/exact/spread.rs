//! Variance from exact sums: no cancellation, no order, and never below zero.

use num_bigint::{BigInt, BigUint, Sign};

use super::total::{SQUARE_UNIT, Squares, Total, UNIT, scaled};

/// How far the square of a sum's unit lies below the unit of squares.
const GAP: i32 = SQUARE_UNIT - 2 * UNIT;
/// More bits than a float has, with room for rounding.
const QUOTIENT_BITS: u64 = 66;
/// As many bits of a quotient as are kept.
const WINDOW_BITS: u64 = 120;

/// The variance of `count` values from the sum of them and of their squares: exact, then rounded once.
///
/// It is `(n * Σx² - (Σx)²) / (n * d)`, where `d` is `n`, or `n - 1` for a sample; nothing when `d` is zero.
pub(super) fn variance(count: u64, sum: &Total, squares: &Squares, sample: bool) -> Option<f64> {
    let free = count.checked_sub(u64::from(sample)).filter(|free| *free > 0)?;
    if sum.is_special() {
        return Some(f64::NAN);
    }
    let sum = sum.integer();
    let spread: BigInt = ((squares.integer() * count) << GAP) - &sum * &sum;
    match spread.into_parts() {
        (Sign::Minus, _) => unreachable!("the square of a sum is at most n times the sum of the squares"),
        (Sign::NoSign, _) => Some(0.0),
        (Sign::Plus, spread) => Some(ratio(spread, u128::from(count) * u128::from(free), 2 * UNIT)),
    }
}

/// `above / below * 2^unit`, rounded to the nearest float, ties to even.
fn ratio(above: BigUint, below: u128, unit: i32) -> f64 {
    let below_bits = u64::from(u128::BITS - below.leading_zeros());
    let lift = (QUOTIENT_BITS + below_bits).saturating_sub(above.bits());
    let above = above << lift;
    let below = BigUint::from(below);
    let quotient = &above / &below;
    let drop = quotient.bits().saturating_sub(WINDOW_BITS);
    let window = &quotient >> drop;
    let exact = (&window << drop) * below == above;
    let window = u128::try_from(window).expect("the quotient was cut to 120 bits") | u128::from(!exact);
    nearest(window, drop as i32 - lift as i32 + unit)
}

/// `window * 2^exponent` as a float, where the last bit of the window stands for all that was cut off.
fn nearest(window: u128, exponent: i32) -> f64 {
    const LEAST_NORMAL: i32 = -1_022;
    const LEAST: i32 = -1_074;
    let top = (u128::BITS - 1 - window.leading_zeros()) as i32 + exponent;
    if top >= LEAST_NORMAL {
        // Scaled by less than 2^-1022 in no step, since the window's own top bit lies above.
        return scaled(window as f64, exponent);
    }
    // Below the normal floats the last place is fixed, and rounding has to happen there.
    let cut = (LEAST - exponent) as u32;
    let (kept, half) = match cut {
        0..u128::BITS => (window >> cut, 1_u128 << (cut - 1)),
        _ => return 0.0,
    };
    let rest = window & ((half << 1) - 1);
    let up = rest > half || (rest == half && kept & 1 == 1);
    f64::from_bits(kept as u64 + u64::from(up))
}
