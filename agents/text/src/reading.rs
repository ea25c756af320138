//! One text read: everything that a message says, but for the category that a model gives it.

use chrono::NaiveDateTime;
use graph::{Graph, Sorted};
use schemas::pii::{self, PiiSpan};
use serde::{Deserialize, Serialize};

use crate::brief::{self, Mark};
use crate::injection::{ATTEMPT_PERMILLE, Injection, Sign, weight_permille};
use crate::intent::{self, Intent, Wanted};
use crate::language::{Language, language};
use crate::lexicon::{Hit, Lexicon, Mood, Words, mood};
use crate::limits::READ_CHARS_MAX;
use crate::moment::{self, Moment};
use crate::normal::{Normal, is_han};
use crate::place::{PlaceFound, Places};

/// What a stretch of the text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Who reports, or whom it is about.
    Who,
    /// Where.
    Where,
    /// When.
    When,
    /// What: a word of the matter.
    What,
    /// How many, how much.
    HowMany,
    /// A word that made it urgent.
    Urgency,
    /// A word that means danger to people.
    Risk,
    /// A word that says what is wanted.
    Intent,
}

/// A stretch of the text; offsets count characters, `end` is behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// Its first character.
    pub start: usize,
    /// Behind its last character.
    pub end: usize,
    /// What it says.
    pub kind: SpanKind,
}

/// What a text says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its language.
    pub language: Language,
    /// Its category by the words of the graph.
    pub rules: Sorted,
    /// Other categories of which it has a word.
    pub rivals: Vec<String>,
    /// What is wanted.
    pub wanted: Wanted,
    /// 1 (at once) to 4.
    pub urgency: u8,
    /// Whether people are in danger.
    pub risk_to_life: bool,
    /// The place that it is about.
    pub place: Option<PlaceFound>,
    /// When it happened.
    pub moment: Option<Moment>,
    /// A title.
    pub title: String,
    /// Its best sentences.
    pub summary: String,
    /// Who, where, when, what, how many, and the words that decided; sorted by their beginning.
    pub spans: Vec<Span>,
    /// Whether it speaks to a machine instead of to the city.
    pub injection: bool,
    /// Where it does.
    pub signs: Vec<Sign>,
    /// Personal data, sorted by their beginning.
    pub pii: Vec<PiiSpan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    /// A word of a category: its place in the list.
    Category(u16),
    /// A word of danger to life.
    Risk,
    /// Fire, and people who need a doctor now: nothing lowers these.
    Rescue,
    /// What is urgent though nobody is in danger yet.
    Urgent,
    /// What soon becomes dangerous.
    Pressing,
    Intent(intent::Weight),
    /// A unit of counting.
    Unit,
    /// What stands before a name.
    Name,
}

/// Fire, and people who need a doctor now.
const RESCUE: &str = "着火|起火|失火|着了火|起大火|大火|浓烟|爆炸|昏迷|晕倒|昏倒|不省人事|没有呼吸|没呼吸|心脏骤停|心梗|大出血|流血不止|触电|溺水|落水|掉进河|掉进水|中毒|坠楼|跳楼|轻生|自杀|抽搐|窒息|休克|救护车|救命|on fire|caught fire|in flames|flames|explosion|exploded|unconscious|not breathing|cannot breathe|can't breathe|heart attack|heavy bleeding|bleeding|electrocuted|drowning|drowned|seizure|overdose|choking|ambulance|passed out|collapsed and|suicide|heavy smoke|thick smoke|smoke coming";
/// People in danger, beyond the words of the graph.
const RISK: &str = "被困|困在|受伤|伤人|被砸|砸到人|埋在|塌了|倒塌|坍塌|垮塌|踩踏|漏气|燃气味|煤气味|掉下去|掉进|摔伤|被电|漏电|持刀|砍人|生命危险|有人死|死亡|injured|hurt|trapped|stranded|stuck inside|gas leak|smell gas|smells gas|smell of gas|collapsed|collapsing|stampede|live wire|downed power line|power line down|hit by a car|stabbed|shooting|knife|fell into|died|killed";
/// What a unit should see to today.
const URGENT: &str = "紧急|十万火急|危急|马上|立即|立刻|尽快派人|快来|随时会|随时可能|很危险|非常危险|十分危险|安全隐患|危险|停水|停电|断电|断水|爆管|没水|没电|积水|塌陷|井盖缺失|井盖丢失|井盖没了|没有井盖|裸露电线|电线掉|电线脱落|电线垂|漏水严重|无法出门|无法通行|堵死|老人无法|孩子发烧|断药|urgent|urgently|emergency|immediately|right away|asap|dangerous|very dangerous|unsafe|no water|no power|power outage|no heat|flooded|flooding|sinkhole|missing manhole|manhole cover missing|exposed wire|exposed wires|blocked road|road blocked|impassable|tree down|fallen tree|burst";
/// What is dangerous once it comes.
const PRESSING: &str = "倾斜|开裂|裂缝|松动|掉落|脱落|摇晃|坠落|绊倒|摔倒|老化|leaning|cracked|cracks|loose|falling|tripping";
const UNITS: &str = "人|户|位|名|个|辆|条|处|盏|棵|栋|次|元|万元|块钱|米|公里|厘米|平方米|平米|吨|斤|公斤|分贝|度|天|小时|年|台|家|件|套|people|persons|cars|houses|households|families|meters|metres|feet|inches|miles|times|days|hours|weeks|months|dollars|lights|trees|residents|children|units|yuan|degrees|vehicles";
const NAMES: &str = "我叫|我是|本人|姓名:|姓名|联系人:|联系人|投诉人:|举报人:|来电人:|my name is|name:|i am|this is|contact:";

