//! The lakehouse: Delta tables written exactly once, kept in shape, and asked in SQL.
//!
//! [`Lake`] is the folder of tables; [`Lake::append`] commits rows together with the positions they came from, so that a
//! repeated append is swallowed by the table itself. [`Lander`] turns what the bus carries into `bronze.*` (everything,
//! append only) and `silver.*` (typed, masked, first occurrences). [`Lake::sql`] answers over all of it, now or as of a
//! time; [`Lake::maintain`] keeps files few and logs short,
//! [`Lake::note_freshness`] says how fresh the tables are.
//!
//! It knows nothing of Kafka: it gets Arrow batches with a topic, a partition and offsets.

mod error;
mod freshness;
mod lander;
mod query;
mod silver;
mod store;
mod upkeep;

pub use error::LakeError;
pub use freshness::Freshness;
pub use lander::{Landed, Lander, LanderConfig};
pub use query::{AsOf, Format, Mask, write_stream};
pub use silver::RejectedRow;
pub use store::{Append, Lake, TableName, Txn};
