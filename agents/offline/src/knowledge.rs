//! `citybrain know`: the knowledge base over files: check documents, search them, measure the search.
//!
//! Documents are the Markdown files of `<home>/knowledge` with all its folders, or those that ship with the program where
//! there is no such folder. The words of the graph's categories widen a search.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use ::knowledge::evaluate::{Drafts, Figures, Method, drafts, figures, places, read, read_unanswered, unknown};
use ::knowledge::limits::BYTES_MAX;
use ::knowledge::{Kind, Knowledge, QUERIES, Query, UNANSWERED};
use anyhow::{Context as _, Result, bail, ensure};
use chrono::{Local, NaiveDate};
use graph::Graph;

use crate::Context;
use crate::route::city;

/// Where a home has its documents.
const FOLDER: &str = "knowledge";
/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 8;
/// Day of the evaluation: on it every shipped document is valid, so that the figures do not change with the calendar.
const EVALUATED_ON: (i32, u32, u32) = (2026, 6, 1);
/// Questions without a right section among the first three that are shown.
const MISSED_SHOWN: usize = 20;

/// The knowledge base: check its documents, search them, measure the search.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Action {
    /// What is wrong with the documents, and which are not cited: unreviewed, not valid yet, out of date
    Check {
        /// Folder of documents; without it `<home>/knowledge`, else what ships with the program
        #[arg(long, value_name = "FOLDER")]
        documents: Option<PathBuf>,
        /// The day; without it today
        #[arg(long, value_name = "YYYY-MM-DD")]
        on: Option<NaiveDate>,
    },
    /// The sections that answer a question
    Search {
        /// The question or message
        text: String,
        /// Folder of documents
        #[arg(long, value_name = "FOLDER")]
        documents: Option<PathBuf>,
        /// The day on which documents must be valid; without it today
        #[arg(long, value_name = "YYYY-MM-DD")]
        on: Option<NaiveDate>,
        /// Kinds: law, procedure, plan, service, case, faq
        #[arg(long, value_delimiter = ',', value_name = "KIND")]
        kind: Vec<String>,
        /// Id of a place of the graph: documents of other places are left out
        #[arg(long, value_name = "PLACE")]
        area: Option<String>,
        /// Hits
        #[arg(short, default_value_t = 3)]
        k: usize,
    },
    /// How well questions find their sections, beside word overlap and pairs of characters
    Eval {
        /// Folder of documents
        #[arg(long, value_name = "FOLDER")]
        documents: Option<PathBuf>,
        /// Questions: JSON lines with id, lang, held, text and relevant; without it those that ship with the program
        #[arg(long, value_name = "FILE")]
        queries: Option<PathBuf>,
    },
}

impl Args {
    /// Does what was asked.
    ///
    /// # Errors
    /// Documents that cannot be read, each with file and line; a kind or a place that is not there; questions that name
    /// sections that are not there.
    pub fn run(&self, context: &Context) -> Result<()> {
        match &self.action {
            Action::Check { documents, on } => check(context, documents.as_deref(), day(*on)),
            Action::Search { text, documents, on, kind, area, k } => {
                let knowledge = load(context, documents.as_deref())?;
                let graph = city(&context.home)?;
                let kinds = kind.iter().map(|word| Kind::of(word).with_context(|| format!("there is no kind `{word}`; there are: {}", Kind::ALL.map(Kind::word).join(", ")))).collect::<Result<Vec<_>>>()?;
                let areas = area.as_deref().map_or_else(|| Ok(Vec::new()), |area| with_what_it_lies_in(&graph, area))?;
                let aliases = aliases(&graph);
                let query = Query { kinds: &kinds, areas: &areas, aliases: &aliases, limit: *k, ..Query::of(text, day(*on)) };
                search(context, &knowledge, &query)
            }
            Action::Eval { documents, queries } => {
                let questions = queries.as_ref().map_or_else(|| Ok(QUERIES.to_owned()), |path| std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display())))?;
                evaluated(context, &load(context, documents.as_deref())?, &questions)
            }
        }
    }
}

/// The evaluation of what ships with the program.
///
/// # Errors
/// Questions that name sections that are not there.
pub fn run(context: &Context) -> Result<()> {
    evaluated(context, &Knowledge::builtin(), QUERIES)
}

