//! The doors of the brain: HTTP and file import, and the reading side of HTTP.
//!
//! Every event enters through one function, [`door::Door::enqueue`], whatever door it came to: it is checked against its
//! type, its personal data is masked, a repeated one is recognised, and only when the bus has it is it called accepted.
//! What is refused is kept in `dlq` with its original bytes.
//!
//! Knows nothing of how alerts and cases come about, nor of tables: what people read is asked of a
//! [`view::CityView`] that the binary implements.

pub mod encoding;
pub mod import;
pub mod limits;