/// Reads texts; built once from a graph.
#[derive(Debug)]
pub struct Reader {
    words: Lexicon<Tag>,
    categories: Vec<(String, u8)>,
    injection: Injection,
    places: Places,
}

/// Memory that reading needs again and again.
#[derive(Debug, Default)]
struct Scratch {
    normal: Normal,
    hits: Vec<Hit<Tag>>,
    intents: Vec<(usize, usize, intent::Weight)>,
    moments: Vec<Moment>,
    marks: Vec<Mark>,
}

impl Reader {
    /// A reader for what this graph knows: its categories with their words, its words of danger, its places.
    pub fn new(graph: &Graph) -> Reader {
        let mut words = Words::new();
        let mut categories = Vec::new();
        for category in graph.categories() {
            for word in &category.words {
                words.beginning(word, Tag::Category(categories.len() as u16));
            }
            categories.push((category.id.to_string(), category.urgency));
        }
        for word in graph.city().map(|city| city.risk_words.as_slice()).unwrap_or_default() {
            words.beginning(word, Tag::Risk);
        }
        words.whole(RISK, Tag::Risk);
        words.whole(RESCUE, Tag::Rescue);
        words.whole(URGENT, Tag::Urgent);
        words.whole(PRESSING, Tag::Pressing);
        words.whole(UNITS, Tag::Unit);
        words.whole(NAMES, Tag::Name);
        intent::tell(|word, weight| words.whole(word, Tag::Intent(weight)));
        Reader { words: words.build(), categories, injection: Injection::new(), places: Places::new(graph) }
    }

