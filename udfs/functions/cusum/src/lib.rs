use arroyo_udf_plugin::udf;

/// The largest cumulative sum of a lasting shift, in robust standard deviations: positive for a rise, negative for a fall.
/// The earlier half of the values is the baseline (median, and 1.4826 times the median absolute deviation); over the later
/// half, what exceeds half a deviation is added up. Around 5 is a shift to look at. NULL below eight values and where the
/// baseline does not spread. Values that are no finite number are left out.
///
/// SQL: cusum(ts TIMESTAMP, value DOUBLE) RETURNS DOUBLE
#[udf]
fn cusum(ts: Vec<i64>, value: Vec<f64>) -> Option<f64> {
    let values = in_time(&ts, &value);
    let (baseline, later) = values.split_at(values.len() / 2);
    let middle = median(baseline.to_vec())?;
    let spread = 1.4826 * median(baseline.iter().map(|it| (it - middle).abs()).collect())?;
    (values.len() >= VALUES_MIN && spread > 0.0).then(|| largest_sum(later.iter().map(|it| (it - middle) / spread)))
}

/// Fewer values than this are no baseline and no shift.
const VALUES_MIN: usize = 8;
/// What a value may deviate without adding to the sum, in deviations.
const SLACK: f64 = 0.5;

fn largest_sum(deviations: impl Iterator<Item = f64>) -> f64 {
    let (mut up, mut down, mut highest, mut lowest) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for deviation in deviations {
        up = (up + deviation - SLACK).max(0.0);
        down = (down + deviation + SLACK).min(0.0);
        highest = highest.max(up);
        lowest = lowest.min(down);
    }
    if highest >= -lowest { highest } else { lowest }
}

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
    fn sums_by_hand() {
        // 2 - 0.5, then 3 - 0.5 more, then a fall that takes all away.
        assert_eq!(largest_sum([2.0, 3.0, -9.0].into_iter()), -8.5);
        assert_eq!(largest_sum([2.0, 3.0, -1.0].into_iter()), 4.0);
        assert_eq!(largest_sum([0.4, -0.4, 0.5].into_iter()), 0.0);
    }

    #[test]
    fn a_rise_and_its_mirror() {
        let values = [10.0, 11.0, 9.0, 10.0, 11.0, 13.0, 14.0, 13.0, 14.0, 13.0];
        let ts: Vec<i64> = (0..10).collect();
        let rise = cusum(ts.clone(), values.to_vec()).unwrap();
        let fall = cusum(ts, values.iter().map(|it| -it).collect()).unwrap();
        assert!(rise > 5.0, "{rise}");
        assert!((rise + fall).abs() < 1e-9);
    }

    #[test]
    fn no_answer_where_there_is_none() {
        assert_eq!(cusum(vec![], vec![]), None);
        assert_eq!(cusum((0..7).collect(), vec![1.0; 7]), None);
        assert_eq!(cusum((0..9).collect(), vec![1.0; 9]), None, "a baseline without spread");
    }
}
