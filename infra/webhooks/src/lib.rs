//! Webhooks: notifications of the brain to receivers out there, signed, retried, in order, and with a receipt for each.
//!
//! A [`Webhook`] says whether its receiver wants a notification ([`Webhook::message`]) and delivers it
//! ([`Webhook::deliver`]). A receiver of the public can be given nothing but a [`PublicNotice`]: a warning that people
//! published, never an exercise. Bodies are those that receivers know already: Alertmanager's, CloudEvents, PagerDuty's.
//!
//! It knows nothing of Kafka, positions or the brain: whoever calls it reads the topic and keeps the receipts.
//!
//! [`PublicNotice`]: schemas::notification::PublicNotice

mod body;
mod deliver;
mod receiver;

pub use deliver::{Delivered, Patience, Webhook};
pub use receiver::{Kind, Receiver, ReceiverError};