/// The knowledge base of a folder; without one that of the home, else what ships with the program. Reads files.
///
/// # Errors
/// A folder that cannot be read, and all that is wrong with its documents, each with file and line.
pub fn load(context: &Context, folder: Option<&Path>) -> Result<Knowledge> {
    match folder {
        Some(folder) => Ok(Knowledge::read(&texts(folder)?)?),
        None => of_home(&context.home),
    }
}

/// The knowledge base of a home, or what ships with the program where it has none. Reads files.
///
/// # Errors
/// A folder that cannot be read, and all that is wrong with its documents, each with file and line.
pub fn of_home(home: &Path) -> Result<Knowledge> {
    let own = home.join(FOLDER);
    if own.is_dir() { Ok(Knowledge::read(&texts(&own)?)?) } else { Ok(Knowledge::builtin()) }
}

/// What changes when a document of a home does: the newest change, and how many documents and bytes there are.
///
/// # Errors
/// A folder that cannot be read.
pub fn fingerprint(home: &Path) -> Result<(Option<SystemTime>, usize, u64)> {
    let own = home.join(FOLDER);
    let mut paths = Vec::new();
    if own.is_dir() {
        collect(&own, DEPTH_MAX, &mut paths)?;
    }
    let mut seen = (None, paths.len(), 0);
    for path in &paths {
        let about = path.metadata().with_context(|| format!("could not look at {}", path.display()))?;
        seen = (seen.0.max(about.modified().ok()), seen.1, seen.2 + about.len());
    }
    Ok(seen)
}

/// Groups of words that mean one matter: those of the graph's categories.
pub fn aliases(graph: &Graph) -> Vec<Vec<String>> {
    graph.categories().map(|category| category.words.iter().cloned().chain([category.name.zh.clone(), category.name.en.clone()]).collect()).collect()
}

/// A place of the graph and all that it lies in, as a search filters by.
///
/// # Errors
/// No place is called so.
pub fn with_what_it_lies_in(graph: &Graph, place: &str) -> Result<Vec<String>> {
    let mut areas: Vec<String> = Vec::new();
    let mut next = Some(place.to_owned());
    while let Some(id) = next {
        let place = graph.place(&id).with_context(|| format!("no place of the graph is called `{id}`"))?;
        next = place.parent.clone().filter(|outer| !areas.contains(outer));
        areas.push(id);
    }
    Ok(areas)
}

