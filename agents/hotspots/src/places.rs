//! The places that a message names, by how names of places end: 丽发新城, 云塘路, 暮云街道, A2区; Oak Street.
//!
//! Made to compare two messages, not to find a place on the map: it knows no gazetteer, so one name may be cut into
//! its parts (武广新城 and 伊景园), and a name that it misses is still compared as text.

use serde::{Deserialize, Serialize};

use crate::common::{FORMULAS, is_english_filler};
use crate::concepts::concept_at;
use crate::limits::MESSAGE_PLACES_MAX;

/// What a name stands for; the order is from the narrow to the wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// A housing estate, school, market, station, village.
    Site,
    /// A road, bridge, bus or metro line.
    Road,
    /// A company: it may be at many places.
    Company,
    /// A street office or a town.
    Area,
    /// A district or county.
    District,
}

/// A place as it was named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// What it is.
    pub kind: PlaceKind,
    /// The whole name, normalised.
    pub name: String,
    /// The name without what all of its kind share: 丽发 of 丽发新城.
    pub core: String,
}

impl Place {
    /// Whether two names may be names of one place: the same, the same core, or one core within the other.
    pub fn is_alias(&self, other: &Place) -> bool {
        if self.kind != other.kind {
            return false;
        }
        if self.name == other.name || matches!(self.kind, PlaceKind::District | PlaceKind::Area) {
            return self.name == other.name;
        }
        let (short, long) = if self.core.len() <= other.core.len() { (&self.core, &other.core) } else { (&other.core, &self.core) };
        short.chars().count() >= 2 && (long.starts_with(short.as_str()) || long.ends_with(short.as_str()))
    }
}

/// A place and where it stands, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub place: Place,
    pub start: usize,
    pub end: usize,
}

/// Endings of several characters; they need a name of two characters before them, or Latin ones.
const LONG: &[(&str, PlaceKind)] = &[
    ("小区", PlaceKind::Site), ("新城", PlaceKind::Site), ("新村", PlaceKind::Site), ("新苑", PlaceKind::Site), ("花园", PlaceKind::Site), ("花苑", PlaceKind::Site), ("家园", PlaceKind::Site),
    ("公寓", PlaceKind::Site), ("大厦", PlaceKind::Site), ("广场", PlaceKind::Site), ("社区", PlaceKind::Site), ("学校", PlaceKind::Site), ("小学", PlaceKind::Site), ("中学", PlaceKind::Site),
    ("大学", PlaceKind::Site), ("学院", PlaceKind::Site), ("幼儿园", PlaceKind::Site), ("医院", PlaceKind::Site), ("公园", PlaceKind::Site), ("市场", PlaceKind::Site), ("商场", PlaceKind::Site),
    ("超市", PlaceKind::Site), ("酒店", PlaceKind::Site), ("火车站", PlaceKind::Site), ("汽车站", PlaceKind::Site), ("地铁站", PlaceKind::Site), ("车站", PlaceKind::Site), ("楼盘", PlaceKind::Site),
    ("名城", PlaceKind::Site), ("名苑", PlaceKind::Site), ("名都", PlaceKind::Site), ("名邸", PlaceKind::Site), ("雅苑", PlaceKind::Site), ("雅居", PlaceKind::Site), ("嘉园", PlaceKind::Site),
    ("嘉苑", PlaceKind::Site), ("华府", PlaceKind::Site), ("国际", PlaceKind::Site), ("世家", PlaceKind::Site), ("半岛", PlaceKind::Site), ("山庄", PlaceKind::Site), ("庄园", PlaceKind::Site),
    ("别墅", PlaceKind::Site), ("工业园", PlaceKind::Site), ("产业园", PlaceKind::Site), ("物流园", PlaceKind::Site), ("科技园", PlaceKind::Site), ("花城", PlaceKind::Site), ("湾畔", PlaceKind::Site),
    ("大道", PlaceKind::Road), ("大桥", PlaceKind::Road), ("大街", PlaceKind::Road), ("隧道", PlaceKind::Road), ("高架", PlaceKind::Road), ("立交桥", PlaceKind::Road), ("立交", PlaceKind::Road),
    ("高速", PlaceKind::Road), ("胡同", PlaceKind::Road), ("号线", PlaceKind::Road), ("涵洞", PlaceKind::Road), ("公路", PlaceKind::Road),
    ("有限公司", PlaceKind::Company), ("公司", PlaceKind::Company), ("集团", PlaceKind::Company), ("物业", PlaceKind::Company), ("银行", PlaceKind::Company), ("驾校", PlaceKind::Company), ("健身", PlaceKind::Company),
    ("街道", PlaceKind::Area), ("开发区", PlaceKind::District), ("新区", PlaceKind::District),
];

