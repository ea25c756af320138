//! What a model file says of itself: name, kind, size, context, licence, how it is asked, and its digests.
//!
//! Reads a GGUF file's header and nothing more, with a bound on everything: the file may come from anywhere. What is cut
//! short or damaged is told in words before llama.cpp sees it. Evaluation scores lie beside a model in
//! `<file>.scores.json`, digests in `<file>.digests.json`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::Digest;
use thiserror::Error;

use crate::limits::{GGUF_ELEMENTS_MAX, GGUF_ENTRIES_MAX, GGUF_STRING_BYTES_MAX};
use crate::task::{Dialect, NATIVE_TOKENS};

/// Why a file is no model.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// It could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is no usable model: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        what: String,
    },
}

/// A model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name, or the file's when it says none.
    pub name: String,
    /// The kind of model, such as `qwen3`.
    pub architecture: String,
    /// Weights.
    pub parameters: u64,
    /// The type of most of its weights, such as `Q8_0`.
    pub quantisation: String,
    /// Tokens that it was trained to look back on.
    pub context: u64,
    /// Its licence, when it says one.
    pub licence: Option<String>,
    /// How it is asked; none when it has neither our control tokens nor a chat template.
    pub dialect: Option<Dialect>,
    /// Bytes.
    pub bytes: u64,
    /// Its digests.
    pub digests: Digests,
    /// Scores of evaluations, by name.
    pub scores: BTreeMap<String, f64>,
}

/// Digests of a file, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// BLAKE3, by which the project names models.
    pub blake3: String,
    /// SHA-256, which others publish.
    pub sha256: String,
}

/// Reads a model file's header, digests and scores.
pub fn read(path: &Path) -> Result<ModelFile, RegistryError> {
    let header = header(path)?;
    let digests = digests(path)?;
    let scores = match std::fs::read(beside(path, "scores.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(path, format!("its scores are no object of numbers: {error}")))?,
        Err(_) => BTreeMap::new(),
    };
    Ok(ModelFile { digests, scores, ..header })
}

/// All models of a folder, in the order of their files; those that are none with the reason.
pub fn list(folder: &Path) -> Result<Vec<Result<ModelFile, RegistryError>>, RegistryError> {
    let entries = std::fs::read_dir(folder).map_err(|source| RegistryError::Read { path: folder.to_owned(), source })?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|it| it.path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "gguf"));
    paths.sort();
    Ok(paths.iter().map(|it| read(it)).collect())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn damaged(path: &Path, what: String) -> RegistryError {
    RegistryError::Damaged { path: path.to_owned(), what }
}

/// BLAKE3 as something to write to.
#[derive(Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The digest in hexadecimal.
    pub fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Digests with what they were taken of.
#[derive(Serialize, Deserialize)]
struct Kept {
    bytes: u64,
    modified_ns: u64,
    #[serde(flatten)]
    digests: Digests,
}

/// Digests of a file. They are kept beside it and taken again when its size or its time has changed.
pub fn digests(path: &Path) -> Result<Digests, RegistryError> {
    let read = |source| RegistryError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let meta = file.metadata().map_err(read)?;
    let modified = meta.modified().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let modified_ns = modified.map_or(0, |it| it.as_nanos() as u64);
    let keep_at = beside(path, "digests.json");
    let kept = std::fs::read(&keep_at).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    if let Some(kept) = kept.filter(|it| it.bytes == meta.len() && it.modified_ns == modified_ns) {
        return Ok(kept.digests);
    }
    let mut blake3 = Hasher::new();
    let mut sha256 = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(read)?;
        if count == 0 {
            break;
        }
        blake3.0.update(&buffer[..count]);
        sha256.update(&buffer[..count]);
    }
    let sha256 = sha256.finalize().iter().map(|it| format!("{it:02x}")).collect();
    let digests = Digests { blake3: blake3.hex(), sha256 };
    // A folder that cannot be written costs time at the next start, and nothing else.
    if let Ok(text) = serde_json::to_vec(&Kept { bytes: meta.len(), modified_ns, digests: digests.clone() }) {
        let _ = std::fs::write(keep_at, text);
    }
    Ok(digests)
}

/// Reads a header. Its digests are empty.
fn header(path: &Path) -> Result<ModelFile, RegistryError> {
    let file = File::open(path).map_err(|source| RegistryError::Read { path: path.to_owned(), source })?;
    let bytes = file.metadata().map_err(|source| RegistryError::Read { path: path.to_owned(), source })?.len();
    let mut reader = Reader { from: BufReader::new(file) };
    let found = parse(&mut reader, bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, "it ends in the middle of its header: copy it again".to_owned()),
        _ => damaged(path, error.to_string()),
    })?;
    let stem = path.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(ModelFile {
        path: path.to_owned(),
        name: found.text("general.name").unwrap_or(stem),
        architecture: found.architecture.clone(),
        parameters: found.parameters,
        quantisation: found.quantisation(),
        context: found.numbers.get(&format!("{}.context_length", found.architecture)).copied().unwrap_or(0),
        licence: found.text("general.license"),
        dialect: found.dialect(),
        bytes,
        digests: Digests { blake3: String::new(), sha256: String::new() },
        scores: BTreeMap::new(),
    })
}

