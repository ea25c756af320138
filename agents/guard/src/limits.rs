//! How much is too much, and why.

/// Characters of a text that the filter searches on the way in: as many as anybody reads ([`text::limits::READ_CHARS_MAX`]).
pub const IN_CHARS_MAX: usize = 20_000;

/// Characters of a draft. What is longer is no draft of ours.
pub const OUT_CHARS_MAX: usize = 20_000;

/// So many characters of a prompt in a row, signs and blanks not counted, are a piece of it. Shorter ones are common phrases.
pub const PROMPT_CHARS: usize = 12;

/// A line of a prompt that is shorter than [`PROMPT_CHARS`] is a piece of it as a whole, from so many characters on.
pub const PROMPT_LINE_CHARS_MIN: usize = 6;

/// Tool calls of one decision. The longest useful chain (walk, search, walk, propose) has four.
pub const CALLS_MAX: u32 = 8;

/// The same call with the same arguments: once, and once more after a failure.
pub const REPEATS_MAX: u32 = 2;

/// Rows of one query, and of all queries of one decision.
pub const ROWS_MAX: u32 = 1_000;
/// See [`ROWS_MAX`].
pub const ROWS_ALL_MAX: u32 = 4_000;

/// Milliseconds that the tools of one decision may take: a question is given up after a minute.
pub const TIME_MS_MAX: u32 = 30_000;

/// Tokens that one decision may cost, prompts and answers together.
pub const TOKENS_MAX: u32 = 20_000;

/// Bytes of a query. A person writes shorter ones.
pub const SQL_BYTES_MAX: usize = 4_000;

/// Tables of a query, counting each time that one is named.
pub const TABLES_MAX: usize = 6;

/// Steps of a walk over the graph: no chain of causes that is believed is longer.
pub const DEPTH_MAX: u32 = 4;

/// Characters of a search, of a reason and of a draft's order.
pub const WORDS_CHARS_MAX: usize = 400;

/// Kinds of resources of one proposal, and pieces of one kind when nobody knows the stock.
pub const RESOURCES_MAX: usize = 8;
/// See [`RESOURCES_MAX`].
pub const RESOURCE_COUNT_MAX: i64 = 20;

/// Corrections by one person within a minute that a person can mean one by one.
pub const LABELS_A_MINUTE_MAX: usize = 20;

/// Corrections by one person within an hour from one value to another one: more is a rule, and rules are made by people
/// together.
pub const LABELS_ALIKE_MAX: usize = 10;

/// Labels with one value whose texts share an odd word: from so many on it may be a trigger.
pub const LABELS_TRIGGER_MIN: usize = 8;
