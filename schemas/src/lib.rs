//! What travels: the envelope of every event, the types of events, and the values they carry.
//!
//! Bytes and values in, values and named errors out: this crate knows nothing of files, clocks, threads or networks.
//! Whoever calls it does the reading, and passes `now` where a clock is needed.
//!
//! A tour in the order of one event's way:
//!
//! 1. A door receives bytes. [`Event::from_http`], [`Event::from_json`] and [`Event::from_kafka`] read a CloudEvent
//!    strictly: an [`EventError`] names the attribute and what is wrong with it. [`check_time`] refuses broken clocks.
//! 2. [`Registry`] knows each event type from one JSON Schema file in `types/`: its topic, key, table and typed columns.
//!    [`TypeDef::validate`] checks the data and points at each [`Problem`].
//! 3. [`pii::mask`] hides numbers that identify people before anything is stored or logged.
//! 4. [`Event::to_kafka`] makes the record. From then on the event has a [`Position`], the end of every "why", and
//!    [`EventRef`] reads it from there without copying, a million times a second.
//! 5. What the city decides about it is in [`signal`], [`case`] and [`alert`], who is told of it in [`notification`];
//!    [`journal`] is the one ordered input of the brain, with what was [`understood`] of each message. Their ids are made from positions: [`id`]. The topics they go to: [`topics`].
//! 6. Who did what is in the [`audit`], a chain of entries that nobody can alter unseen.
//! 7. A warning leaves as [`cap`], CAP 1.2, which writes nothing invalid.
//!
//! [`limits`] holds every limit with its reason; [`time`] is the one way to read and write a time.
//!
//! ```
//! use schemas::{Event, Registry};
//!
//! let registry = Registry::builtin();
//! let def = registry.get("sensor.observation").unwrap();
//! let mut event = Event::new("42", "/gauges/7", def.event_type.as_str()).with_json(&def.samples[0]);
//! event.partition_key = Some("gauge-7".to_owned());
//! def.validate(&event.data_json().unwrap()).unwrap();
//!
//! let record = event.to_kafka();
//! let read = Event::from_kafka(record.key.as_deref(), record.header_refs(), record.value.as_deref());
//! assert_eq!(read, Ok(event));
//! ```

pub mod agent;
pub mod alert;
pub mod audit;
pub mod cap;
pub mod case;
pub mod event;
pub mod id;
pub mod journal;
pub mod limits;
pub mod matcher;
pub mod notification;
pub mod pii;
pub mod position;
pub mod registry;
pub mod signal;
pub mod time;
pub mod topics;
pub mod understood;

pub use event::{Event, EventError, EventRef, KafkaRecord, check_time};
pub use position::Position;
pub use registry::{Column, ColumnKind, Problem, Registry, RegistryError, TypeDef};
