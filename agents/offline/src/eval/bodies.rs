//! Which body an official reply names: rules that make evaluation data out of messages and their replies.
//!
//! A reply names the body that handled the matter in its signature (`A7县教育局`), as the one that it was passed to
//! (`已转县住建局调查处理`), or as the one that found out (`经市公交公司核实`). A body is a function, such as education, and a place:
//! a named district, `县` and `市` as seen from the message's own, or the town or street that the body bears in its name.
//! Names of one function differ from reply to reply; the list below says which are the same. Knows nothing of models.

/// Functions with the names that bodies of it bear, in the order in which they are looked for.
const FUNCTIONS: [(&str, &[&str]); 43] = [
    ("交警", &["交警", "交通警察"]),
    ("派出所", &["派出所"]),
    ("公安局", &["公安"]),
    ("教育局", &["教育局", "教体局", "教育体育局", "教育和体育局", "教育部门", "教育主管部门", "教委"]),
    ("住房保障局", &["住房保障", "房产局", "房产管理局", "房地产管理局", "住保局", "房管局"]),
    ("住建局", &["住建", "住房和城乡建设", "住房城乡建设", "城乡建设局", "建设局"]),
    ("人社局", &["人社", "人力资源", "社保局", "劳动局", "社保中心", "劳动监察", "就业局", "工伤保险", "社会保险", "养老保险"]),
    ("医保局", &["医保", "医疗保障", "医疗保险"]),
    ("卫健局", &["卫健", "卫生健康", "卫计", "卫生和计划生育", "卫生局", "卫生计生", "计生"]),
    ("城管局", &["城管", "城市管理", "行政执法"]),
    ("自然资源局", &["自然资源", "国土", "不动产登记"]),
    ("规划局", &["规划局", "规划部门", "规划分局"]),
    ("公交公司", &["公交", "公共交通", "巴士公司"]),
    ("轨道公司", &["轨道"]),
    ("交通局", &["交通运输", "交通局", "交通部门", "运管", "公路局", "公路管理局", "公路养护", "道路运输"]),
    ("环保局", &["环保", "生态环境", "环境保护", "环境监察"]),
    ("市监局", &["市场监督", "市场监管", "市监局", "食药", "工商", "食品药品", "质监局"]),
    ("民政局", &["民政局", "民政部门"]),
    ("水利局", &["水利局", "水务局", "河长办"]),
    ("供水公司", &["水务集团", "自来水", "供水公司", "排水公司", "水业"]),
    ("供电公司", &["供电", "电力局", "电力公司", "电业局", "国家电网"]),
    ("发改局", &["物价", "发改", "发展和改革", "发展改革"]),
    ("公积金中心", &["公积金"]),
    ("农业局", &["农业", "畜牧", "农委"]),
    ("林业局", &["林业"]),
    ("文旅局", &["文旅", "文化旅游", "文体", "文广", "文化局", "体育局", "旅游局", "旅文"]),
    ("商务局", &["商务", "商粮"]),
    ("工信局", &["经信", "工信", "工业和信息化", "经济和信息化", "科工局"]),
    ("财政局", &["财政"]),
    ("税务局", &["税务", "地税", "国税"]),
    ("燃气公司", &["燃气"]),
    ("园林局", &["园林"]),
    ("市政局", &["市政"]),
    ("环卫局", &["环卫"]),
    ("通信公司", &["移动公司", "电信公司", "联通公司", "移动分公司", "电信分公司", "联通分公司", "铁塔公司"]),
    ("广电公司", &["广电", "有线电视", "广播电视", "有线集团"]),
    ("扶贫办", &["扶贫"]),
    ("征拆办", &["征地", "拆迁", "征收办", "征拆", "征收局", "房屋征收"]),
    ("司法局", &["司法局", "法院", "法制办"]),
    ("残联", &["残联", "残疾人联合会"]),
    ("消防大队", &["消防"]),
    ("信访局", &["信访"]),
    ("管委会", &["管委会", "管理委员会", "经开区", "高新区"]),
];

/// Suffixes of the bodies that bear the name of a place, and what they are called here.
const NAMED: [(&str, &str); 8] =
    [("街道办事处", "街道"), ("街道办", "街道"), ("街道", "街道"), ("镇人民政府", "镇"), ("镇政府", "镇"), ("乡人民政府", "乡"), ("乡政府", "乡"), ("镇", "镇")];

const PASSED: [&str; 1] = ["转"];
const PASSED_FOR: [&str; 9] = ["调查", "处理", "核实", "核查", "办理", "阅", "研究", "调处", "查处"];
const FOUND: [&str; 10] = ["经", "由", "据", "责成", "联系", "要求", "交办", "咨询", "根据", "向"];
const FOUND_FOR: [&str; 11] = ["办理", "核实", "调查", "回复", "答复", "核查", "反馈", "现场", "了解", "负责", "工作人员"];
/// Longest name of a body, characters.
const NAME_CHARS_MAX: usize = 24;
const STOPS: [char; 12] = ['。', '！', '!', '；', '：', '？', '，', '、', ',', '（', '“', '”'];

