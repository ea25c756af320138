//! Reading a topic once, from an offset to where it ends now.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bus::{Bus, Chunk, Filter, Tap, TapConfig};

/// Gives each chunk of a topic to `take`, from offset `from` of each partition to the ends at the time of the call.
/// `take` answers whether to go on.
///
/// # Errors
/// When the bus cannot be read or `take` fails.
pub async fn scan(bus: &Bus, topic: &str, from: i64, mut take: impl FnMut(&Chunk) -> Result<bool>) -> Result<()> {
    let ends = bus.watermarks(topic).await.with_context(|| format!("could not read the ends of {topic}"))?;
    let mut left: BTreeMap<i32, i64> = BTreeMap::new();
    let mut start = BTreeMap::new();
    for (partition, (low, high)) in ends {
        let first = from.max(low);
        if high > first {
            left.insert(partition, high);
        }
        start.insert((topic.to_string(), partition), first);
    }
    if left.is_empty() {
        return Ok(());
    }
    let tap = Tap::start(bus.clone(), TapConfig::default())?;
    let mut reader = tap.reader("scan", Filter::topics([topic]), start)?;
    while !left.is_empty() {
        let chunk = reader.recv().await.with_context(|| format!("the bus stopped while {topic} was read"))?;
        if !take(&chunk)? {
            break;
        }
        if left.get(&chunk.partition).is_some_and(|end| chunk.next_offset >= *end) {
            left.remove(&chunk.partition);
        }
    }
    tap.stop().await;
    Ok(())
}
