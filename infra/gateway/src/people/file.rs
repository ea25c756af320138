//! `people.yaml`: roles and people as a city writes them down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rights::{Actor, Permission, Rights, Scope};
use crate::limits::{PEOPLE_MAX, PERSON_ID_CHARS_MAX};

/// The roles that there are from the beginning.
const BUILTIN_ROLES: &str = include_str!("roles.yaml");

/// Names that are nobody's: the audit uses them for who is no person.
const NOBODY: [&str; 6] = ["token", "local", "open", "unknown", "files", "citybrain"];

/// A name in both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameEntry {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: NameEntry,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
}

/// A role that a person is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantEntry {
    /// The role.
    pub role: String,
    /// Scenarios and categories of the graph; without them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<BTreeSet<String>>,
    /// Districts; without them the whole city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub areas: Option<BTreeSet<String>>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonEntry {
    /// The id: the actor of their commands.
    pub id: String,
    /// The name.
    pub name: NameEntry,
    /// SHA-256 of their token, hexadecimal; the token itself is kept nowhere.
    pub token: String,
    /// What they are granted.
    #[serde(default)]
    pub grants: Vec<GrantEntry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sections {
    roles: Vec<RoleEntry>,
    people: Vec<PersonEntry>,
}

/// Roles and people as they stand.
#[derive(Debug, Clone, Default)]
pub struct Staff {
    roles: BTreeMap<String, RoleEntry>,
    people: BTreeMap<String, PersonEntry>,
    by_token: BTreeMap<String, Actor>,
    /// What stands before the people in the file.
    head: String,
}

impl Staff {
    /// Reads a file. An empty one has the roles that ship and nobody.
    ///
    /// # Errors
    /// What is wrong, with the line when the YAML itself is.
    pub fn parse(text: &str) -> Result<Staff, String> {
        let builtin: Sections = serde_saphyr::from_str(BUILTIN_ROLES).expect("the shipped roles are checked by the tests");
        let own = match is_blank(text) {
            true => Sections::default(),
            false => serde_saphyr::from_str::<Sections>(text).map_err(|error| {
                let line = error.location().map_or(0, |location| location.line());
                format!("line {line}: {}", error.without_snippet().to_string().lines().next().unwrap_or_default())
            })?,
        };
        let mut staff = Staff { head: head(text), ..Staff::default() };
        let mut named = BTreeSet::new();
        for (role, is_own) in builtin.roles.into_iter().map(|role| (role, false)).chain(own.roles.into_iter().map(|role| (role, true))) {
            check_id("role", &role.id)?;
            if is_own && !named.insert(role.id.clone()) {
                return Err(format!("role {} is there twice", role.id));
            }
            staff.roles.insert(role.id.clone(), role);
        }
        if own.people.len() > PEOPLE_MAX {
            return Err(format!("{} people; at most {PEOPLE_MAX} are taken", own.people.len()));
        }
        for person in own.people {
            staff.put(person)?;
        }
        Ok(staff)
    }

