//! A language model for batch doors: an engine of its own for the time of a command.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use llm::{Backend, Card, LocalConfig, LocalPool};
use tokio::runtime::Runtime;

use crate::Context;

/// File name of the model in the box.
pub const DEFAULT_FILE: &str = "citybrain-box.gguf";
/// How long a model may take to be there.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The model in the box: in the home's models, beside the program, or where the program was built.
pub fn default_model(home: &Path) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(DEFAULT_FILE));
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../box").join(DEFAULT_FILE);
    [Some(home.join("models/language").join(DEFAULT_FILE)), beside, Some(built)].into_iter().flatten().find(|file| file.is_file())
}

/// The model that evaluations and benchmarks ask: the file that `CITYBRAIN_LLM` names, else the one in the box, if there is one.
///
/// # Errors
/// When the file that is named is not there.
pub fn named_model(context: &Context) -> Result<Option<PathBuf>> {
    let Some(named) = std::env::var_os("CITYBRAIN_LLM").filter(|name| !name.is_empty()) else { return Ok(default_model(&context.home)) };
    let file = PathBuf::from(named);
    ensure!(file.is_file(), "CITYBRAIN_LLM names {}, which is not there", file.display());
    Ok(Some(file))
}

/// The engine's program, which lies beside this one (for a test or an example: one folder above).
///
/// # Errors
/// When it is not there.
pub fn engine() -> Result<PathBuf> {
    let program = std::env::current_exe().context("could not find out where this program lies")?;
    let folders = program.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("citybrain-engine")).find(|file| file.is_file());
    found.with_context(|| format!("citybrain-engine does not lie beside {}: build it with cargo build -p citybrain-engine", program.display()))
}

/// A model that runs, and what waits for its answers.
pub struct Language {
    runtime: Runtime,
    pool: LocalPool,
    card: Card,
}

impl Language {
    /// Starts the model that `--llm` names: a GGUF file, or `default`; nothing for `none`.
    ///
    /// # Errors
    /// When there is no such model, no engine, or the engine cannot load it.
    pub fn open(context: &Context, wanted: &str, threads: u32) -> Result<Option<Language>> {
        let model = match wanted {
            "none" => return Ok(None),
            "default" => default_model(&context.home).with_context(|| context.t("没有内置语言模型，请用 --llm FILE.gguf 指定一个，或用 --llm none", "there is no language model in the box: name one with --llm FILE.gguf, or use --llm none").to_owned())?,
            file => PathBuf::from(file),
        };
        llm::registry::read(&model).with_context(|| format!("{} is no model that can be asked", model.display()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("could not start the runtime")?;
        let config = LocalConfig { engine: engine()?, model: model.clone(), threads, ..LocalConfig::default() };
        let pool = runtime.block_on(async { LocalPool::start(config) });
        let Some(card) = runtime.block_on(pool.ready(READY_WITHIN)) else {
            let reason = pool.metrics().reason.unwrap_or_else(|| "it did not become ready".to_owned());
            bail!("{} cannot be asked: {reason}", model.display());
        };
        Ok(Some(Language { runtime, pool, card }))
    }

    /// Which model it is.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// What can be asked.
    pub fn backend(&self) -> &dyn Backend {
        &self.pool
    }

    /// Waits for answers.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}
