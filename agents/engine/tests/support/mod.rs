//! Tiny models with random weights, for tests of everything but sense: they load in milliseconds and write nonsense, always
//! the same.

#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// Which kind of model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our control tokens on qwen3.
    Native,
    /// A chat template on llama.
    Chat,
}

/// How large a model is.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Of a token's vector.
    pub width: u64,
    /// Of one head.
    pub head: u64,
    /// Heads that ask.
    pub heads: u64,
    /// Heads that are asked.
    pub heads_kv: u64,
    /// Of the layers in between.
    pub inner: u64,
    /// Layers.
    pub layers: u64,
    /// Tokens; what the words do not need is unused.
    pub vocabulary: usize,
}

/// Loads in milliseconds.
pub const TINY: Shape = Shape { width: 64, head: 32, heads: 2, heads_kv: 1, inner: 128, layers: 2, vocabulary: 0 };
/// 15.7 million weights, for measuring.
pub const SMALL: Shape = Shape { width: 384, head: 64, heads: 6, heads_kv: 2, inner: 1_024, layers: 8, vocabulary: 8_192 };

const CONTEXT: u32 = 2_048;

const NATIVE: [&str; 7] = ["<|end|>", "<|pad|>", "<|extract|>", "<|title|>", "<|choose|>", "<|options|>", "<|answer|>"];
const CHAT: [&str; 3] = ["<|im_end|>", "<|pad|>", "<|im_start|>"];
/// What the built-in templates of llama.cpp know as ChatML.
const TEMPLATE: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/// Characters with a token of their own; all others are spelt in bytes.
const HAN: &str = "的一是路灯水号楼小区漏坏了停电井盖中山人民街道请修老噪音";

/// Writes a model into a folder.
pub fn model(folder: &Path, kind: Kind) -> PathBuf {
    let path = folder.join(match kind {
        Kind::Native => "native.gguf",
        Kind::Chat => "chat.gguf",
    });
    std::fs::write(&path, bytes(kind)).expect("the folder can be written");
    path
}

/// A tiny model's file.
pub fn bytes(kind: Kind) -> Vec<u8> {
    bytes_of(kind, TINY)
}

/// A model's file.
pub fn bytes_of(kind: Kind, shape: Shape) -> Vec<u8> {
    let specials: &[&str] = match kind {
        Kind::Native => &NATIVE,
        Kind::Chat => &CHAT,
    };
    let mut tokens: Vec<String> = specials.iter().map(|it| (*it).to_owned()).collect();
    tokens.extend((0..=255_u8).map(|it| shown(it).to_string()));
    let mut merges = Vec::new();
    for text in ["null", "place", "address", "{\"", "\":", "\":\"", "\",\"", ",\""].into_iter().map(str::to_owned).chain(HAN.chars().map(String::from)) {
        let shown: Vec<String> = text.bytes().map(|it| shown(it).to_string()).collect();
        let mut left = shown[0].clone();
        for right in &shown[1..] {
            let merge = format!("{left} {right}");
            left.push_str(right);
            if !merges.contains(&merge) {
                merges.push(merge);
                tokens.push(left.clone());
            }
        }
    }
    let used = tokens.len();
    tokens.extend((used..shape.vocabulary).map(|it| format!("<|unused{it}|>")));
    let arch = match kind {
        Kind::Native => "qwen3",
        Kind::Chat => "llama",
    };
    let mut head = Entries::default();
    head.text("general.architecture", arch);
    head.text("general.name", &format!("tiny {arch}"));
    head.text("general.license", "Apache-2.0");
    let number = |head: &mut Entries, key: &str, value: u64| head.u32(&format!("{arch}.{key}"), value as u32);
    number(&mut head, "context_length", u64::from(CONTEXT));
    number(&mut head, "embedding_length", shape.width);
    number(&mut head, "block_count", shape.layers);
    number(&mut head, "feed_forward_length", shape.inner);
    number(&mut head, "attention.head_count", shape.heads);
    number(&mut head, "attention.head_count_kv", shape.heads_kv);
    number(&mut head, "attention.key_length", shape.head);
    number(&mut head, "attention.value_length", shape.head);
    number(&mut head, "rope.dimension_count", shape.head);
    head.f32(&format!("{arch}.attention.layer_norm_rms_epsilon"), 1e-6);
    head.text("tokenizer.ggml.model", "gpt2");
    head.text("tokenizer.ggml.pre", "qwen2");
    let types: Vec<i32> = (0..tokens.len()).map(|it| if it < specials.len() { 3 } else if it < used { 1 } else { 5 }).collect();
    head.texts("tokenizer.ggml.tokens", &tokens);
    head.i32s("tokenizer.ggml.token_type", &types);
    head.texts("tokenizer.ggml.merges", &merges);
    head.u32("tokenizer.ggml.eos_token_id", 0);
    head.u32("tokenizer.ggml.padding_token_id", 1);
    head.bool("tokenizer.ggml.add_bos_token", false);
    if kind == Kind::Chat {
        head.text("tokenizer.chat_template", TEMPLATE);
    }
    file(&head, &tensors(kind, shape, tokens.len() as u64))
}

