//! The models of a home: `<home>/models/<name>/<digest>.model` with a card beside each, and which one is active.
//!
//! Files are written beside their place and renamed, so that a reader sees a whole one or none. A model never changes;
//! only `state.json` does: the active digest, the shadow, and who came before and why.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use learn::{Card, Model};
use serde::{Deserialize, Serialize};

/// The models of one home.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Which of a name's models act.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// The one that acts.
    pub active: Option<String>,
    /// The one that answers beside it and never acts.
    #[serde(default)]
    pub shadow: Option<String>,
    /// What was active before, the latest last.
    #[serde(default)]
    pub history: Vec<Step>,
}

/// One change of the active model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When, RFC 3339.
    pub at: String,
    /// `first`, `promoted`, `forced` or `rolled back`.
    pub how: String,
    /// The digest that was active before.
    pub before: Option<String>,
    /// The digest that is active from then on.
    pub after: String,
    /// Why, in the words of whoever did it, or the figures that decided.
    pub reason: String,
}

/// The card of a stored model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Digest of its bytes.
    pub digest: String,
    /// When it was stored, RFC 3339.
    pub created: String,
    /// The columns it was trained on.
    pub columns: Columns,
    /// What the model says of itself.
    pub card: Card,
}

/// Which columns of a file are what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, clap::Args)]
pub struct Columns {
    /// The texts; of several, the first is the title
    #[arg(long, value_delimiter = ',', value_name = "COL")]
    pub text: Vec<String>,
    /// The type of request that the sender chose
    #[arg(long = "type", value_name = "COL")]
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Where it is: district, street, landmark
    #[arg(long, value_delimiter = ',', value_name = "COL")]
    pub place: Vec<String>,
    /// Further columns that may tell
    #[arg(long, value_delimiter = ',', value_name = "COL")]
    pub field: Vec<String>,
    /// When it came
    #[arg(long, value_name = "COL")]
    pub time: Option<String>,
    /// The label that is right
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
}

impl State {
    fn begin(&mut self, digest: &str, how: &str, reason: &str) {
        let before = self.active.replace(digest.to_owned());
        self.history.push(Step { at: now(), how: how.to_owned(), before, after: digest.to_owned(), reason: reason.to_owned() });
        self.shadow.take_if(|shadow| shadow == digest);
    }
}

impl Store {
    /// The models of a home; there may be none yet.
    pub fn open(home: &Path) -> Store {
        Store { root: home.join("models") }
    }

