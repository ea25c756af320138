//! The limits of what is remembered and looked at, each with its reason.

/// Characters of a message's text that are looked at; a matter is named in the first lines, the rest is its history.
pub const TEXT_CHARS_MAX: usize = 1_500;
/// Characters of a title that are looked at.
pub const TITLE_CHARS_MAX: usize = 200;
/// Terms of one message that are kept: its rarest; more would let long messages drown short ones.
pub const MESSAGE_TERMS_MAX: usize = 64;
/// Places of one message that are kept; who names more writes a list, not a place.
pub const MESSAGE_PLACES_MAX: usize = 12;
/// Terms of one matter that are kept: what its members share stays, what one of them said goes first.
pub const MATTER_TERMS_MAX: usize = 160;
/// Terms of a matter by which it is found again.
pub const MATTER_TERMS_INDEXED: usize = 32;
/// Places of one matter that are kept, the most named.
pub const MATTER_PLACES_MAX: usize = 24;
/// Members of one matter whose ids stay in the state, the newest; the others were told as they came.
pub const MATTER_MEMBERS_MAX: usize = 256;
/// Callers of one matter that are told apart; beyond, each report counts as a new caller's (an issue of that size is hot anyway).
pub const MATTER_CALLERS_MAX: usize = 4_096;
/// Live matters; beyond, the one that was silent longest retires. At 2 to 4 KB each that is up to 80 MB.
pub const MATTERS_MAX: usize = 20_000;
/// Matters looked up by one term, the newest: a term that more share says little.
pub const POSTINGS_MAX: usize = 256;
/// Matters that one message is compared with in full, the most promising.
pub const CANDIDATES_MAX: usize = 48;
/// Counters of how many messages hold a term, a power of two: two terms seldom share one, and it is 4 MB.
pub const FREQUENCY_SLOTS: usize = 1 << 20;
/// Words shown for one membership.
pub const TIE_WORDS_MAX: usize = 6;
/// Longest id or caller's name that is taken, characters; the rest is cut off.
pub const NAME_CHARS_MAX: usize = 200;