    /// Reads a text that was written at `reference`, by whatever clock: moments come back by the same. Without a reference
    /// only moments with their year are told. Behind [`READ_CHARS_MAX`] characters only personal data are looked for.
    pub fn read(&self, text: &str, reference: Option<NaiveDateTime>) -> Reading {
        let mut scratch = Scratch::default();
        let Scratch { normal, hits, intents, moments, marks } = &mut scratch;
        normal.read(text, READ_CHARS_MAX);
        let normal = &*normal;
        self.words.find(normal, hits);
        let language = language(normal);
        let mut spans: Vec<Span> = Vec::new();
        let mut span = |start: usize, end: usize, kind: SpanKind| {
            let (start, end) = normal.original(start, end);
            if start < end {
                spans.push(Span { start, end, kind });
            }
        };

        let (rules, rivals, what) = self.sort(normal, hits);
        for (start, end) in what {
            span(start, end, SpanKind::What);
        }
        intents.extend(hits.iter().filter_map(|hit| if let Tag::Intent(weight) = hit.tag { Some((hit.start, hit.end, weight)) } else { None }));
        let mut wanted = intent::weigh(normal, intents);

        // How urgent, and by which words.
        let (mut risk_to_life, mut words_urgency) = (false, 4u8);
        let mut reached = 0;
        for hit in hits.iter() {
            let level = match hit.tag {
                Tag::Risk | Tag::Rescue | Tag::Urgent | Tag::Pressing if hit.start < reached => continue,
                Tag::Rescue => match mood(normal, hit.start, hit.end) {
                    Mood::Denied if !self.is_certain(normal, hit) => 3,
                    Mood::Feared if !self.is_certain(normal, hit) => 2,
                    Mood::Real | Mood::Denied | Mood::Feared => 1,
                },
                Tag::Risk => match mood(normal, hit.start, hit.end) {
                    Mood::Real => 1,
                    Mood::Feared => 2,
                    Mood::Denied => continue,
                },
                Tag::Urgent => match mood(normal, hit.start, hit.end) {
                    Mood::Denied => continue,
                    Mood::Real | Mood::Feared => 2,
                },
                Tag::Pressing => 3,
                Tag::Category(_) | Tag::Intent(_) | Tag::Unit | Tag::Name => continue,
            };
            reached = hit.end;
            words_urgency = words_urgency.min(level);
            if level == 1 {
                risk_to_life = true;
                span(hit.start, hit.end, SpanKind::Risk);
            } else {
                span(hit.start, hit.end, SpanKind::Urgency);
            }
        }
        if risk_to_life && !matches!(wanted.intent, Intent::Praise | Intent::Report) && wanted.confidence_permille < 500 {
            wanted.intent = Intent::Emergency;
        }
        let urgency = self.urgency(&rules, wanted.intent, words_urgency);

        let (place, places) = self.places.find(text, normal);
        for (start, end) in places.iter().copied() {
            spans.push(Span { start, end, kind: SpanKind::Where });
        }
        moment::find(normal, reference, moments);
        let moment = moment::best(moments, reference);
        spans.extend(moments.iter().map(|moment| Span { start: moment.start, end: moment.end, kind: SpanKind::When }));
        self.count(normal, hits, moments, &mut spans);
        spans.extend(wanted.words.iter().map(|(start, end)| Span { start: *start, end: *end, kind: SpanKind::Intent }));
        spans.sort_unstable();
        spans.dedup();

        let mut signs = Vec::new();
        self.injection.find(text, normal, &mut signs);
        let (masked, pii) = pii::mask(text);
        let chars: Vec<char> = masked.chars().take(READ_CHARS_MAX).collect();
        marks.extend(spans.iter().map(|span| (span.start, span.end, mark(span.kind))));
        if let Some(place) = &place {
            marks.push((place.start, place.end, 4));
        }
        let zh = chars.iter().take(200).filter(|c| is_han(**c)).count() * 4 >= chars.len().min(200);
        let (title, summary) = brief::title_and_summary(&chars, zh, marks, place.as_ref().map(|place| (place.start, place.end)));
        let injection = weight_permille(&signs) >= ATTEMPT_PERMILLE;
        Reading { language, rules, rivals, wanted, urgency, risk_to_life, place, moment, title, summary, spans, injection, signs, pii }
    }

    /// Words of fire and rescue that say what is, not what might be talked of.
    fn is_certain(&self, normal: &Normal, hit: &Hit<Tag>) -> bool {
        !matches!(normal.slice(hit.start, hit.end), "爆炸" | "中毒" | "触电" | "溺水" | "自杀" | "explosion" | "ambulance" | "救护车" | "suicide" | "大火")
    }