    /// The names, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        if self.root.is_dir() {
            for entry in fs::read_dir(&self.root).with_context(|| format!("could not read {}", self.root.display()))? {
                let entry = entry?;
                if entry.path().is_dir() {
                    names.extend(entry.file_name().into_string().ok().filter(|name| check_name(name).is_ok()));
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// Which of a name's models act; the empty state where there is none.
    pub fn state(&self, name: &str) -> Result<State> {
        let path = self.folder(name)?.join("state.json");
        if !path.exists() {
            return Ok(State::default());
        }
        let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: restore it from a backup, or remove it and promote a model anew", path.display()))
    }

    /// The cards of a name's models, the oldest first.
    pub fn stored(&self, name: &str) -> Result<Vec<Stored>> {
        let folder = self.folder(name)?;
        let mut cards = Vec::new();
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "model") {
                    cards.push(card_beside(&path)?);
                }
            }
        }
        cards.sort_by(|a, b| (&a.created, &a.digest).cmp(&(&b.created, &b.digest)));
        Ok(cards)
    }

    /// The one stored model whose digest begins so.
    pub fn find(&self, name: &str, digest: &str) -> Result<Stored> {
        let mut found: Vec<Stored> = self.stored(name)?.into_iter().filter(|stored| stored.digest.starts_with(digest)).collect();
        ensure!(found.len() < 2, "{} models of {name} begin with {digest}: write more of the digest", found.len());
        found.pop().with_context(|| format!("no model of {name} begins with {digest}; see `citybrain model list`"))
    }

    /// Loads a stored model and checks that it is the one its name says.
    pub fn load(&self, name: &str, digest: &str) -> Result<Model> {
        let path = self.folder(name)?.join(format!("{digest}.model"));
        let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        let model = Model::from_bytes(&bytes).with_context(|| path.display().to_string())?;
        ensure!(model.digest() == digest, "{} holds another model, {}: restore it from a backup, or train it anew", path.display(), model.digest());
        Ok(model)
    }

    /// The active model of a name.
    pub fn active(&self, name: &str) -> Result<Model> {
        match self.state(name)?.active {
            Some(digest) => self.load(name, &digest),
            None => {
                let names = self.names()?;
                let there = if names.is_empty() { "there is none yet".to_owned() } else { format!("there are: {}", names.join(", ")) };
                bail!("no model is called {name}; {there} (`citybrain model train` makes one)")
            }
        }
    }

    /// Stores a model as a candidate; the first of a name becomes the active one. Says whether it is active.
    pub fn add(&self, name: &str, model: &Model, columns: &Columns) -> Result<bool> {
        let folder = self.folder(name)?;
        fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
        let digest = model.digest();
        let _lock = self.lock(name)?;
        if folder.join(format!("{digest}.model")).exists() {
            // The same rows and the same seed: it is there already, with the date on which it was made.
            return Ok(self.state(name)?.active.as_deref() == Some(digest.as_str()));
        }
        let stored = Stored { digest: digest.clone(), created: now(), columns: columns.clone(), card: model.card().clone() };
        // The card first: whoever finds a model finds its card.
        write(&folder.join(format!("{digest}.json")), &serde_json::to_vec_pretty(&stored)?)?;
        write(&folder.join(format!("{digest}.model")), &model.to_bytes())?;
        let mut state = self.state(name)?;
        let first = state.active.is_none();
        if first {
            state.begin(&digest, "first", "the first of its name");
            self.set(name, &state)?;
        }
        Ok(first)
    }

    /// Makes a stored model the active one. If it was the shadow, there is none from then on.
    pub fn activate(&self, name: &str, digest: &str, how: &str, reason: &str) -> Result<()> {
        self.load(name, digest)?;
        let _lock = self.lock(name)?;
        let mut state = self.state(name)?;
        state.begin(digest, how, reason);
        self.set(name, &state)
    }

    /// Makes a stored model the one that answers beside the active one and never acts; `None` ends that.
    pub fn shadow(&self, name: &str, digest: Option<&str>) -> Result<()> {
        if let Some(digest) = digest {
            self.load(name, digest)?;
        }
        let _lock = self.lock(name)?;
        let mut state = self.state(name)?;
        ensure!(digest.is_none() || state.active.as_deref() != digest, "{} of {name} is the active model: it cannot be its own shadow", short(digest.unwrap_or_default()));
        state.shadow = digest.map(str::to_owned);
        self.set(name, &state)
    }

    fn set(&self, name: &str, state: &State) -> Result<()> {
        write(&self.folder(name)?.join("state.json"), &serde_json::to_vec_pretty(state)?)
    }

    /// Held while a name's state is read and written again, so that of two changes at once none is lost.
    fn lock(&self, name: &str) -> Result<fs::File> {
        let path = self.folder(name)?.join("lock");
        let file = fs::File::create(&path).with_context(|| format!("could not write {}; is there a model called {name}?", path.display()))?;
        file.lock().with_context(|| format!("could not lock {}", path.display()))?;
        Ok(file)
    }

    /// The digest that was active before the present one, as a rollback would take it.
    pub fn previous(&self, name: &str) -> Result<String> {
        let state = self.state(name)?;
        let active = state.active.with_context(|| format!("no model is called {name}; see `citybrain model list`"))?;
        // The step that made the active one so, unless that was itself a rollback: then the step before it counts.
        let step = state.history.iter().rev().find(|step| step.after == active && step.how != "rolled back");
        step.and_then(|step| step.before.clone()).with_context(|| format!("{name} had no other active model before {}", short(&active)))
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }
}

