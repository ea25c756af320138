//! The engine: epochs over what has arrived, window state, and what an epoch gives.

pub(crate) mod buffer;
pub(crate) mod decode;
pub(crate) mod epoch;
pub(crate) mod feeds;
pub(crate) mod home;
pub(crate) mod ids;
pub(crate) mod late;
pub(crate) mod latch;
pub(crate) mod planner;
pub(crate) mod saved_job;
pub(crate) mod split;
pub(crate) mod stage;
pub(crate) mod state;
pub(crate) mod steps;
pub(crate) mod store;
pub(crate) mod whole_file;
pub(crate) mod work;
