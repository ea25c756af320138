//! Where it is: addresses, roads, premises, regions and landmarks that a text names, and their nodes of the graph.
//!
//! Names end as names of places end: with the endings of the graph's rules for cases (路, 小区, street) and some more. What
//! stands before belongs to the name as long as its words can be names. Names that the graph knows are found as they are.
//! Knows no map beyond the graph: a road that the graph does not have is told without a node.

use std::collections::BTreeMap;

use graph::{Element, Graph, Here};
use serde::{Deserialize, Serialize};

use crate::lexicon::{Hit, Lexicon, Words};
use crate::limits::SLOW_CHARS_MAX;
use crate::normal::{Normal, is_han};
use crate::words::dictionary;

/// A place that a text names; offsets count characters of the original text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceFound {
    /// As it is written.
    pub text: String,
    /// Its first character.
    pub start: usize,
    /// Behind its last character.
    pub end: usize,
    /// The place or asset of the graph that it is, or that it lies on.
    pub node: Option<String>,
    /// Degrees of latitude: of the node, or of what that lies in.
    pub lat: Option<f64>,
    /// Degrees of longitude.
    pub lon: Option<f64>,
    /// Other nodes of the same name, and those of other places that the text names.
    pub alternatives: Vec<String>,
}

/// What a name ends with, from the vaguest to the most exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Region,
    Road,
    Premises,
    Number,
}

