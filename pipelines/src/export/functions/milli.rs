use arroyo_udf_plugin::udf;

/// A number in thousandths, rounded half away from zero; NULL when it is not finite or does not fit.
#[udf]
fn milli(value: f64) -> Option<i64> {
    let milli = (value * 1_000.0).round();
    (milli.is_finite() && milli.abs() < 9_223_372_036_854_775_808.0).then_some(milli as i64)
}
