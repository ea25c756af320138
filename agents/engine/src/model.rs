//! A loaded model: its words, how it wants to be asked, and a prompt as its tokens.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llm::limits::OPTIONS_MAX;
use llm::task::{Dialect, NATIVE_TOKENS, Part, PartKind, Prompt, letter};

/// A model and what is known of its words.
pub struct Loaded {
    /// The model.
    pub model: LlamaModel,
    /// Its name.
    pub name: String,
    /// How it wants to be asked.
    pub dialect: Dialect,
    /// Its words.
    pub words: Words,
    /// What cosines between a message and its options are multiplied by, before they become shares (a model of ours).
    pub sharpness: f64,
    template: Option<LlamaChatTemplate>,
}

const SHARPNESS_KEY: &str = "citybrain.choose.sharpness";
/// Where a model does not say.
const SHARPNESS: f64 = 20.0;

/// The words of a model.
pub struct Words {
    /// The bytes of each token that an answer may hold; empty for all others.
    pub pieces: Vec<Vec<u8>>,
    /// Whether a token ends an answer.
    pub ends: Vec<bool>,
    /// For each letter the tokens that say it.
    pub letters: Vec<Vec<usize>>,
}

/// A prompt as tokens.
pub struct Tokens {
    /// The tokens.
    pub line: Vec<LlamaToken>,
    /// How many of them stand before the first that depends on the message.
    pub fixed: usize,
}

impl Loaded {
    /// Loads a file. The error says what is wrong with it.
    pub fn load(backend: &LlamaBackend, path: &Path) -> Result<Self> {
        if !path.is_file() {
            bail!("there is no model at {}: put a GGUF file there, or name another in the configuration", path.display());
        }
        let model = LlamaModel::load_from_file(backend, path, &LlamaModelParams::default())
            .with_context(|| format!("{} is no model that can be loaded: it is cut short, damaged or of an unknown kind", path.display()))?;
        let meta = |key: &str| model.meta_val_str(key).ok();
        let name = meta("general.name").unwrap_or_else(|| path.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default());
        let is_native = NATIVE_TOKENS.iter().all(|it| control(&model, it).is_ok());
        let dialect = if is_native { Dialect::Native } else { Dialect::Chat };
        let template = model.chat_template(None).ok();
        if dialect == Dialect::Chat && template.is_none() {
            bail!("{} has no chat template and not our control tokens: nobody knows how to ask it", path.display());
        }
        let words = Words::of(&model, dialect);
        let sharpness = match meta(SHARPNESS_KEY) {
            None => SHARPNESS,
            Some(text) => text.parse().ok().filter(|it: &f64| it.is_finite() && *it > 0.0).with_context(|| format!("{}: {SHARPNESS_KEY} is no number above 0 but {text}", path.display()))?,
        };
        let loaded = Self { model, name, dialect, words, sharpness, template };
        // A template that cannot be applied is found now and not at the first request.
        if dialect == Dialect::Chat {
            loaded.chat("a", &[])?;
        }
        Ok(loaded)
    }

    /// The texts of a choice as tokens: the message, and each option.
    pub fn choice(&self, prompt: &Prompt) -> Result<(Vec<LlamaToken>, Vec<Vec<LlamaToken>>)> {
        let mark = control(&self.model, "<|options|>")?;
        let mut texts: Vec<Vec<LlamaToken>> = vec![Vec::new()];
        for token in self.tokens(prompt)?.line {
            if token == mark {
                texts.push(Vec::new());
            }
            texts.last_mut().context("one text at least")?.push(token);
        }
        Ok((texts.remove(0), texts))
    }

    /// A text as the ids of its tokens; control tokens in it are read as text.
    pub fn ids(&self, text: &str) -> Vec<i32> {
        let mut line = Vec::new();
        self.model.vocab().tokenize_into(text.as_bytes(), &mut line, false, false);
        line.into_iter().map(|token| token.0).collect()
    }

    /// A prompt as tokens.
    pub fn tokens(&self, prompt: &Prompt) -> Result<Tokens> {
        let vocab = self.model.vocab();
        let mut line = Vec::new();
        if vocab.should_add_bos() {
            line.push(vocab.bos());
        }
        let mut fixed = None;
        match prompt {
            Prompt::Native { parts } => {
                // What stands together is tokenised together, as in training.
                let mut text = String::new();
                for part in parts {
                    match part.kind {
                        PartKind::Control => {
                            vocab.tokenize_into(text.as_bytes(), &mut line, false, false);
                            text.clear();
                            line.push(control(&self.model, &part.text)?);
                        }
                        PartKind::Trusted | PartKind::Untrusted => {
                            fixed.get_or_insert(line.len());
                            text.push_str(&part.text);
                        }
                    }
                }
                vocab.tokenize_into(text.as_bytes(), &mut line, false, false);
            }
            Prompt::Chat { system, user } => {
                let written = self.chat(system, user)?;
                let untrusted = user.iter().filter(|it| it.kind == PartKind::Untrusted);
                let mut pieces = written.split(MARK);
                vocab.tokenize_into(pieces.next().unwrap_or_default().as_bytes(), &mut line, false, true);
                for (part, piece) in untrusted.zip(pieces) {
                    fixed.get_or_insert(line.len());
                    vocab.tokenize_into(part.text.as_bytes(), &mut line, false, false);
                    vocab.tokenize_into(piece.as_bytes(), &mut line, false, true);
                }
            }
        }
        if line.is_empty() {
            bail!("the prompt has no tokens");
        }
        let fixed = fixed.unwrap_or(0).min(line.len() - 1);
        Ok(Tokens { line, fixed })
    }

