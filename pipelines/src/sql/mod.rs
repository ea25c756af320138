//! The dialect: from the text of a job file to tables, checks and DataFusion plans.

pub(crate) mod bounds;
pub(crate) mod cut;
pub(crate) mod failing;
pub(crate) mod fault;
pub(crate) mod flow;
pub(crate) mod lookup;
pub(crate) mod options;
pub(crate) mod origin;
pub(crate) mod plan;
pub(crate) mod positions;
pub(crate) mod refuse;
pub(crate) mod rewrite;
pub(crate) mod script;
pub(crate) mod spread;
pub(crate) mod tables;
pub(crate) mod types;
pub(crate) mod window_call;
