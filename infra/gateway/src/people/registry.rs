//! The people in force: the file, read again when it changes, and changed by who may.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::file::{GrantEntry, NameEntry, PersonEntry, Staff};

/// What is to be done with a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeopleAction {
    /// Let them in, with a new token.
    Add,
    /// Give them a new token; the old one is void.
    Rotate,
    /// Grant them this, in place of what they were granted.
    Grant,
    /// Let them in no more.
    Remove,
}

impl PeopleAction {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            PeopleAction::Add => "add",
            PeopleAction::Rotate => "rotate",
            PeopleAction::Grant => "grant",
            PeopleAction::Remove => "remove",
        }
    }
}

/// A change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleChange {
    /// What is to be done.
    pub action: PeopleAction,
    /// With whom.
    pub person: String,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NameEntry>,
    /// What they are granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<GrantEntry>>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Who.
    pub person: String,
    /// The new token, told this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It makes no sense as things stand.
    #[error("{en}")]
    Wrong {
        /// Why, in English.
        en: String,
        /// Why, in Chinese.
        zh: String,
    },
    /// The file could not be read or written.
    #[error("could not {what} {}: {cause}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
}

/// The people in force.
#[derive(Debug)]
pub struct People {
    path: Option<PathBuf>,
    now: RwLock<Arc<Staff>>,
    /// The text that is in force; held while it is changed, so that the second change sees the first.
    text: Mutex<String>,
}

impl Default for People {
    fn default() -> People {
        People::of("").expect("an empty file has the roles that ship")
    }
}

impl People {
    /// The people of a text, which cannot be changed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(text: &str) -> Result<People, String> {
        Ok(People { path: None, now: RwLock::new(Arc::new(Staff::parse(text)?)), text: Mutex::new(text.to_owned()) })
    }

    /// The people of a file; nobody while it is not there.
    ///
    /// # Errors
    /// When it cannot be read, or what is wrong in it.
    pub fn open(path: PathBuf) -> Result<People, ChangeError> {
        let people = People { path: Some(path), ..People::default() };
        people.look()?;
        Ok(people)
    }

    /// Those in force.
    pub fn now(&self) -> Arc<Staff> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the file again; whether it has changed. One that is wrong changes nothing.
    ///
    /// # Errors
    /// When it cannot be read, or what is wrong in it.
    pub fn look(&self) -> Result<bool, ChangeError> {
        if self.path.is_none() {
            return Ok(false);
        }
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let there = self.read()?;
        if *text == there {
            return Ok(false);
        }
        self.take(&mut text, there)?;
        Ok(true)
    }

    fn read(&self) -> Result<String, ChangeError> {
        let Some(path) = &self.path else { return Ok(String::new()) };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn failed(&self, what: &'static str, cause: &dyn std::fmt::Display) -> ChangeError {
        ChangeError::File { what, path: self.path.clone().unwrap_or_default(), cause: cause.to_string() }
    }

    fn take(&self, text: &mut String, new: String) -> Result<(), ChangeError> {
        let staff = Staff::parse(&new).map_err(|wrong| self.failed("use", &wrong))?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(staff);
        *text = new;
        Ok(())
    }

    /// Makes a change: writes the file, and lets it be in force.
    ///
    /// # Errors
    /// When it makes no sense as things stand, or the file cannot be written.
    pub fn change(&self, change: &PeopleChange) -> Result<Changed, ChangeError> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.path else { return Err(wrong("the people of this process cannot be changed", "本进程的人员不可修改")) };
        // What was written by hand since the last look stays.
        let there = self.read()?;
        self.take(&mut text, there)?;
        let staff = self.now();
        let (people, token) = changed(&staff, change)?;
        let new = staff.text_with(people.iter());
        // Wrong grants are told before the file is touched.
        Staff::parse(&new).map_err(|problem| wrong(&problem, &problem))?;
        write(path, &new).map_err(|error| self.failed("write", &error))?;
        self.take(&mut text, new)?;
        Ok(Changed { person: change.person.clone(), token })
    }
}

fn wrong(en: &str, zh: &str) -> ChangeError {
    ChangeError::Wrong { en: en.to_owned(), zh: zh.to_owned() }
}

