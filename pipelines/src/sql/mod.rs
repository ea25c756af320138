//! The dialect: from the text of a job file to tables, checks and DataFusion plans.

pub(crate) mod fault;
pub(crate) mod lookup;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod refuse;
pub(crate) mod rewrite;
pub(crate) mod script;
pub(crate) mod split;
pub(crate) mod tables;
pub(crate) mod types;
