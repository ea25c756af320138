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

/// Sections that a draft is made of: so many as a person reads, and a right one is among them more often than first.
pub const DRAFT_SECTIONS_MAX: usize = 3;

/// A section behind the first belongs into a draft when its score is at least so much of the first one's, in thousandths.
pub const DRAFT_NEAR_PERMILLE: u32 = 700;

/// So much of a question a section must cover for a draft to be made, in thousandths. Chosen on the questions that are not held
/// back: from here on more than four of five without an answer are refused (`citybrain know eval`).
pub const DRAFT_COVERED_PERMILLE_MIN: u32 = 260;

/// Characters of a section that a draft takes in.
pub const PASSAGE_CHARS_MAX: usize = 400;