/// Endings of one character, the characters before which they are part of a common word, and those behind which they are.
const SHORT: &[(char, PlaceKind, &str, &str)] = &[
    ('路', PlaceKind::Road, "公道马走铁网线思出一半修上下迷小沿条两主过开让占赶问带绕套顺陆高", "面灯口段边况线由人障基标过程上途径费过子"),
    ('街', PlaceKind::Road, "上逛条小", "坊头上"),
    ('巷', PlaceKind::Road, "小条", ""),
    ('桥', PlaceKind::Road, "天立过座修高", "梁"),
    ('弄', PlaceKind::Road, "戏", "得虚堂"),
    ('苑', PlaceKind::Site, "", ""),
    ('园', PlaceKind::Site, "公校花家乐菜果田庄入墓退幼全", "区林长丁"),
    ('城', PlaceKind::Site, "县古全进商满入老本都长省", "市管区乡建里中镇际投"),
    ('府', PlaceKind::Site, "政学官", ""),
    ('湾', PlaceKind::Site, "", ""),
    ('郡', PlaceKind::Site, "", ""),
    ('庭', PlaceKind::Site, "家法开", "审院"),
    ('轩', PlaceKind::Site, "", ""),
    ('邸', PlaceKind::Site, "", ""),
    ('居', PlaceKind::Site, "邻定移同群新民安旧", "民住委然留家"),
    ('里', PlaceKind::Site, "这那家屋夜城乡公心哪车区村路子水院手眼嘴肚店校楼厂园站巷房群包池河湖班县市镇海库道室场箱柜管桥洞街万英百千袋邻梦沟坑井", "面头外边程长"),
    ('坊', PlaceKind::Site, "作工磨", ""),
    ('阁', PlaceKind::Site, "内", ""),
    ('墅', PlaceKind::Site, "", ""),
    ('庄', PlaceKind::Site, "村山钱", "稼严园"),
    ('寨', PlaceKind::Site, "", ""),
    ('塘', PlaceKind::Site, "鱼池水", ""),
    ('村', PlaceKind::Site, "本全我农该各乡山进同邻", "民委里长镇支干书级庄主"),
    ('镇', PlaceKind::Area, "乡城本全集该", "政里上区静"),
    ('乡', PlaceKind::Area, "家下城老", "镇村下政里亲"),
    ('厂', PlaceKind::Site, "工建办该", "家房区商子"),
    ('区', PlaceKind::District, "小社片校园辖市城地景山库厂全该本各郊灾片宅务", "别域分间块政里内"),
    ('县', PlaceKind::District, "全本该各", "城政里委级"),
];

/// Characters that seldom stand in a name, and words that end before one.
const BEFORE: &str = "的在于是了和与及到从对向由被把给让去有这那该本各每某我你他们请为就都也还并且或但而之以等住至离距个条座栋处内外旁侧市区县省镇乡、";
const BEFORE_WORDS: &[&str] = &[
    "位于", "地处", "要求", "督促", "责令", "督办", "联合", "找到", "通知", "坐落", "座落", "靠近", "毗邻", "紧邻", "来自", "经过", "途经", "沿线", "期待", "质疑", "反对", "抗议", "求助", "家住", "租住", "居住", "隔壁", "整个", "所有", "街道", "开发商",
    "旁的", "路口", "交汇处", "交叉口", "前往", "进入", "开往", "晚上", "半夜", "凌晨", "物业", "西地省", "项目",
];
/// How long a name is before its ending, characters.
const CORE_CHARS_MAX: usize = 7;

