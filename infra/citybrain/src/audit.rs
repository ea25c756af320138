//! The audit of this home: one writer appends entries to the topic `audit`, each behind the one before; the commands show
//! them, check them, and write them out as evidence.
//!
//! `<home>/audit/chain` names the chain that this home writes; `<home>/audit/anchors.jsonl` has its head of every hour and
//! of every stop. Who copies that file to where nobody of this machine can write, can show whether the end was cut off.

mod anchors;
mod bundle;
mod command;
#[cfg(test)]
mod tests;
mod writer;

pub use self::command::run;
pub use self::writer::{AuditHandle, writer};

use anyhow::{Result, anyhow};
use chrono::Utc;
use gateway::AuditLog;
use schemas::audit::{Note, Outcome};

/// A note of something that is done on this machine's terminal, without a door.
pub fn by_hand(action: impl Into<String>) -> Note {
    let mut note = Note::new("local", "terminal", action, Utc::now());
    if let Ok(user) = std::env::var("USER")
        && !user.is_empty()
    {
        note.details.insert("user".to_owned(), user);
    }
    note
}

/// Does something that changes what there is, with an entry before and an entry behind it.
///
/// # Errors
/// What the change reports, or that the audit does not take an entry; before the change, then nothing is changed.
pub async fn around<T>(audit: &AuditHandle, mut note: Note, change: impl Future<Output = Result<T>>) -> Result<T> {
    note.outcome = Outcome::Asked;
    let append = |note: Note| async { audit.append(note).await.map_err(|error| anyhow!("the audit did not take an entry: {error}")) };
    let asked = append(note.clone()).await?;
    let made = change.await;
    note.asked = Some(asked);
    note.time = Utc::now();
    note.outcome = if made.is_ok() { Outcome::Done } else { Outcome::Refused };
    note.why = made.as_ref().err().map(|error| schemas::pii::mask(&format!("{error:#}")).0.into_owned());
    append(note).await?;
    made
}
