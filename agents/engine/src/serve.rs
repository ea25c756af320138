//! The loop: several requests, one step of the model for all of them.
//!
//! Each request has a sequence of its own in the cache of keys and values. A round feeds every request that writes its next
//! token, all in one batch, and then reads prompts piece by piece, so that a newcomer joins at the next round and a long
//! prompt holds nobody up for long. Sequences have separate caches, and no attention that depends on how many there are: an
//! answer does not depend on its neighbours, bit for bit.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_sys_2::{LLAMA_FLASH_ATTN_TYPE_DISABLED, LLAMA_FLASH_ATTN_TYPE_ENABLED};
use llm::grammar::{Constraint, Rule};
use llm::task::{Dialect, letter};
use llm::wire::{Ask, End, Mark, Raw, Stats, micro};

use crate::model::{Loaded, Tokens};
use crate::pick::{Pick, letters, pick};

/// How the engine is set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Threads.
    pub threads: u32,
    /// Requests at once.
    pub sequences: u32,
    /// Tokens of prompt and answer together, for each.
    pub context: u32,
    /// Type of the cache of keys and values.
    pub cache: KvCacheType,
}

/// Tokens of one step. llama.cpp asserts that a batch is no larger than this.
pub const STEP_TOKENS_MAX: usize = 512;
/// For how long prompts are read before those who write go on.
const READING: Duration = Duration::from_millis(100);
/// Tokens of a prompt that are read at once, by a small model and by one that would take a second for them.
const PIECES: (usize, usize) = (256, 64);
/// Tokens of a text whose vector is asked for: it is read at one go, and the supervisor must not take that for a hang.
const VECTOR_TOKENS: (usize, usize) = (1_024, 256);
/// Weights of a model that is not small.
const LARGE: u64 = 100_000_000;
/// Beginnings of prompts that are kept for models with a chat template, whose instructions are long.
const KEPT_MAX: usize = 3;
/// Options whose vectors are kept.
const KNOWN_MAX: usize = 4_096;
/// Shorter beginnings are read again: that costs less than a copy.
const KEPT_TOKENS_MIN: usize = 16;

/// What became of a request.
pub enum Outcome {
    /// It is answered.
    Answer(Raw),
    /// It cannot be.
    Failed(String),
}

struct Slot {
    ask: Ask,
    arrived: Instant,
    /// Prompt and answer.
    line: Vec<LlamaToken>,
    prompt: usize,
    /// How many of them the model has read.
    fed: usize,
    /// Where the beginning that is worth keeping ends; 0 when there is none.
    keep: usize,
    reused: usize,
    machine: Option<Box<dyn Constraint>>,
    out: Vec<u8>,
    marks: Vec<Mark>,
    first_us: u64,
    /// Where in the batch of this step its logits are.
    logits_at: Option<i32>,
}

struct Kept {
    tokens: Vec<LlamaToken>,
    used: u64,
}

/// A model at work.
pub struct Server<'model> {
    loaded: &'model Loaded,
    backend: &'model LlamaBackend,
    settings: Settings,
    context: LlamaContext<'model>,
    embedder: Option<LlamaContext<'model>>,
    /// Vectors of options that were asked about before.
    known: HashMap<Vec<LlamaToken>, Vec<f64>>,
    batch: LlamaBatch<'static>,
    slots: Vec<Option<Slot>>,
    kept: Vec<Option<Kept>>,
    stats: Stats,
    /// Tokens of a prompt that are read at once.
    piece: usize,
    /// Tokens of a text whose vector is asked for.
    vector_tokens: usize,
    /// Answers never end by themselves. Only while measuring.
    pub endless: bool,
}

