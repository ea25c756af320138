//! Cutting a document into sections: by headings of Markdown, and by articles (第三条) of laws.

use std::collections::BTreeMap;

use crate::limits::{ID_CHARS_MAX, SECTION_CHARS_MAX};
use crate::quantity;

/// A part of a document that can be cited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its id: `document#section`. It is what the heading says it is (`{#limits}`), or the article's number (`a3`), or the
    /// heading's own words, and stays when sections are added before it.
    pub id: String,
    /// The number of its document in [`crate::Knowledge::documents`].
    pub document: usize,
    /// Its heading, without marks.
    pub heading: String,
    /// The headings above it, outermost first.
    pub above: Vec<String>,
    /// First character in the document's text, and behind the last, counted in Unicode characters.
    pub chars: (usize, usize),
    /// The same in bytes.
    pub bytes: (usize, usize),
    /// The line of its heading, from 1.
    pub line: usize,
}

impl Section {
    /// Its id within its document.
    pub fn name(&self) -> &str {
        self.id.split_once('#').map_or("", |(_, name)| name)
    }
}

/// A line that begins a section.
struct Head {
    line: usize,
    byte: usize,
    /// Behind the heading: where its own text begins.
    text: usize,
    /// 1 to 6, and 7 for an article without a heading.
    level: usize,
    heading: String,
    id: String,
}

/// The level of an article that stands as a paragraph: below every heading.
const ARTICLE: usize = 7;

/// Cuts the text from byte `body` on. Says what is wrong with sections by `complain(line, problem)`.
pub(crate) fn cut(document: &str, text: &str, body: usize, complain: &mut impl FnMut(usize, String)) -> Vec<Section> {
    let heads = heads(text, body, complain);
    let mut sections: Vec<Section> = Vec::new();
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut chars = Chars::of(text);
    for (number, head) in heads.iter().enumerate() {
        let end = heads.get(number + 1).map_or(text.len(), |next| next.byte);
        let end = head.byte + text[head.byte..end].trim_end().len();
        above.retain(|(level, _)| *level < head.level);
        let over = above.iter().map(|(_, heading)| heading.clone()).collect();
        above.push((head.level, head.heading.clone()));
        let holds = heads.get(number + 1).is_some_and(|next| next.level > head.level);
        if end <= head.text || text[head.text..end].trim().is_empty() {
            if !holds {
                complain(head.line, format!("section `{}` says nothing", head.heading));
            }
            continue;
        }
        if let Some(other) = lines.insert(&head.id, head.line) {
            complain(head.line, format!("section `{}` is there twice: also in line {other}; give one of them an id: `## … {{#id}}`", head.id));
        }
        let range = (chars.at(head.byte), chars.at(end));
        if range.1 - range.0 > SECTION_CHARS_MAX {
            complain(head.line, format!("section `{}` has {} characters, and at most {SECTION_CHARS_MAX} can be cited: put headings into it", head.heading, range.1 - range.0));
        }
        sections.push(Section {
            id: format!("{document}#{}", head.id),
            document: 0,
            heading: head.heading.clone(),
            above: over,
            chars: range,
            bytes: (head.byte, end),
            line: head.line,
        });
    }
    if sections.is_empty() && heads.is_empty() {
        complain(0, "a document without a section: begin one with `## heading`".to_owned());
    }
    sections
}

fn heads(text: &str, body: usize, complain: &mut impl FnMut(usize, String)) -> Vec<Head> {
    let mut heads = Vec::new();
    let mut line_number = text[..body].matches('\n').count();
    let mut byte = body;
    let mut fenced = false;
    for line in text[body..].split_inclusive('\n') {
        line_number += 1;
        let start = byte;
        byte += line.len();
        let trimmed = line.trim_end();
        if trimmed.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            continue;
        } else if let Some((level, heading)) = heading(trimmed) {
            let (heading, id) = match explicit(heading) {
                Some((heading, id)) => (heading, id.to_owned()),
                None => (heading, article(heading).map_or_else(|| slug(heading), |(number, _)| format!("a{number}"))),
            };
            if !is_id(&id) {
                complain(line_number, format!("`{heading}` makes no id: write one behind it, `{{#id}}`, of letters, digits and `-`, at most {ID_CHARS_MAX}"));
                continue;
            }
            heads.push(Head { line: line_number, byte: start, text: start + trimmed.len(), level, heading: heading.to_owned(), id });
        } else if let Some((number, length)) = article(trimmed.trim_start()) {
            // A heading that names the article has begun it already.
            let id = format!("a{number}");
            let start = start + trimmed.len() - trimmed.trim_start().len();
            if heads.last().is_none_or(|head: &Head| head.id != id) {
                heads.push(Head { line: line_number, byte: start, text: start + length, level: ARTICLE, heading: text[start..start + length].to_owned(), id });
            }
        } else if heads.is_empty() && !trimmed.is_empty() {
            // Words before the first heading: a section of their own.
            heads.push(Head { line: line_number, byte: start, text: start, level: ARTICLE, heading: String::new(), id: "preamble".to_owned() });
        }
    }
    heads
}

/// The level and the words of a heading.
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let words = line.get(level..)?.strip_prefix([' ', '\t'])?.trim();
    ((1..=6).contains(&level) && !words.is_empty()).then_some((level, words))
}

/// A heading with an id of its own: `Limits {#limits}`.
fn explicit(heading: &str) -> Option<(&str, &str)> {
    let (words, id) = heading.strip_suffix('}')?.rsplit_once("{#")?;
    Some((words.trim_end(), id))
}

/// The number of an article that a line begins with, and how many bytes name it: 第十二条, 第12条, 第十二条之一 is not one.
fn article(line: &str) -> Option<(u64, usize)> {
    let rest = line.strip_prefix('第')?;
    let digits = rest.find('条')?;
    let number = quantity::whole(rest.get(..digits)?)?;
    let length = '第'.len_utf8() + digits + '条'.len_utf8();
    let next = line[length..].chars().next();
    next.is_none_or(|c| c.is_whitespace() || matches!(c, '：' | ':')).then_some((number, length))
}

/// The Chinese part of a heading, as an id.
fn slug(heading: &str) -> String {
    let words = heading.split(" / ").next().unwrap_or(heading);
    let normal = text::normalise(words);
    let mut id = String::new();
    for c in normal.chars() {
        if c.is_alphanumeric() {
            id.push(c);
        } else if !id.ends_with('-') && !id.is_empty() {
            id.push('-');
        }
    }
    id.trim_end_matches('-').chars().take(ID_CHARS_MAX).collect()
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.chars().count() <= ID_CHARS_MAX && id.chars().all(|c| c.is_alphanumeric() || c == '-')
}

/// Counts characters of a text from left to right, each once.
struct Chars<'a> {
    text: &'a str,
    byte: usize,
    chars: usize,
}

impl<'a> Chars<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, byte: 0, chars: 0 }
    }

    /// The number of the character at this byte, which is not before the last one that was asked for.
    fn at(&mut self, byte: usize) -> usize {
        self.chars += self.text[self.byte..byte].chars().count();
        self.byte = byte;
        self.chars
    }
}
