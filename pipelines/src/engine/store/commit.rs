//! The payload of a commit frame.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | a number greater than that of any chunk |
//! | 8..16 | the first segment that counts: those before it hold nothing live, and are removed once the commit is durable |
//! | 16..24 | how many chunks live now |
//! | 24..32 | how many chunks are dropped |
//! | 32.. | their numbers, 8 bytes each |
//! | then | the header |
//!
//! A commit adds every chunk whose frame stands between it and the commit before, and then drops those that it lists.

use super::ChunkId;
use super::frame::long;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commit<'a> {
    pub(super) next: u64,
    pub(super) first: u64,
    pub(super) live: u64,
    pub(super) dropped: Vec<ChunkId>,
    pub(super) header: &'a [u8],
}

impl<'a> Commit<'a> {
    /// Appends the payload.
    pub(super) fn write(&self, buffer: &mut Vec<u8>) {
        for number in [self.next, self.first, self.live, self.dropped.len() as u64] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        self.dropped.iter().for_each(|id| buffer.extend_from_slice(&id.0.to_le_bytes()));
        buffer.extend_from_slice(self.header);
    }

    pub(super) fn read(payload: &'a [u8]) -> Option<Commit<'a>> {
        let (head, rest) = payload.split_at_checked(32)?;
        let dropped_bytes = usize::try_from(long(head, 24)).ok()?.checked_mul(8)?;
        let (dropped, header) = rest.split_at_checked(dropped_bytes)?;
        let dropped = dropped.chunks_exact(8).map(|id| ChunkId(long(id, 0))).collect();
        Some(Commit { next: long(head, 0), first: long(head, 8), live: long(head, 16), dropped, header })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_commit_is_read_back(next: u64, first: u64, live: u64, dropped in proptest::collection::vec(any::<u64>(), 0..9), header: Vec<u8>) {
            let commit = Commit { next, first, live, dropped: dropped.into_iter().map(ChunkId).collect(), header: &header };
            let mut payload = Vec::new();
            commit.write(&mut payload);
            prop_assert_eq!(Commit::read(&payload), Some(commit));
        }

        #[test]
        fn no_bytes_are_too_strange(payload: Vec<u8>) {
            let mut written = Vec::new();
            if let Some(commit) = Commit::read(&payload) {
                commit.write(&mut written);
                prop_assert_eq!(written, payload);
            }
        }
    }
}