/// The character that stands for a byte in a byte-level vocabulary.
fn shown(byte: u8) -> char {
    let is_shown = |it: u8| matches!(it, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if is_shown(byte) {
        return char::from(byte);
    }
    let index = (0..byte).filter(|it| !is_shown(*it)).count() as u32;
    char::from_u32(256 + index).expect("256 to 323 are characters")
}

struct Tensor {
    name: String,
    sides: Vec<u64>,
    /// None for ones in F32.
    seed: Option<u64>,
}

fn tensors(kind: Kind, shape: Shape, vocabulary: u64) -> Vec<Tensor> {
    let mut all = Vec::new();
    let mut weights = |name: String, sides: &[u64]| {
        let seed = all.len() as u64 + 1;
        all.push(Tensor { name, sides: sides.to_vec(), seed: (sides.len() > 1).then_some(seed) });
    };
    weights("token_embd.weight".into(), &[shape.width, vocabulary]);
    weights("output_norm.weight".into(), &[shape.width]);
    for layer in 0..shape.layers {
        let mut in_layer = |name: &str, sides: &[u64]| weights(format!("blk.{layer}.{name}.weight"), sides);
        in_layer("attn_norm", &[shape.width]);
        in_layer("attn_q", &[shape.width, shape.head * shape.heads]);
        in_layer("attn_k", &[shape.width, shape.head * shape.heads_kv]);
        in_layer("attn_v", &[shape.width, shape.head * shape.heads_kv]);
        in_layer("attn_output", &[shape.head * shape.heads, shape.width]);
        if kind == Kind::Native {
            in_layer("attn_q_norm", &[shape.head]);
            in_layer("attn_k_norm", &[shape.head]);
        }
        in_layer("ffn_norm", &[shape.width]);
        in_layer("ffn_gate", &[shape.width, shape.inner]);
        in_layer("ffn_up", &[shape.width, shape.inner]);
        in_layer("ffn_down", &[shape.inner, shape.width]);
    }
    all
}

impl Tensor {
    fn weights(&self) -> u64 {
        self.sides.iter().product()
    }

    fn kind(&self) -> u32 {
        if self.seed.is_some() { 8 } else { 0 }
    }

    fn data(&self) -> Vec<u8> {
        let Some(mut state) = self.seed else { return 1.0_f32.to_le_bytes().repeat(self.weights() as usize) };
        let mut out = Vec::new();
        for _ in 0..self.weights() / 32 {
            // Blocks of Q8_0: a scale of 0.002 in half precision, and 32 bytes.
            out.extend([0x19, 0x18]);
            for _ in 0..4 {
                // splitmix64
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                out.extend((z ^ (z >> 31)).to_le_bytes());
            }
        }
        out
    }
}

#[derive(Default)]
struct Entries {
    count: u64,
    bytes: Vec<u8>,
}

impl Entries {
    fn key(&mut self, key: &str, kind: u32) {
        self.count += 1;
        text(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        text(&mut self.bytes, value);
    }

    fn u32(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.bytes.extend(value.to_le_bytes());
    }

    fn f32(&mut self, key: &str, value: f32) {
        self.key(key, 6);
        self.bytes.extend(value.to_le_bytes());
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.bytes.push(u8::from(value));
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        self.key(key, 9);
        self.bytes.extend(8_u32.to_le_bytes());
        self.bytes.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|it| text(&mut self.bytes, it));
    }

    fn i32s(&mut self, key: &str, values: &[i32]) {
        self.key(key, 9);
        self.bytes.extend(5_u32.to_le_bytes());
        self.bytes.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|it| self.bytes.extend(it.to_le_bytes()));
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn file(head: &Entries, tensors: &[Tensor]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend(head.count.to_le_bytes());
    out.extend(&head.bytes);
    let mut data: Vec<u8> = Vec::new();
    for tensor in tensors {
        text(&mut out, &tensor.name);
        out.extend((tensor.sides.len() as u32).to_le_bytes());
        tensor.sides.iter().for_each(|it| out.extend(it.to_le_bytes()));
        out.extend(tensor.kind().to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        data.extend(tensor.data());
        data.resize(data.len().next_multiple_of(32), 0);
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    out
}
