use std::cmp::Ordering;

use arrow::datatypes::Schema;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Signed;
use proptest::prelude::*;

use super::*;

fn rational(value: f64) -> BigRational {
    BigRational::from_float(value).expect("the value is finite")
}

fn sum_of(values: &[f64]) -> BigRational {
    values.iter().map(|value| rational(*value)).sum()
}

/// The float nearest to a number, found by halving the distance between floats: all that is asked of `f64` is its order.
fn nearest(exact: &BigRational) -> f64 {
    let magnitude = exact.abs();
    let overflow = BigRational::from_integer((BigInt::from(1) << 1_024) - (BigInt::from(1) << 970));
    let found = if magnitude >= overflow { f64::INFINITY } else { nearest_finite(&magnitude) };
    if exact.is_negative() { -found } else { found }
}

fn nearest_finite(magnitude: &BigRational) -> f64 {
    let (mut low, mut high) = (0, f64::MAX.to_bits());
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if rational(f64::from_bits(middle)) <= *magnitude { low = middle } else { high = middle - 1 }
    }
    let below = f64::from_bits(low);
    if low == f64::MAX.to_bits() {
        return below;
    }
    let above = f64::from_bits(low + 1);
    let middle = (rational(below) + rational(above)) / BigInt::from(2);
    match magnitude.cmp(&middle) {
        Ordering::Less => below,
        Ordering::Greater => above,
        Ordering::Equal => if low & 1 == 0 { below } else { above },
    }
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1_000_000_i32..1_000_000).prop_map(|value| f64::from(value) / 1_000.0),
        2 => any::<f64>().prop_filter("finite", |value| value.is_finite()),
        2 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
        1 => (0..4_u64).prop_map(f64::from_bits),
        1 => (0..4_u64).prop_map(|below| f64::from_bits(f64::MAX.to_bits() - below)),
        1 => (-1_074_i32..=1_023, any::<bool>()).prop_map(|(power, minus)| 2_f64.powi(power) * if minus { -1.0 } else { 1.0 }),
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::MIN_POSITIVE),
    ]
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![30 => finite(), 1 => Just(f64::INFINITY), 1 => Just(f64::NEG_INFINITY), 1 => Just(f64::NAN), 1 => Just(-f64::NAN)]
}

/// Values, the same in another order, and into how many parts they are cut.
fn shuffled() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, usize)> {
    prop::collection::vec(any_value(), 0..60).prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle(), 1..9_usize))
}

fn tally<T: Tally>(values: &[f64]) -> T {
    let mut tally = T::default();
    values.iter().for_each(|value| tally.add(*value));
    tally
}

/// The same by partial states, merged one into another.
fn by_parts<T: Tally>(values: &[f64], parts: usize) -> T {
    let mut whole = T::default();
    for part in values.chunks(values.len().div_ceil(parts).max(1)) {
        let state = T::states(&[tally::<T>(part)]);
        whole.merge(&States::of(&state), 0).expect("the state was written by a tally");
    }
    whole
}

fn same(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan()),
        (left, right) => left.is_none() && right.is_none(),
    }
}

