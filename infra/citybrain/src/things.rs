//! What the doors know of devices and things: folds of `city.device` and `raw.entity`, and the latest of `raw.sensor`.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use bus::{Bus, Filter, Tap, TapReader};
use gateway::sensorthings::latest::{Described, Observation};
use gateway::{Admission, Devices, Things};
use lakehouse::Lake;
use schemas::topics;
use tokio::sync::watch;
use tracing::warn;

use crate::lake::{self, Row};
use crate::parts::asked_to_stop;
use crate::progress::Positions;
use crate::scan::scan;

/// The topic on which entities are registered.
const ENTITIES: &str = "raw.entity";
/// The topic of observations.
const SENSORS: &str = "raw.sensor";
/// Records of each partition of `raw.sensor` that are read again at the start: what may not have landed in the lake yet.
const SENSORS_BACK: i64 = 200_000;

/// The device registry as the log has it now.
///
/// # Errors
/// When the log cannot be read.
pub async fn devices(bus: &Bus, admission: Admission) -> Result<Devices> {
    let devices = Devices::new(admission);
    load(bus, topics::DEVICE, |rows| devices.take_rows(rows)).await?;
    Ok(devices)
}

/// What is registered as the log has it now.
///
/// # Errors
/// When the log cannot be read.
pub async fn things(bus: &Bus) -> Result<Things> {
    let things = Things::default();
    load(bus, ENTITIES, |rows| things.take_rows(rows)).await?;
    Ok(things)
}

async fn load(bus: &Bus, topic: &str, take: impl Fn(&RecordBatch)) -> Result<()> {
    scan(bus, topic, 0, |chunk| {
        take(&chunk.rows);
        Ok(true)
    })
    .await
    .with_context(|| format!("could not read {topic}"))
}

/// A reader of what changes from here on. Read before the folds are loaded, so that nothing falls between.
///
/// # Errors
/// When the bus cannot be asked for its ends.
pub async fn reader(bus: &Bus, tap: &Tap) -> Result<TapReader> {
    let filter = Filter::topics([topics::DEVICE, ENTITIES, SENSORS]);
    let mut start: Positions = bus.ends(&filter).await?;
    for (partition, (low, high)) in bus.watermarks(SENSORS).await? {
        start.insert((SENSORS.to_owned(), partition), low.max(high - SENSORS_BACK));
    }
    Ok(tap.reader("things", filter, start)?)
}

/// Keeps the folds up to date until `stop` says so.
pub async fn follow(devices: Arc<Devices>, things: Arc<Things>, mut reader: TapReader, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            () = asked_to_stop(&mut stop) => return Ok(()),
            chunk = reader.recv() => {
                let Some(chunk) = chunk else { return Ok(()) };
                match chunk.topic.as_ref() {
                    topics::DEVICE => devices.take_rows(&chunk.rows),
                    _ => things.take_rows(&chunk.rows),
                }
            }
        }
    }
}

/// Takes the latest observation of each datastream from the lake: of those that have been silent since before the start.
/// When it cannot be read that is told and no failure: datastreams are known again when they speak.
pub async fn remember(lake: Lake, things: Arc<Things>) -> Result<()> {
    let columns = ["partition", "offset", "event_time", "result", "unit", "property", "station", "district", "lat", "lon", "quality", "result_time", "phenomenon_start"];
    let last = columns.map(|column| format!("last_value(\"{column}\" ORDER BY event_time, \"offset\") AS \"{column}\"")).join(", ");
    let query = format!("SELECT datastream, {last} FROM silver.sensor_observation WHERE event_time IS NOT NULL GROUP BY datastream");
    match lake::rows(&lake, &query).await {
        Ok(rows) => rows.iter().filter_map(observation).for_each(|(observation, described)| things.observe(observation, described)),
        Err(error) => warn!(error = format!("{error:#}"), "could not read the latest observations from the lake; they are known again when their sensors speak"),
    }
    Ok(())
}

fn observation(row: &Row) -> Option<(Observation, Described)> {
    let own = |column: &str| row.get(column)?.as_str().map(str::to_owned);
    let number = |column: &str| row.get(column)?.as_f64();
    let time = |column: &str| schemas::time::parse_us(&own(column)?).ok();
    let described = Described {
        unit: own("unit"),
        property: own("property"),
        station: own("station"),
        district: own("district"),
        place: number("lat").zip(number("lon")),
    };
    let observation = Observation {
        datastream: own("datastream")?,
        partition: i32::try_from(lake::integer(row, "partition")).ok()?,
        offset: lake::integer(row, "offset"),
        time_us: time("event_time")?,
        start_us: time("phenomenon_start"),
        result_time_us: time("result_time"),
        result: number("result"),
        quality: own("quality"),
    };
    Some((observation, described))
}