impl<'model> Server<'model> {
    /// Makes room for all sequences. The error says what to lower when there is too little memory.
    pub fn new(backend: &'model LlamaBackend, loaded: &'model Loaded, settings: Settings) -> Result<Self> {
        let kept = match loaded.dialect {
            Dialect::Native => 0,
            Dialect::Chat => KEPT_MAX,
        };
        let sequences = settings.sequences + kept as u32;
        let params = params(settings, sequences).with_n_batch(STEP_TOKENS_MAX as u32).with_n_ubatch(STEP_TOKENS_MAX as u32);
        let context = loaded.model.new_context(backend, params).map_err(|error| {
            anyhow!("no memory for {sequences} times {} tokens: lower `sequences` or `context` ({error})", settings.context)
        })?;
        let is_small = loaded.model.n_params() < LARGE;
        Ok(Self {
            loaded,
            backend,
            settings,
            context,
            embedder: None,
            known: HashMap::new(),
            batch: LlamaBatch::new(STEP_TOKENS_MAX, 1),
            slots: (0..settings.sequences).map(|_| None).collect(),
            kept: (0..kept).map(|_| None).collect(),
            stats: Stats::default(),
            piece: if is_small { PIECES.0 } else { PIECES.1 },
            vector_tokens: (settings.context as usize).min(if is_small { VECTOR_TOKENS.0 } else { VECTOR_TOKENS.1 }),
            endless: false,
        })
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        Stats { active: self.slots.iter().flatten().count() as u32, ..self.stats.clone() }
    }

