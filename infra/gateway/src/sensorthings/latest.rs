//! The latest observation of each datastream, kept by the stream, so that asking for it costs one look-up.

use std::collections::BTreeMap;

use arrow::array::{Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use schemas::Position;
use serde::Deserialize;

use crate::limits::DATASTREAMS_MAX;

/// An observation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// Its datastream.
    pub datastream: String,
    /// Where it stands on `raw.sensor`; its id is made of both.
    pub partition: i32,
    /// See `partition`.
    pub offset: i64,
    /// When it was observed, or the end of the interval observed; µs since 1970.
    pub time_us: i64,
    /// The beginning of the interval observed.
    pub start_us: Option<i64>,
    /// When the result was made.
    pub result_time_us: Option<i64>,
    /// What was observed; nothing when it is missing.
    pub result: Option<f64>,
    /// A quality flag.
    pub quality: Option<String>,
}

impl Observation {
    /// Its `@iot.id`: the partition and the offset, which no other observation has.
    pub fn id(&self) -> String {
        observation_id(self.partition, self.offset)
    }

    /// The same at its place in the log.
    pub fn at(self, position: &Position) -> Observation {
        Observation { partition: position.partition, offset: position.offset, ..self }
    }
}

/// The `@iot.id` of what stands there on `raw.sensor`.
pub fn observation_id(partition: i32, offset: i64) -> String {
    format!("{partition}-{offset}")
}

/// Reads an id of [`observation_id`] back.
pub fn observation_place(id: &str) -> Option<(i32, i64)> {
    let (partition, offset) = id.split_once('-')?;
    let place = (partition.parse().ok()?, offset.parse().ok()?);
    (observation_id(place.0, place.1) == id).then_some(place)
}

/// What observations say about their datastream besides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    /// Unit.
    pub unit: Option<String>,
    /// Observed property.
    pub property: Option<String>,
    /// Station.
    pub station: Option<String>,
    /// District.
    pub district: Option<String>,
    /// Latitude and longitude, degrees.
    pub place: Option<(f64, f64)>,
}

/// The latest of each datastream, by its id.
#[derive(Debug, Default)]
pub struct Latest(BTreeMap<String, (Observation, Described)>);

#[derive(Deserialize)]
struct Data {
    datastream: String,
    result: Option<f64>,
    unit: Option<String>,
    property: Option<String>,
    station: Option<String>,
    district: Option<String>,
    lat: Option<f64>,
    lon: Option<f64>,
    quality: Option<String>,
    result_time: Option<String>,
    phenomenon_start: Option<String>,
}

/// Reads the data of a `sensor.observation` event; nothing when it is of another form.
pub fn read(partition: i32, offset: i64, time_us: i64, data: &str) -> Option<(Observation, Described)> {
    let data: Data = serde_json::from_str(data).ok()?;
    let time = |text: Option<String>| text.and_then(|text| schemas::time::parse_us(&text).ok());
    let described = Described {
        unit: data.unit,
        property: data.property,
        station: data.station,
        district: data.district,
        place: data.lat.zip(data.lon),
    };
    let observation = Observation {
        datastream: data.datastream,
        partition,
        offset,
        time_us,
        start_us: time(data.phenomenon_start),
        result_time_us: time(data.result_time),
        result: data.result,
        quality: data.quality,
    };
    Some((observation, described))
}

impl Latest {
    /// The latest of a datastream.
    pub fn get(&self, datastream: &str) -> Option<&(Observation, Described)> {
        self.0.get(datastream)
    }

    /// The datastreams that have been heard of, in the order of their ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Takes an observation in, if none later is known. Of two at the same time the one that stands later counts.
    pub fn take(&mut self, observation: Observation, described: Described) {
        let order = |observation: &Observation| (observation.time_us, observation.offset);
        let full = self.0.len() >= DATASTREAMS_MAX;
        match self.0.get_mut(&observation.datastream) {
            Some((known, _)) if order(known) >= order(&observation) => {}
            Some(known) => *known = (observation, described),
            None if full => {}
            None => {
                self.0.insert(observation.datastream.clone(), (observation, described));
            }
        }
    }

    /// Takes in rows of `raw.sensor` in bronze form. Rows of other types are passed over.
    pub fn take_rows(&mut self, rows: &RecordBatch) {
        let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let partition = rows.column_by_name("partition").and_then(|column| column.as_any().downcast_ref::<Int32Array>());
        let offset = rows.column_by_name("offset").and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let time = |name: &str| rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<TimestampMicrosecondArray>());
        let (Some(partition), Some(offset), Some(data), Some(kind)) = (partition, offset, text("data"), text("ce_type")) else { return };
        let (event_time, kafka_time) = (time("ce_time"), time("kafka_time"));
        for row in 0..rows.num_rows() {
            if kind.is_null(row) || kind.value(row) != super::request::OBSERVATION_TYPE || data.is_null(row) {
                continue;
            }
            let at = |times: Option<&TimestampMicrosecondArray>| times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
            let Some(time_us) = at(event_time).or_else(|| at(kafka_time)) else { continue };
            if let Some((observation, described)) = read(partition.value(row), offset.value(row), time_us, data.value(row)) {
                self.take(observation, described);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stays_whatever_the_order_of_arrival() {
        let mut latest = Latest::default();
        for (offset, time_us, result) in [(0, 10, 1.0), (1, 30, 3.0), (2, 20, 2.0), (3, 30, 4.0)] {
            let data = format!(r#"{{"datastream":"d","result":{result:?},"unit":"mm","more":[1]}}"#);
            let (observation, described) = read(0, offset, time_us, &data).unwrap();
            latest.take(observation, described);
        }
        let (observation, described) = latest.get("d").unwrap();
        assert_eq!((observation.result, observation.id(), described.unit.as_deref()), (Some(4.0), "0-3".to_owned(), Some("mm")));
        assert_eq!(read(0, 0, 0, r#"{"datastream":"d","result":"wet"}"#), None);
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(observation_place("3-1234"), Some((3, 1234)));
        for wrong in ["3", "3-", "03-1", "a-b", "3-1-2", "+3-1"] {
            assert_eq!(observation_place(wrong), None, "{wrong}");
        }
    }
}
