//! Compression of record batches, with a bound on what comes out: a few KiB can announce many GiB.

use std::io::Read;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::compression::{Compressor, Decompressor, Gzip, Lz4, Snappy, Zstd};

use crate::limits::INFLATE_BYTES_MAX;

/// Decompresses what stands after a batch's header; none when it is damaged, unknown, or too large.
pub fn inflate(codec: i16, body: &Bytes) -> Option<Bytes> {
    match codec {
        0 => Some(body.clone()),
        1 => read_bounded(flate2::read::MultiGzDecoder::new(body.as_ref())),
        2 => {
            if snappy_length(body)? > INFLATE_BYTES_MAX {
                return None;
            }
            Snappy::decompress(&mut body.clone(), |out| Ok(std::mem::take(out))).ok()
        }
        3 => read_bounded(lz4::Decoder::new(body.as_ref()).ok()?),
        4 => read_bounded(zstd::stream::read::Decoder::new(body.as_ref()).ok()?),
        _ => None,
    }
}

fn read_bounded(from: impl Read) -> Option<Bytes> {
    let mut out = Vec::new();
    from.take(INFLATE_BYTES_MAX as u64 + 1).read_to_end(&mut out).ok()?;
    (out.len() <= INFLATE_BYTES_MAX).then(|| out.into())
}

/// What the blocks of a snappy stream announce.
fn snappy_length(body: &Bytes) -> Option<usize> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    const HEADER: usize = 16;
    if !body.starts_with(MAGIC) {
        return block_length(body);
    }
    let mut rest = body.get(HEADER..)?;
    let mut total = 0usize;
    while !rest.is_empty() {
        let size = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let (block, after) = rest.split_at_checked(size)?;
        total = total.checked_add(block_length(block)?)?;
        rest = after;
    }
    Some(total)
}

/// A snappy block begins with its length as a varint.
fn block_length(block: &[u8]) -> Option<usize> {
    let mut value = 0usize;
    for (i, byte) in block.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Compresses.
pub fn deflate(codec: i16, body: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::new();
    let write = |to: &mut BytesMut| {
        to.extend_from_slice(body);
        Ok(())
    };
    match codec {
        0 => return Some(Bytes::copy_from_slice(body)),
        1 => Gzip::compress(&mut out, write).ok()?,
        2 => Snappy::compress(&mut out, write).ok()?,
        3 => Lz4::compress(&mut out, write).ok()?,
        4 => Zstd::compress(&mut out, write).ok()?,
        _ => return None,
    }
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_goes_there_and_back() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|i| (i / 7).to_be_bytes()).collect();
        for codec in 0..=4 {
            let small = deflate(codec, &text).unwrap();
            assert_eq!(inflate(codec, &small).unwrap(), text, "codec {codec}");
            // Damage is an answer, never a panic.
            for at in (0..small.len()).step_by(997) {
                let mut bad = small.to_vec();
                bad[at] ^= 0x55;
                let _ = inflate(codec, &bad.into());
            }
            let _ = inflate(codec, &small.slice(..small.len() / 2));
        }
        assert_eq!(inflate(5, &Bytes::from_static(b"x")), None);
    }

    #[test]
    fn a_bomb_is_refused() {
        let zeros = vec![0; INFLATE_BYTES_MAX + 1];
        for codec in [1, 4] {
            assert_eq!(inflate(codec, &deflate(codec, &zeros).unwrap()), None, "codec {codec}");
        }
        // A snappy block that announces 4 GiB in five bytes.
        assert_eq!(inflate(2, &Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f])), None);
    }
}
