//! What somebody may do, and where. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::matcher::Matcher;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a role can allow. Every route and every kind of command needs exactly one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Read alerts, cases, incidents, what was observed, and the live stream.
    Read,
    /// Work on alerts and cases: acknowledge, comment, assign, dispatch, and the steps of a case.
    Handle,
    /// Decide on them: approve, reject, close, silence, correct, merge.
    Decide,
    /// Command: the city's mode, exercises, warnings of the public.
    Command,
    /// Send data.
    Publish,
    /// Look at the machine: metrics and jobs.
    Operate,
    /// Change devices, the graph, and people.
    Administer,
    /// Ask SQL; personal data is masked.
    Query,
    /// See personal data in SQL as it is.
    Personal,
    /// Read the audit.
    Audit,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Permission; 10] = [
        Permission::Read, Permission::Handle, Permission::Decide, Permission::Command, Permission::Publish, Permission::Operate,
        Permission::Administer, Permission::Query, Permission::Personal, Permission::Audit,
    ];

    /// The name in files and answers.
    pub fn name(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Handle => "handle",
            Permission::Decide => "decide",
            Permission::Command => "command",
            Permission::Publish => "publish",
            Permission::Operate => "operate",
            Permission::Administer => "administer",
            Permission::Query => "query",
            Permission::Personal => "personal",
            Permission::Audit => "audit",
        }
    }

    /// Whether it can be granted for some domains and areas only. The others are about no case and no alert, so they hold
    /// for the whole city or not at all.
    pub fn is_local(self) -> bool {
        matches!(self, Permission::Read | Permission::Handle | Permission::Decide | Permission::Command)
    }
}

/// For which domains and areas something is granted; nothing means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Scenarios and categories of the graph.
    pub domains: Option<BTreeSet<String>>,
    /// Districts.
    pub areas: Option<BTreeSet<String>>,
}

/// What a request is about, as the city knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its districts; nothing for the whole city, none when its place is not known.
    pub areas: Option<BTreeSet<String>>,
    /// The matters that it has part in, each with the names it goes by (category and scenario); nothing for all matters.
    pub domains: Option<Vec<BTreeSet<String>>>,
}

impl Subject {
    /// The whole city, and all of its matters.
    pub const CITY: Subject = Subject { areas: None, domains: None };

    /// What an alert, a case, an incident or an event about one is about.
    pub fn of(item: &Value) -> Subject {
        let texts = |name: &str| item[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let text = |name: &str| item[name].as_str().map(str::to_owned);
        let districts: BTreeSet<String> = texts("districts").chain(text("district")).collect();
        // An alert without a district, and an incident that says so, are all over the city; a case without one is somewhere.
        let all_over = item["citywide"] == true || (districts.is_empty() && item["alert_key"].is_string() && item["case"].is_null());
        let mut domains: Vec<BTreeSet<String>> = texts("scenarios").map(|name| BTreeSet::from([name])).collect();
        let own: BTreeSet<String> = text("scenario").into_iter().chain(text("category")).collect();
        if domains.is_empty() {
            domains.push(own);
        }
        Subject { areas: (!all_over).then_some(districts), domains: Some(domains) }
    }

    /// What a silence or an exercise with these conditions can be about.
    pub fn of_matchers(matchers: &[Matcher]) -> Subject {
        // All conditions have to hold, so each one that names its values narrows what all of them cover.
        let named = |label: &str| {
            let matcher = matchers.iter().find(|matcher| matcher.name == label && matcher.is_equal)?;
            let values: Vec<&str> = if matcher.is_regex { matcher.value.split('|').collect() } else { vec![matcher.value.as_str()] };
            let open = values.iter().any(|value| value.is_empty() || (matcher.is_regex && value.ends_with(".*")));
            (!open).then(|| values.into_iter().map(str::to_owned).collect::<BTreeSet<String>>())
        };
        Subject { areas: named("district"), domains: named("scenario").map(|names| names.into_iter().map(|name| BTreeSet::from([name])).collect()) }
    }
}

impl Scope {
    /// Whether it holds for the whole city and all of its matters.
    pub fn is_whole(&self) -> bool {
        self.domains.is_none() && self.areas.is_none()
    }

    /// Whether all of a subject lies in it: who decides has to be responsible for all that it touches.
    pub fn covers(&self, subject: &Subject) -> bool {
        let area = self.areas.as_ref().is_none_or(|own| subject.areas.as_ref().is_some_and(|areas| !areas.is_empty() && areas.is_subset(own)));
        let domain = self.domains.as_ref().is_none_or(|own| {
            subject.domains.as_ref().is_some_and(|matters| !matters.is_empty() && matters.iter().all(|names| !names.is_disjoint(own)))
        });
        area && domain
    }

    /// Whether some of a subject lies in it: who reads sees what concerns their part of the city.
    pub fn touches(&self, subject: &Subject) -> bool {
        let area = self.areas.as_ref().is_none_or(|own| subject.areas.as_ref().is_none_or(|areas| !areas.is_disjoint(own)));
        let domain = self
            .domains
            .as_ref()
            .is_none_or(|own| subject.domains.as_ref().is_none_or(|matters| matters.iter().any(|names| !names.is_disjoint(own))));
        area && domain
    }
}

/// What somebody was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    All,
    /// Everything but what a person has to answer for by name: the decisions about alerts and cases.
    Machine,
    /// These permissions, each with where it holds.
    Granted(Arc<Vec<(Permission, Scope)>>),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// A person's id, or one of the names that are nobody's; nothing on an open door, where who asks says so in the request.
    pub id: Option<String>,
    /// What they may do.
    pub rights: Rights,
}

