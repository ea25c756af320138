//! Back to where the decision plane stood: the newest snapshot, the rest of the journal, the effects that did not go out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use bus::Bus;
use schemas::event::Event;
use schemas::topics;
use tracing::{info, warn};

use super::core::{CHAIN_EXTENSION, Core};
use super::snapshot::SnapshotStore;
use crate::rows::Rows;
use crate::scan::scan;

/// A restored decision plane.
pub struct Recovered {
    /// The decision plane after the journal's last record.
    pub core: Core,
    /// Effects of the journal's tail that are not in their topics.
    pub missing_effects: Vec<(String, Event)>,
}

/// Restores the decision plane. An empty journal gives a plane that has seen nothing.
///
/// # Errors
/// When the bus cannot be read, or a recomputed digest differs from the one in the journal.
pub async fn recover(bus: &Bus, snapshots: &SnapshotStore) -> Result<Recovered> {
    let mut core = None;
    for bytes in snapshots.read_newest_first()? {
        match Core::restore(&bytes) {
            Ok(restored) => {
                core = Some(restored);
                break;
            }
            Err(error) => warn!(%error, "a snapshot of another version is passed over"),
        }
    }
    // Record n of the journal has offset n: the topic has one writer, one partition and no retention.
    let from = core.as_ref().map_or(0, Core::next_seq);
    let end = bus.watermarks(topics::JOURNAL).await.context("could not read the end of city.journal")?.get(&0).map_or(0, |(_, high)| *high);
    if (end as u64) < from {
        bail!(
            "city.journal ends at record {end}, but this home has seen {from}: the topic was deleted, or belongs to another home; \
             bring it back from a backup, or begin with another --home"
        );
    }
    let mut effects: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    scan(bus, topics::JOURNAL, i64::try_from(from)?, |chunk| {
        for row in Rows::of(&chunk.rows)?.iter() {
            apply(&mut core, &row, &mut effects)?;
        }
        Ok(true)
    })
    .await
    .context("could not read city.journal")?;
    let core = core.unwrap_or_else(Core::new);
    info!(from, to = core.next_seq(), "journal read");
    let missing_effects = missing(bus, effects).await?;
    Ok(Recovered { core, missing_effects })
}

fn apply(core: &mut Option<Core>, row: &crate::rows::Row<'_>, effects: &mut BTreeMap<String, Vec<Event>>) -> Result<()> {
    let data = row.data.with_context(|| format!("record {} of city.journal has no data", row.offset))?;
    let core = match core {
        Some(core) => core,
        None => core.insert(Core::begin(data)?),
    };
    let sequenced = core.apply_stored(data)?;
    let stored = stored_chain(row.extensions).with_context(|| format!("record {} of city.journal has no chain digest", row.offset))?;
    if stored != sequenced.chain {
        bail!(
            "record {} of city.journal has digest {stored}, and this program computes {}: the journal was changed, or was \
             written by a program that decides otherwise; run that one, or begin with another --home",
            sequenced.seq, sequenced.chain
        );
    }
    for (topic, event) in sequenced.effects {
        effects.entry(topic).or_default().push(event);
    }
    Ok(())
}

/// The chain digest in a row's extensions.
pub fn stored_chain(extensions: Option<&str>) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(extensions?).ok()?;
    Some(value.get(CHAIN_EXTENSION)?.as_str()?.to_string())
}

/// The effects that their topics do not have. Effects are produced in order, so the ids at a topic's end tell.
async fn missing(bus: &Bus, effects: BTreeMap<String, Vec<Event>>) -> Result<Vec<(String, Event)>> {
    let mut missing = Vec::new();
    for (topic, events) in effects {
        let ends = bus.watermarks(&topic).await.with_context(|| format!("could not read the ends of {topic}"))?;
        let mut there = BTreeSet::new();
        let wanted: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
        if ends.values().any(|(low, high)| high > low) {
            // At most as many records as there are effects can be ours; duplicates of earlier crashes do not exist.
            let from = ends.values().map(|(low, high)| (*high - events.len() as i64).max(*low)).min().unwrap_or(0);
            scan(bus, &topic, from, |chunk| {
                for row in Rows::of(&chunk.rows)?.iter() {
                    if let Some(id) = row.id.filter(|id| wanted.contains(id)) {
                        there.insert(id.to_string());
                    }
                }
                Ok(true)
            })
            .await
            .with_context(|| format!("could not read {topic}"))?;
        }
        missing.extend(events.into_iter().filter(|event| !there.contains(&event.id)).map(|event| (topic.clone(), event)));
    }
    missing.sort_by(|(_, left), (_, right)| left.id.cmp(&right.id));
    Ok(missing)
}