    /// Whether no request is worked on.
    pub fn is_idle(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// Takes a request. Some when it is over already: an embedding, or one that cannot be answered.
    pub fn enter(&mut self, ask: Ask) -> Option<Outcome> {
        let arrived = Instant::now();
        let result = match ask.rule {
            Rule::Embed => self.embed(&ask, arrived).map(|raw| Some(Outcome::Answer(raw))),
            Rule::Choose { options } if self.loaded.dialect == Dialect::Native => self.weigh(&ask, usize::from(options), arrived).map(|raw| Some(Outcome::Answer(raw))),
            _ => self.seat(ask, arrived).map(|()| None),
        };
        result.unwrap_or_else(|error| Some(Outcome::Failed(format!("{error:#}"))))
    }

    fn seat(&mut self, ask: Ask, arrived: Instant) -> Result<()> {
        let free = self.slots.iter().position(Option::is_none);
        let sequence = free.ok_or_else(|| anyhow!("all {} sequences are taken: ask later", self.slots.len()))?;
        let machine = ask.rule.machine()?;
        if let Rule::Choose { options } = ask.rule {
            let letters = self.loaded.words.letters.iter().take(usize::from(options));
            if letters.clone().any(Vec::is_empty) || letters.len() != usize::from(options) {
                bail!("the model has no token for each of {options} letters");
            }
        }
        let Tokens { mut line, fixed } = self.loaded.tokens(&ask.prompt)?;
        let prompt = line.len();
        let room = self.settings.context as usize;
        if prompt >= room {
            bail!("the prompt has {prompt} tokens, and a sequence has room for {room}: raise `context`");
        }
        let mut out = Vec::new();
        let mut marks = Vec::new();
        let mut machine = machine;
        if let Some(machine) = machine.as_mut() {
            self.force(machine.as_mut(), &mut line, &mut out, &mut marks);
        }
        let (fed, keep) = self.recall(sequence, &line, fixed)?;
        self.stats.tokens_reused += fed as u64;
        let slot =
            Slot { ask, arrived, line, prompt, fed, keep, reused: fed, machine, out, marks, first_us: 0, logits_at: None };
        self.slots[sequence] = Some(slot);
        Ok(())
    }

    /// Copies the kept beginning of a prompt, if there is one. Returns how much has been read already, and where the
    /// beginning ends that should be kept.
    fn recall(&mut self, sequence: usize, line: &[LlamaToken], fixed: usize) -> Result<(usize, usize)> {
        self.clear(sequence)?;
        if fixed < KEPT_TOKENS_MIN || self.kept.is_empty() {
            return Ok((0, 0));
        }
        let found = self.kept.iter().position(|it| it.as_ref().is_some_and(|it| it.tokens == line[..fixed]));
        let Some(index) = found else { return Ok((0, fixed)) };
        let source = (self.slots.len() + index) as i32;
        // Whole sequences only: a part of one cannot be copied between separate caches.
        self.context.copy_kv_cache_seq(source, sequence as i32, None, None)?;
        let now = self.stats.steps;
        if let Some(kept) = self.kept[index].as_mut() {
            kept.used = now;
        }
        Ok((fixed, 0))
    }

    /// Keeps the beginning of a prompt that has just been read up to there.
    fn keep(&mut self, sequence: usize) -> Result<()> {
        let Some(slot) = self.slots[sequence].as_mut() else { return Ok(()) };
        if slot.keep == 0 || slot.fed != slot.keep {
            return Ok(());
        }
        let tokens = slot.line[..slot.keep].to_vec();
        slot.keep = 0;
        if self.kept.iter().flatten().any(|it| it.tokens == tokens) {
            return Ok(());
        }
        let oldest = (0..self.kept.len()).min_by_key(|it| self.kept[*it].as_ref().map_or(0, |it| it.used + 1));
        let Some(index) = oldest else { return Ok(()) };
        let target = self.slots.len() + index;
        self.clear(target)?;
        self.context.copy_kv_cache_seq(sequence as i32, target as i32, None, None)?;
        self.kept[index] = Some(Kept { tokens, used: self.stats.steps });
        Ok(())
    }

    fn clear(&mut self, sequence: usize) -> Result<()> {
        self.context.clear_kv_cache_seq(Some(sequence as u32), None, None)?;
        Ok(())
    }

    /// Gives a request up.
    pub fn cancel(&mut self, id: u64) {
        let found = self.slots.iter_mut().find(|it| it.as_ref().is_some_and(|it| it.ask.id == id));
        if let Some(slot) = found {
            *slot = None;
            self.stats.cancelled += 1;
        }
    }

    /// One round: every request that writes goes on by its next token, and prompts are read for a while. Returns the requests
    /// that are over.
    pub fn step(&mut self) -> Vec<(u64, Outcome)> {
        let mut over = self.out_of_time();
        if let Err(error) = self.go_on(&mut over) {
            // Nobody knows what the caches hold: start from nothing.
            self.context.clear_kv_cache();
            self.kept.iter_mut().for_each(|it| *it = None);
            let all = self.slots.iter_mut().filter_map(Option::take);
            over.extend(all.map(|it| (it.ask.id, Outcome::Failed(format!("{error:#}")))));
        }
        over
    }

    fn out_of_time(&mut self) -> Vec<(u64, Outcome)> {
        let is_late = |slot: &Slot| slot.arrived.elapsed() >= Duration::from_millis(slot.ask.time_ms_max);
        let late = self.slots.iter_mut().filter(|it| it.as_ref().is_some_and(is_late)).filter_map(Option::take);
        late.map(|slot| (slot.ask.id, Outcome::Answer(slot.raw(End::Time, Vec::new())))).collect()
    }

    /// The shape of a batch changes the last bits of what comes out of it, hence a sequence's tokens are never grouped by what
    /// others do: those who write are batched with those who write as many tokens, and a prompt is read in pieces of its own.
    fn go_on(&mut self, over: &mut Vec<(u64, Outcome)>) -> Result<()> {
        let (writing, mut reading): (Vec<usize>, Vec<usize>) = self.occupied().into_iter().partition(|it| self.is_writing(*it));
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for sequence in writing {
            by_length.entry(self.left(sequence)).or_default().push(sequence);
        }
        for (length, sequences) in by_length {
            for group in sequences.chunks((STEP_TOKENS_MAX / length).max(1)) {
                self.compute(group, length, over)?;
            }
        }
        // First come, first read: a prompt that is read makes a writer, and writers go together.
        reading.sort_by_key(|it| self.slots[*it].as_ref().map(|it| it.arrived));
        let started = Instant::now();
        for sequence in reading {
            while self.slots[sequence].is_some() && !self.is_writing(sequence) {
                if started.elapsed() >= READING && self.stats.steps > 0 {
                    return Ok(());
                }
                self.compute(&[sequence], self.piece, over)?;
            }
        }
        Ok(())
    }

    fn occupied(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|it| self.slots[*it].is_some()).collect()
    }