/// All Markdown files of a folder, by name.
fn texts(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut paths = Vec::new();
    collect(folder, DEPTH_MAX, &mut paths)?;
    paths.sort();
    ensure!(!paths.is_empty(), "no document (*.md) in {}", folder.display());
    let mut bytes = 0;
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        bytes += text.len();
        ensure!(bytes <= BYTES_MAX, "the documents of {} have more than {BYTES_MAX} bytes", folder.display());
        texts.push((path.display().to_string(), text));
    }
    Ok(texts)
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    ensure!(depth > 0, "{} lies more than {DEPTH_MAX} folders deep", folder.display());
    for entry in std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("could not list {}", folder.display()))?;
        let (path, kind) = (entry.path(), entry.file_type().with_context(|| format!("could not look at {}", entry.path().display()))?);
        if kind.is_dir() {
            collect(&path, depth - 1, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    Ok(())
}

fn day(on: Option<NaiveDate>) -> NaiveDate {
    on.unwrap_or_else(|| Local::now().date_naive())
}

fn check(context: &Context, folder: Option<&Path>, today: NaiveDate) -> Result<()> {
    let knowledge = load(context, folder)?;
    let concerns = knowledge.concerns(today);
    let held = concerns.iter().filter(|concern| concern.what.holds_back()).count();
    if context.json {
        let lines: Vec<_> = concerns.iter().map(|it| serde_json::json!({ "file": it.file, "line": it.line, "document": it.document, "cited": !it.what.holds_back(), "problem": it.what.words(context.zh) })).collect();
        let told = serde_json::json!({ "documents": knowledge.documents().len(), "sections": knowledge.sections().len(), "not_cited": held, "digest": knowledge.digest(), "concerns": lines });
        println!("{told}");
    } else {
        for concern in &concerns {
            println!("{}:{}: {}", concern.file, concern.line, concern.what.words(context.zh));
        }
        let (documents, sections, digest) = (knowledge.documents().len(), knowledge.sections().len(), &knowledge.digest()[..12]);
        if context.zh {
            println!("{documents} 份文档，{sections} 个条款，{held} 份不予引用，摘要 {digest}");
        } else {
            println!("{documents} documents, {sections} sections, {held} documents not cited, digest {digest}");
        }
    }
    if held > 0 {
        bail!("{}", context.t("有文档不予引用", "there are documents that are not cited"));
    }
    Ok(())
}

fn search(context: &Context, knowledge: &Knowledge, query: &Query) -> Result<()> {
    let hits = knowledge.search(query);
    if context.json {
        println!("{}", serde_json::json!({ "digest": knowledge.digest(), "on": query.today, "hits": hits }));
        return Ok(());
    }
    if hits.is_empty() {
        println!("{}", context.t("没有找到", "nothing found"));
    }
    for hit in &hits {
        let Some(section) = knowledge.section(&hit.section) else { continue };
        let document = knowledge.document_of(section);
        let title = if context.zh { &document.title.zh } else { &document.title.en };
        let until = document.valid_to.map_or_else(String::new, |last| format!("..{last}"));
        println!("[{}] {} · {}  ({} {}{until}, {:.1}, {} %)", hit.section, title, section.heading, document.number, document.valid_from, f64::from(hit.score_permille) / 1000.0, hit.covered_permille / 10);
        println!("    {}", knowledge.sentence(hit).unwrap_or_default().trim());
    }
    Ok(())
}

fn evaluated(context: &Context, knowledge: &Knowledge, questions: &str) -> Result<()> {
    let questions = read(questions).map_err(|problem| anyhow::anyhow!("questions: {problem}"))?;
    let missing = unknown(knowledge, &questions);
    ensure!(missing.is_empty(), "questions name sections that are not there: {missing:?}");
    let today = NaiveDate::from_ymd_opt(EVALUATED_ON.0, EVALUATED_ON.1, EVALUATED_ON.2).expect("it is a day");
    let groups = aliases(&city(&context.home)?);
    let found = places(knowledge, &questions, today, &groups);
    let figures = figures(&questions, &found);
    let missed: Vec<&str> = questions.iter().zip(&found[&Method::Search]).filter(|(_, place)| place.is_none_or(|at| at > 3)).map(|(asked, _)| asked.id.as_str()).collect();
    let unanswered = read_unanswered(UNANSWERED).map_err(|problem| anyhow::anyhow!("questions without an answer: {problem}"))?;
    let (drafts, refused) = drafts(knowledge, &questions, &unanswered, today, &groups);
    ensure!(refused == 0, "{refused} drafts in the documents' own words do not pass the check of citations");
    let begun = Instant::now();
    for asked in &questions {
        std::hint::black_box(knowledge.search(&Query { aliases: &groups, ..Query::of(&asked.text, today) }));
    }
    let each_us = begun.elapsed().as_micros() / questions.len().max(1) as u128;
    if context.json {
        println!("{}", serde_json::json!({ "digest": knowledge.digest(), "documents": knowledge.documents().len(), "sections": knowledge.sections().len(), "figures": figures, "drafts": drafts, "missed": missed, "search_us": each_us }));
        return Ok(());
    }
    print(context, &figures);
    print_drafts(context, &drafts);
    println!("{} {} µs, {} {}", context.t("每次检索", "a search takes"), each_us, knowledge.sections().len(), context.t("个条款", "sections"));
    println!("{} {}", context.t("前三条中没有正确条款的问题：", "questions without a right section among the first three:"), missed.iter().take(MISSED_SHOWN).copied().collect::<Vec<_>>().join(" "));
    println!("{}", context.t("问题与文档出自同一作者，用在别处请降低期望。", "One author wrote documents and questions: expect less on yours."));
    Ok(())
}

fn print(context: &Context, figures: &[Figures]) {
    let t = |zh, en| context.t(zh, en);
    println!("{:<8}{:<26}{:>8}{:>10}{:>10}{:>8}", "", t("方法", "method"), t("问题", "asked"), t("首位", "first"), t("前三", "in three"), "MRR");
    for it in figures {
        let method = match it.method {
            Method::Overlap => t("词重叠", "word overlap"),
            Method::Bigrams => t("字对 BM25", "BM25 on pairs"),
            Method::Plain => t("检索，不用图谱词", "search, without the graph"),
            Method::Search => t("检索", "search"),
        };
        println!("{:<8}{:<26}{:>8}{:>10.3}{:>10.3}{:>8.3}", it.of, method, it.questions, it.first, it.among_three, it.mrr);
    }
}

fn print_drafts(context: &Context, drafts: &[Drafts]) {
    let t = |zh, en| context.t(zh, en);
    println!("{:<8}{:<26}{:>8}{:>10}{:>10}{:>10}{:>10}", "", t("草稿", "draft"), t("有答案", "answered"), t("成稿", "drafted"), t("引用正确", "right"), t("无答案", "no answer"), t("拒绝", "refused"));
    for it in drafts {
        let how = if it.always { t("总取首位", "always the first hit") } else { t("按覆盖度", "when enough is covered") };
        println!("{:<8}{:<26}{:>8}{:>10.3}{:>10.3}{:>10}{:>10.3}", it.of, how, it.questions.0, it.drafted, it.right, it.questions.1, it.refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(home: &Path) -> Context {
        Context { home: home.to_owned(), data: None, json: false, quiet: true, zh: false }
    }

    fn asked(home: &Path, action: Action) -> Result<()> {
        Args { action }.run(&context(home))
    }

    fn search(kind: &[&str], area: Option<&str>) -> Action {
        Action::Search { text: "路灯不亮".to_owned(), documents: None, on: None, kind: kind.iter().map(|word| (*word).to_owned()).collect(), area: area.map(str::to_owned), k: 3 }
    }

    #[test]
    fn what_ships_is_checked_searched_and_measured() {
        let home = tempfile::tempdir().unwrap();
        asked(home.path(), Action::Check { documents: None, on: NaiveDate::from_ymd_opt(2026, 6, 1) }).unwrap();
        asked(home.path(), search(&["procedure"], Some("d03-s5"))).unwrap();
        asked(home.path(), Action::Eval { documents: None, queries: None }).unwrap();
        assert!(asked(home.path(), search(&["novel"], None)).unwrap_err().to_string().contains("law, procedure"));
        assert!(asked(home.path(), search(&[], Some("d99"))).unwrap_err().to_string().contains("d99"));
        let late = asked(home.path(), Action::Check { documents: None, on: NaiveDate::from_ymd_opt(2031, 1, 1) });
        assert!(late.unwrap_err().to_string().contains("not cited"));
    }

    #[test]
    fn the_documents_of_the_home_come_before_those_that_ship() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("knowledge/deeper");
        std::fs::create_dir_all(&folder).unwrap();
        let text = "---\nid: own\ntitle: { zh: 自有, en: Own }\nkind: faq\nissuer: 甲\nsource: a test\nvalid_from: 2026-01-01\n---\n## 一\n\n字。\n";
        std::fs::write(folder.join("own.md"), text).unwrap();
        std::fs::write(folder.join("notes.txt"), "no document").unwrap();
        let knowledge = load(&context(home.path()), None).unwrap();
        assert_eq!(knowledge.documents().iter().map(|document| document.id.as_str()).collect::<Vec<_>>(), ["own"]);
        assert!(asked(home.path(), Action::Check { documents: None, on: None }).is_err(), "it is not reviewed");
        std::fs::write(folder.join("own.md"), text.replace("kind: faq", "kind: novel")).unwrap();
        let wrong = load(&context(home.path()), None).err().unwrap().to_string();
        assert!(wrong.contains("own.md:4: "), "{wrong}");
        let empty = tempfile::tempdir().unwrap();
        assert!(load(&context(home.path()), Some(empty.path())).err().unwrap().to_string().contains("no document"));
    }

    #[test]
    fn a_place_with_what_it_lies_in() {
        assert_eq!(with_what_it_lies_in(&Graph::builtin(), "d03-s5").unwrap(), ["d03-s5", "d03"]);
    }
}
