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
    /// A longer word that only sounds like one of danger: 消防栓, a fire station.
    Calm,
    /// Fire, gas, and people who need a doctor now: feared is as urgent as seen. Before `Risk`, which has some of its words.
    Rescue,
    /// A word of danger to life.
    Risk,
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

/// Words that hold one of danger and mean none.
const CALM: &str = "火锅|消防栓|救命恩人|救命稻草|救命钱|死亡证明|困扰|跳楼价|自杀式|着火点|防爆炸|爆炸性|路面塌了|路塌了|地面塌了|塌了一个坑|塌了个坑|没卡在|卡在哪|卡在审批|油烟|炸鸡|炸串|炸油条|炸酱|fire station|fire stations|fire exit|fire exits|fire hydrant|fire hydrants|fire truck|fire trucks|fire engine|fire department|fire extinguisher|fire extinguishers|fire alarm test|fire drill|fire escape|fire lane|fire safety|fire code|fire sale|fire insurance|fire inspection|fire damage|fire fighter|fire fighters|fire pit|fire ban|a fire station|a fire exit|a fire hydrant|a fire truck|a fire extinguisher|a fire drill|a fire lane|a fire pit|the fire station|the fire exit|the fire hydrant|the fire department|the fire truck|the fire lane|the fire escape|its fire exit|open fire pit|photo shooting|shooting range|dying to|dead tired|to die for";
/// Fire, gas, and people who need a doctor now.
const RESCUE: &str = "着火|起火|失火|着了火|起大火|大火|火灾|浓烟|黑烟|冒烟|冒着烟|火苗|火光|火势|烧起来|烧着了|着起来|爆炸|爆燃|炸了|炸开|噼里啪啦炸|一声巨响|爆炸声|煤气泄漏|燃气泄漏|天然气泄漏|煤气漏|燃气漏|煤气管被|燃气管被|天然气管被|漏煤气|漏燃气|煤气味|燃气味|煤气中毒|毒气|黄烟|氯气|氨气|昏迷|晕倒|昏倒|昏过去|晕过去|不省人事|没有呼吸|没呼吸|没气了|没反应|没有反应|没意识|失去意识|没了意识|叫不醒|叫不应|倒地不起|倒地上|倒在地上|躺着不动|一动不动|喘不上气|喘不过气|透不过气|上不来气|呼吸困难|嘴唇发紫|脸都青|脸发青|脸发紫|脸色发紫|呛着|呛到|噎住|噎着|卡了喉咙|心脏骤停|心梗|心肌梗死|心绞痛|胸口疼|胸口痛|胸痛|中风|脑溢血|脑出血|抽搐|抽筋|抽过去|口吐白沫|窒息|休克|大出血|流血不止|好多血|满身是血|满脸是血|吐血|触电|被电倒|被电到|被电晕|电死|溺水|落水|掉进河|掉进水|掉水里|掉河里|掉到河|掉到水|掉湖里|滑进河|跳河|跳江|扑腾|中毒|又吐又拉|上吐下泻|坠楼|跳楼|要跳|跳下去|轻生|自杀|寻死|不想活|不活了|活不下去|割腕|烧炭|喝农药|喝了农药|吞药|药已经吃|吃了一瓶|安眠药|羊水破|要生了|难产|孩子要出来|早产|救护车|救命|喊救|呼救|on fire|caught fire|catching fire|fire on|fire at|fire in|a fire|fire!|house fire|kitchen fire|the fire|fire broke|in flames|flames|burning down|is burning|explosion|exploded|explode|blew up|blown out|gas leak|leaking gas|smell gas|smells gas|smell of gas|gas smell|smelling gas|carbon monoxide|unconscious|unresponsive|not responding|isn't responding|not breathing|isn't breathing|is not breathing|stopped breathing|cannot breathe|can't breathe|trouble breathing|not moving|isn't moving|barely awake|won't wake|can't wake|heart attack|chest pain|stroke|heavy bleeding|bleeding|bleeding badly|covered in blood|blood on|electrocuted|drowning|drowned|seizure|convulsing|twitching|overdose|overdosed|bottle of pills|swallowed|poisoned|choking|turning blue|ambulance|passed out|fainted|collapsed and|suicide|suicidal|kill myself|kill himself|kill herself|to jump|jump off|through the ice|in labor|water broke|giving birth|heavy smoke|thick smoke|smoke coming|smoke pouring|full of smoke|smoke everywhere|black smoke";
/// People in danger, beyond the words of the graph.
const RISK: &str = "被困|困在|出不来|逃不出|爬不出|跑不出|受困|受伤|伤人|被砸|砸到人|砸伤|砸扁|砸中|埋在|埋了|被埋|压住|压在|压着|卡在里|卡在里面|卡在车|卡住了,里|塌了|倒塌|坍塌|垮塌|脚手架塌|踩踏|漏气|掉下去|掉进|摔伤|摔断|骨折|断了腿|被电|漏电|高压线断|侧翻|翻车|撞死|撞飞|撞伤|流血|持刀|拿刀|拿着刀|菜刀|砍人|乱砍|砍伤|捅人|捅伤|捅了|持枪|枪声|开枪|打老婆|打孩子|家暴|往死里打|绑架|拐走|被拐|抢孩子|咬人|咬伤|被蛇|毒蛇|疯狗|生命危险|有人死|死亡|死了人|死人了|出人命|快不行|断气|失踪|失联|没回来|一夜未归|彻夜未归|迷路|洪水|山洪|泥石流|滑坡|水还在涨|水在涨|在房顶|在屋顶|吊着|悬空|掉了两层|急坠|坠落|injured|hurt|trapped|stranded|pinned|crushed|buried under|is buried|are buried|people buried|buried alive|stuck inside|stuck in the elevator|collapsed|collapsing|under it|stampede|live wire|wire on the ground|downed power line|power line down|hit by a car|hit by a bus|crashed head on|head-on|rolled over|stabbed|stabbing|shooting|gunshot|gunshots|gunman|has a gun|a knife|knife|machete|breaking into|broke into my|intruder|hiding in|kidnapped|kidnap|abducted|he'll kill|kill me|kill her|kill him|kill us|threatening to|beating his|beating her|attacked|attacking|bitten|fell into|fell through|fell off|can't reach him|can't reach her|missing child|missing person|hasn't come home|never came home|up to our|up to my|water is rising|rising fast|sinking|died|dying|killed";
/// What a unit should see to today.
const URGENT: &str = "紧急|十万火急|危急|马上|立即|立刻|尽快派人|快来|随时会|随时可能|很危险|非常危险|十分危险|太危险|安全隐患|危险|停水|停电|断电|断水|爆管|管爆|没水|没电|急用|积水|塌陷|路面塌了|路塌了|地面塌了|裂了条|大口子|井盖缺失|井盖丢失|井盖没了|没有井盖|井盖不见|缺井盖|没井盖|裸露电线|电线裸露|电线掉|电线脱落|电线垂|快垂到|垂到地|电线杆歪|电杆歪|电杆倒|红绿灯全灭|信号灯全灭|红绿灯不亮|差点砸|差点撞|差点摔|差点被|差点掉|往下扔|高空抛物|漏水严重|无法出门|无法通行|出不了门|下不去楼|堵死|老人无法|孩子发烧|高烧|发高烧|断药|透析|氧气|冻得|两个月大|新生儿|刚出生|揭不开锅|汽油|摔了一跤|urgent|urgently|emergency|immediately|right away|asap|dangerous|very dangerous|unsafe|hazard|no water|no power|power outage|no heat|newborn|flooded|flooding|pouring into|water main|sinkhole|missing manhole|manhole cover missing|no cover|without a cover|uncovered|open manhole|exposed wire|exposed wires|hanging low|hanging over|sparking|signals are dead|lights are dead|signal is dead|signals are out|almost got hit|nearly hit|almost hit|close call|fire exit shut|blocked fire exit|fire exit|blocked road|road blocked|impassable|tree down|fallen tree|burst|oxygen|dialysis";
/// What is dangerous once it comes, or presses.
const PRESSING: &str = "倾斜|开裂|裂缝|松动|掉落|脱落|摇晃|坠落|绊倒|摔倒|老化|挺急|很急|在线等|着急|leaning|cracked|cracks|loose|falling|tripping|tomorrow morning|deadline tomorrow";
/// What says that a danger which is told of is over: thanks for it, and it stays no danger.
const OVER: [&str; 26] = [
    "好了", "抢救过来", "救过来", "救了回来", "救回", "救出来", "脱险", "脱离危险", "平安", "上次", "当时", "那次", "那天", "多亏", "事后", "没有人受伤", "saved", "rescued", "is safe", "safe now", "is fine", "fine now", "home and", "recovered", "nobody was hurt", "no one was hurt",
];
/// What says that it goes on.
const NOW: [&str; 10] = ["现在还", "正在", "还在", "快来", "快点", "救命", "right now", "is still", "hurry", "please send"];
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
    dangers: Vec<(usize, usize, u8)>,
    risks: Vec<(usize, usize, SpanKind)>,
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
        words.whole(CALM, Tag::Calm);
        words.whole(RESCUE, Tag::Rescue);
        words.whole(RISK, Tag::Risk);
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
        let Scratch { normal, hits, intents, dangers, risks, moments, marks } = &mut scratch;
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

        // How urgent, and by which words.
        let (mut risk_to_life, mut words_urgency) = (false, 4u8);
        let mut named = false;
        let mut reached = 0;
        for hit in hits.iter() {
            let level = match hit.tag {
                Tag::Calm | Tag::Risk | Tag::Rescue | Tag::Urgent | Tag::Pressing if hit.start < reached => continue,
                Tag::Calm => {
                    reached = hit.end;
                    continue;
                }
                Tag::Rescue => match mood(normal, hit.start, hit.end) {
                    Mood::Real | Mood::Feared => 1,
                    Mood::Supposed => 2,
                    Mood::Denied => 3,
                },
                Tag::Risk => match mood(normal, hit.start, hit.end) {
                    Mood::Real => 1,
                    Mood::Feared | Mood::Supposed => 2,
                    Mood::Denied => continue,
                },
                Tag::Urgent => match mood(normal, hit.start, hit.end) {
                    Mood::Denied => continue,
                    Mood::Real | Mood::Feared | Mood::Supposed => 2,
                },
                Tag::Pressing => 3,
                Tag::Category(_) | Tag::Intent(_) | Tag::Unit | Tag::Name => continue,
            };
            reached = hit.end;
            words_urgency = words_urgency.min(level);
            named |= matches!(hit.tag, Tag::Rescue | Tag::Risk);
            if level == 1 {
                risk_to_life = true;
                dangers.push((hit.start, hit.end, if matches!(hit.tag, Tag::Rescue) { 38 } else { 30 }));
                risks.push((hit.start, hit.end, SpanKind::Risk));
            } else {
                risks.push((hit.start, hit.end, SpanKind::Urgency));
            }
        }
        // Who thanks tells of a danger that is over, unless the words say that it goes on.
        let says = |words: &[&str]| words.iter().any(|word| normal.text.contains(word));
        let thanked = risk_to_life && intents.iter().any(|(_, _, (intent, _))| matches!(intent, Intent::Praise)) && !says(&NOW);
        let over = thanked && says(&OVER);
        if over {
            dangers.iter_mut().for_each(|(_, _, weight)| *weight /= 4);
        }
        let wanted = intent::weigh(normal, intents, dangers);
        if thanked && matches!(wanted.intent, Intent::Praise) {
            (risk_to_life, words_urgency) = (false, if over { 4 } else { 3 });
        }
        for (start, end, kind) in risks.iter().copied() {
            span(start, end, if risk_to_life { kind } else { SpanKind::Urgency });
        }
        let urgency = self.urgency(&rules, wanted.intent, words_urgency, named);

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

    /// How urgent, by the graph's category, by what is wanted, and by the words; `named`: some of them name a danger to people.
    fn urgency(&self, rules: &Sorted, intent: Intent, words: u8, named: bool) -> u8 {
        let of_category = rules.word.as_ref().and_then(|_| self.categories.iter().find(|(id, _)| *id == rules.category)).map_or(4, |(_, urgency)| *urgency);
        match intent {
            Intent::Emergency => words.min(2),
            Intent::Help | Intent::Complaint | Intent::Report => words.min(of_category).clamp(1, 3),
            Intent::Inquiry if words > 1 => words.max(3),
            Intent::Suggestion | Intent::Praise if words > 1 => if named { words.max(3) } else { 4 },
            Intent::Inquiry | Intent::Suggestion | Intent::Praise => words,
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
    fn a_feared_danger_is_as_urgent_as_one_seen() {
        for (text, urgency, risk) in [
            // Fire, gas, people who need a doctor: feared is at once.
            ("楼道里一股煤气味，怕爆炸", 1, true),
            ("担心电池会爆炸，一直在发烫", 1, true),
            ("变压器嗡嗡响，会不会爆炸啊", 1, true),
            ("千万别着火了，快来看看", 1, true),
            ("变压器不会爆炸吧？", 1, true),
            ("I am afraid the tank might explode", 1, true),
            ("The transformer could catch fire, there is thick smoke", 1, true),
            // Denied right before the word: seen to, but nobody is in danger.
            ("没有爆炸，就是声音大", 3, false),
            ("没有发生火灾，误报", 3, false),
            ("There was no explosion, just a loud noise", 3, false),
            // Denied of one thing, true of another.
            ("没有爆炸，但是三楼着火了", 1, true),
            // Only named.
            ("如果着火了怎么逃生，想请教一下", 3, false),
            ("楼道堆满纸箱，存在火灾隐患", 2, false),
            ("请检查一下门口的消防栓", 3, false),
            ("The fire hydrant needs paint, please fix", 3, false),
            // Over, and thanked for.
            ("感谢120，我父亲心梗抢救过来了", 4, false),
            ("非常感谢消防员，三楼还在冒黑烟，快来", 1, true),
        ] {
            let reading = read(text);
            assert_eq!((reading.urgency, reading.risk_to_life), (urgency, risk), "{text} {:?}", reading.wanted);
            assert_eq!(risk, reading.spans.iter().any(|span| span.kind == SpanKind::Risk), "what is told is explained: {text}");
        }
        // No word of fire and rescue, feared, is less than at once; denied, less than 3.
        for word in RESCUE.split('|').filter(|word| word.chars().all(is_han)) {
            for (text, least) in [(word.to_owned(), 1), (format!("怕{word}"), 1), (format!("我担心会{word}"), 1), (format!("没有{word}"), 3)] {
                let reading = read(&text);
                assert!(reading.urgency <= least, "{text}: {}", reading.urgency);
            }
        }
    }

    #[test]
    fn a_longer_word_says_what_is_wanted() {
        for (text, intent) in [
            ("能不能派个人来看看", Intent::Help),
            ("能不能带狗进公园？", Intent::Inquiry),
            ("能不能把站牌做大一点", Intent::Suggestion),
            ("我对你们的服务很不满意", Intent::Complaint),
            ("Could you tell me when the pool opens?", Intent::Inquiry),
            ("Why not plant more trees here?", Intent::Suggestion),
        ] {
            assert_eq!(read(text).wanted.intent, intent, "{text}");
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