    /// Whether the prompt has been read.
    fn is_writing(&self, sequence: usize) -> bool {
        self.slots[sequence].as_ref().is_some_and(|it| it.fed >= it.prompt)
    }

    /// Tokens that the model has not read yet.
    fn left(&self, sequence: usize) -> usize {
        self.slots[sequence].as_ref().map_or(0, |it| it.line.len() - it.fed)
    }

    /// Feeds each of a few requests up to `limit` tokens, and goes on with those whose end was reached.
    fn compute(&mut self, sequences: &[usize], limit: usize, over: &mut Vec<(u64, Outcome)>) -> Result<()> {
        self.batch.clear();
        let mut read = 0;
        for sequence in sequences {
            let is_reading = !self.is_writing(*sequence);
            let taken = self.feed(*sequence, limit.min(STEP_TOKENS_MAX))?;
            read += if is_reading { taken } else { 0 };
        }
        let started = Instant::now();
        self.context.decode(&mut self.batch).context("the model could not take a step")?;
        self.context.synchronize();
        self.stats.steps += 1;
        self.stats.busy_us += started.elapsed().as_micros() as u64;
        self.stats.tokens_prefilled += read as u64;
        for sequence in sequences {
            self.keep(*sequence)?;
            let Some(mut slot) = self.slots[*sequence].take() else { continue };
            let outcome = match slot.logits_at.take() {
                Some(at) => self.advance(&mut slot, at),
                None => None,
            };
            match outcome {
                Some(outcome) => over.push((slot.ask.id, outcome)),
                None => self.slots[*sequence] = Some(slot),
            }
        }
        Ok(())
    }

    /// Puts up to `limit` tokens of a request into the batch. Returns how many.
    fn feed(&mut self, sequence: usize, limit: usize) -> Result<usize> {
        let Some(slot) = self.slots[sequence].as_mut() else { return Ok(0) };
        // The beginning that is to be kept ends with a piece.
        let end = if slot.keep > slot.fed { slot.keep } else { slot.line.len() };
        let to = end.min(slot.fed + limit);
        for at in slot.fed..to {
            let last = at + 1 == slot.line.len();
            if last {
                slot.logits_at = Some(self.batch.n_tokens());
            }
            self.batch.add(slot.line[at], at as i32, &[sequence as i32], last)?;
        }
        let taken = to - slot.fed;
        slot.fed = to;
        Ok(taken)
    }

