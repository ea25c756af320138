//! What a language model wrote into the form of a case, before it goes on: each field on its own, so that one that is wrong
//! does not take the others with it.

use schemas::agent::Elements;
use text::Reader;

use crate::claims;
use crate::filter::{Filter, Outbound};

/// The fields that may go on, and why others do not. `own` are our own words in the prompts, `message` is what the model read.
///
/// A field is held back by the filter ([`Filter::outward`]); a title also when it says what the message does not
/// ([`claims::title`], where the city's graph has been read).
pub fn kept(filter: &Filter, reader: Option<&Reader>, own: &[String], elements: Elements, message: &str) -> (Elements, Vec<String>) {
    let prompt: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut refused = Vec::new();
    let mut keep = |words: Option<String>| {
        words.filter(|text| {
            let found = filter.outward(&Outbound { text, given: message, prompt: &prompt, lines: false });
            refused.extend(found.iter().map(ToString::to_string));
            found.is_empty()
        })
    };
    let mut kept = Elements {
        address: keep(elements.address),
        place: keep(elements.place),
        time: keep(elements.time),
        people: keep(elements.people),
        thing: keep(elements.thing),
        wish: keep(elements.wish),
        title: keep(elements.title),
    };
    if let (Some(title), Some(reader)) = (&kept.title, reader) {
        let claims = claims::title(reader, title, message);
        if !claims.is_empty() {
            refused.extend(claims.iter().map(ToString::to_string));
            kept.title = None;
        }
    }
    (kept, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_goes_on_or_not_by_itself() {
        let message = "友谊路路灯不亮，电话是13812345678";
        let said = Elements {
            place: Some("友谊路".to_owned()),
            thing: Some("路灯<script>".to_owned()),
            people: Some("13812345678".to_owned()),
            title: Some("民主路路灯不亮".to_owned()),
            ..Elements::default()
        };
        let reader = Reader::new(&graph::Graph::builtin());
        let (elements, refused) = kept(&Filter::builtin(), Some(&reader), &[], said.clone(), message);
        assert_eq!(elements, Elements { place: Some("友谊路".to_owned()), ..Elements::default() });
        assert!(refused.len() >= 3, "{refused:?}");
        let (elements, _) = kept(&Filter::builtin(), None, &[], said.clone(), message);
        assert_eq!(elements.title, said.title, "without the graph nobody knows of places");
    }
}