#[derive(Default)]
struct Found {
    architecture: String,
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, u64>,
    native: usize,
    parameters: u64,
    by_type: BTreeMap<u32, u64>,
}

impl Found {
    fn text(&self, key: &str) -> Option<String> {
        self.texts.get(key).filter(|it| !it.is_empty()).cloned()
    }

    fn dialect(&self) -> Option<Dialect> {
        if self.native == NATIVE_TOKENS.len() {
            Some(Dialect::Native)
        } else {
            self.texts.contains_key("tokenizer.chat_template").then_some(Dialect::Chat)
        }
    }

    fn quantisation(&self) -> String {
        let most = self.by_type.iter().max_by_key(|(_, parameters)| **parameters).map(|(kind, _)| *kind);
        match most {
            None => "none".to_owned(),
            Some(kind) => TYPES.iter().find(|it| it.0 == kind).map_or_else(|| format!("type {kind}"), |it| it.1.to_owned()),
        }
    }
}

/// Types of weights: number, name, weights in a block, bytes of a block.
const TYPES: [(u32, &str, u64, u64); 16] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (20, "IQ4_NL", 32, 18),
    (23, "IQ4_XS", 256, 136),
    (30, "BF16", 1, 2),
];

const STRING: u32 = 8;
const ARRAY: u32 = 9;

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn parse(reader: &mut Reader, bytes: u64) -> io::Result<Found> {
    if reader.bytes(4)? != b"GGUF" {
        return Err(wrong("it does not begin with GGUF"));
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(wrong(format!("it is of GGUF version {version}; 2 and 3 are understood")));
    }
    let tensors = reader.u64()?;
    let entries = reader.u64()?;
    if entries > GGUF_ENTRIES_MAX || tensors > GGUF_ELEMENTS_MAX {
        return Err(wrong(format!("it claims {entries} entries and {tensors} tensors: its header is damaged")));
    }
    let mut found = Found::default();
    for _ in 0..entries {
        let key = reader.string()?;
        let kind = reader.u32()?;
        reader.value(&key, kind, &mut found)?;
    }
    found.architecture = found.text("general.architecture").ok_or_else(|| wrong("it does not say its architecture"))?;
    let mut data_bytes = 0_u64;
    for _ in 0..tensors {
        data_bytes = data_bytes.max(reader.tensor(&mut found)?);
    }
    let align = found.numbers.get("general.alignment").copied().filter(|it| it.is_power_of_two()).unwrap_or(32);
    let data_at = reader.from.stream_position()?.next_multiple_of(align);
    let needed = data_at.saturating_add(data_bytes);
    if needed > bytes {
        return Err(wrong(format!("it is cut short: {bytes} bytes of {needed}; copy it again")));
    }
    Ok(found)
}

struct Reader {
    from: BufReader<File>,
}

impl Reader {
    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        if count > GGUF_STRING_BYTES_MAX {
            return Err(wrong(format!("a text of {count} bytes: its header is damaged")));
        }
        let mut bytes = vec![0; count as usize];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.from.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        let bytes = self.bytes(length)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self, key: &str, kind: u32, found: &mut Found) -> io::Result<()> {
        match kind {
            STRING => {
                let text = self.string()?;
                found.texts.insert(key.to_owned(), text);
            }
            ARRAY => {
                let of = self.u32()?;
                let count = self.u64()?;
                if count > GGUF_ELEMENTS_MAX {
                    return Err(wrong(format!("{key} has {count} elements: its header is damaged")));
                }
                if of == STRING {
                    for _ in 0..count {
                        let text = self.string()?;
                        if key == "tokenizer.ggml.tokens" && NATIVE_TOKENS.contains(&text.as_str()) {
                            found.native += 1;
                        }
                    }
                } else {
                    let skip = count * width(of).ok_or_else(|| wrong(format!("{key} is an array of unknown kind {of}")))?;
                    self.from.seek_relative(skip as i64)?;
                }
            }
            kind => {
                let width = width(kind).ok_or_else(|| wrong(format!("{key} is of unknown kind {kind}")))?;
                let mut bytes = [0; 8];
                self.from.read_exact(&mut bytes[..width as usize])?;
                found.numbers.insert(key.to_owned(), u64::from_le_bytes(bytes));
            }
        }
        Ok(())
    }

    /// Reads a tensor's description. Returns where its data ends.
    fn tensor(&mut self, found: &mut Found) -> io::Result<u64> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if dimensions > 8 {
            return Err(wrong(format!("{name} has {dimensions} dimensions: its header is damaged")));
        }
        let mut weights = 1_u64;
        for _ in 0..dimensions {
            let length = self.u64()?;
            weights = weights.checked_mul(length).ok_or_else(|| wrong(format!("{name} is larger than any memory")))?;
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        found.parameters = found.parameters.saturating_add(weights);
        *found.by_type.entry(kind).or_default() += weights;
        let block = TYPES.iter().find(|it| it.0 == kind);
        let bytes = block.map_or(0, |(_, _, per_block, bytes)| weights.div_ceil(*per_block).saturating_mul(*bytes));
        Ok(offset.saturating_add(bytes))
    }
}