    /// The category by the graph's words, as [`Graph::sort_text`] has it.
    #[allow(clippy::type_complexity)]
    fn sort(&self, normal: &Normal, hits: &[Hit<Tag>]) -> (Sorted, Vec<String>, Vec<(usize, usize)>) {
        let mut found: Vec<(usize, &str, u16, usize, usize)> = Vec::new();
        for hit in hits {
            if let Tag::Category(category) = hit.tag {
                let word = normal.slice(hit.start, hit.end);
                found.push((word.len(), word, category, hit.start, hit.end));
            }
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)).then(self.categories[a.2 as usize].0.cmp(&self.categories[b.2 as usize].0)).then(a.3.cmp(&b.3)));
        let Some((_, word, category, _, _)) = found.first().copied() else {
            return (Sorted { category: "other".to_owned(), confidence_permille: 300, word: None }, Vec::new(), Vec::new());
        };
        let mut words: Vec<&str> = Vec::new();
        let mut rivals: Vec<String> = Vec::new();
        for (_, word, other, _, _) in &found {
            if *other != category && !words.contains(word) {
                words.push(word);
                let id = &self.categories[*other as usize].0;
                if !rivals.contains(id) {
                    rivals.push(id.clone());
                }
            }
        }
        let confidence_permille = 800 - 100 * words.len().min(4) as u32;
        let what = found.iter().filter(|(_, _, other, _, _)| *other == category).map(|(_, _, _, start, end)| (*start, *end)).collect();
        (Sorted { category: self.categories[category as usize].0.clone(), confidence_permille, word: Some(word.to_owned()) }, rivals, what)
    }

    fn urgency(&self, rules: &Sorted, intent: Intent, words: u8) -> u8 {
        let of_category = rules.word.as_ref().and_then(|_| self.categories.iter().find(|(id, _)| *id == rules.category)).map(|(_, urgency)| *urgency);
        let of_intent = match intent {
            Intent::Emergency => 1,
            Intent::Help | Intent::Complaint | Intent::Report => 3,
            Intent::Inquiry | Intent::Suggestion | Intent::Praise => 4,
        };
        match intent {
            Intent::Inquiry | Intent::Suggestion | Intent::Praise if words > 1 => words.max(3),
            Intent::Emergency => words.min(2),
            _ => words.min(of_category.unwrap_or(of_intent)).clamp(1, 4),
        }
    }

    /// Numbers with what they count, and names.
    fn count(&self, normal: &Normal, hits: &[Hit<Tag>], moments: &[Moment], spans: &mut Vec<Span>) {
        for hit in hits {
            match hit.tag {
                Tag::Unit => {
                    let number = |c: &char| c.is_ascii_digit() || matches!(c, '.' | '多' | '余' | '几' | '一' | '二' | '两' | '三' | '四' | '五' | '六' | '七' | '八' | '九' | '十' | '百' | '千' | '万' | ' ');
                    let length = normal.chars[..hit.start].iter().rev().take(10).take_while(|c| number(c)).count();
                    let start = (hit.start - length..hit.start).find(|at| !matches!(normal.chars[*at], ' ' | '.' | '多' | '余'));
                    let Some(start) = start else { continue };
                    let (start, end) = normal.original(start, hit.end);
                    if moments.iter().all(|moment| end <= moment.start || start >= moment.end) {
                        spans.push(Span { start, end, kind: SpanKind::HowMany });
                    }
                }
                Tag::Name => {
                    let rest = &normal.chars[hit.end..];
                    let skip = rest.iter().take_while(|c| matches!(c, ':' | ' ')).count();
                    let name = if rest.get(skip).is_some_and(|c| is_han(*c)) {
                        let length = rest[skip..].iter().take(5).take_while(|c| is_han(**c)).count();
                        // 我是 is a name only where a family name follows; what goes on is a sentence.
                        let family = rest.get(skip).is_some_and(|c| FAMILIES.contains(*c));
                        if (2..=3).contains(&length) && family { length } else { 0 }
                    } else if normal.slice(hit.start, hit.end).ends_with("name is") {
                        rest[skip..].iter().take(30).take_while(|c| c.is_ascii_alphabetic() || **c == ' ').count()
                    } else {
                        0
                    };
                    if name > 1 {
                        let (start, end) = normal.original(hit.end + skip, hit.end + skip + name);
                        spans.push(Span { start, end, kind: SpanKind::Who });
                    }
                }
                _ => {}
            }
        }
    }
}

const FAMILIES: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤";

