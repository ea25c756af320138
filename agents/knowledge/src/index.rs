//! The index of all sections: tantivy in memory, one segment, written by one thread, so that it is always the same.
//!
//! Numbers of sections are numbers of documents in the index. Queries are built of words, never parsed.

use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::directory::RamDirectory;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{DocId, ReloadPolicy, Score, Searcher, SegmentOrdinal, SegmentReader, TantivyDocument, Term};
use text::Normal;

use crate::document::Document;
use crate::section::Section;
use crate::terms::{self, Word};

/// Parts of a section that are weighed apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The document's titles, aliases and tags: what it is about.
    Title,
    /// The headings: what about it.
    Heading,
    /// How citizens ask for the section.
    Asked,
    /// Its words.
    Body,
    /// Pairs of Chinese characters of all of these.
    Pairs,
}

const PARTS: [Part; 5] = [Part::Title, Part::Heading, Part::Asked, Part::Body, Part::Pairs];

/// Memory that the writer begins with; it takes more when it needs it.
const WRITER_BYTES: usize = 16 << 20;

pub(crate) struct Index {
    fields: [Field; 5],
    searcher: Searcher,
    /// The document of each section.
    document_of: Arc<Vec<u32>>,
}

/// A word to look for: where, and how much it weighs.
pub(crate) struct Wanted<'a> {
    pub(crate) word: &'a str,
    pub(crate) part: Part,
    pub(crate) weight: f32,
}

impl Index {
    /// Of these sections, in this order.
    pub(crate) fn of(documents: &[Document], sections: &[Section]) -> Self {
        // Nothing here can fail: all of it is memory, and the fields are our own.
        Self::build(documents, sections).expect("an index in memory is built")
    }

    fn build(documents: &[Document], sections: &[Section]) -> tantivy::Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs).set_fieldnorms(true);
        let options = TextOptions::default().set_indexing_options(indexing);
        let fields = PARTS.map(|part| schema.add_text_field(&format!("{part:?}"), options.clone()));
        let mut writer = tantivy::Index::builder().schema(schema.build()).single_segment_index_writer::<TantivyDocument>(RamDirectory::create(), WRITER_BYTES)?;
        let mut about: Option<(usize, Vec<Word>, Vec<Word>)> = None;
        for section in sections {
            let document = &documents[section.document];
            if about.as_ref().is_none_or(|(of, ..)| *of != section.document) {
                let normal = Normal::of(&about_document(document));
                about = Some((section.document, terms::words(&normal), terms::pairs(&normal)));
            }
            let (title, mut pairs) = about.as_ref().map(|(_, words, pairs)| (words.clone(), pairs.clone())).unwrap_or_default();
            let heading = Normal::of(&headings(section));
            let asked = Normal::of(&asked_for(document, section));
            let body = Normal::of(&document.text[section.bytes.0..section.bytes.1]);
            pairs.extend(terms::pairs(&asked));
            pairs.extend(terms::pairs(&body));
            let mut entry = TantivyDocument::default();
            for (field, words) in fields.into_iter().zip([title, terms::words(&heading), terms::words(&asked), terms::words(&body), pairs]) {
                entry.add_pre_tokenized_text(field, tokens(words));
            }
            writer.add_document(entry)?;
        }
        let index = writer.finalize()?;
        let searcher = index.reader_builder().reload_policy(ReloadPolicy::Manual).num_warming_threads(0).try_into()?.searcher();
        let document_of = sections.iter().map(|section| section.document as u32).collect();
        Ok(Self { fields, searcher, document_of: Arc::new(document_of) })
    }

    /// The best sections of allowed documents: (score in thousandths, number), the best first and ties by number.
    pub(crate) fn best(&self, wanted: &[Wanted], allowed: Vec<bool>, limit: usize) -> Vec<(u32, usize)> {
        if wanted.is_empty() || limit == 0 {
            return Vec::new();
        }
        let clauses = wanted.iter().map(|wanted| {
            let word: Box<dyn Query> = Box::new(TermQuery::new(self.term(wanted.part, wanted.word), IndexRecordOption::WithFreqs));
            let weighed: Box<dyn Query> = Box::new(BoostQuery::new(word, wanted.weight));
            (Occur::Should, weighed)
        });
        let query = BooleanQuery::new(clauses.collect());
        let best = Best { limit, allowed: Arc::new(allowed), document_of: Arc::clone(&self.document_of) };
        self.searcher.search(&query, &best).expect("a search in memory succeeds")
    }

    /// In how many sections a word stands, and how many there are.
    pub(crate) fn frequency(&self, part: Part, word: &str) -> (u64, u64) {
        (self.searcher.doc_freq(&self.term(part, word)).expect("memory is read"), self.searcher.num_docs())
    }

    fn term(&self, part: Part, word: &str) -> Term {
        Term::from_field_text(self.fields[part as usize], word)
    }
}