/// Endings of English names, after the word before.
const ENGLISH: &[(&str, PlaceKind)] = &[
    ("street", PlaceKind::Road), ("st", PlaceKind::Road), ("road", PlaceKind::Road), ("rd", PlaceKind::Road), ("avenue", PlaceKind::Road), ("ave", PlaceKind::Road), ("lane", PlaceKind::Road),
    ("drive", PlaceKind::Road), ("boulevard", PlaceKind::Road), ("blvd", PlaceKind::Road), ("bridge", PlaceKind::Road), ("highway", PlaceKind::Road), ("tunnel", PlaceKind::Road), ("park", PlaceKind::Site),
    ("school", PlaceKind::Site), ("hospital", PlaceKind::Site), ("plaza", PlaceKind::Site), ("estate", PlaceKind::Site), ("apartments", PlaceKind::Site), ("mall", PlaceKind::Site), ("market", PlaceKind::Site),
    ("station", PlaceKind::Site), ("village", PlaceKind::Site), ("court", PlaceKind::Site), ("gardens", PlaceKind::Site), ("garden", PlaceKind::Site), ("tower", PlaceKind::Site), ("square", PlaceKind::Site),
    ("heights", PlaceKind::Site), ("district", PlaceKind::District),
];

/// Whether a character is one of Chinese writing.
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

fn starts_with(chars: &[char], word: &str) -> Option<usize> {
    let mut length = 0;
    for c in word.chars() {
        if chars.get(length) != Some(&c) {
            return None;
        }
        length += 1;
    }
    Some(length)
}

fn ends_with(chars: &[char], word: &str) -> bool {
    word.chars().rev().zip(chars.iter().rev()).filter(|(a, b)| a == *b).count() == word.chars().count()
}

/// The places named in normalised text, in the order of the text.
pub(crate) fn mentions(chars: &[char]) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    let mut at = 0;
    while at < chars.len() && found.len() < MESSAGE_PLACES_MAX {
        let free = found.last().map_or(0, |mention| mention.end);
        match ending(chars, at).and_then(|(length, kind, short)| chinese(chars, free, at, length, kind, short)).or_else(|| english(chars, free, at)) {
            Some(mention) => {
                at = mention.end;
                found.push(mention);
            }
            None => at += 1,
        }
    }
    found
}

/// The longest ending that begins here: its length, its kind, and whether it is of one character.
fn ending(chars: &[char], at: usize) -> Option<(usize, PlaceKind, bool)> {
    if !is_han(chars[at]) {
        return None;
    }
    let long = LONG.iter().filter_map(|(word, kind)| starts_with(&chars[at..], word).map(|length| (length, *kind, false))).max_by_key(|(length, ..)| *length);
    long.or_else(|| {
        let (_, kind, before, behind) = SHORT.iter().find(|(c, ..)| *c == chars[at])?;
        let common = at > 0 && before.contains(chars[at - 1]) || chars.get(at + 1).is_some_and(|next| behind.contains(*next));
        (!common).then_some((1, *kind, true))
    })
}

