//! The protocol between supervisor and engine: frames of JSON on the engine's standard input and output.
//!
//! A frame is its length in four bytes, little end first, and so many bytes of JSON. The engine speaks first: `Ready`, or
//! `Fatal` and its end. Then it answers every `Ask` with one `Answer` or `Failed`, in any order, and beats while it lives.
//! Log-probabilities are integers (millionths of a nat), so that what is recorded is what was said.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::grammar::Rule;
use crate::limits::FRAME_BYTES_MAX;
use crate::task::{Dialect, Prompt};

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum ToEngine {
    /// A request.
    Ask(Ask),
    /// Nobody waits for this request any more; it is not answered.
    Cancel {
        /// The request.
        id: u64,
    },
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Chosen by the supervisor, never used twice for one engine.
    pub id: u64,
    /// What is put before the model.
    pub prompt: Prompt,
    /// What the answer must look like.
    pub rule: Rule,
    /// Tokens that the answer may have.
    pub tokens_max: u32,
    /// Milliseconds from the request's arrival to its end.
    pub time_ms_max: u64,
}

/// From the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum FromEngine {
    /// The model is loaded.
    Ready(Ready),
    /// It will not be loaded, and trying again does not help until something has been changed.
    Fatal {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The engine's loop goes round. At least once a second, and between any two steps of the model.
    Beat(Stats),
    /// A request is answered.
    Answer {
        /// The request.
        id: u64,
        /// What the model said.
        raw: Raw,
    },
    /// A request cannot be answered.
    Failed {
        /// The request.
        id: u64,
        /// Why.
        reason: String,
    },
}

/// What an engine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The model's name in its file.
    pub model: String,
    /// BLAKE3 of the model's file.
    pub model_digest: String,
    /// How it wants to be asked.
    pub dialect: Dialect,
    /// Requests that it works on at once.
    pub sequences: u32,
    /// Tokens of prompt and answer together, for each.
    pub context: u32,
    /// How tokens are chosen, for the record.
    pub sampler: String,
    /// Of which sources the engine was built and with which parts of the processor, for the record.
    pub build: String,
}

/// What an engine has done since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests that it works on now.
    pub active: u32,
    /// Steps of the model.
    pub steps: u64,
    /// Tokens of prompts that were computed.
    pub tokens_prefilled: u64,
    /// Tokens of prompts that were there already.
    pub tokens_reused: u64,
    /// Tokens of answers.
    pub tokens_decoded: u64,
    /// Tokens of answers that had only one way to go on and cost no step of their own.
    pub tokens_forced: u64,
    /// Times that the most likely token was refused by the constraint.
    pub refused: u64,
    /// Requests that were given up.
    pub cancelled: u64,
    /// Microseconds inside of the model.
    pub busy_us: u64,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The model, or the constraint, ended it.
    Complete,
    /// The limit on tokens.
    Tokens,
    /// The limit on time.
    Time,
}

/// What a model said, before anybody has looked at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    /// The answer's text; for a choice, the letter.
    pub text: String,
    /// The answer's tokens. Empty when the model does not tell.
    pub marks: Vec<Mark>,
    /// For a choice, the log-probability of each letter among all tokens, in millionths of a nat. None where not told.
    pub letters_micro: Vec<Option<i32>>,
    /// For an embedding.
    pub vector: Vec<f32>,
    /// Why it ended.
    pub end: End,
    /// Tokens of the prompt.
    pub tokens_in: u32,
    /// Of these, tokens that had been computed before.
    pub tokens_reused: u32,
    /// Tokens of the answer.
    pub tokens_out: u32,
    /// Microseconds from arrival to the first token of the answer.
    pub first_us: u64,
    /// Microseconds from arrival to the end.
    pub total_us: u64,
}

/// A token of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// How many bytes of the text it is.
    pub bytes: u16,
    /// Its log-probability among all tokens, in millionths of a nat.
    pub logprob_micro: i32,
}

/// A natural log-probability in millionths, bounded so that minus infinity has a number.
pub fn micro(logprob: f64) -> i32 {
    (logprob.clamp(-2_000.0, 0.0) * 1e6).round() as i32
}

/// A frame's bytes. Errors when it is too long.
pub fn encode<T: Serialize>(frame: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame).map_err(io::Error::other)?;
    let length = bytes.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes; at most {FRAME_BYTES_MAX} are allowed")));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// A frame's length from its head. Errors when it is too long, which is what a stray line on the pipe looks like.
pub fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no frame: {head:?} would be {length} bytes")));
    }
    Ok(length)
}

/// A frame from its body.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("no frame: {error}")))
}

/// Writes a frame at once.
pub fn write<T: Serialize>(out: &mut impl Write, frame: &T) -> io::Result<()> {
    out.write_all(&encode(frame)?)?;
    out.flush()
}

/// Reads a frame; None at the end of the pipe.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Task;

    #[test]
    fn frames_come_back_as_they_went() {
        let task = Task::choose("路灯坏了", &["供电", "路灯"]).unwrap();
        let ask = ToEngine::Ask(Ask { id: 7, prompt: task.prompt(Dialect::Native), rule: task.rule(), tokens_max: 1, time_ms_max: 5 });
        let mut pipe = Vec::new();
        write(&mut pipe, &ask).unwrap();
        write(&mut pipe, &ToEngine::Cancel { id: 7 }).unwrap();
        let mut pipe = pipe.as_slice();
        assert_eq!(read::<ToEngine>(&mut pipe).unwrap(), Some(ask));
        assert_eq!(read::<ToEngine>(&mut pipe).unwrap(), Some(ToEngine::Cancel { id: 7 }));
        assert_eq!(read::<ToEngine>(&mut pipe).unwrap(), None);
    }

    #[test]
    fn a_stray_line_is_no_frame() {
        assert!(read::<ToEngine>(&mut "llama_model_loader: loaded".as_bytes()).is_err());
        let mut short = encode(&ToEngine::Cancel { id: 1 }).unwrap();
        short.pop();
        assert!(read::<ToEngine>(&mut short.as_slice()).is_err());
    }

    #[test]
    fn impossible_is_a_number_too() {
        assert_eq!(micro(f64::NEG_INFINITY), -2_000_000_000);
        assert_eq!(micro(0.5f64.ln()), -693_147);
    }
}