impl Actor {
    /// Whoever knows the one token of the configuration.
    pub fn token() -> Actor {
        Actor { id: Some("token".to_owned()), rights: Rights::All }
    }

    /// Whoever can read the files of this home, where people have tokens of their own.
    pub fn local() -> Actor {
        Actor { id: Some("local".to_owned()), rights: Rights::Machine }
    }

    /// Whoever reaches a door that asks nobody for a token.
    pub fn open() -> Actor {
        Actor { id: None, rights: Rights::All }
    }

    /// Somebody whom the handler itself has to ask: a device with its key, or who reports by a standard with a key of its own.
    pub fn device(id: Option<&str>) -> Actor {
        Actor { id: Some(id.map_or_else(|| "unknown".to_owned(), |id| format!("device:{id}"))), rights: Rights::Granted(Arc::default()) }
    }

    /// The name in the audit.
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or("open")
    }

    fn scopes(&self, permission: Permission) -> impl Iterator<Item = &Scope> {
        const WHOLE: &Scope = &Scope { domains: None, areas: None };
        let whole = match &self.rights {
            Rights::All => Some(WHOLE),
            Rights::Machine => (!matches!(permission, Permission::Handle | Permission::Decide | Permission::Command)).then_some(WHOLE),
            Rights::Granted(_) => None,
        };
        let granted = match &self.rights {
            Rights::Granted(granted) => granted.as_slice(),
            Rights::All | Rights::Machine => &[],
        };
        whole.into_iter().chain(granted.iter().filter(move |(own, _)| *own == permission).map(|(_, scope)| scope))
    }

    /// Whether they may do it somewhere.
    pub fn may(&self, permission: Permission) -> bool {
        self.scopes(permission).next().is_some()
    }

    /// Whether they may do it in the whole city.
    pub fn may_everywhere(&self, permission: Permission) -> bool {
        self.scopes(permission).any(Scope::is_whole)
    }

    /// Whether they may do it to all of a subject.
    pub fn may_on(&self, permission: Permission, subject: &Subject) -> bool {
        self.scopes(permission).any(|scope| scope.covers(subject))
    }

    /// Whether they may see a subject.
    pub fn may_see(&self, subject: &Subject) -> bool {
        self.scopes(Permission::Read).any(|scope| scope.touches(subject))
    }

    /// Where they may read; nothing for everywhere.
    pub fn sees(&self) -> Option<Vec<Scope>> {
        (!self.may_everywhere(Permission::Read)).then(|| self.scopes(Permission::Read).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scope(domains: &[&str], areas: &[&str]) -> Scope {
        let set = |names: &[&str]| (!names.is_empty()).then(|| names.iter().map(|name| (*name).to_owned()).collect());
        Scope { domains: set(domains), areas: set(areas) }
    }

    #[test]
    fn a_subject_is_what_the_city_knows_of_it() {
        let case = Subject::of(&json!({"district": "d01", "category": "flooding", "scenario": "urban_flooding", "state": "filed"}));
        assert!(scope(&["flooding"], &["d01"]).covers(&case) && scope(&["urban_flooding"], &[]).covers(&case));
        assert!(!scope(&["garbage"], &["d01"]).covers(&case) && !scope(&["flooding"], &["d02"]).covers(&case));
        let nowhere = Subject::of(&json!({"district": null, "category": "noise"}));
        assert!(!scope(&[], &["d01"]).covers(&nowhere) && !scope(&[], &["d01"]).touches(&nowhere) && Scope::default().covers(&nowhere));
        let all_over = Subject::of(&json!({"alert_key": "k", "district": null, "scenario": "forest_fire"}));
        assert!(!scope(&[], &["d01"]).covers(&all_over), "who decides for a district does not for the city");
        assert!(scope(&[], &["d01"]).touches(&all_over), "what is all over the city concerns every district");
        let two = Subject::of(&json!({"districts": ["d01", "d02"], "citywide": false, "scenarios": ["flooding", "bridge"]}));
        assert!(!scope(&[], &["d01"]).covers(&two) && scope(&["bridge"], &["d01"]).touches(&two) && !scope(&["bridge"], &["d03"]).touches(&two));
    }

    #[test]
    fn conditions_cover_what_they_do_not_exclude() {
        let matcher = |name: &str, value: &str, is_regex: bool| Matcher { name: name.into(), value: value.into(), is_regex, is_equal: true };
        let narrow = [matcher("district", "d01|d02", true), matcher("scenario", "bridge", false)];
        assert!(scope(&["bridge"], &["d01", "d02"]).covers(&Subject::of_matchers(&narrow)));
        assert!(!scope(&["bridge"], &["d01"]).covers(&Subject::of_matchers(&narrow)));
        for open in [vec![], vec![matcher("district", "d.*", true)], vec![matcher("originator", "g", false)], vec![Matcher { is_equal: false, ..matcher("district", "d02", false) }]] {
            assert!(!scope(&[], &["d01"]).covers(&Subject::of_matchers(&open)), "{open:?}");
        }
    }

    #[test]
    fn the_machine_decides_nothing_about_cases() {
        for permission in Permission::ALL {
            let decides = matches!(permission, Permission::Handle | Permission::Decide | Permission::Command);
            assert_eq!(Actor::local().may(permission), !decides, "{}", permission.name());
            assert!(Actor::token().may_everywhere(permission) && Actor::open().may_everywhere(permission));
            assert!(!Actor::device(Some("rg-1")).may(permission));
        }
    }
}
