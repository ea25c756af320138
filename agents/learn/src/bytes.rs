//! The bytes of a model: a card in JSON, arrays in little-endian order, and a checksum over all of it.

use serde::{Deserialize, Serialize};

use crate::calibrate::Calibration;
use crate::error::BytesError;
use crate::index::Index;
use crate::limits::{LABELS_MAX, WEIGHTS_MAX};
use crate::model::{Card, Model};

pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"citymodl";
const CHECKSUM: usize = 32;

#[derive(Serialize, Deserialize)]
struct Head {
    card: Card,
    bits: u32,
}

impl Model {
    /// Its bytes; the same model has the same ones.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let head = serde_json::to_vec(&Head { card: self.card.clone(), bits: self.index.bits }).expect("a card is JSON");
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        for word in &self.index.words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let floats = [&self.units, &self.biases, &self.calibration.scales, &self.calibration.shifts, &self.rarities];
        for float in [self.threshold, self.familiarity_min].iter().chain(floats.into_iter().flatten()) {
            bytes.extend_from_slice(&float.to_le_bytes());
        }
        for weight in &self.weights {
            bytes.extend_from_slice(&weight.to_le_bytes());
        }
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Reads a model from its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, BytesError> {
        let damaged = |what| BytesError::Damaged { what };
        if bytes.len() < MAGIC.len() + 8 + CHECKSUM || &bytes[..MAGIC.len()] != MAGIC {
            return Err(BytesError::NotAModel);
        }
        let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
        let mut rest = Rest(&body[MAGIC.len()..]);
        let version = rest.number()?;
        if version != VERSION {
            return Err(BytesError::Version { version });
        }
        let digest = blake3::hash(body);
        if digest.as_bytes()[..] != *checksum {
            return Err(damaged("its checksum"));
        }
        let length = rest.number()? as usize;
        let head: Head = serde_json::from_slice(rest.take(length)?).map_err(|_| damaged("its card"))?;
        let labels = head.card.labels.len();
        if !(2..=LABELS_MAX).contains(&labels) || head.card.features.saturating_mul(labels) > WEIGHTS_MAX {
            return Err(damaged("its size"));
        }
        if !(crate::index::BITS_MIN..=crate::index::BITS_MAX).contains(&head.bits) {
            return Err(damaged("its index"));
        }
        let words = rest.take(8 << (head.bits - 6))?.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
        let index = Index::new(head.bits, words).ok_or(damaged("its index"))?;
        if index.len() != head.card.features {
            return Err(damaged("its index"));
        }
        let threshold = rest.float()?;
        let familiarity_min = rest.float()?;
        let units = rest.floats(labels)?;
        let biases = rest.floats(labels)?;
        let calibration = Calibration { scales: rest.floats(labels)?, shifts: rest.floats(labels)? };
        let rarities = rest.floats(head.card.features)?;
        let weights = rest.take(2 * head.card.features * labels)?.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let numbers = units.iter().chain(&biases).chain(&calibration.scales).chain(&calibration.shifts).chain(&rarities);
        if !rest.0.is_empty() || threshold.is_nan() || familiarity_min.is_nan() || numbers.into_iter().any(|number| !number.is_finite()) {
            return Err(damaged("its numbers"));
        }
        Ok(Model { card: head.card, index, rarities, weights, units, biases, calibration, threshold, familiarity_min, digest: *digest.as_bytes() })
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], BytesError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(BytesError::Damaged { what: "its length" })?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, BytesError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn float(&mut self) -> Result<f32, BytesError> {
        self.number().map(f32::from_bits)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, BytesError> {
        Ok(self.take(4 * count)?.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect())
    }
}
