//! Model files as somebody might hand them in: whole, changed, cut, something else. Made here, registered, and offered.

use anyhow::{Context as _, Result};
use llm::entry::{Entry, EntryError, sound};
use serde_json::Value;
use sha2::Digest;

use super::owasp::Case;

const U32: u32 = 4;
const STRING: u32 = 8;
const Q8_0: u32 = 8;

/// Registers what a case says and offers the file that it describes.
pub fn check(case: &Case) -> Result<()> {
    let file = &case.given["file"];
    let mut entry = case.given["entry"].clone();
    let also = entry.as_object_mut().and_then(|entry| entry.remove("also"));
    let folder = tempfile::tempdir().context("could not make a folder")?;
    let path = folder.path().join("model.gguf");
    let valid = small();
    let made = match file["make"].as_str() {
        Some("valid") => changed(valid.clone(), file),
        Some("bytes") => file["content"].as_str().unwrap_or_default().as_bytes().to_vec(),
        Some("none") => Vec::new(),
        other => anyhow::bail!("no part yet for a file made by {other:?}"),
    };
    std::fs::write(&path, &made).context("could not write a file")?;
    match entry["sha256"].as_str() {
        Some("@file") => entry["sha256"] = hex(&made).into(),
        Some("@valid") => entry["sha256"] = hex(&valid).into(),
        Some("@VALID") => entry["sha256"] = hex(&valid).to_uppercase().into(),
        _ => {}
    }
    let entry: Entry = serde_json::from_value(entry).context("the entry cannot be read")?;
    let second: Option<Entry> = also.map(|also| {
        let mut second = serde_json::to_value(&entry).unwrap_or_default();
        for (key, value) in also.as_object().into_iter().flatten() {
            second[key] = value.clone();
        }
        serde_json::from_value(second)
    }).transpose()?;
    let all: Vec<Entry> = std::iter::once(entry.clone()).chain(second).collect();
    let result = sound(&all).and_then(|()| match file["served_model"].as_str() {
        Some(served) => entry.admit_served(served),
        None => entry.admit(&path).map(drop),
    });
    match (case.expected.as_str(), result) {
        ("accepted", Ok(())) | ("digest_mismatch", Err(EntryError::Digest { .. })) | ("licence_missing", Err(EntryError::Licence(_))) => Ok(()),
        ("refused", Err(EntryError::Digest { .. })) => Err(anyhow::anyhow!("refused for its digest, which is right")),
        ("refused", Err(_)) => Ok(()),
        (expected, Ok(())) => Err(anyhow::anyhow!("it is loaded, {expected} was expected")),
        (expected, Err(error)) => Err(anyhow::anyhow!("{expected} was expected: {error}")),
    }
}

fn changed(mut bytes: Vec<u8>, file: &Value) -> Vec<u8> {
    if let Some(at) = file["flip_byte"].as_i64() {
        let at = if at < 0 { bytes.len().saturating_sub(at.unsigned_abs() as usize) } else { at as usize };
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x5a;
        }
    }
    if let Some(kept) = file["cut_permille"].as_u64() {
        bytes.truncate(bytes.len() * kept as usize / 1000);
    }
    if let Some(more) = file["append"].as_str() {
        bytes.extend(more.as_bytes());
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A small sound model file: a header, and one tensor of 4,096 weights in Q8_0.
fn small() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(4_u64.to_le_bytes());
    for (key, value) in [("general.architecture", "llama"), ("general.name", "triage-small"), ("general.license", "Apache-2.0")] {
        text(&mut out, key);
        out.extend(STRING.to_le_bytes());
        text(&mut out, value);
    }
    text(&mut out, "llama.context_length");
    out.extend(U32.to_le_bytes());
    out.extend(2_048_u32.to_le_bytes());
    text(&mut out, "token_embd.weight");
    out.extend(2_u32.to_le_bytes());
    out.extend(64_u64.to_le_bytes());
    out.extend(64_u64.to_le_bytes());
    out.extend(Q8_0.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    let data_at = out.len().next_multiple_of(32);
    // 32 weights are 34 bytes.
    out.resize(data_at + 4_096 / 32 * 34, 1);
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_file_is_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, small()).unwrap();
        let model = llm::registry::read(&path).unwrap();
        assert_eq!((model.name.as_str(), model.quantisation.as_str(), model.context, model.parameters), ("triage-small", "Q8_0", 2_048, 4_096));
    }
}