    /// Reads a request's logits and goes on. Some when the request is over.
    fn advance(&mut self, slot: &mut Slot, at: i32) -> Option<Outcome> {
        if slot.first_us == 0 {
            slot.first_us = slot.arrived.elapsed().as_micros() as u64;
        }
        let words = &self.loaded.words;
        let logits = self.context.get_logits_ith(at);
        if let Rule::Choose { options } = slot.ask.rule {
            let Some(scores) = letters(logits, words, usize::from(options)) else { return Some(not_finite()) };
            let best = (0..scores.len()).max_by_key(|it| (scores[*it], std::cmp::Reverse(*it))).unwrap_or(0);
            slot.out.push(letter(best) as u8);
            self.stats.tokens_decoded += 1;
            return Some(Outcome::Answer(slot.raw(End::Complete, scores)));
        }
        match pick(logits, words, slot.machine.as_deref(), !self.endless) {
            Pick::End => return Some(Outcome::Answer(slot.raw(End::Complete, Vec::new()))),
            Pick::NotFinite => return Some(not_finite()),
            Pick::Stuck => return Some(Outcome::Failed("the model has no token for what must follow".to_owned())),
            Pick::Token { token, logprob_micro, refused } => {
                self.stats.refused += u64::from(refused);
                self.stats.tokens_decoded += 1;
                let piece = &words.pieces[token];
                slot.line.push(LlamaToken::new(token as i32));
                slot.out.extend_from_slice(piece);
                slot.marks.push(Mark { bytes: piece.len() as u16, logprob_micro });
                if let Some(machine) = slot.machine.as_mut() {
                    machine.take(piece);
                }
            }
        }
        if let Some(mut machine) = slot.machine.take() {
            if machine.may_end() && machine.next().is_empty() {
                return Some(Outcome::Answer(slot.raw(End::Complete, Vec::new())));
            }
            self.force(machine.as_mut(), &mut slot.line, &mut slot.out, &mut slot.marks);
            slot.machine = Some(machine);
        }
        let is_full = slot.line.len() >= self.settings.context as usize || slot.marks.len() >= slot.ask.tokens_max as usize;
        is_full.then(|| Outcome::Answer(slot.raw(End::Tokens, Vec::new())))
    }

    /// Writes what must follow without asking the model.
    fn force(&mut self, machine: &mut dyn Constraint, line: &mut Vec<LlamaToken>, out: &mut Vec<u8>, marks: &mut Vec<Mark>) {
        for token in self.loaded.words.forced(&self.loaded.model, machine.forced()) {
            let piece = &self.loaded.words.pieces[token.0 as usize];
            if !machine.take(piece) {
                return;
            }
            line.push(token);
            out.extend_from_slice(piece);
            // Certain: there was no other way.
            marks.push(Mark { bytes: piece.len() as u16, logprob_micro: 0 });
            self.stats.tokens_forced += 1;
        }
    }

    /// A text's vector. A long text is known by its beginning.
    fn embed(&mut self, ask: &Ask, arrived: Instant) -> Result<Raw> {
        let tokens = self.loaded.tokens(&ask.prompt)?.line;
        let vector = self.vector(&tokens)?.into_iter().map(|it| it as f32).collect();
        Ok(Raw { vector, ..raw_of_vectors(tokens.len().min(self.vector_tokens), 0, arrived) })
    }

    /// A choice by a model of ours: how near each option's vector is to the message's, as logarithms of shares. No option knows of another or of its own place.
    fn weigh(&mut self, ask: &Ask, options: usize, arrived: Instant) -> Result<Raw> {
        let (message, texts) = self.loaded.choice(&ask.prompt)?;
        if texts.len() != options {
            bail!("the prompt has {} options, and the rule {options}", texts.len());
        }
        let about = self.vector(&message)?;
        let (mut read, mut reused) = (message.len().min(self.vector_tokens), 0);
        let mut scores = Vec::with_capacity(options);
        for text in texts {
            read += text.len();
            if self.known.contains_key(&text) {
                reused += text.len();
            } else {
                let vector = self.vector(&text)?;
                if self.known.len() >= KNOWN_MAX {
                    self.known.clear();
                }
                self.known.insert(text.clone(), vector);
            }
            scores.push(self.loaded.sharpness * about.iter().zip(&self.known[&text]).map(|(one, other)| one * other).sum::<f64>());
        }
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !highest.is_finite() || scores.iter().any(|it| !it.is_finite()) {
            bail!("{NOT_FINITE}");
        }
        let sum = highest + scores.iter().map(|it| (it - highest).exp()).sum::<f64>().ln();
        let best = (0..scores.len()).max_by(|one, other| scores[*one].total_cmp(&scores[*other]).then(other.cmp(one))).unwrap_or(0);
        self.stats.tokens_reused += reused as u64;
        Ok(Raw { text: letter(best).to_string(), letters_micro: scores.iter().map(|it| Some(micro(it - sum))).collect(), ..raw_of_vectors(read, reused, arrived) })
    }