impl Ending {
    fn tenths(self) -> i32 {
        match self {
            Ending::Region => 10,
            Ending::Road => 25,
            Ending::Premises => 30,
            Ending::Number => 40,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Places {
    names: Lexicon<u32>,
    /// Id, latitude, longitude in microdegrees, and the places around it.
    nodes: Vec<Node>,
    /// Chinese endings by their last character, longest first.
    zh: BTreeMap<char, Vec<(Vec<char>, Ending)>>,
    en: BTreeMap<String, Ending>,
    no_zh: Vec<String>,
    no_en: Vec<String>,
}

#[derive(Debug)]
struct Node {
    id: String,
    point: Option<(i32, i32)>,
    around: Vec<String>,
    ending: Ending,
}

/// A name found, in normal characters.
#[derive(Debug, Clone)]
struct Candidate {
    start: usize,
    end: usize,
    ending: Ending,
    tenths: i32,
    nodes: Vec<u32>,
}

const ROADS: [&str; 12] = ["路", "街", "大道", "大街", "巷", "弄", "胡同", "路口", "高速", "国道", "省道", "立交"];
const NUMBERS: [&str; 9] = ["号", "栋", "幢", "单元", "号楼", "号院", "室", "座", "弄号"];
const REGIONS: [&str; 14] = ["省", "市", "区", "县", "镇", "乡", "村", "街道", "街道办", "组", "开发区", "新区", "社区", "经开区"];
const PREMISES: [&str; 26] = [
    "新城", "苑", "府", "园", "湾", "城", "轩", "庭", "公馆", "山庄", "别墅", "幼儿园", "大学城", "中心", "酒店", "宾馆", "商场", "超市", "派出所", "体育馆", "图书馆", "火车站", "高铁站", "码头", "水库", "工业园",
];
const PREMISES_EN: [&str; 16] = [
    "library", "market", "building", "tower", "apartments", "center", "centre", "airport", "church", "campus", "terminal", "playground", "plaza", "garden", "gardens", "clinic",
];
const ROADS_EN: [&str; 22] = [
    "street", "st", "road", "rd", "avenue", "ave", "av", "boulevard", "blvd", "lane", "ln", "drive", "dr", "court", "ct", "highway", "hwy", "parkway", "pkwy", "terrace", "way", "pl",
];
/// Words that end a name to the left.
const STOPS_ZH: [&str; 79] = [
    "在", "到", "从", "我", "你", "他", "她", "们", "是", "的", "了", "和", "与", "及", "跟", "把", "被", "对", "向", "由", "于", "往", "去", "经", "就", "也", "都", "这", "那", "每", "某", "请", "问", "来", "有", "没", "住", "位于", "家住", "我家", "地址",
    "附近", "旁边", "对面", "门口", "靠近", "本人", "居民", "业主", "市民", "您好", "你好", "领导", "反映", "投诉", "举报", "咨询", "求助", "建议", "希望", "路过", "经过", "为", "因", "但", "又", "还", "让", "使", "给", "将", "以", "我们", "你们", "他们", "关于", "整个",
    "多个", "几个",
];
const STOPS_EN: [&str; 52] = [
    "on", "at", "near", "in", "from", "to", "and", "is", "was", "are", "were", "behind", "outside", "opposite", "beside", "by", "of", "the", "with", "for", "between", "off", "along", "around", "across", "under", "over", "into", "where", "when", "has", "have",
    "been", "there", "here", "i", "we", "it", "live", "out", "down", "up", "front", "corner", "light", "lights", "broken", "pothole", "blocked", "flooded", "main", "water",
];

impl Places {
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut names = Words::new();
        let mut nodes: Vec<Node> = Vec::new();
        for entry in graph.entries() {
            let (id, name, aliases, kind, at) = match &entry.element {
                Element::Place(it) => (&it.id, &it.name, it.aliases.as_slice(), it.kind.as_str(), it.at),
                Element::Asset(it) => (&it.id, &it.name, [].as_slice(), "asset", it.at),
                _ => continue,
            };
            let Some(name) = name else { continue };
            let around = match &entry.element {
                Element::Asset(it) => it.place.as_deref().map(|place| graph.places_around(Here::at(place))).unwrap_or_default(),
                _ => graph.places_around(Here::at(id)),
            };
            let point = at.or_else(|| around.iter().find_map(|place| graph.point_of(Here::at(place))));
            let ending = match kind {
                "district" | "city" | "town" | "community" | "grid" => Ending::Region,
                "street" | "road" => Ending::Road,
                _ => Ending::Premises,
            };
            for name in [&name.zh, &name.en].into_iter().chain(aliases) {
                names.whole(name, nodes.len() as u32);
            }
            nodes.push(Node { id: id.to_string(), point: point.map(|point| (point.lat.0, point.lon.0)), around, ending });
        }
        // An automaton of nothing finds nothing.
        let quality = &graph.case_rules().quality;
        let mut zh: Vec<(Vec<char>, Ending)> = Vec::new();
        let mut en = BTreeMap::new();
        let classed = |word: &str| {
            if ROADS.contains(&word) || ROADS_EN.contains(&word) {
                Ending::Road
            } else if NUMBERS.contains(&word) {
                Ending::Number
            } else if REGIONS.contains(&word) {
                Ending::Region
            } else {
                Ending::Premises
            }
        };
        let own = ROADS.iter().chain(&NUMBERS).chain(&REGIONS).chain(&PREMISES).chain(&ROADS_EN).chain(&PREMISES_EN).copied();
        for word in quality.place_endings.iter().map(String::as_str).chain(own) {
            let word = crate::normalise(word);
            if word.chars().next().is_some_and(is_han) {
                zh.push((word.chars().collect(), classed(&word)));
            } else {
                let class = classed(&word);
                en.insert(word, class);
            }
        }
        zh.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        zh.dedup();
        let mut endings: BTreeMap<char, Vec<(Vec<char>, Ending)>> = BTreeMap::new();
        for (word, ending) in zh {
            if let Some(last) = word.last() {
                endings.entry(*last).or_default().push((word, ending));
            }
        }
        let (no_zh, no_en) = quality.no_places.iter().cloned().partition(|word| word.chars().next().is_some_and(is_han));
        Self { names: names.build(), nodes, zh: endings, en, no_zh, no_en }
    }

    /// The places of a text: the one that it is most likely about, and all, from left to right.
    pub(crate) fn find(&self, original: &str, normal: &Normal) -> (Option<PlaceFound>, Vec<(usize, usize)>) {
        let mut candidates = Vec::new();
        self.chinese(normal, &mut candidates);
        self.english(normal, original, &mut candidates);
        self.known(normal, &mut candidates);
        candidates.sort_by_key(|candidate| (candidate.start, candidate.end));
        let spans = candidates.iter().map(|candidate| normal.original(candidate.start, candidate.end)).collect();
        let best = candidates.iter().max_by_key(|candidate| (score(normal, candidate), std::cmp::Reverse(candidate.start)));
        let found = best.map(|best| self.told(original, normal, best, &candidates));
        (found, spans)
    }

    fn told(&self, original: &str, normal: &Normal, best: &Candidate, all: &[Candidate]) -> PlaceFound {
        let (start, end) = normal.original(best.start, best.end);
        let named: Vec<&str> = all.iter().flat_map(|candidate| &candidate.nodes).map(|node| self.nodes[*node as usize].id.as_str()).collect();
        // Of several of the same name, the one whose surroundings the text names too; the most exact of those in one address.
        let fits = |node: u32| self.nodes[node as usize].around.iter().skip(1).filter(|place| named.contains(&place.as_str())).count();
        let mut nodes = best.nodes.clone();
        nodes.sort_by_key(|node| (std::cmp::Reverse(self.nodes[*node as usize].ending), std::cmp::Reverse(fits(*node)), *node));
        let mut alternatives: Vec<String> = Vec::new();
        for id in nodes.iter().skip(1).map(|node| self.nodes[*node as usize].id.as_str()).chain(named) {
            if nodes.first().is_none_or(|first| self.nodes[*first as usize].id != id) && !alternatives.iter().any(|other| other == id) {
                alternatives.push(id.to_owned());
            }
        }
        alternatives.truncate(ALTERNATIVES_MAX);
        let node = nodes.first().map(|node| &self.nodes[*node as usize]);
        let degrees = |micro: i32| f64::from(micro) / 1e6;
        PlaceFound {
            text: original.chars().skip(start).take(end - start).collect(),
            start,
            end,
            node: node.map(|node| node.id.clone()),
            lat: node.and_then(|node| node.point).map(|point| degrees(point.0)),
            lon: node.and_then(|node| node.point).map(|point| degrees(point.1)),
            alternatives,
        }
    }

    /// Names that the graph knows, as they are.
    fn known(&self, normal: &Normal, candidates: &mut Vec<Candidate>) {
        let mut hits: Vec<Hit<u32>> = Vec::new();
        self.names.find(normal, &mut hits);
        let mut reached = 0;
        for hit in &hits {
            // 新华路 is in 新华路小学: the longer name has said it. Names of the same stretch are alternatives.
            let same = candidates.iter().position(|candidate| candidate.start < hit.end && hit.start < candidate.end);
            if hit.start < reached && same.is_none_or(|at| !candidates[at].nodes.iter().any(|_| true)) {
                continue;
            }
            let ending = self.nodes[hit.tag as usize].ending;
            match same {
                Some(at) => {
                    let candidate = &mut candidates[at];
                    if candidate.nodes.is_empty() {
                        candidate.tenths += 30;
                    }
                    candidate.start = candidate.start.min(hit.start);
                    candidate.end = candidate.end.max(hit.end);
                    candidate.nodes.push(hit.tag);
                }
                None => candidates.push(Candidate { start: hit.start, end: hit.end, ending, tenths: ending.tenths() + 30, nodes: vec![hit.tag] }),
            }
            reached = reached.max(hit.end);
        }
    }

    /// The ending of a name that these characters end with.
    fn ending(&self, chars: &[char]) -> Option<&(Vec<char>, Ending)> {
        let last = chars.last().filter(|c| is_han(**c))?;
        self.zh.get(last)?.iter().find(|(suffix, _)| chars.ends_with(suffix))
    }

    fn chinese(&self, normal: &Normal, candidates: &mut Vec<Candidate>) {
        let chars = &normal.chars[..normal.chars.len().min(SLOW_CHARS_MAX)];
        // No word and no name goes beyond these signs, so only the stretches between them that hold an ending are cut.
        let is_han_at = |at: usize| chars.get(at).is_some_and(|c| is_han(*c));
        let parts = |at: usize| match chars[at] {
            ',' | '!' | '?' | ';' | ':' | ' ' | '"' | '(' | ')' => true,
            '.' => at > 0 && is_han_at(at - 1) && (is_han_at(at + 1) || at + 1 == chars.len()),
            _ => false,
        };
        let (mut start, mut holds) = (0, false);
        for at in 0..=chars.len() {
            if at == chars.len() || parts(at) {
                if holds {
                    self.stretch(normal, start, at, candidates);
                }
                (start, holds) = (at + 1, false);
            } else if !holds {
                holds = self.ending(&chars[start..=at]).is_some_and(|(suffix, ending)| *ending != Ending::Number || is_numbered(&chars[start..at + 1 - suffix.len()]));
            }
        }
    }

    /// The names of one stretch.
    fn stretch(&self, normal: &Normal, from: usize, to: usize, candidates: &mut Vec<Candidate>) {
        let mut tokens = dictionary().tag(normal.slice(from, to), false);
        for token in &mut tokens {
            (token.start, token.end) = (token.start + from, token.end + from);
        }
        for (at, token) in tokens.iter().enumerate() {
            // 88号路灯 is cut into 88, 号路 and 灯: a road does not go on with a lamp.
            let is_lamp = normal.chars[token.end - 1] == '路' && normal.chars.get(token.end).is_some_and(|next| "灯面边况".contains(*next));
            let token_end = token.end - usize::from(is_lamp);
            if token_end == token.start || !is_han(normal.chars[token_end - 1]) {
                continue;
            }
            let Some((suffix, ending)) = self.ending(&normal.chars[..token_end]) else { continue };
            let ending = *ending;
            let suffix_at = token_end - suffix.len();
            if ending == Ending::Number && !is_numbered(&normal.chars[..suffix_at]) {
                continue;
            }
            let mut begin = at;
            while begin > 0 && token_end - tokens[begin - 1].start <= NAME_CHARS_MAX && self.goes_on(&tokens[begin - 1], begin == at && tokens[at].start <= suffix_at && tokens[at].end - tokens[at].start == suffix.len()) {
                begin -= 1;
            }
            let start = tokens[begin].start;
            let name: usize = suffix_at.saturating_sub(start);
            let least = match ending {
                Ending::Number => 1,
                _ if suffix.len() > 1 => 1,
                _ => 1 + usize::from(matches!(ending, Ending::Premises)),
            };
            let slice = normal.slice(start, token_end);
            if name < least || self.no_zh.iter().any(|no| slice.ends_with(no.as_str())) && name <= 2 || NO_NAMES.contains(&token.word) && !self.is_named(tokens[begin..at].first()) {
                continue;
            }
            match candidates.last_mut() {
                Some(before) if start <= before.end => {
                    before.end = token_end;
                    before.tenths = before.tenths.max(ending.tenths()) + 5;
                    before.ending = before.ending.max(ending);
                }
                // A number alone is no place.
                _ if ending == Ending::Number && name < 3 => {}
                _ => candidates.push(Candidate { start, end: token_end, ending, tenths: ending.tenths(), nodes: Vec::new() }),
            }
        }
    }

    /// Whether a word makes a name of what alone is none: 人民医院, but not 整条马路.
    fn is_named(&self, first: Option<&jieba_rs::Tag<'_>>) -> bool {
        first.is_some_and(|first| first.tag.starts_with('n') && first.word.chars().next().is_some_and(is_han))
    }

    /// Whether a word can be a part of a name whose end stands behind it.
    fn goes_on(&self, token: &jieba_rs::Tag<'_>, adjacent: bool) -> bool {
        let Some(c) = token.word.chars().next() else { return false };
        if !(c.is_alphanumeric()) || STOPS_ZH.contains(&token.word) {
            return false;
        }
        if c.is_ascii_alphanumeric() {
            return true;
        }
        match token.tag.as_bytes().first() {
            // 八点, 三天, 两个: what is counted or when it was belongs to no name.
            Some(b'm') if token.word.ends_with(['点', '时', '分', '天', '日', '月', '年', '次', '个', '只', '条', '整']) => false,
            // Verbs, adjectives and such are names only right before the ending: 建设路, 幸福小区.
            Some(b'v' | b'a' | b'z' | b'd' | b'i' | b'l') => adjacent && token.end - token.start >= 2,
            Some(b'p' | b'c' | b'u' | b'r' | b'y' | b'e' | b'o' | b'w' | b't') => false,
            _ => true,
        }
    }

    fn english(&self, normal: &Normal, original: &str, candidates: &mut Vec<Candidate>) {
        let end = normal.chars.len().min(SLOW_CHARS_MAX);
        let words = latin_words(&normal.chars[..end]);
        if words.len() < 2 {
            return;
        }
        // Where no word ends a name, there is nothing to look up.
        if !words[1..].iter().any(|word| self.en.contains_key(normal.slice(word.0, word.1))) {
            return;
        }
        let originals: Vec<char> = original.chars().take(normal.original_chars).collect();
        let capital = |word: &(usize, usize)| normal.origin.get(word.0).and_then(|at| originals.get(*at as usize)).is_some_and(|c| c.is_uppercase() || c.is_ascii_digit());
        let text = |word: &(usize, usize)| normal.slice(word.0, word.1);
        let joined = |one: &(usize, usize), next: &(usize, usize)| next.0 - one.1 <= 1 + usize::from(normal.chars[one.1] == '.') && matches!(normal.chars[one.1], ' ' | '.' | '-' | '\'');
        let mut before: Option<usize> = None;
        for at in 1..words.len() {
            let Some(ending) = self.en.get(text(&words[at])).copied() else { continue };
            let mut begin = at;
            while begin > 0 && at - begin < 4 && joined(&words[begin - 1], &words[begin]) {
                let word = text(&words[begin - 1]);
                let number = word.as_bytes()[0].is_ascii_digit();
                // Main is a name when it is written as one.
                let stop = (STOPS_EN.contains(&word) && !(word == "main" && capital(&words[begin - 1]))) || self.no_en.iter().any(|no| no == word) || self.en.contains_key(word) && begin < at && !capital(&words[begin - 1]);
                if stop || (number && begin == at && !word.ends_with(|c: char| c.is_ascii_alphabetic()) && ending != Ending::Road) {
                    break;
                }
                begin -= 1;
                if number && word.bytes().all(|byte| byte.is_ascii_digit()) {
                    break;
                }
            }
            if begin == at {
                continue;
            }
            let numbered = text(&words[begin]).bytes().all(|byte| byte.is_ascii_digit()) && at - begin >= 2;
            let named = words[begin..at].iter().any(capital);
            if !named {
                continue;
            }
            let (start, end) = (words[begin].0, words[at].1);
            let tenths = if numbered { Ending::Number.tenths() } else { ending.tenths() };
            // Main St and 5th Ave.
            if let Some(index) = before
                && let Some(other) = candidates.get_mut(index)
                && other.ending == Ending::Road
                && ending == Ending::Road
                && other.end <= start
                && matches!(normal.slice(other.end, start).trim_matches(|c| c == ' ' || c == '.'), "and" | "&" | "at" | "/")
            {
                other.end = end;
                other.tenths += 12;
                continue;
            }
            // A longer name of the same place: Luonan Road Primary School.
            if let Some(index) = before
                && let Some(other) = candidates.get_mut(index)
                && start < other.end
            {
                (other.end, other.ending) = (end, other.ending.max(ending));
                other.tenths = other.tenths.max(tenths);
                continue;
            }
            before = Some(candidates.len());
            candidates.push(Candidate { start, end, ending, tenths, nodes: Vec::new() });
        }
    }
}

const NAME_CHARS_MAX: usize = 14;
const ALTERNATIVES_MAX: usize = 8;

/// Words that end like a place and name none.
const NO_NAMES: [&str; 34] = [
    "小区", "社区", "地区", "城市", "本市", "全市", "我市", "超市", "市", "区", "县", "村", "学校", "医院", "公园", "广场", "街道", "农村", "校园", "法院", "中心", "城", "府", "政府", "座", "一路", "组", "公路", "道路", "马路", "信号", "账号", "编号", "型号",
];

/// Whether a number stands at the end, so that what follows counts houses: 88号, but not 信号.
fn is_numbered(before: &[char]) -> bool {
    before.last().is_some_and(|c| c.is_ascii_alphanumeric() || "一二三四五六七八九十".contains(*c))
}

/// Words of Latin letters and digits.
fn latin_words(chars: &[char]) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let start = at;
        while at < chars.len() && (chars[at].is_ascii_alphanumeric() || (chars[at] == '\'' && chars.get(at + 1).is_some_and(char::is_ascii_alphabetic))) {
            at += 1;
        }
        words.push((start, at));
    }
    words
}

