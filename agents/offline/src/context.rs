//! What a command is given: where models lie, and how to speak.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How a command was called.
#[derive(Debug, Clone)]
pub struct Context {
    /// The home; models lie in its folder `models`.
    pub home: PathBuf,
    /// The folder of real data for evaluations, where there is one.
    pub data: Option<PathBuf>,
    /// Machine-readable output.
    pub json: bool,
    /// No progress, no hints.
    pub quiet: bool,
    /// 中文 instead of English.
    pub zh: bool,
}

impl Context {
    /// The one of two texts that fits the language.
    pub fn t<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        if self.zh { zh } else { en }
    }

    /// A file of the data folder; an error that says where to name the folder when it is not there.
    pub fn data_file(&self, path: &str) -> anyhow::Result<PathBuf> {
        let file = self.data.as_ref().map(|root| root.join(path)).filter(|file| file.is_file());
        file.ok_or_else(|| anyhow::anyhow!("{path} is not here: name the data folder in CITYBRAIN_DATA"))
    }

    /// A progress bar on stderr, shown on a terminal only.
    pub fn progress(&self, total: u64, what: &str) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(total);
        bar.set_style(ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {eta}").expect("the template is right"));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}
