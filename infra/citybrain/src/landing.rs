//! Every topic into the lake: chunks of the tap to bronze and silver, positions with the data.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::TapReader;
use lakehouse::{Lake, Lander, TableName};
use schemas::event::Event;
use tokio::sync::watch;
use tracing::warn;

use crate::progress::Progress;
use crate::refused::RefusedLog;

/// How long a landing that failed waits before it tries again; the disk may have room by then.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Lands chunks until `stop` says so, then flushes.
pub async fn land(mut lander: Lander, mut reader: TapReader, refused: RefusedLog, progress: Progress, interval: Duration, mut stop: watch::Receiver<bool>) -> Result<()> {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => break,
            chunk = reader.recv() => {
                let Some(chunk) = chunk else { break };
                for rejected in &chunk.rejected {
                    refused.not_an_event(&chunk, rejected).await?;
                }
                lander.push(chunk.rows.clone(), &chunk.topic, chunk.partition, chunk.next_offset)?;
                if lander.is_due() {
                    flush(&mut lander, &refused, &progress).await?;
                }
            }
            _ = tick.tick() => flush(&mut lander, &refused, &progress).await?,
        }
    }
    flush(&mut lander, &refused, &progress).await
}

/// Commits what waits. A lake that cannot be written is tried again for ever: the tap holds the chunks back meanwhile.
async fn flush(lander: &mut Lander, refused: &RefusedLog, progress: &Progress) -> Result<()> {
    loop {
        match lander.flush().await {
            Ok(landed) => {
                for row in landed.rejected {
                    refused.not_of_its_type(&row).await?;
                }
                progress.set(lander.positions());
                return Ok(());
            }
            Err(error) if error.is_transient() => {
                warn!(%error, "could not write the lake; is the disk full? trying again");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(error) => return Err(error).context("could not write the lake"),
        }
    }
}

/// Upkeep of all tables, again and again.
pub async fn keep_in_shape(lake: Arc<Lake>, every: Duration, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => return Ok(()),
            _ = tokio::time::sleep(every) => {
                if let Err(error) = lake.maintain().await {
                    warn!(%error, "upkeep of the lake failed; it is tried again later");
                }
            }
        }
    }
}