/// Bytes of a number of this kind.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn entry(out: &mut Vec<u8>, key: &str, value: &str) {
        text(out, key);
        out.extend(STRING.to_le_bytes());
        text(out, value);
    }

    /// A file with one tensor of 64 weights in F16.
    fn file(tokens: &[&str]) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(1_u64.to_le_bytes());
        out.extend(5_u64.to_le_bytes());
        entry(&mut out, "general.architecture", "qwen3");
        entry(&mut out, "general.name", "tiny");
        entry(&mut out, "general.license", "Apache-2.0");
        text(&mut out, "qwen3.context_length");
        out.extend(4_u32.to_le_bytes());
        out.extend(2_048_u32.to_le_bytes());
        text(&mut out, "tokenizer.ggml.tokens");
        out.extend(ARRAY.to_le_bytes());
        out.extend(STRING.to_le_bytes());
        out.extend((tokens.len() as u64).to_le_bytes());
        tokens.iter().for_each(|it| text(&mut out, it));
        text(&mut out, "token_embd.weight");
        out.extend(2_u32.to_le_bytes());
        out.extend(16_u64.to_le_bytes());
        out.extend(4_u64.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        let data_at = out.len().next_multiple_of(32);
        out.resize(data_at + 128, 7);
        out
    }

    fn reads(bytes: &[u8]) -> Result<ModelFile, RegistryError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn a_file_tells_what_it_is() {
        let model = reads(&file(&NATIVE_TOKENS)).unwrap();
        assert_eq!((model.name.as_str(), model.architecture.as_str(), model.parameters), ("tiny", "qwen3", 64));
        assert_eq!((model.quantisation.as_str(), model.context), ("F16", 2_048));
        assert_eq!((model.licence.as_deref(), model.dialect), (Some("Apache-2.0"), Some(Dialect::Native)));
        assert_eq!(model.digests.blake3, blake3::hash(&file(&NATIVE_TOKENS)).to_hex().to_string());
        assert_eq!(reads(&file(&["a"])).unwrap().dialect, None);
    }

    #[test]
    fn what_is_damaged_is_told() {
        let whole = file(&[]);
        let error = |bytes: &[u8]| reads(bytes).unwrap_err().to_string();
        assert!(error(b"").contains("ends in the middle"));
        assert!(error(b"PK\x03\x04 and so on").contains("does not begin with GGUF"));
        assert!(error(&whole[..whole.len() - 1]).contains("cut short"));
        for length in 5..whole.len() - 128 - 32 {
            assert!(reads(&whole[..length]).is_err(), "{length}");
        }
        let mut huge = whole.clone();
        huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(error(&huge).contains("damaged"));
    }

    #[test]
    fn digests_are_kept_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, "one").unwrap();
        let first = digests(&path).unwrap();
        let kept = folder.path().join("model.gguf.digests.json");
        let planted = std::fs::read_to_string(&kept).unwrap().replace(&first.blake3, "planted");
        std::fs::write(&kept, planted).unwrap();
        assert_eq!(digests(&path).unwrap().blake3, "planted", "it is read from beside the file");
        std::fs::write(&path, "three").unwrap();
        assert_eq!(digests(&path).unwrap().blake3, blake3::hash(b"three").to_hex().to_string());
    }

    #[test]
    fn a_folder_is_listed_with_its_scores() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.gguf"), file(&[])).unwrap();
        std::fs::write(folder.path().join("a.gguf.scores.json"), r#"{"extract f1": 0.5}"#).unwrap();
        std::fs::write(folder.path().join("b.gguf"), "no").unwrap();
        std::fs::write(folder.path().join("c.txt"), "no").unwrap();
        let models = list(folder.path()).unwrap();
        assert_eq!(models.len(), 2);
        assert_eq!(models[0].as_ref().unwrap().scores["extract f1"], 0.5);
        assert!(models[1].is_err());
    }
}
