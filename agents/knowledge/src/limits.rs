//! How much is too much, and why.

/// Characters of a query that are read. A matter is said at its beginning, and nobody shall make the search slow by a long one.
pub const QUERY_CHARS_MAX: usize = 4_000;

/// Different words of a query that are looked for: the rarest ones, which tell most.
pub const QUERY_WORDS_MAX: usize = 48;

/// Hits of a search.
pub const HITS_MAX: usize = 100;

/// Groups of alike words that a caller may pass, and words of one group: each word that is added is one more list to read.
pub const ALIAS_GROUPS_MAX: usize = 256;
/// Words of a group that are added to a query.
pub const ALIAS_WORDS_MAX: usize = 64;
/// Words that a caller's groups add to a query altogether.
pub const ALIAS_ADDED_MAX: usize = 24;
/// Words that our own groups of words for one thing add to a query.
pub const SAME_ADDED_MAX: usize = 48;

/// Bytes of one document: longer ones are collections, to be cut into their parts.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// Bytes of all documents, which are kept in memory.
pub const BYTES_MAX: usize = 1 << 30;

/// Sections of all documents.
pub const SECTIONS_MAX: usize = 1_000_000;

/// Characters of a section: what is quoted must be read by a person, and by a model with a small window.
pub const SECTION_CHARS_MAX: usize = 6_000;

/// Characters of a word that are kept: what is longer is no word.
pub const WORD_CHARS_MAX: usize = 40;

/// Characters of a drafted answer.
pub const ANSWER_CHARS_MAX: usize = 8_000;

/// Citations of a sentence.
pub const CITATIONS_MAX: usize = 8;

/// Characters of an id of a document or of a section.
pub const ID_CHARS_MAX: usize = 64;