    /// The mean of a text's last hidden states, of length one. A long text is known by its beginning.
    fn vector(&mut self, tokens: &[LlamaToken]) -> Result<Vec<f64>> {
        let tokens = &tokens[..tokens.len().min(self.vector_tokens)];
        if self.embedder.is_none() {
            // The mean is taken over one piece of a batch, so that has to hold the whole text.
            let whole = self.vector_tokens as u32;
            let params = params(Settings { context: whole.next_multiple_of(256), ..self.settings }, 1)
                .with_n_batch(whole)
                .with_n_ubatch(whole)
                .with_embeddings(true)
                .with_pooling_type(LlamaPoolingType::Mean);
            let made = self.loaded.model.new_context(self.backend, params);
            self.embedder = Some(made.map_err(|error| anyhow!("no memory for embeddings: lower `context` ({error})"))?);
        }
        let embedder = self.embedder.as_mut().context("made above")?;
        embedder.clear_kv_cache();
        let mut batch = LlamaBatch::new(tokens.len(), 1);
        for (at, token) in tokens.iter().enumerate() {
            batch.add(*token, at as i32, &[0], true)?;
        }
        embedder.decode(&mut batch).context("the model could not read the text")?;
        let vector = embedder.embeddings_seq_ith(0)?;
        let length = vector.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
        self.stats.steps += 1;
        self.stats.tokens_prefilled += tokens.len() as u64;
        Ok(vector.iter().map(|it| f64::from(*it) / length.max(f64::MIN_POSITIVE)).collect())
    }
}

/// What was said by vectors alone, without writing.
fn raw_of_vectors(tokens_in: usize, tokens_reused: usize, arrived: Instant) -> Raw {
    let total_us = arrived.elapsed().as_micros() as u64;
    Raw {
        text: String::new(),
        marks: Vec::new(),
        letters_micro: Vec::new(),
        vector: Vec::new(),
        end: End::Complete,
        tokens_in: tokens_in as u32,
        tokens_reused: tokens_reused as u32,
        tokens_out: 0,
        first_us: total_us,
        total_us,
    }
}

const NOT_FINITE: &str = "the model's numbers are not finite: its file is damaged";

fn not_finite() -> Outcome {
    Outcome::Failed(NOT_FINITE.to_owned())
}

impl Slot {
    fn raw(&self, end: End, letters: Vec<i32>) -> Raw {
        Raw {
            text: String::from_utf8_lossy(&self.out).into_owned(),
            marks: self.marks.clone(),
            letters_micro: letters.into_iter().map(Some).collect(),
            vector: Vec::new(),
            end,
            tokens_in: self.prompt as u32,
            tokens_reused: self.reused as u32,
            tokens_out: self.marks.len() as u32,
            first_us: self.first_us,
            total_us: self.arrived.elapsed().as_micros() as u64,
        }
    }
}

/// What all contexts have in common. Separate caches, for an answer must not depend on its neighbours; and for the same reason
/// no flash attention, which takes another way when one sequence is alone. A cache in eight bits cannot do without it.
pub fn params(settings: Settings, sequences: u32) -> LlamaContextParams {
    LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(settings.context * sequences))
        .with_n_seq_max(sequences)
        .with_n_threads(settings.threads as i32)
        .with_n_threads_batch(settings.threads as i32)
        .with_type_k(settings.cache)
        .with_type_v(settings.cache)
        .with_kv_unified(false)
        .with_flash_attention_policy(if settings.cache == KvCacheType::F16 { LLAMA_FLASH_ATTN_TYPE_DISABLED } else { LLAMA_FLASH_ATTN_TYPE_ENABLED })
        .with_no_perf(true)
}
