//! The two languages of the product: 中文 and English, chosen by `--lang`, else by the locale.

use std::sync::OnceLock;

/// A language that people read the product in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// 中文
    Zh,
    /// English
    En,
}

static LANG: OnceLock<Lang> = OnceLock::new();

/// Fixes the language for the rest of the process.
pub fn set(chosen: Option<Lang>) {
    let lang = chosen.unwrap_or_else(|| {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .unwrap_or_default();
        if locale.to_ascii_lowercase().starts_with("zh") { Lang::Zh } else { Lang::En }
    });
    let _ = LANG.set(lang);
}

/// The language in force.
pub fn lang() -> Lang {
    *LANG.get().unwrap_or(&Lang::En)
}

/// The one of two texts that fits the language in force.
pub fn t<'a>(zh: &'a str, en: &'a str) -> &'a str {
    match lang() {
        Lang::Zh => zh,
        Lang::En => en,
    }
}