/// What a document is about, in all its words for it.
fn about_document(document: &Document) -> String {
    let mut about = format!("{}\n{}\n", document.title.zh, document.title.en);
    about.push_str(&document.aliases.join("\n"));
    about.push('\n');
    about.push_str(&document.tags.join("\n"));
    about
}

/// The headings of a section, its own and those above.
fn headings(section: &Section) -> String {
    format!("{}\n{}", section.above.join("\n"), section.heading)
}

/// How citizens ask for a section.
fn asked_for(document: &Document, section: &Section) -> String {
    document.asked.get(section.name()).map_or_else(String::new, |phrases| phrases.join("\n"))
}

/// All that is said around a section's own words: titles, aliases, headings, and how it is asked for.
pub(crate) fn around(document: &Document, section: &Section) -> String {
    format!("{}\n{}\n{}", about_document(document), headings(section), asked_for(document, section))
}

fn tokens(words: Vec<Word>) -> PreTokenizedString {
    let token = |(position, word): (usize, Word)| Token { offset_from: word.start, offset_to: word.end, position, text: word.text, position_length: 1 };
    PreTokenizedString { text: String::new(), tokens: words.into_iter().enumerate().map(token).collect() }
}

/// Keeps the best hits among documents that are allowed.
struct Best {
    limit: usize,
    allowed: Arc<Vec<bool>>,
    document_of: Arc<Vec<u32>>,
}

struct Kept {
    limit: usize,
    allowed: Arc<Vec<bool>>,
    document_of: Arc<Vec<u32>>,
    /// Up to twice as many as are wanted; cut back when full.
    hits: Vec<(u32, usize)>,
}

impl Collector for Best {
    type Fruit = Vec<(u32, usize)>;
    type Child = Kept;

    fn for_segment(&self, _: SegmentOrdinal, _: &SegmentReader) -> tantivy::Result<Kept> {
        Ok(Kept { limit: self.limit, allowed: Arc::clone(&self.allowed), document_of: Arc::clone(&self.document_of), hits: Vec::with_capacity(2 * self.limit) })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, segments: Vec<Vec<(u32, usize)>>) -> tantivy::Result<Self::Fruit> {
        let mut hits = segments.concat();
        cut_back(&mut hits, self.limit);
        Ok(hits)
    }
}

impl SegmentCollector for Kept {
    type Fruit = Vec<(u32, usize)>;

    fn collect(&mut self, section: DocId, score: Score) {
        let section = section as usize;
        if self.allowed[self.document_of[section] as usize] {
            // Whole thousandths: the last bits of a sum of fractions are nobody's opinion.
            self.hits.push(((score * 1000.0).round() as u32, section));
            if self.hits.len() == 2 * self.limit {
                cut_back(&mut self.hits, self.limit);
            }
        }
    }

    fn harvest(mut self) -> Self::Fruit {
        cut_back(&mut self.hits, self.limit);
        self.hits
    }
}

fn cut_back(hits: &mut Vec<(u32, usize)>, limit: usize) {
    hits.sort_unstable_by_key(|(score, section)| (std::cmp::Reverse(*score), *section));
    hits.truncate(limit);
}
