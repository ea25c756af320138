use arroyo_udf_plugin::udf;

/// How far the latest value lies from the median of all, in robust standard deviations (1.4826 times the median absolute
/// deviation). NULL below five values, and where the values do not spread. Of several values at the latest time, the
/// greatest counts. Values that are no finite number are left out.
///
/// SQL: robust_z(ts TIMESTAMP, value DOUBLE) RETURNS DOUBLE
#[udf]
fn robust_z(ts: Vec<i64>, value: Vec<f64>) -> Option<f64> {
    let values = in_time(&ts, &value);
    let last = *values.last()?;
    let middle = median(values.clone())?;
    let spread = 1.4826 * median(values.iter().map(|it| (it - middle).abs()).collect())?;
    (values.len() >= VALUES_MIN && spread > 0.0).then(|| (last - middle) / spread)
}

/// Fewer values than this say nothing about their spread.
const VALUES_MIN: usize = 5;

/// The finite values, ordered by time and then by size.
fn in_time(ts: &[i64], value: &[f64]) -> Vec<f64> {
    let mut points: Vec<(i64, f64)> = ts.iter().copied().zip(value.iter().copied()).filter(|point| point.1.is_finite()).collect();
    points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.into_iter().map(|point| point.1).collect()
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

    #[test]
    fn by_hand() {
        // Median 3, absolute deviations 2 1 0 1 97: their median is 1.
        let z = robust_z(vec![1, 2, 3, 4, 5], vec![1.0, 2.0, 3.0, 4.0, 100.0]).unwrap();
        assert!((z - 97.0 / 1.4826).abs() < 1e-12);
    }

    #[test]
    fn the_latest_counts_wherever_it_stands() {
        let sorted = robust_z(vec![1, 2, 3, 4, 5], vec![1.0, 2.0, 3.0, 4.0, 100.0]);
        assert_eq!(robust_z(vec![5, 3, 1, 2, 4], vec![100.0, 3.0, 1.0, 2.0, 4.0]), sorted);
    }

    #[test]
    fn no_answer_where_there_is_none() {
        assert_eq!(robust_z(vec![], vec![]), None);
        assert_eq!(robust_z(vec![1, 2, 3, 4], vec![1.0, 2.0, 3.0, 4.0]), None);
        assert_eq!(robust_z((0..9).collect(), vec![7.0; 9]), None);
        assert_eq!(robust_z((0..5).collect(), vec![1.0, 2.0, 3.0, 4.0, f64::NAN]), None);
    }
}
