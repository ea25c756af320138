//! The small models' commands, evaluations and benchmarks: they live in crate `offline`, and are called from here.

use anyhow::Result;

use crate::cli::{Ended, Invocation};
use crate::lang::{Lang, lang};

/// What the commands of the small models are given.
pub fn context(context: &Invocation) -> offline::Context {
    let global = &context.global;
    let data = std::env::var_os("CITYBRAIN_DATA").map_or_else(|| "../shared/data".into(), Into::into);
    offline::Context { home: global.home.clone(), data: Some(data), json: global.json, quiet: global.quiet, zh: lang() == Lang::Zh }
}

/// Runs one of them on a thread where it may compute for long.
pub async fn run(invocation: &Invocation, command: impl FnOnce(&offline::Context) -> Result<()> + Send + 'static) -> Result<Ended> {
    let context = context(invocation);
    tokio::task::spawn_blocking(move || command(&context)).await??;
    Ok(Ended::Done)
}