/// A body: its place as seen from a message, and its function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Body {
    pub(super) place: Place,
    pub(super) function: String,
}

/// Where a body is, as seen from a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The district that the message names.
    Own,
    /// The city above that district.
    City,
    /// The town or street of this name.
    Named(String),
    /// Another district.
    Other(String),
}

impl Body {
    /// `own 教育局`, `city 公交公司`, `named 镇`: what a model learns.
    pub(super) fn relative(&self) -> String {
        match &self.place {
            Place::Own => format!("own {}", self.function),
            Place::City => format!("city {}", self.function),
            Place::Named(_) => format!("named {}", self.function),
            Place::Other(code) => format!("{code} {}", self.function),
        }
    }

    /// Its whole name for a message of a district.
    pub(super) fn named(&self, own: &str) -> String {
        match &self.place {
            Place::Own => format!("{own}{}", self.function),
            Place::City => format!("{}{}", city_of(own), self.function),
            Place::Named(name) => format!("{name}{}", self.function),
            Place::Other(code) => format!("{code}{}", self.function),
        }
    }
}

/// The whole name of the body that `relative` means for a message with this title and text.
pub(super) fn composed(relative: &str, own: &str, towns: &[String], title: &str, text: &str) -> String {
    let (place, function) = relative.split_once(' ').unwrap_or(("own", relative));
    match place {
        "own" => format!("{own}{function}"),
        "city" => format!("{}{function}", city_of(own)),
        "named" => format!("{}{function}", town(function, towns, title, text).unwrap_or_default()),
        code => format!("{code}{function}"),
    }
}

/// The name of the town or street that a message speaks of: one that replies named before, else the one that it names.
fn town(kind: &str, towns: &[String], title: &str, text: &str) -> Option<String> {
    let known = |part: &str| {
        let found = towns.iter().filter_map(|name| part.find(&format!("{name}{kind}")).map(|at| (at, name)));
        found.min().map(|(_, name)| name.clone())
    };
    let bare = |part: &str| towns.iter().filter_map(|name| part.find(name.as_str()).map(|at| (at, name))).min().map(|(_, name)| name.clone());
    let said = |part: &str| part.find(kind).and_then(|at| name_before(&part[..at]));
    known(title).or_else(|| known(text)).or_else(|| said(title)).or_else(|| said(text)).or_else(|| bare(title)).or_else(|| bare(text))
}

/// A name of two or three characters at the end of a text: what stands after the last district or stop, else two characters.
fn name_before(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().rev().take(4).collect();
    let is_name = |c: &&char| ('\u{4e00}'..='\u{9fff}').contains(*c) && !matches!(c, '县' | '市' | '区' | '在' | '的' | '是' | '到' | '和' | '我' | '们' | '州' | '该' | '各');
    let name: Vec<char> = chars.iter().take_while(is_name).copied().collect();
    let length = match name.len() {
        0 | 1 => return None,
        2 => 2,
        3 if chars.len() > 3 => 3,
        _ => 2,
    };
    Some(name[..length].iter().rev().collect())
}

/// The first district that a message names, `A7县`: in its title, else in its text.
pub(super) fn own_district(title: &str, text: &str) -> Option<String> {
    code(title).or_else(|| code(text)).map(|(_, code)| code)
}

/// The first district of a text, and the byte at which it begins.
fn code(text: &str) -> Option<(usize, String)> {
    for (at, c) in text.char_indices() {
        if !c.is_ascii_uppercase() {
            continue;
        }
        let digits: String = text[at + 1..].chars().take_while(char::is_ascii_digit).take(3).collect();
        let rest = &text[at + 1 + digits.len()..];
        for kind in ["县市", "市", "县", "区", "州"] {
            if rest.starts_with(kind) {
                return Some((at, format!("{c}{digits}{kind}")));
            }
        }
    }
    None
}

fn city_of(own: &str) -> String {
    own.chars().next().map(|letter| format!("{letter}市")).unwrap_or_default()
}

/// The body that a reply names, as seen from a message of the district `own`; `None` when it names none.
pub(super) fn body_of(reply: &str, own: &str) -> Option<Body> {
    let reply: String = reply.chars().filter(|c| !c.is_whitespace()).collect();
    signature(&reply).and_then(|name| body(name, own, true)).or_else(|| spoken(&reply, &PASSED, &PASSED_FOR, own)).or_else(|| spoken(&reply, &FOUND, &FOUND_FOR, own))
}

