//! What a message says: its language, its matter, how urgent it is, where and when it happened, and what must not be shown.
//!
//! Text in, values with character offsets out. Knows nothing of files, clocks, models' training or Kafka.

pub mod injection;
pub mod language;
pub mod intent;
mod lexicon;
pub mod limits;
pub mod moment;
pub mod near;
pub mod normal;
pub mod words;

pub use language::{Language, language};
pub use near::{Shingles, similarity};
pub use normal::{Normal, is_han, normalise};
