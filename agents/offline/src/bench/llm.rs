//! `bench llm`: tokens a second of a language model in the engine that serves, beside llama.cpp alone on the same file in the same run.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::Context;
use crate::language::{engine, named_model};

/// Measures and prints: the engine does.
///
/// # Errors
/// When there is no engine, no model, or the engine fails.
pub fn run(context: &Context) -> Result<()> {
    let model = named_model(context)?.with_context(|| context.t("没有可测的语言模型：请在 CITYBRAIN_LLM 中指定 GGUF 文件", "there is no language model to measure: name a GGUF file in CITYBRAIN_LLM").to_owned())?;
    let engine = engine()?;
    let status = Command::new(&engine).arg("--bench").arg(&model).status().with_context(|| format!("could not run {}", engine.display()))?;
    ensure!(status.success(), "{} ended with {status}", engine.display());
    Ok(())
}