/// What stands after the last sentence, without the date.
fn signature(reply: &str) -> Option<&str> {
    let undated = reply.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '年' | '月' | '日' | '。' | '-' | '.'));
    let from = undated.rfind(['。', '！', '!', '；', '：', '？', '.']).map_or(0, |at| at + undated[at..].chars().next().map_or(0, char::len_utf8));
    let name = &undated[from..];
    // What was done to a matter is a sentence, no signature.
    let done = PASSED.iter().chain(&PASSED_FOR).chain(&FOUND_FOR).any(|word| name.contains(word));
    (!done && (2..=NAME_CHARS_MAX).contains(&name.chars().count())).then_some(name)
}

/// The first body between one of `before` and one of `after`, within a clause.
fn spoken(reply: &str, before: &[&str], after: &[&str], own: &str) -> Option<Body> {
    let mut starts: Vec<usize> = before.iter().flat_map(|word| reply.match_indices(word).map(|(at, word)| at + word.len())).collect();
    starts.sort_unstable();
    for start in starts {
        let rest = &reply[start..];
        let end = rest.char_indices().take(NAME_CHARS_MAX + 1).find(|(_, c)| STOPS.contains(c)).map_or_else(|| rest.char_indices().nth(NAME_CHARS_MAX).map_or(rest.len(), |it| it.0), |it| it.0);
        let clause = &rest[..end];
        let Some(until) = after.iter().filter_map(|word| clause.find(word)).filter(|at| *at > 0).min() else { continue };
        if let Some(body) = body(&clause[..until], own, false) {
            return Some(body);
        }
    }
    None
}

/// Reads a name: its last function, and its place.
fn body(name: &str, own: &str, at_the_end: bool) -> Option<Body> {
    if name.contains("相关") || name.contains("有关") || name.contains('我') || name.contains("各") {
        return None;
    }
    let functions = FUNCTIONS.iter().flat_map(|(function, names)| names.iter().filter_map(|word| name.rfind(word).map(|at| (at + word.len(), word.len(), *function))));
    let function = functions.max();
    if let Some((_, _, function)) = function.filter(|(end, ..)| !at_the_end || name[*end..].chars().count() <= 10) {
        let place = match code(name) {
            Some((_, code)) if code == own => Place::Own,
            Some((_, code)) if code == city_of(own) => Place::City,
            Some((_, code)) => Place::Other(code),
            None if name.starts_with('市') && !own.ends_with('市') => Place::City,
            None => Place::Own,
        };
        return Some(Body { place, function: function.to_owned() });
    }
    let (at, kind) = NAMED.iter().find_map(|(suffix, kind)| name.rfind(suffix).filter(|at| *suffix != "镇" || name[*at..].chars().count() == 1).map(|at| (at, *kind)))?;
    let bare = name[..at].trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let bare = bare.rsplit(['县', '区', '市']).next().unwrap_or(bare);
    let bare = bare.trim_start_matches(['交', '由', '给', '请', '至', '向']);
    (2..=4).contains(&bare.chars().count()).then(|| Body { place: Place::Named(bare.to_owned()), function: kind.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(reply: &str) -> Option<String> {
        body_of(reply, "B3县").map(|body| body.named("B3县"))
    }

    #[test]
    fn bodies_are_read_from_replies() {
        let cases = [
            ("您好！谢谢您的来信。B3县教育体育局2018年3月5日", Some("B3县教育局")),
            ("您的留言已收悉，已转县住房和城乡建设局调查处理。", Some("B3县住建局")),
            ("网友：您好！经市公交集团核实，该线路已恢复。", Some("B市公交公司")),
            ("您反映的问题已交由B3县柳溪镇人民政府办理", Some("柳溪镇")),
            ("已转柳溪镇人民政府办理。", Some("柳溪镇")),
            ("感谢您的关注！柳溪街道办事处 2019年1月2日", Some("柳溪街道")),
            ("已转相关部门处理。", None),
            ("我局高度重视，感谢！", None),
            ("", None),
        ];
        for (reply, body) in cases {
            assert_eq!(named(reply).as_deref(), body, "{reply}");
        }
    }

    #[test]
    fn a_body_is_composed_for_a_message() {
        let towns = ["柳溪".to_owned()];
        assert_eq!(own_district("关于B3县的路灯", "").as_deref(), Some("B3县"));
        assert_eq!(own_district("路灯", "在C市，A7县").as_deref(), Some("C市"));
        assert_eq!(own_district("A", "b3县"), None);
        assert_eq!(composed("own 教育局", "B3县", &towns, "", ""), "B3县教育局");
        assert_eq!(composed("city 公交公司", "B3县", &towns, "", ""), "B市公交公司");
        assert_eq!(composed("named 镇", "B3县", &towns, "B3县柳溪镇的路", ""), "柳溪镇");
        assert_eq!(composed("named 镇", "B3县", &[], "B3县石桥镇的路", ""), "石桥镇");
    }
}