fn check_order_free<T: Tally>(values: &[f64], shuffled: &[f64], parts: usize, statistic: Statistic) {
    let (straight, cut) = (tally::<T>(values), by_parts::<T>(shuffled, parts));
    assert!(same(straight.evaluate(statistic), cut.evaluate(statistic)), "{:?} {:?}", straight.evaluate(statistic), cut.evaluate(statistic));
    assert_eq!(T::states(&[straight]), T::states(&[cut]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_sum_is_the_nearest_float(values in prop::collection::vec(finite(), 1..40)) {
        let expected = nearest(&sum_of(&values));
        let sum = tally::<Total>(&values).rounded();
        prop_assert_eq!(sum, expected);
        let minus_zero = values.iter().all(|value| *value == 0.0 && value.is_sign_negative());
        prop_assert!(sum != 0.0 || sum.is_sign_negative() == minus_zero);
    }

    #[test]
    fn a_sum_that_nearly_cancels_is_the_nearest_float(values in prop::collection::vec(finite(), 1..20), rest in finite()) {
        let all: Vec<f64> = values.iter().copied().chain([rest]).chain(values.iter().map(|value| -value)).collect();
        prop_assert_eq!(tally::<Total>(&all).rounded(), rest);
    }

    #[test]
    fn a_variance_is_the_nearest_float(values in prop::collection::vec(finite(), 2..12), sample: bool) {
        let n = BigInt::from(values.len());
        let squares: BigRational = values.iter().map(|value| rational(*value) * rational(*value)).sum();
        let sum = sum_of(&values);
        let spread = squares * &n - &sum * &sum;
        let free = if sample { &n - 1 } else { n.clone() };
        let expected = nearest(&(spread / (n * free)));
        let told = tally::<Squared>(&values).evaluate(Statistic::Variance { sample });
        prop_assert_eq!(told, Some(expected));
        let told = tally::<Squared>(&values).evaluate(Statistic::Deviation { sample });
        prop_assert_eq!(told, Some(expected.sqrt()));
    }

    #[test]
    fn nothing_has_an_order((values, shuffled, parts) in shuffled()) {
        check_order_free::<Total>(&values, &shuffled, parts, Statistic::Sum);
        check_order_free::<Counted>(&values, &shuffled, parts, Statistic::Avg);
        check_order_free::<Squared>(&values, &shuffled, parts, Statistic::Variance { sample: true });
        check_order_free::<Squared>(&values, &shuffled, parts, Statistic::Deviation { sample: false });
    }

    #[test]
    fn hostile_states_are_refused_or_summed_up(state in prop::collection::vec(any::<u8>(), 0..620)) {
        let mut total = tally::<Total>(&[1.5, -1e300]);
        let _ = total.merge(&state);
        let _ = (total.rounded(), total.integer());
        let told = by_state(&state);
        prop_assert!(told.is_ok() || !state.is_empty());
    }
}

fn by_state(state: &[u8]) -> std::result::Result<f64, String> {
    let mut total = Total::default();
    total.merge(state)?;
    Ok(total.rounded())
}

#[test]
fn full_bins_carry() {
    // 2^63.99 lies at the top of its bin; 5,000 of them, squared, need more than one bin has.
    for value in [f64::from_bits(2_f64.powi(32).to_bits() - 1), -2_f64.powi(31), f64::MAX / 8_192.0] {
        let values = vec![value; 5_000];
        assert_eq!(tally::<Total>(&values).rounded(), nearest(&(rational(value) * BigInt::from(5_000))));
        let spread = tally::<Squared>(&values).evaluate(Statistic::Variance { sample: false });
        assert_eq!(spread, Some(0.0));
        check_order_free::<Squared>(&values, &values, 7, Statistic::Variance { sample: true });
    }
}

#[test]
fn infinities_and_nan_count_as_in_ieee_arithmetic() {
    let sum = |values: &[f64]| tally::<Total>(values).rounded();
    assert_eq!(sum(&[1.0, f64::INFINITY, -5.0]), f64::INFINITY);
    assert_eq!(sum(&[f64::NEG_INFINITY, 1e308]), f64::NEG_INFINITY);
    assert!(sum(&[f64::NEG_INFINITY, 1.0, f64::INFINITY]).is_nan());
    assert!(sum(&[f64::INFINITY, f64::NAN]).is_nan());
    assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
    assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
    assert!(tally::<Squared>(&[f64::INFINITY, 1.0]).evaluate(Statistic::Variance { sample: true }).is_some_and(f64::is_nan));
}

#[test]
fn too_few_values_have_no_statistic() {
    assert_eq!(tally::<Total>(&[]).evaluate(Statistic::Sum), None);
    assert_eq!(tally::<Counted>(&[]).evaluate(Statistic::Avg), None);
    let spread = |values: &[f64], sample| tally::<Squared>(values).evaluate(Statistic::Variance { sample });
    assert_eq!(spread(&[], false), None);
    assert_eq!(spread(&[7.5], true), None);
    assert_eq!(spread(&[7.5], false), Some(0.0));
    assert_eq!(spread(&[1e15 + 1.0, 1e15 + 2.0, 1e15 + 3.0], true), Some(1.0));
}

#[test]
fn a_state_is_short() {
    let mut state = Vec::new();
    tally::<Total>(&vec![12.5; 1_000]).write(&mut state);
    assert!(state.len() <= 3 + 3, "12,500 halves lie across three bytes at most: {}", state.len());
    state.clear();
    tally::<Total>(&(0..1_000).map(|n| f64::from(n) * 0.1).collect::<Vec<_>>()).write(&mut state);
    assert!(state.len() <= 3 + 10, "{}", state.len());
}

/// Calls `then` with the arguments that a query gives for one column of floats.
fn with_args<R>(distinct: bool, then: impl FnOnce(AccumulatorArgs) -> R) -> R {
    let field = Arc::new(Field::new("x", DataType::Float64, true));
    let schema = Schema::new(vec![Arc::clone(&field)]);
    then(AccumulatorArgs {
        return_field: Arc::clone(&field),
        schema: &schema,
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name: "x",
        is_distinct: distinct,
        exprs: &[],
        expr_fields: &[field],
    })
}

fn groups_of(aggregate: &AggregateUDF) -> Box<dyn GroupsAccumulator> {
    with_args(false, |args| aggregate.create_groups_accumulator(args)).expect("floats are supported")
}

fn rows() -> impl Strategy<Value = Vec<(Option<f64>, Option<bool>, usize)>> {
    let value = prop::option::weighted(0.8, any_value());
    prop::collection::vec((value, prop::option::weighted(0.9, any::<bool>()), 0..5_usize), 1..200)
}

/// The columns of a batch: values without a null buffer when there are no nulls.
fn columns(rows: &[(Option<f64>, Option<bool>, usize)]) -> (ArrayRef, BooleanArray, Vec<usize>) {
    let values: Float64Array = rows.iter().map(|row| row.0).collect();
    (Arc::new(values), rows.iter().map(|row| row.1).collect(), rows.iter().map(|row| row.2).collect())
}

proptest! {
    #[test]
    fn groups_agree_with_one_group_each(rows in rows(), filtered: bool, dense: bool, first in 0..6_usize) {
        let rows: Vec<_> = rows.into_iter().filter(|row| !dense || row.0.is_some()).collect();
        for aggregate in exact_aggregates() {
            let (values, filter, groups) = columns(&rows);
            let filter = filtered.then_some(&filter);
            let mut direct = groups_of(&aggregate);
            direct.update_batch(&[Arc::clone(&values)], &groups, filter, 5).unwrap();
            let states = groups_of(&aggregate).convert_to_state(&[values], filter).unwrap();
            let mut merged = groups_of(&aggregate);
            merged.merge_batch(&states, &groups, 5).unwrap();

            let kept = |group| rows.iter().filter(move |row| row.2 == group && (!filtered || row.1 == Some(true)));
            let expected: Vec<Option<f64>> = (0..5).map(|group| {
                let values: ArrayRef = Arc::new(kept(group).map(|row| row.0).collect::<Float64Array>());
                let mut one = with_args(false, |args| aggregate.accumulator(args)).unwrap();
                one.update_batch(&[values]).unwrap();
                let ScalarValue::Float64(told) = one.evaluate().unwrap() else { panic!("a float") };
                told
            }).collect();
            let first = EmitTo::First(first.min(5));
            for mut groups in [direct, merged] {
                let head = groups.evaluate(first).unwrap();
                let tail = groups.evaluate(EmitTo::All).unwrap();
                let told = head.as_primitive::<Float64Type>().iter().chain(tail.as_primitive::<Float64Type>().iter());
                for (told, expected) in told.zip(&expected) {
                    prop_assert!(same(told, *expected), "{told:?} {expected:?}");
                }
            }
        }
    }

    #[test]
    fn distinct_values_count_once((values, shuffled, parts) in shuffled()) {
        for aggregate in exact_aggregates() {
            let distinct = || with_args(true, |args| aggregate.accumulator(args)).unwrap();
            let array = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
            let mut straight = distinct();
            straight.update_batch(&[array(&values)]).unwrap();
            let mut merged = distinct();
            for part in shuffled.chunks(shuffled.len().div_ceil(parts).max(1)) {
                let mut one = distinct();
                one.update_batch(&[array(part), ]).unwrap();
                one.update_batch(&[array(part), ]).unwrap();
                let state: Vec<ArrayRef> = one.state().unwrap().iter().map(|value| value.to_array().unwrap()).collect();
                merged.merge_batch(&state).unwrap();
            }
            prop_assert_eq!(straight.state().unwrap(), merged.state().unwrap());
            let (ScalarValue::Float64(straight), ScalarValue::Float64(merged)) = (straight.evaluate().unwrap(), merged.evaluate().unwrap()) else {
                panic!("floats")
            };
            prop_assert!(same(straight, merged));
        }
    }
}

#[test]
fn everything_but_floats_is_datafusions_own() {
    let aggregates = exact_aggregates();
    let names: Vec<&str> = aggregates.iter().map(|aggregate| aggregate.name()).collect();
    assert_eq!(names, ["sum", "avg", "var", "var_pop", "stddev", "stddev_pop"]);
    let field = Arc::new(Field::new("x", DataType::Int64, true));
    let args = StateFieldsArgs { name: "x", input_fields: &[Arc::clone(&field)], return_field: field, ordering_fields: &[], is_distinct: false };
    assert_eq!(aggregates[0].state_fields(args).unwrap()[0].data_type(), &DataType::Int64);
}
