//! What a question asks about a matter, by its question words (带什么 asks for materials, 多久 for a time limit), and words
//! of citizens and of offices for one thing.
//!
//! Guides and procedures have headings for what people ask; citizens ask in other words. Each group joins the two.

use std::sync::OnceLock;

use text::Normal;

/// Words of questions, and the words of headings that answer them.
const ASKED: [(&[&str], &[&str]); 12] = [
    (
        &["带什么", "带哪些", "要带", "带上", "带齐", "材料", "资料", "证件", "手续", "凭证", "准备什么", "准备哪些", "要什么东西", "拿什么", "what to bring", "bring", "documents", "papers", "paperwork", "required documents"],
        &["材料"],
    ),
    (
        &["多久", "几天", "多长时间", "多少天", "什么时候能", "什么时候到", "何时", "时限", "期限", "几个工作日", "几个小时", "几小时", "多快", "当天能", "要等", "等多久", "拖了", "how long", "how soon", "how many days", "when will", "how quickly", "deadline", "how fast"],
        &["时限"],
    ),
    (&["多少钱", "收费", "费用", "免费", "要钱", "花钱", "交钱", "工本费", "谁出钱", "赔", "how much", "fee", "fees", "cost", "charge", "free", "pay"], &["费用"]),
    (
        &["去哪", "到哪", "在哪", "哪里办", "哪儿", "哪里能", "地址", "窗口", "地点", "网上", "线上", "手机上", "app", "小程序", "跑腿", "跑一趟", "where", "online", "window", "office"],
        &["渠道", "地点"],
    ),
    (
        &["条件", "资格", "符合", "能办吗", "能不能办", "可以办吗", "够不够", "满足", "什么人可以", "谁可以", "哪些人", "能不能申请", "能申请", "可以申请", "有资格", "eligible", "qualify", "conditions", "requirements", "who can", "entitled", "am i allowed"],
        &["条件"],
    ),
    (&["流程", "步骤", "怎么办理", "怎么申请", "如何办理", "如何申请", "咋办理", "怎么弄", "steps", "process", "how do i apply", "how to apply", "how can i apply", "procedure"], &["流程"]),
    (
        &["谁管", "归谁", "哪个部门", "哪个单位", "找谁", "谁负责", "该谁", "什么部门", "推来推去", "踢皮球", "who is responsible", "responsible", "which department", "who handles", "whose job", "in charge"],
        &["职责"],
    ),
    (
        &["打什么电话", "打哪个电话", "电话多少", "怎么报修", "报修电话", "怎么举报", "举报电话", "怎么投诉", "向谁反映", "往哪反映", "跟谁说", "告诉谁", "which number", "phone number", "call", "report", "where do i report"],
        &["报告", "报修", "举报"],
    ),
    (&["怎么逃", "怎么跑", "躲", "自救", "逃生", "先做什么", "第一时间", "能开灯", "能不能开灯", "要不要跑", "危险吗", "stay safe", "escape", "what do i do first", "safe"], &["自救", "避险"]),
    (&["不满意", "没修好", "没解决", "又坏", "还是", "再次", "复发", "敷衍", "not fixed", "still", "again", "unsatisfied", "reopen"], &["回访", "重办"]),
    (&["几点", "什么时间段", "夜里", "半夜", "晚上", "凌晨", "上班时间", "what time", "opening hours", "at night", "midnight"], &["时间", "时段"]),
    (&["罚", "处罚", "罚款", "违法吗", "犯法", "fine", "fined", "penalty", "illegal", "punish"], &["处罚", "查处"]),
];

/// The words of headings that a question asks for, each once.
pub(crate) fn asked(query: &Normal) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    for (words, headings) in ASKED {
        if words.iter().any(|word| stands(query, word)) {
            found.extend(headings.iter().filter(|heading| !found.contains(heading)).copied().collect::<Vec<_>>());
        }
    }
    found
}

/// Groups of words for one thing, in one spelling: `data/same.txt`.
pub(crate) fn same() -> &'static [Vec<String>] {
    static SAME: OnceLock<Vec<Vec<String>>> = OnceLock::new();
    SAME.get_or_init(|| {
        let lines = include_str!("../data/same.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.split('|').map(text::normalise).collect()).collect()
    })
}

/// Whether a word stands in the text; a Latin one as a word of its own.
pub(crate) fn stands(query: &Normal, word: &str) -> bool {
    let latin = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let text = query.text.as_bytes();
    query.text.match_indices(word).any(|(at, found)| {
        let begins = !latin(found.as_bytes().first()) || at == 0 || !latin(text.get(at - 1));
        let ends = !latin(found.as_bytes().last()) || !latin(text.get(at + found.len()));
        begins && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_words_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for group in same() {
            assert!(group.len() > 1 && group.iter().all(|word| !word.is_empty()), "{group:?}");
            for word in group {
                assert!(seen.insert(word), "{word} is in two groups");
            }
        }
    }

    #[test]
    fn question_words() {
        assert_eq!(asked(&Normal::of("补身份证要带什么，多久能拿到")), ["材料", "时限"]);
        assert_eq!(asked(&Normal::of("How long does it take, and what is the fee?")), ["时限", "费用"]);
        assert_eq!(asked(&Normal::of("freedom")), Vec::<&str>::new());
    }
}
