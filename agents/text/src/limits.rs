//! How much is too much, and why.

/// Characters of a text that are read; of what comes behind, only its length is known. What a message is about is said at
/// its beginning, and nobody shall make the readers slow by a long one. Personal data are looked for in the whole text.
pub const READ_CHARS_MAX: usize = 20_000;

/// Characters of a text that the slow parts look at: places, sentences, shingles.
pub const SLOW_CHARS_MAX: usize = 4_000;