    /// The model's own template around two turns, with a mark for each piece that somebody outside wrote.
    fn chat(&self, system: &str, user: &[Part]) -> Result<String> {
        let template = self.template.as_ref().context("the model has no chat template")?;
        let text: String = user.iter().map(|it| if it.kind == PartKind::Untrusted { MARK } else { it.text.as_str() }).collect();
        let turn = |role: &str, text: String| LlamaChatMessage::new(role.to_owned(), text);
        let turns = [turn("system", system.to_owned())?, turn("user", text)?];
        let written = self.model.apply_chat_template(template, &turns, true);
        let written = written.map_err(|error| anyhow!("the model's chat template is none that llama.cpp knows: {error}"))?;
        let marks = user.iter().filter(|it| it.kind == PartKind::Untrusted).count();
        if written.matches(MARK).count() != marks {
            bail!("the model's chat template does not leave the user's turn as it is");
        }
        Ok(written)
    }
}

/// Stands for what somebody outside wrote while the template is applied. Cleaned messages have no such character.
const MARK: &str = "\u{E000}";

/// A control token by its name.
fn control(model: &LlamaModel, name: &str) -> Result<LlamaToken> {
    let vocab = model.vocab();
    match vocab.tokenize(name.as_bytes(), false, true).as_slice() {
        [token] if vocab.is_control(*token) => Ok(*token),
        _ => bail!("the model has no control token {name}"),
    }
}

impl Words {
    fn of(model: &LlamaModel, dialect: Dialect) -> Self {
        let vocab = model.vocab();
        let count = vocab.n_tokens();
        let mut pieces = Vec::with_capacity(count as usize);
        let mut ends = Vec::with_capacity(count as usize);
        let unwritten = [LlamaTokenAttr::Unused, LlamaTokenAttr::Unknown, LlamaTokenAttr::Control];
        for token in (0..count).map(LlamaToken::new) {
            let attributes = vocab.attr(token);
            let written = !unwritten.iter().any(|it| attributes.contains(*it)) && !vocab.is_eog(token);
            pieces.push(if written { vocab.token_to_piece(token, false, None) } else { Vec::new() });
            ends.push(vocab.is_eog(token));
        }
        let says = |piece: &[u8], letter: u8| match dialect {
            Dialect::Native => piece == [letter],
            Dialect::Chat => piece == [letter] || piece == [b' ', letter],
        };
        let tokens_of = |letter: u8| (0..pieces.len()).filter(|it| says(&pieces[*it], letter)).collect();
        let letters = (0..OPTIONS_MAX).map(|it| tokens_of(letter(it) as u8)).collect();
        Self { pieces, ends, letters }
    }

    /// Tokens of a text that must follow, as far as their ends are the same whatever comes after: up to its last letter.
    /// Punctuation is left to the model, for it may be one token with what follows. Empty when the tokens do not spell it.
    pub fn forced(&self, model: &LlamaModel, must: &[u8]) -> Vec<LlamaToken> {
        let Some(last) = must.iter().rposition(u8::is_ascii_alphabetic) else { return Vec::new() };
        let must = &must[..=last];
        let tokens = model.vocab().tokenize(must, false, false);
        let spelt: Vec<u8> = tokens.iter().flat_map(|it| self.pieces[it.0 as usize].iter().copied()).collect();
        if spelt == must { tokens } else { Vec::new() }
    }
}

/// What llama.cpp was built with, for the record, and what it cannot run without.
pub fn build() -> String {
    let parts: BTreeSet<&str> = CPU.iter().filter(|(_, there)| there()).map(|(name, _)| *name).collect();
    format!("llama-cpp-2 0.1.160, {}, {}", std::env::consts::ARCH, parts.into_iter().collect::<Vec<_>>().join(" "))
}

type Feature = (&'static str, fn() -> bool);

/// Parts of the processor that the code of llama.cpp in this program uses without asking.
#[cfg(target_arch = "x86_64")]
const CPU: &[Feature] = &[
    ("sse4.2", || std::arch::is_x86_feature_detected!("sse4.2")),
    ("avx", || std::arch::is_x86_feature_detected!("avx")),
    ("avx2", || std::arch::is_x86_feature_detected!("avx2")),
    ("fma", || std::arch::is_x86_feature_detected!("fma")),
    ("f16c", || std::arch::is_x86_feature_detected!("f16c")),
    ("bmi2", || std::arch::is_x86_feature_detected!("bmi2")),
];
#[cfg(not(target_arch = "x86_64"))]
const CPU: &[Feature] = &[];

/// The parts of the processor that are missing. With one missing the program would be ended by SIGILL.
pub fn missing() -> Vec<&'static str> {
    CPU.iter().filter(|(_, there)| !there()).map(|(name, _)| *name).collect()
}
