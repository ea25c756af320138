//! Reading a stretch of a topic once.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result};
use bus::{Bus, Chunk, Filter, Tap, TapConfig};

/// Offsets of topics and partitions: from the start up to, not including, the end.
pub type Ranges = BTreeMap<(String, i32), Range<i64>>;

/// Gives each chunk of a topic to `take`, from offset `from` of each partition to the ends at the time of the call.
/// `take` answers whether to go on.
///
/// # Errors
/// When the bus cannot be read or `take` fails.
pub async fn scan(bus: &Bus, topic: &str, from: i64, mut take: impl FnMut(&Chunk) -> Result<bool>) -> Result<()> {
    let ends = bus.watermarks(topic).await.with_context(|| format!("could not read the ends of {topic}"))?;
    let ranges = ends.into_iter().map(|(partition, (low, high))| ((topic.to_string(), partition), from.max(low)..high)).collect();
    let mut failure = None;
    read(bus, ranges, |chunk| {
        take(chunk).unwrap_or_else(|error| {
            failure = Some(error);
            false
        })
    })
    .await?;
    failure.map_or(Ok(()), Err)
}

/// Gives each chunk of the ranges to `take`, which answers whether to go on; rows beyond a range may come with it. False
/// when the beginning of a range is no longer there.
///
/// # Errors
/// When the bus cannot be read.
pub async fn scan_ranges(bus: &Bus, ranges: &Ranges, take: impl FnMut(&Chunk) -> bool) -> Result<bool> {
    let mut wanted = Ranges::new();
    let mut ends = BTreeMap::new();
    for ((topic, partition), range) in ranges {
        if !ends.contains_key(topic) {
            ends.insert(topic.clone(), bus.watermarks(topic).await.with_context(|| format!("could not read the ends of {topic}"))?);
        }
        let Some((low, high)) = ends[topic].get(partition) else { continue };
        if range.start < *low {
            return Ok(false);
        }
        wanted.insert((topic.clone(), *partition), range.start..range.end.min(*high));
    }
    read(bus, wanted, take).await?;
    Ok(true)
}

async fn read(bus: &Bus, mut left: Ranges, mut take: impl FnMut(&Chunk) -> bool) -> Result<()> {
    left.retain(|_, range| !range.is_empty());
    if left.is_empty() {
        return Ok(());
    }
    let start = left.iter().map(|(place, range)| (place.clone(), range.start)).collect();
    let names: Vec<String> = left.keys().map(|(topic, _)| topic.clone()).collect();
    let tap = Tap::start(bus.clone(), TapConfig::default())?;
    let mut reader = tap.reader("scan", Filter::topics(names), start)?;
    while !left.is_empty() {
        let chunk = reader.recv().await.context("the bus stopped while it was read")?;
        let place = (chunk.topic.to_string(), chunk.partition);
        let Some(range) = left.get(&place) else { continue };
        let done = chunk.next_offset >= range.end;
        if !take(&chunk) {
            break;
        }
        if done {
            left.remove(&place);
        }
    }
    tap.stop().await;
    Ok(())
}
