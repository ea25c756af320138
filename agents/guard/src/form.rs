//! The form of a case: what the reader finds for it, and what a language model wrote into it, before it goes on. Each field is
//! taken on its own, so that one that is wrong does not take the others with it.

use schemas::agent::Elements;
use text::{Reader, Reading, SpanKind};

use crate::claims;
use crate::filter::{Filter, Outbound};

/// What the reader finds in a text for the form; it knows no wishes.
pub fn found(reading: &Reading, text: &str) -> Elements {
    let of = |kind: SpanKind| {
        let span = reading.spans.iter().find(|span| span.kind == kind)?;
        Some(text.chars().skip(span.start).take(span.end - span.start).collect::<String>())
    };
    let place = reading.place.as_ref().map(|place| place.text.clone());
    let (address, place) = if place.as_ref().is_some_and(|place| place.chars().any(|c| c.is_ascii_digit())) { (place, None) } else { (None, place) };
    let title = Some(reading.title.clone()).filter(|title| !title.is_empty());
    Elements { address, place, time: of(SpanKind::When), people: of(SpanKind::Who), thing: of(SpanKind::What), wish: None, title }
}

/// Both together. Places, times and titles are the reader's, who, what and the wish the model's: each is the better one there
/// (`citybrain eval agents`). Where the reader finds none of its own, the model's count when it `fills` gaps: ours does not,
/// since what it finds there is wrong too often.
pub fn together(read: Elements, said: Elements, fills: bool) -> Elements {
    let gap = |said: Option<String>| said.filter(|_| fills);
    Elements {
        address: read.address.or(gap(said.address)),
        place: read.place.or(gap(said.place)),
        time: read.time.or(gap(said.time)),
        people: said.people.or(read.people),
        thing: said.thing.or(read.thing),
        wish: said.wish.or(read.wish),
        title: read.title.or(gap(said.title)),
    }
}

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
    fn reader_and_model_fill_the_form_together() {
        let message = "昨晚八点友谊路路灯不亮，有老人摔倒，希望尽快修";
        let read = found(&Reader::new(&graph::Graph::builtin()).read(message, None), message);
        assert_eq!((read.place.as_deref(), read.wish.as_deref()), (Some("友谊路"), None));
        let said = Elements { place: Some("路灯".to_owned()), people: Some("老人".to_owned()), wish: Some("尽快修".to_owned()), ..Elements::default() };
        let both = together(read.clone(), said, true);
        assert_eq!((both.place.as_deref(), both.people.as_deref(), both.wish.as_deref()), (Some("友谊路"), Some("老人"), Some("尽快修")));
        let address = Elements { address: Some("8号".to_owned()), ..Elements::default() };
        assert_eq!((together(read.clone(), address.clone(), true).address, together(read, address, false).address), (Some("8号".to_owned()), None));
    }

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
