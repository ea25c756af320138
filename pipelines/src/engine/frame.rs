//! Frames of bytes with a checksum, and files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Bytes of a frame before its payload: length and CRC-32C, both little-endian.
const HEAD: usize = 8;

pub(crate) fn write(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("state and plans are bounded well below 4 GiB");
    let mut frame = Vec::with_capacity(HEAD + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A whole frame and what follows it.
    Whole(&'a [u8], &'a [u8]),
    /// The bytes end before the frame does.
    Torn,
    /// The checksum does not fit.
    Wrong,
}

pub(crate) fn read(bytes: &[u8]) -> Frame<'_> {
    let (Some(length), Some(crc)) = (word(bytes, 0), word(bytes, 4)) else { return Frame::Torn };
    let Some(payload) = bytes.get(HEAD..HEAD + length as usize) else { return Frame::Torn };
    match crc32c::crc32c(payload) == crc {
        true => Frame::Whole(payload, &bytes[HEAD + length as usize..]),
        false => Frame::Wrong,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Writes a file so that after a crash it has the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

/// Makes the names in a file's folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
