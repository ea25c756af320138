//! Hot issues: messages of one matter grouped as they come (一事多诉), one caller's many counted apart (一人多诉).
//!
//! One message in, its matter and what follows out ([`Hotspots::observe`]): why it belongs there, whether it raised the
//! issue, which matters turned out to be one, which retired. The state is a fold over messages, so the same messages
//! give the same matters, and it is bounded ([`limits`]). Knows nothing of files, clocks or Kafka; knows no map and no
//! categories: places are compared by name, and what is said by its words and a list of words of one meaning.
//!
//! Begin with [`Hotspots`], then `same.rs` for what makes two messages one matter.

pub mod heat;
pub mod limits;

mod common;
mod concepts;
mod frequency;
mod matter;
mod places;
mod read;
mod same;
mod stream;

pub use matter::{Matter, MatterId};
pub use places::{Place, PlaceKind};
pub use read::places;
pub use same::{Enough, Where};
pub use stream::{Hotspots, Membership, Message, Options, Raised, Tie};
