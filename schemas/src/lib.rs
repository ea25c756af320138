//! What travels: the envelope of every event, the types of events, and the values they carry.
//!
//! Begin with [`event::Event`], a CloudEvent with its bindings to Kafka, HTTP and JSON; [`registry::Registry`] says of each
//! event type its topic, its table and its columns, from one JSON Schema file in `types/`. [`signal`], [`case`] and
//! [`alert`] are what the city decides about; [`journal`] is the one ordered input of the brain; [`cap`] is the body of
//! every alert; [`pii`] masks what identifies people; [`position`] is a place in the log, from which ids are made.
//!
//! It knows nothing of files, clocks, threads or networks.

pub mod alert;
pub mod cap;
pub mod case;
pub mod event;
pub mod id;
pub mod journal;
pub mod limits;
pub mod pii;
pub mod position;
pub mod registry;
pub mod signal;
pub mod time;
pub mod topics;

pub use event::{Event, EventError, EventRef, KafkaRecord, check_time};
pub use position::Position;
pub use registry::{Column, ColumnKind, Problem, Registry, RegistryError, TypeDef};