/// The first characters of a digest, enough to tell models apart.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    ensure!(!name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(fits), "{name:?} is no name of a model: use letters, digits, - and _");
    Ok(())
}

fn card_beside(model: &Path) -> Result<Stored> {
    let path = model.with_extension("json");
    let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: train the model anew", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    // Two writers at once must not share a file.
    unfinished.push(format!(".{}.unfinished", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let written = fs::File::create(&unfinished).and_then(|mut file| std::io::Write::write_all(&mut file, bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| fs::rename(&unfinished, path)).with_context(|| format!("could not write {}", path.display()))
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use learn::{Example, Input, Options, train};

    fn model(seed: u64) -> Model {
        let texts: Vec<(String, &str)> = (0..60).map(|at| if at % 2 == 0 { (format!("水管漏水 {at}"), "water") } else { (format!("路面破损 {at}"), "road") }).collect();
        let slices: Vec<[&str; 1]> = texts.iter().map(|(text, _)| [text.as_str()]).collect();
        let examples: Vec<Example> = slices.iter().zip(&texts).map(|(texts, (_, label))| Example { input: Input { texts, ..Input::default() }, label }).collect();
        train(&examples, &Options { task: "category".into(), seed, ..Options::default() }, &mut |_| {}).expect("two labels").0
    }

    #[test]
    fn a_model_lives_as_candidate_shadow_and_active_and_comes_back() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(home.path());
        let (first, second) = (model(1), model(2));
        let columns = Columns::default();
        assert!(store.add("matters", &first, &columns).expect("it is stored"), "the first is active");
        assert!(!store.add("matters", &second, &columns).expect("it is stored"), "the next is a candidate");
        let made = store.stored("matters").expect("cards");
        assert_eq!(made.len(), 2);
        store.add("matters", &second, &columns).expect("it is there already");
        assert_eq!(store.stored("matters").expect("cards"), made, "and keeps its date");
        store.shadow("matters", Some(&second.digest())).expect("a shadow");
        assert!(store.shadow("matters", Some(&first.digest())).is_err(), "the active model is nobody's shadow");
        store.activate("matters", &second.digest(), "promoted", "better").expect("promoted");
        let state = store.state("matters").expect("a state");
        assert_eq!((state.active, state.shadow), (Some(second.digest()), None), "who acts is no shadow any more");
        assert_eq!(store.previous("matters").expect("one before"), first.digest());
        store.activate("matters", &first.digest(), "rolled back", "").expect("rolled back");
        assert!(store.previous("matters").is_err(), "a rollback goes back as far as there was something");
        store.shadow("matters", Some(&second.digest())).expect("a shadow again");
        store.shadow("matters", None).expect("and none");
        assert_eq!(store.state("matters").expect("a state").shadow, None);
        assert_eq!(store.active("matters").expect("the active one").digest(), first.digest());
    }

    #[test]
    fn what_is_not_there_or_damaged_is_told_with_what_to_do() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(home.path());
        let told = |error: anyhow::Error| format!("{error:#}");
        assert!(told(store.active("none").expect_err("no model")).contains("model train"));
        assert!(store.active("../up").is_err() && store.state(".hidden").is_err(), "a name never leaves the folder");
        let first = model(1);
        store.add("matters", &first, &Columns::default()).expect("it is stored");
        let file = home.path().join("models/matters").join(format!("{}.model", first.digest()));
        let mut bytes = fs::read(&file).expect("bytes");
        bytes[40] ^= 1;
        fs::write(&file, &bytes).expect("written");
        assert!(store.active("matters").is_err(), "a changed byte is noticed");
        assert!(store.shadow("matters", Some(&first.digest())).is_err());
        fs::write(home.path().join("models/matters/state.json"), b"{").expect("written");
        assert!(told(store.state("matters").expect_err("damaged")).contains("restore"));
    }
}
