//! The bus: the one way to Kafka's protocol, whether Kafka is a cluster or the broker inside this process.
//!
//! It knows the envelope, so that records become Arrow rows once for all readers. It does not know what the events
//! mean, where they are kept, or what becomes of them.
//!
//! # A guided tour
//!
//! [`Bus::connect`] finds Kafka; [`Bus::ensure_topics`], [`Bus::topics`] and [`Bus::watermarks`] ask about topics.
//!
//! *Writing.* A [`Producer`] is idempotent, asks all replicas, keeps the order, and waits instead of growing.
//!
//! *Reading.* A [`Tap`] is one consumer for the whole process. [`Tap::reader`] gives a [`TapReader`], which gets
//! [`Chunk`]s: consecutive records of a partition as Arrow rows, see [`bronze_schema`]. Positions belong to the readers.
//! A [`Member`] of a consumer group is told which partitions are its own, and reads them through a tap.
//!
//! *Once.* A [`DedupIndex`] knows the first position of each event by `source` and `id`: a fold over the log.
//!
//! ```no_run
//! # async fn f() -> Result<(), bus::BusError> {
//! use bus::{Bus, BusConfig, Filter, Tap, TapConfig};
//! let bus = Bus::connect(BusConfig::new("127.0.0.1:9092")).await?;
//! let tap = Tap::start(bus, TapConfig::default())?;
//! let mut reader = tap.reader("printer", Filter::prefixes(["alert."]), Default::default())?;
//! while let Some(chunk) = reader.recv().await {
//!     println!("{} {} {} rows", chunk.topic, chunk.partition, chunk.rows.num_rows());
//! }
//! # Ok(())
//! # }
//! ```

mod bus;
mod chunk;
mod config;
mod context;
mod dedup;
mod error;
mod filter;
mod floor;
pub mod limits;
mod member;
mod producer;
mod tap;

pub use bus::{Bus, TopicSpec};
pub use chunk::{Chunk, ChunkBuilder, Raw, Rejected, bronze_schema};
pub use config::BusConfig;
pub use dedup::{DedupConfig, DedupIndex, DedupStats, Reservation, Reserved, Window};
pub use error::BusError;
pub use filter::Filter;
pub use floor::{Floor, consume_each, consume_floor, cpu_time};
pub use member::{Change, HandOver, Member};
pub use producer::{Outgoing, Producer, ProducerConfig};
pub use tap::{ReaderLag, Tap, TapConfig, TapReader};