    fn put(&mut self, person: PersonEntry) -> Result<(), String> {
        let id = person.id.as_str();
        check_id("person", id)?;
        if NOBODY.contains(&id) {
            return Err(format!("a person cannot be called {id}: the audit uses that name for who is no person"));
        }
        if self.people.contains_key(id) {
            return Err(format!("person {id} is there twice"));
        }
        if person.token.len() != 64 || !person.token.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(format!("person {id}: token is the SHA-256 of their token, 64 hexadecimal digits; `citybrain people rotate {id}` makes one"));
        }
        if self.by_token.contains_key(&person.token) {
            return Err(format!("person {id} has the token of somebody else"));
        }
        let rights = self.rights(&person.grants).map_err(|wrong| format!("person {id}: {wrong}"))?;
        self.by_token.insert(person.token.clone(), Actor { id: Some(person.id.clone()), rights });
        self.people.insert(person.id.clone(), person);
        Ok(())
    }

    /// What grants amount to.
    ///
    /// # Errors
    /// A role that there is not, or one that is no matter of domains and areas and is granted for some.
    pub fn rights(&self, grants: &[GrantEntry]) -> Result<Rights, String> {
        let mut granted = Vec::new();
        for grant in grants {
            let role = self.roles.get(&grant.role).ok_or_else(|| {
                format!("there is no role {:?}; there are {}", grant.role, self.roles.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
            })?;
            let scope = Scope { domains: grant.domains.clone(), areas: grant.areas.clone() };
            for permission in &role.permissions {
                if !permission.is_local() && !scope.is_whole() {
                    return Err(format!(
                        "role {} has the permission {}, which holds for the whole city: grant it without domains and areas",
                        role.id,
                        permission.name()
                    ));
                }
                granted.push((*permission, scope.clone()));
            }
        }
        Ok(Rights::Granted(Arc::new(granted)))
    }

    /// Whom a token belongs to.
    pub fn who(&self, token: &[u8]) -> Option<&Actor> {
        // Digests of long random texts: to find one by the time that a comparison takes, one would have to know what they are of.
        self.by_token.get(&schemas::audit::sha256(token))
    }

    /// The roles, by id.
    pub fn roles(&self) -> impl Iterator<Item = &RoleEntry> {
        self.roles.values()
    }

    /// The people, by id.
    pub fn people(&self) -> impl Iterator<Item = &PersonEntry> {
        self.people.values()
    }

    /// One of them.
    pub fn person(&self, id: &str) -> Option<&PersonEntry> {
        self.people.get(id)
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// The file with other people: what stands before them stays as it is.
    pub fn text_with<'a>(&self, people: impl Iterator<Item = &'a PersonEntry>) -> String {
        // JSON is YAML: each person stands in one line.
        let lines: String = people.map(|person| format!("  - {}\n", serde_json::to_string(person).expect("a person is text"))).collect();
        format!("{}people:{}\n{lines}", self.head, if lines.is_empty() { " []" } else { "" })
    }
}

fn check_id(what: &str, id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    match id.chars().count() {
        1..=PERSON_ID_CHARS_MAX if id.chars().all(allowed) => Ok(()),
        _ => Err(format!("{id:?} is no id of a {what}: 1 to {PERSON_ID_CHARS_MAX} letters, digits, dots, dashes and underscores")),
    }
}

fn is_blank(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// What stands before the people: comments and roles. The people are the last section, which the commands write.
fn head(text: &str) -> String {
    let before = text.lines().take_while(|line| !line.starts_with("people:"));
    before.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# our people\nroles:\n  - {id: scraper, name: {zh: 采集, en: scraper}, permissions: [operate]}\npeople:\n  - id: wang\n    name: {zh: 王, en: Wang}\n    token: \"0000000000000000000000000000000000000000000000000000000000000000\"\n    grants: [{role: operator, areas: [d01]}]\n";

    #[test]
    fn a_file_is_read_and_written_back() {
        let staff = Staff::parse(FILE).unwrap();
        assert_eq!(staff.roles().count(), 9);
        let written = staff.text_with(staff.people());
        assert!(written.starts_with("# our people\nroles:\n"), "{written}");
        let again = Staff::parse(&written).unwrap();
        assert_eq!(again.person("wang"), staff.person("wang"));
        assert!(Staff::parse("").unwrap().is_empty() && Staff::parse("# nobody\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let wrong = |from: &str, to: &str| Staff::parse(&FILE.replace(from, to)).unwrap_err();
        assert!(wrong("role: operator", "role: operater").contains("there is no role \"operater\""));
        assert!(wrong("role: operator", "role: auditor").contains("without domains and areas"));
        assert!(wrong("id: wang", "id: token").contains("no person"));
        assert!(wrong("id: wang", "id: w/g").contains("no id"));
        assert!(wrong("[operate]", "[operat]").starts_with("line 3:"));
        assert!(wrong("000\"", "00\"").contains("64 hexadecimal"));
    }
}
