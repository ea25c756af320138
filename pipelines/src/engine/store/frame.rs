//! Frames: what a segment consists of from its first byte to its last.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | the letters `CBSF` |
//! | 4..8 | the kind |
//! | 8..16 | a number, see [`Kind`] |
//! | 16..24 | length of the payload |
//! | 24..28 | CRC-32C of the payload |
//! | 28..32 | CRC-32C of the bytes before it, begun with the place of the frame: segment and offset |
//! | 32.. | the payload |
//!
//! Integers are little-endian. Since its place goes into the checksum, a frame is believed only where it was written: rows
//! that happen to contain the bytes of a frame are never taken for one.

/// Bytes of a frame before its payload.
pub(super) const HEAD: usize = 32;

const MAGIC: &[u8; 4] = b"CBSF";

/// What a frame is, and what its number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Begins a segment; its number.
    Segment,
    /// A schema, before its first use in a segment; its number.
    Schema,
    /// Rows; their chunk's number.
    Chunk,
    /// A plan; the number of the commit before it.
    Plan,
    /// A commit; its number, from 1.
    Commit,
    /// Written once everything before it was durable; the number of the last commit.
    Mark,
}

const KINDS: [Kind; 6] = [Kind::Segment, Kind::Schema, Kind::Chunk, Kind::Plan, Kind::Commit, Kind::Mark];

/// A frame whose checksums fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    pub(super) fn length(&self) -> usize {
        HEAD + self.payload.len()
    }
}

/// Appends a frame to `buffer`, whose first byte lies at `base` of its segment. `fill` appends the payload.
///
/// When `fill` fails, the buffer is as it was.
pub(super) fn write<E>(
    buffer: &mut Vec<u8>,
    (segment, base): (u64, u64),
    (kind, number): (Kind, u64),
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEAD]);
    if let Err(error) = fill(buffer) {
        buffer.truncate(start);
        return Err(error);
    }
    let (head, payload) = buffer[start..].split_at_mut(HEAD);
    let code = KINDS.iter().position(|of| *of == kind).expect("every kind is listed") as u32;
    head[..4].copy_from_slice(MAGIC);
    head[4..8].copy_from_slice(&code.to_le_bytes());
    head[8..16].copy_from_slice(&number.to_le_bytes());
    head[16..24].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    head[24..28].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let crc = head_crc(head, segment, base + start as u64);
    head[28..].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Reads the frame at the beginning of `bytes`, which lie at `offset` of a segment; or says what is wrong with it.
pub(super) fn read(bytes: &[u8], segment: u64, offset: u64) -> Result<Frame<'_>, &'static str> {
    let (kind, number, length) = read_head(bytes, segment, offset).ok_or("no frame begins here")?;
    let rest = &bytes[HEAD..];
    let payload = usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or("the frame is incomplete")?;
    match crc32c::crc32c(payload) == word(bytes, 24) {
        true => Ok(Frame { kind, number, payload }),
        false => Err("the checksum does not fit"),
    }
}

/// Whether a mark stands anywhere in `bytes`, which lie at `offset` of a segment.
pub(super) fn has_mark(bytes: &[u8], segment: u64, offset: u64) -> bool {
    (0..bytes.len()).any(|at| {
        bytes[at..].starts_with(MAGIC)
            && matches!(read_head(&bytes[at..], segment, offset + at as u64), Some((Kind::Mark, _, 0)))
    })
}

fn read_head(bytes: &[u8], segment: u64, offset: u64) -> Option<(Kind, u64, u64)> {
    let head = bytes.get(..HEAD)?;
    if !head.starts_with(MAGIC) || head_crc(head, segment, offset) != word(head, 28) {
        return None;
    }
    let kind = KINDS.get(word(head, 4) as usize)?;
    Some((*kind, long(head, 8), long(head, 16)))
}

fn head_crc(head: &[u8], segment: u64, offset: u64) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&segment.to_le_bytes()), &offset.to_le_bytes());
    crc32c::crc32c_append(place, &head[..28])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The integer at `at`, which must be inside of `bytes`.
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn frame(place: (u64, u64), what: (Kind, u64), payload: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        let Ok(()) = write(&mut buffer, place, what, |buffer| {
            buffer.extend_from_slice(payload);
            Ok::<(), Infallible>(())
        });
        buffer
    }

    #[test]
    fn a_frame_that_cannot_be_filled_leaves_nothing() {
        let mut buffer = vec![7];
        let filled = write(&mut buffer, (1, 0), (Kind::Plan, 1), |buffer| {
            buffer.push(9);
            Err("no")
        });
        assert_eq!((filled, buffer), (Err("no"), vec![7]));
    }

    proptest! {
        #[test]
        fn frames_are_read_back_and_only_where_they_were_written(
            payload in proptest::collection::vec(any::<u8>(), 0..100), number: u64, segment in 1u64..9, offset in 0u64..1000,
            flip in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>(),
        ) {
            let bytes = frame((segment, offset), (Kind::Chunk, number), &payload);
            let read_back = read(&bytes, segment, offset);
            prop_assert_eq!(read_back, Ok(Frame { kind: Kind::Chunk, number, payload: &payload }));
            prop_assert!(read(&bytes, segment + 1, offset).is_err());
            prop_assert!(read(&bytes, segment, offset + 1).is_err());
            prop_assert!(read(&bytes[..cut.index(bytes.len())], segment, offset).is_err());
            let mut flipped = bytes.clone();
            flipped[flip.index(bytes.len())] ^= 1 << bit;
            prop_assert!(read(&flipped, segment, offset).is_err());
        }

        #[test]
        fn a_mark_is_found_behind_anything(noise in proptest::collection::vec(any::<u8>(), 0..200), offset in 0u64..1000) {
            let mark = frame((3, offset + noise.len() as u64), (Kind::Mark, 1), &[]);
            prop_assert!(!has_mark(&noise, 3, offset));
            prop_assert!(has_mark(&[noise.clone(), mark.clone()].concat(), 3, offset));
            prop_assert!(!has_mark(&[noise.clone(), mark[..31].to_vec()].concat(), 3, offset));
            prop_assert!(!has_mark(&[noise, mark].concat(), 3, offset + 1));
        }
    }
}
