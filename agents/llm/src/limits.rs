//! Every limit of the crate, with its reason.

use std::time::Duration;

/// Characters of a message that a model sees. A complaint rarely has more, and a small model's context is 2,048 tokens.
pub const MESSAGE_CHARS_MAX: usize = 1_200;
/// Of these, from the message's head, where people say what and where it is; the rest is its tail, where they say what they want.
pub const MESSAGE_HEAD_CHARS: usize = 900;
/// Options of a choice: the letters A to H.
pub const OPTIONS_MAX: usize = 8;
/// Characters of one option.
pub const OPTION_CHARS_MAX: usize = 60;
/// Length of a title in units: a Chinese character is one, an English word or a number is two.
pub const TITLE_UNITS_MAX: usize = 24;
/// Characters of a title, whatever they are: no run of punctuation gets through.
pub const TITLE_CHARS_MAX: usize = 96;
/// Characters of one span. The longest address in use has about half of it.
pub const SPAN_CHARS_MAX: usize = 80;
/// Bytes of a caller's grammar. What is longer is a mistake, or takes too long to walk.
pub const GRAMMAR_BYTES_MAX: usize = 64 * 1024;
/// Symbols of a compiled grammar, after repetitions have been written out.
pub const GRAMMAR_SYMBOLS_MAX: usize = 50_000;
/// Ways in which one answer may be read at once. A grammar that needs more is too ambiguous to walk for each token.
pub const GRAMMAR_STACKS_MAX: usize = 512;
/// Bytes of one frame between supervisor and engine. The largest is an embedding or a prompt; both are far below.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the trusted part of a free task.
pub const SYSTEM_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one answer of a remote endpoint that are read.
pub const REMOTE_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an engine's last words that are kept for the message about its end.
pub const LAST_WORDS_BYTES: usize = 4 * 1024;
/// How long a request may wait and run when its caller does not say.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Tokens of an answer, for each task: what the longest right answer needs, twice over.
pub const EXTRACT_TOKENS_MAX: u32 = 512;
/// Tokens of a title.
pub const TITLE_TOKENS_MAX: u32 = 128;
/// Tokens of a free answer, when the caller does not say.
pub const FREE_TOKENS_MAX: u32 = 512;
/// Metadata entries and array elements of a model file that are read; a vocabulary of 500,000 with its merges fits.
pub const GGUF_ENTRIES_MAX: u64 = 4_096;
/// Elements of one array in a model file.
pub const GGUF_ELEMENTS_MAX: u64 = 4_000_000;
/// Bytes of one string in a model file; chat templates are the longest.
pub const GGUF_STRING_BYTES_MAX: u64 = 1024 * 1024;

/// Characters of each section that a reply is written from: three of them, the message and the reply fit into 2,048 tokens.
pub const REPLY_SECTION_CHARS_MAX: usize = 300;
