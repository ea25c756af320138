//! The digest chain: `chain[n] = BLAKE3(chain[n-1], record[n], effects[n])`. Two runs that agree on the last digest
//! agree on every record and every effect before it. Of a record it holds what decisions rest on, not the moment at
//! which it was written down ([`JournalRecord::decided_json`]).

use std::fmt::Write as _;

use schemas::journal::JournalRecord;

use crate::effect::{Effect, effects_bytes};

/// The digest after some number of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain([u8; 32]);

impl Chain {
    /// Goes one record further.
    pub fn push(&mut self, record: &JournalRecord, effects: &[Effect]) {
        self.push_bytes(record.decided_json().as_bytes(), &effects_bytes(effects));
    }

    /// The same for a record and effects that are bytes already.
    fn push_bytes(&mut self, record: &[u8], effects: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        // With their lengths, so that a byte cannot wander from one to the other.
        hasher.update(&(record.len() as u64).to_le_bytes());
        hasher.update(record);
        hasher.update(&(effects.len() as u64).to_le_bytes());
        hasher.update(effects);
        self.0 = *hasher.finalize().as_bytes();
    }

    /// The digest as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Reads [`Chain::hex`] back.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let mut digest = [0; 32];
        for (to, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let digit = |byte: u8| (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
            *to = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(Self(digest))
    }
}