/// The people after a change, and the new token if it brings one.
fn changed(staff: &Staff, change: &PeopleChange) -> Result<(Vec<PersonEntry>, Option<String>), ChangeError> {
    let id = &change.person;
    let mut people: Vec<PersonEntry> = staff.people().cloned().collect();
    let place = people.iter().position(|person| person.id == *id);
    let token = matches!(change.action, PeopleAction::Add | PeopleAction::Rotate).then(new_token);
    let digest = token.as_ref().map(|token| schemas::audit::sha256(token.as_bytes()));
    match (change.action, place) {
        (PeopleAction::Add, Some(_)) => return Err(wrong(&format!("{id} is there already; rotate gives a new token, grant other rights"), &format!("{id} 已存在；rotate 换发令牌，grant 修改授权"))),
        (PeopleAction::Rotate | PeopleAction::Grant | PeopleAction::Remove, None) => {
            return Err(wrong(&format!("there is no {id} among the people"), &format!("没有人员 {id}")));
        }
        (PeopleAction::Add, None) => people.push(PersonEntry {
            id: id.clone(),
            name: change.name.clone().unwrap_or_else(|| NameEntry { zh: id.clone(), en: id.clone() }),
            token: digest.unwrap_or_default(),
            grants: change.grants.clone().unwrap_or_default(),
        }),
        (PeopleAction::Rotate, Some(place)) => people[place].token = digest.unwrap_or_default(),
        (PeopleAction::Grant, Some(place)) => people[place].grants = change.grants.clone().unwrap_or_default(),
        (PeopleAction::Remove, Some(place)) => _ = people.remove(place),
    }
    if let (PeopleAction::Grant | PeopleAction::Rotate, Some(place), Some(name)) = (change.action, place, &change.name) {
        people[place].name = name.clone();
    }
    Ok((people, token))
}

/// 256 random bits.
fn new_token() -> String {
    let digits: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("cb_{digits}")
}

/// Writes the file so that a crash leaves the old one or the new; readable by its owner alone.
fn write(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::Permission;

    fn change(action: PeopleAction, role: Option<&str>) -> PeopleChange {
        let grants = role.map(|role| vec![GrantEntry { role: role.into(), domains: None, areas: None }]);
        PeopleChange { action, person: "wang".into(), name: None, grants, reason: None }
    }

    #[test]
    fn a_token_lets_in_until_it_is_rotated_or_the_person_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.yaml");
        let people = People::open(path.clone()).unwrap();
        assert!(people.now().is_empty());
        assert!(people.change(&change(PeopleAction::Rotate, None)).is_err(), "nobody is there");
        let first = people.change(&change(PeopleAction::Add, Some("operator"))).unwrap().token.unwrap();
        assert!(people.now().who(first.as_bytes()).unwrap().may(Permission::Handle));
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&first), "the token is kept nowhere");
        assert!(people.change(&change(PeopleAction::Add, None)).is_err(), "they are there");
        assert!(people.change(&change(PeopleAction::Grant, Some("operater"))).is_err(), "no such role");
        people.change(&change(PeopleAction::Grant, Some("auditor"))).unwrap();
        assert!(!people.now().who(first.as_bytes()).unwrap().may(Permission::Handle));
        let second = people.change(&change(PeopleAction::Rotate, None)).unwrap().token.unwrap();
        assert!(people.now().who(first.as_bytes()).is_none());
        let again = People::open(path.clone()).unwrap();
        assert_eq!(again.now().who(second.as_bytes()), people.now().who(second.as_bytes()));
        again.change(&change(PeopleAction::Remove, None)).unwrap();
        assert!(people.look().unwrap() && people.now().who(second.as_bytes()).is_none(), "a change by another process is seen");
        assert!(!people.look().unwrap());
    }

    #[test]
    fn a_wrong_file_changes_nothing_and_comments_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.yaml");
        std::fs::write(&path, "# kept\n").unwrap();
        let people = People::open(path.clone()).unwrap();
        people.change(&change(PeopleAction::Add, Some("viewer"))).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("# kept\npeople:\n"));
        std::fs::write(&path, "people: nobody").unwrap();
        assert!(people.look().is_err() && !people.now().is_empty());
    }
}
