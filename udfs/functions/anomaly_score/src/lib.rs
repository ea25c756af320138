use arroyo_udf_plugin::udf;
use detect::{Detector, Options};

/// How strange the latest value is after all that came before it, from 0 (usual) to 1; 0.5 and more is worth an alarm. The
/// detector of crate `detect` sees the values one by one in the order of time. NULL up to a hundred values, from which nothing can be
/// said. Of several values at one time, the greater counts as the later. Values that are no finite number are left out.
///
/// SQL: anomaly_score(ts TIMESTAMP, value DOUBLE) RETURNS DOUBLE
#[udf]
fn anomaly_score(ts: Vec<i64>, value: Vec<f64>) -> Option<f64> {
    let mut points: Vec<(i64, f64)> = ts.into_iter().zip(value).filter(|point| point.1.is_finite()).collect();
    if points.len() <= VALUES_MIN {
        return None;
    }
    points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut detector = Detector::new(Options::default());
    points.into_iter().map(|(ts, value)| detector.score(ts.div_euclid(1_000), value).anomaly).last()
}

/// Fewer values than this say nothing of what is usual.
const VALUES_MIN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: i64 = 60_000_000_000;

    fn readings(last: f64) -> (Vec<i64>, Vec<f64>) {
        let ts = (0..400).map(|minute| minute * MINUTE_NS).collect();
        let mut value: Vec<f64> = (0..400).map(|minute| f64::from(minute * 7 % 13)).collect();
        value[399] = last;
        (ts, value)
    }

    #[test]
    fn a_jump_is_stranger_than_what_was_before() {
        let (ts, usual) = readings(6.0);
        let usual = anomaly_score(ts.clone(), usual).unwrap();
        let jump = anomaly_score(ts, readings(200.0).1).unwrap();
        assert!(usual < 0.5 && jump >= 0.5, "{usual} {jump}");
    }

    #[test]
    fn the_latest_counts_wherever_it_stands() {
        let (mut ts, mut value) = readings(200.0);
        let sorted = anomaly_score(ts.clone(), value.clone());
        ts.reverse();
        value.reverse();
        assert_eq!(anomaly_score(ts, value), sorted);
    }

    #[test]
    fn no_answer_where_there_is_none() {
        assert_eq!(anomaly_score(vec![], vec![]), None);
        assert_eq!(anomaly_score((0..100).collect(), vec![1.0; 100]), None);
        assert_eq!(anomaly_score((0..200).collect(), vec![f64::NAN; 200]), None);
        assert!(anomaly_score(vec![i64::MIN; 200], vec![f64::MAX; 200]).is_some_and(|it| (0.0..=1.0).contains(&it)));
    }
}
