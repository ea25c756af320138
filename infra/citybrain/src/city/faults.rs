//! What goes wrong in every city: events sent twice, and events that no door should let in.

use schemas::event::Event;

use super::clock;
use super::people::Happening;

/// The first reading at or after each of these seconds of the day is sent twice.
pub const REPEATED_READINGS_S: [i64; 12] =
    [1_234, 8_000, 15_500, 22_222, 29_000, 33_660, 41_000, 51_300, 53_999, 60_000, 67_250, 80_808];

/// The first call at or after each of these seconds of the day is sent twice.
pub const REPEATED_CALLS_S: [i64; 3] = [10 * 3600, 15 * 3600, 20 * 3600];

/// Events that are refused, one for each kind of trouble.
pub fn malformed(base: &str) -> Vec<Happening> {
    let observation = "io.citybrain.sensor.observation.v1";
    let hotline = "io.citybrain.hotline.message.v1";
    let fine = r#"{"datastream":"d01-rain-01","result":1.0,"unit":"mm/h","property":"rainfall","station":"d01-rain-01","district":"北岸区"}"#;
    // A call in GBK, as an old telephone system sends it.
    let gbk = [br#"{"message_id":"old-1","text":""#.as_slice(), &[0xc2, 0xb7, 0xb5, 0xc6, 0xb2, 0xbb, 0xc1, 0xc1], br#"","caller":"c-0","channel":"phone"}"#].concat();
    let mut far = refused(3, 9 * 3600, observation, fine.as_bytes().to_vec(), base);
    far.event.time = Some(clock::at(0) + chrono::TimeDelta::days(365 * 75));
    vec![
        refused(1, 7 * 3600 + 11, observation, br#"{"datastream":"d01-rain-01","result":"n/a","unit":"mm/h","property":"rainfall","station":"d01-rain-01"}"#.to_vec(), base),
        refused(2, 8 * 3600 + 22, observation, br#"{"datastream":"d01-rain-01","result":1.0,"unit":"mm/h","prop"#.to_vec(), base),
        far,
        refused(4, 10 * 3600 + 44, hotline, gbk, base),
        refused(5, 12 * 3600 + 55, hotline, br#"{"channel":"phone","caller":"c-0"}"#.to_vec(), base),
        refused(6, 16 * 3600 + 5, "io.citybrain.sensor.dream.v1", fine.as_bytes().to_vec(), base),
        refused(7, 19 * 3600 + 6, observation, br#"{"datastream":"d01-rain-01","result":NaN,"unit":"mm/h","property":"rainfall","station":"d01-rain-01"}"#.to_vec(), base),
    ]
}

fn refused(number: usize, at_s: i64, event_type: &str, data: Vec<u8>, base: &str) -> Happening {
    let mut event = Event::new(format!("malformed-{number}"), format!("{base}:legacy"), event_type);
    event.time = Some(clock::at(at_s));
    event.data_content_type = Some("application/json".to_owned());
    event.data = Some(data.into());
    Happening { at_s, event }
}
