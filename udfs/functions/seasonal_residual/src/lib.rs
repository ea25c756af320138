use arroyo_udf_plugin::udf;

/// How far the latest value lies from what is usual at its time of day: from the median of the values of earlier days
/// within half an hour of that time. NULL below three such values. Of several values at the latest time, the greatest
/// counts. Values that are no finite number are left out.
///
/// SQL: seasonal_residual(ts TIMESTAMP, value DOUBLE) RETURNS DOUBLE
#[udf]
fn seasonal_residual(ts: Vec<i64>, value: Vec<f64>) -> Option<f64> {
    let points = ts.iter().copied().zip(value.iter().copied()).filter(|point| point.1.is_finite());
    let (last_ts, last) = points.clone().max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
    let usual: Vec<f64> = points.filter(|point| same_time_of_day(point.0, last_ts)).map(|point| point.1).collect();
    (usual.len() >= VALUES_MIN).then(|| Some(last - median(usual)?))?
}

/// Fewer values than this are no habit.
const VALUES_MIN: usize = 3;
const DAY_NS: i64 = 86_400_000_000_000;
const NEAR_NS: i64 = 1_800_000_000_000;

/// Whether `ts` is near `last` but for whole days, at least one.
fn same_time_of_day(ts: i64, last: i64) -> bool {
    let apart = last.saturating_sub(ts);
    let beside = apart.rem_euclid(DAY_NS);
    apart >= DAY_NS - NEAR_NS && beside.min(DAY_NS - beside) <= NEAR_NS
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[half - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    #[test]
    fn the_same_hour_of_earlier_days() {
        let noon = |day: i64| day * DAY_NS + 12 * HOUR_NS;
        let ts = vec![noon(0), noon(1), noon(2) + NEAR_NS, noon(3), noon(3) - HOUR_NS, noon(2) - 6 * HOUR_NS];
        let value = vec![10.0, 12.0, 11.0, 20.0, 900.0, -900.0];
        assert_eq!(seasonal_residual(ts, value), Some(9.0));
    }

    #[test]
    fn the_same_day_is_no_habit() {
        let ts: Vec<i64> = (0..9).map(|minute| minute * 60_000_000_000).collect();
        assert_eq!(seasonal_residual(ts, vec![1.0; 9]), None);
        assert_eq!(seasonal_residual(vec![], vec![]), None);
        assert_eq!(seasonal_residual(vec![i64::MIN, i64::MAX], vec![1.0, 2.0]), None);
    }
}
