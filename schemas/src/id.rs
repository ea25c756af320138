//! Ids made from positions, so that whoever performs an effect twice makes the same id twice.

use std::fmt::Write as _;

/// The id of the `ordinal`-th effect of the record with sequence number `seq`. Sorts as text in the order of the log.
///
/// ```
/// assert_eq!(schemas::id::at(1234, 2), "000000001234-0002");
/// ```
pub fn at(seq: u64, ordinal: u32) -> String {
    format!("{seq:012}-{ordinal:04}")
}

/// Reads an id of [`at`] back.
pub fn parse_at(id: &str) -> Option<(u64, u32)> {
    let (seq, ordinal) = id.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seq) || !digits(ordinal) {
        return None;
    }
    let parsed = (seq.parse().ok()?, ordinal.parse().ok()?);
    // One position has one spelling, or two texts would name the same effect.
    (at(parsed.0, parsed.1) == id).then_some(parsed)
}

/// The id of row `row` (counted from 0) of a file with BLAKE3 digest `file_digest`, for rows without a key of their own:
/// importing the same file twice makes the same ids. Half of the digest is enough to tell files apart.
///
/// ```
/// let digest = *blake3::hash(b"a,b\n1,2\n").as_bytes();
/// assert!(schemas::id::from_digest(&digest, 7).ends_with("-000000000007"));
/// ```
pub fn from_digest(file_digest: &[u8; 32], row: u64) -> String {
    let mut id = hex(&file_digest[..16]);
    let _ = write!(id, "-{row:012}");
    id
}

/// The id of row `row` that job `job` gave out in its epoch `epoch`, so that a repeated epoch repeats its ids.
pub fn in_epoch(job: &str, epoch: u64, row: u64) -> String {
    format!("{job}-{epoch:010}-{row:06}")
}

/// A short id of what `parts` name together, such as an alert's scenario, originator and hazard. Each part is
/// hashed with its length, so that `["ab", "c"]` and `["a", "bc"]` differ.
pub fn of_parts(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize().as_bytes()[..10])
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(of_parts(&["ab", "c"]), of_parts(&["a", "bc"]));
        assert_eq!(of_parts(&["a", "b"]).len(), 20);
    }

    #[test]
    fn only_one_spelling_is_read() {
        assert_eq!(parse_at("000000001234-0002"), Some((1234, 2)));
        for id in ["1234-02", "000000001234-2", "000000001234", "-", "+00000001234-02", "000000001234-002"] {
            assert_eq!(parse_at(id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(seq: u64, ordinal: u32) {
            prop_assert_eq!(parse_at(&at(seq, ordinal)), Some((seq, ordinal)));
        }

        #[test]
        fn sorts_like_the_log(a in 0u64..1_000_000_000_000, b in 0u64..1_000_000_000_000, x in 0u32..10_000, y in 0u32..10_000) {
            prop_assert_eq!((a, x).cmp(&(b, y)), at(a, x).cmp(&at(b, y)));
        }
    }
}
