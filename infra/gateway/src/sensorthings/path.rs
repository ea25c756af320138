//! Resource paths: `Datastreams('rg-1/rain')/Observations`, by the standard's URL pattern.

use super::{Link, Set, Wrong};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The service itself.
    Root,
    /// A set.
    All(Set),
    /// One entity.
    One(Set, String),
    /// What an entity links to.
    Linked(Set, String, Link),
    /// The end point for many observations at once.
    CreateObservations,
}

/// Reads a path below `v1.1`, already percent-decoded.
///
/// # Errors
/// When it names nothing, or something of the standard that is not here.
pub fn parse(path: &str) -> Result<Resource, Wrong> {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Ok(Resource::Root);
    }
    if path == "CreateObservations" {
        return Ok(Resource::CreateObservations);
    }
    let (name, rest) = path.split_at(path.find(['(', '/']).unwrap_or(path.len()));
    let set = Set::of_plural(name).ok_or_else(|| no_set(name))?;
    if rest.is_empty() {
        return Ok(Resource::All(set));
    }
    let (id, rest) = id_of(rest).ok_or_else(|| Wrong::bad(format!("{path:?} is not of the form {name}(id)"), format!("{path:?} 应为 {name}(id) 的形式")))?;
    let Some(next) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok(Resource::One(set, id)) } else { Err(Wrong::none(path)) };
    };
    match set.link(next) {
        Some(link) => Ok(Resource::Linked(set, id, link)),
        None => Err(Wrong::absent(
            format!("{next:?} cannot be reached from one of {name}; there are {}; a path goes one link far", names(set)),
            format!("从 {name} 无法到达 {next:?}；可用：{}；路径只支持一级关联", names(set)),
        )),
    }
}

fn no_set(name: &str) -> Wrong {
    if name == "HistoricalLocations" {
        return Wrong::absent("this door keeps no HistoricalLocations", "本入口不提供 HistoricalLocations");
    }
    Wrong::none(format!("entity set {name:?}; there are {}", Set::ALL.map(Set::plural).join(", ")))
}

fn names(set: Set) -> String {
    set.links().iter().map(|link| link.name()).collect::<Vec<_>>().join(", ")
}

/// The id at the beginning of `(id)...`, and what follows.
fn id_of(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('(')?;
    let Some(mut rest) = text.strip_prefix('\'') else {
        let (id, rest) = text.split_once(')')?;
        return (!id.is_empty()).then(|| (id.to_owned(), rest));
    };
    let mut id = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        id.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                id.push('\'');
                rest = after;
            }
            None => return after.strip_prefix(')').filter(|_| !id.is_empty()).map(|rest| (id, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_sets_entities_and_links() {
        assert_eq!(parse("/").unwrap(), Resource::Root);
        assert_eq!(parse("Things").unwrap(), Resource::All(Set::Thing));
        assert_eq!(parse("Things(1)").unwrap(), Resource::One(Set::Thing, "1".into()));
        assert_eq!(parse("Datastreams('it''s (a/b)')").unwrap(), Resource::One(Set::Datastream, "it's (a/b)".into()));
        let link = Set::Datastream.link("Observations").unwrap();
        assert_eq!(parse("Datastreams('rg-1/rain')/Observations").unwrap(), Resource::Linked(Set::Datastream, "rg-1/rain".into(), link));
        assert_eq!(parse("CreateObservations").unwrap(), Resource::CreateObservations);
        for (path, status) in [
            ("Thing", 404), ("Things()", 400), ("Things('a", 400), ("Things(1)x", 404), ("Things(1)/Sensors", 501),
            ("HistoricalLocations", 501), ("Datastreams(1)/Thing/Locations", 501), ("Things('')", 400), ("Things(1", 400),
        ] {
            assert_eq!(parse(path).unwrap_err().status, status, "{path}");
        }
    }

    #[test]
    fn an_id_reads_as_it_was_written() {
        for id in ["1", "-7", "007", "rg-1/rain", "it's", "雨量", "9007199254740993"] {
            assert_eq!(parse(&format!("Things({})", super::super::quoted(id))).unwrap(), Resource::One(Set::Thing, id.into()));
        }
    }
}