/// How likely a text is about a place: the more exact, said as a place, early.
fn score(normal: &Normal, candidate: &Candidate) -> i32 {
    let before = normal.slice(candidate.start.saturating_sub(5), candidate.start).trim_end();
    let said = ["在", "位于", "地址:", "地点:", "住", "到", "near", "at", "on", "outside", "地址"].iter().any(|word| before.ends_with(word));
    candidate.tenths + if said { 8 } else { 0 } - (candidate.start.min(1000) / 40) as i32 + (candidate.end - candidate.start).min(16) as i32 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, place: &str, node: Option<&str>) {
        let places = Places::new(&Graph::builtin());
        let (found, _) = places.find(text, &Normal::of(text));
        let found = found.unwrap_or_else(|| panic!("no place in {text}"));
        assert_eq!((found.text.as_str(), found.node.as_deref()), (place, node), "{text}: {found:?}");
        assert_eq!(text.chars().skip(found.start).take(found.end - found.start).collect::<String>(), place);
    }

    #[test]
    fn places_of_the_graph() {
        check("中山大道88号路灯不亮", "中山大道88号", Some("d03-s1"));
        check("我住在西城区民主路，门口积水", "西城区民主路", Some("d03-s2"));
        check("鼓楼广场有人摆摊", "鼓楼广场", Some("drum-tower-square"));
        check("Street light out at 12 University Road since Monday", "12 University Road", Some("d04-s1"));
        check("北岸区停水了", "北岸区", Some("d01"));
    }

    #[test]
    fn places_beyond_the_graph() {
        check("我家住在丽水新城小区3栋，楼上漏水", "丽水新城小区3栋", None);
        check("人民医院门口堵车", "人民医院", None);
        check("There is a pothole at 88 Main St near the school", "88 Main St", None);
        check("Signal broken at Main St and 5th Ave.", "Main St and 5th Ave", None);
        check("Trash near Riverside Park", "Riverside Park", None);
    }

    #[test]
    fn no_place() {
        let places = Places::new(&Graph::builtin());
        for text in ["路灯不亮", "我们小区停水", "感谢你们", "", "the street is dirty", "整条马路都是坑"] {
            let (found, _) = places.find(text, &Normal::of(text));
            assert_eq!(found, None, "{text}");
        }
    }
}
