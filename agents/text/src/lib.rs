//! What a message says: its language, its matter, how urgent it is, where and when it happened, and what must not be shown.
//!
//! Text in, values with character offsets out. Knows nothing of files, clocks, models' training or Kafka.
//!
//! Begin with [`Reader::read`], which gives all of it at once; [`Normal`] is what its parts look at.

mod brief;
mod disguise;
pub mod injection;
pub mod intent;
pub mod language;
mod lexicon;
pub mod limits;
pub mod moment;
pub mod near;
pub mod normal;
pub mod place;
mod reading;
pub mod seen;
pub mod words;

pub use brief::{SUMMARY_SENTENCES_MAX, TITLE_CHARS_MAX, TITLE_WORDS_MAX};
pub use intent::Intent;
pub use language::{Language, language};
pub use near::{Shingles, similarity};
pub use normal::{Normal, is_han, normalise};
pub use reading::{Reader, Reading, Span, SpanKind};
