//! The doors of the brain: HTTP, Open311, SensorThings, MQTT and file import, and the reading side of HTTP.
//!
//! Every event enters through one function, [`door::Door::enqueue`], whatever door it came to: it is checked against its
//! type, its personal data is masked, a repeated one is recognised, and only when the bus has it is it called accepted.
//! What is refused is kept in `dlq` with its original bytes.
//!
//! Knows nothing of how alerts and cases come about, nor of tables: what people read is asked of a
//! [`view::CityView`] that the binary implements. Of the bus it knows two small traits ([`ports`]).

mod connections;
pub mod devices;
pub mod door;
pub mod encoding;
pub mod http;
pub mod hub;
pub mod import;
pub mod limits;
mod masking;
pub mod memory;
pub mod mqtt;
pub mod open311;
pub mod people;
pub mod ports;
pub mod query;
pub mod refusal;
pub mod sensorthings;
pub mod steps;
pub mod view;

pub use devices::{Admission, Devices};
pub use door::{Door, DoorConfig, DoorError, Outcome};
pub use http::{Gateway, GatewayConfig, Listener, router};
pub use hub::{StreamHub, StreamItem};
pub use import::mapping::Mapping;
pub use import::sink::{DoorSink, HttpSink, Sink};
pub use import::{Cancel, ImportOptions, ImportReport, Importer};
pub use people::{Actor, People};
pub use ports::{AuditLog, EventLog, SeenIndex, Types};
pub use query::{ListQuery, Page};
pub use sensorthings::Things;
pub use view::{CityView, Kind, ViewError};