fn chinese(chars: &[char], free: usize, at: usize, length: usize, kind: PlaceKind, short: bool) -> Option<Mention> {
    let mut start = at;
    while start > free && at - start < CORE_CHARS_MAX {
        let c = chars[start - 1];
        if !(is_han(c) || c.is_ascii_alphanumeric()) {
            break;
        }
        // 和平路 and 向阳小区 are names: one character of a name is not enough, so the next belongs to it.
        let stops = BEFORE.contains(c) && !(at - start == 1 && is_han(chars[start]));
        let before = &chars[..start];
        if stops || FORMULAS.iter().chain(BEFORE_WORDS).any(|word| ends_with(before, word)) {
            break;
        }
        start -= 1;
    }
    let core = &chars[start..at];
    // 搅拌厂 is what it is, not what it is called.
    if (start..at).any(|i| concept_at(chars, i).is_some_and(|(word, _)| i + word >= at + length)) {
        return None;
    }
    let latin = core.iter().any(|c| c.is_ascii_alphanumeric());
    let digits = core.iter().rev().take_while(|c| c.is_ascii_digit()).count();
    if kind == PlaceKind::District {
        // a2区 has its letter right before the ending; 天心区 two or three characters.
        let letters = core.iter().rev().take_while(|c| c.is_ascii_alphanumeric()).count();
        start = if letters > 0 { at - letters } else { start };
        if letters == 0 && !(2..=4).contains(&core.len()) || letters > 3 {
            return None;
        }
    } else if kind == PlaceKind::Road && digits > 0 {
        // Bus 202路, metro 3号线.
        start = at - digits;
    } else if core.len() < 2 && !latin || core.len() == digits || chars[at] == '里' && core.len() != 2 {
        return None;
    } else if short && core.len() > 5 && !latin {
        // A longer run before 路 or 园 is a sentence more often than a name; its end is taken.
        start = at - 4;
    }
    let name = |from: usize, to: usize| chars[from..to].iter().collect::<String>();
    Some(Mention { place: Place { kind, name: name(start, at + length), core: name(start, at) }, start, end: at + length })
}

fn english(chars: &[char], free: usize, at: usize) -> Option<Mention> {
    let begins = |at: usize| chars[at].is_ascii_alphanumeric() && (at == 0 || !chars[at - 1].is_ascii_alphanumeric());
    if !begins(at) {
        return None;
    }
    let end = (at..chars.len()).find(|i| !chars[*i].is_ascii_alphanumeric()).unwrap_or(chars.len());
    let word: String = chars[at..end].iter().take(16).collect();
    let (_, kind) = ENGLISH.iter().find(|(ending, _)| *ending == word)?;
    let mut start = at;
    for taken in 0..2 {
        let Some(last) = start.checked_sub(2).filter(|last| chars[start - 1] == ' ' && chars[*last].is_ascii_alphanumeric()) else { break };
        let first = (free..=last).rev().take_while(|i| chars[*i].is_ascii_alphanumeric()).last();
        let Some(first) = first else { break };
        let before: String = chars[first..=last].iter().collect();
        if is_english_filler(&before) || before.chars().all(|c| c.is_ascii_digit()) || taken == 1 && before.len() < 3 {
            break;
        }
        start = first;
    }
    if start == at {
        return None;
    }
    let name: String = chars[start..end].iter().collect();
    let core = name[..name.len() - word.len()].trim_end().to_owned();
    Some(Mention { place: Place { kind: *kind, name, core }, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        mentions(&chars).into_iter().map(|mention| mention.place.name).collect()
    }

    #[test]
    fn names_end_where_their_kind_says() {
        assert_eq!(names("投诉a市a2区清风新城附近建搅拌站"), ["a2区", "清风新城"]);
        assert_eq!(names("武广新城东景园海滨苑的车位"), ["武广新城", "东景园", "海滨苑"]);
        assert_eq!(names("我们小区旁边的道路，和平路与向阳小区之间"), ["和平路", "向阳小区"]);
        assert_eq!(names("202路公交很少，地铁3号线太挤"), ["202路", "3号线"]);
        assert_eq!(names("这里没有路灯，公园里很黑"), Vec::<String>::new());
        assert_eq!(names("the lights on oak hill street are out near maple park"), ["oak hill street", "maple park"]);
    }

    #[test]
    fn one_place_has_several_names() {
        let place = |text: &str| mentions(&text.chars().collect::<Vec<_>>()).remove(0).place;
        assert!(place("清风新城").is_alias(&place("清风小区")));
        assert!(place("李清风新城").is_alias(&place("清风小区")));
        assert!(!place("清风新城").is_alias(&place("明月新城")));
        assert!(!place("清风路").is_alias(&place("清风小区")));
    }
}