fn mark(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Risk => 6,
        SpanKind::What => 5,
        SpanKind::Urgency => 3,
        SpanKind::Where | SpanKind::When => 3,
        SpanKind::Intent | SpanKind::HowMany => 2,
        SpanKind::Who => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reader() -> &'static Reader {
        static READER: std::sync::LazyLock<Reader> = std::sync::LazyLock::new(|| Reader::new(&Graph::builtin()));
        &READER
    }

    fn read(text: &str) -> Reading {
        let reference = chrono::NaiveDate::from_ymd_opt(2026, 3, 4).unwrap().and_hms_opt(10, 30, 0);
        reader().read(text, reference)
    }

    #[test]
    fn a_message() {
        let reading = read("您好！昨晚八点西城区中山大道88号路灯全部不亮，3位老人摔倒受伤，请尽快派人维修。联系人王小明13812345678");
        assert_eq!(reading.rules.category, "street_light");
        assert_eq!((reading.urgency, reading.risk_to_life), (1, true));
        assert_eq!(reading.place.as_ref().unwrap().node.as_deref(), Some("d03-s1"));
        assert_eq!(reading.moment.unwrap().at.to_string(), "2026-03-03 20:00:00");
        assert!(!reading.summary.contains("13812345678") && reading.summary.contains("88号"), "{}", reading.summary);
        assert!(reading.title.chars().count() <= 30 && reading.title.contains("路灯"), "{}", reading.title);
        assert_eq!(reading.pii.len(), 1);
        assert!(!reading.injection);
        for kind in [SpanKind::Who, SpanKind::Where, SpanKind::When, SpanKind::What, SpanKind::HowMany, SpanKind::Risk] {
            assert!(reading.spans.iter().any(|span| span.kind == kind), "{kind:?}");
        }
    }

    #[test]
    fn how_urgent_and_why() {
        for (text, urgency, risk) in [
            ("中山大道两车相撞，没有人受伤", 3, false),
            ("中山大道两车相撞，有人受伤", 1, true),
            ("担心围墙会倒塌，请来看看", 2, false),
            ("A car crash on Main St, no one is hurt", 3, false),
            ("A man is unconscious on Main St", 1, true),
            ("对面楼着火了", 1, true),
            ("三楼厨房起火，暂时没有人受伤", 1, true),
            ("想咨询一下如何申请公租房", 4, false),
            ("小区停水两天了", 2, false),
            ("感谢城管队员的帮助", 4, false),
            ("The building across the street is on fire!", 1, true),
        ] {
            let reading = read(text);
            assert_eq!((reading.urgency, reading.risk_to_life), (urgency, risk), "{text} {:?}", reading.wanted);
        }
    }

    #[test]
    fn categories_by_the_graph_and_by_whole_words() {
        assert_eq!(read("Dirty dishes on Main Street").rules.category, "other");
        assert_eq!(read("人孔蓋破損").rules.category, "sewer");
        let graph = Graph::builtin();
        for text in ["路灯不亮", "停水了，水管爆了", "噪音扰民，垃圾也没人收", "", "燃气泄漏", "Two trees fell onto Main Street"] {
            assert_eq!(read(text).rules, graph.sort_text(text), "{text}");
        }
    }

    #[test]
    fn a_megabyte_is_taken() {
        let long = "中山大道88号路灯不亮，".repeat(80_000);
        let reading = read(&long);
        assert_eq!(reading.rules.category, "street_light");
        for text in ["\0", "🙂🙂", "１", "。。。", &"9".repeat(1 << 20), &"a".repeat(1 << 20), &"昨天".repeat(1 << 16)] {
            read(text);
        }
    }

    proptest! {
        #[test]
        fn offsets_lie_inside_the_text(text in prop_oneof![any::<String>(), "[ 昨晚八点路灯坏了在中山大道88号3人王李，。a-zA-Z0-9:.@没有受伤😀\u{200b}Ａ１]{0,80}"]) {
            let count = text.chars().count();
            let reading = read(&text);
            let spans = reading.spans.iter().map(|span| (span.start, span.end));
            prop_assert!(reading.spans.is_sorted());
            prop_assert!(reading.pii.is_sorted());
            let all = spans
                .chain(reading.pii.iter().map(|span| (span.start, span.end)))
                .chain(reading.signs.iter().map(|sign| (sign.start, sign.end)))
                .chain(reading.place.iter().map(|place| (place.start, place.end)))
                .chain(reading.moment.iter().map(|moment| (moment.start, moment.end)));
            for (start, end) in all {
                prop_assert!(start < end && end <= count, "{}..{} of {}", start, end, count);
            }
            prop_assert!((1..=4).contains(&reading.urgency));
        }
    }
}
