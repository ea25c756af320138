//! Words that every message may hold. They are expected to be frequent before the first message has come, so that a
//! short file is read like a long one; what they weigh later is counted.

/// Greetings, requests and the furniture of complaints: cut out before terms are taken.
pub const FORMULAS: &[&str] = &[
    "尊敬的", "敬爱的", "您好", "你好", "各位领导", "领导好", "书记好", "市长好", "胡书记", "张书记", "网友", "请问", "谢谢", "感谢", "万分感谢", "非常感谢", "此致", "敬礼", "我要投诉",
    "强烈要求", "恳请", "恳求", "请求", "希望", "盼望", "盼复", "请领导", "有关部门", "相关部门", "相关单位", "职能部门", "政府部门", "主管部门", "予以", "给予", "尽快", "尽早", "早日",
    "解决", "处理", "答复", "回复", "重视", "关注", "过问", "落实", "协调", "核实", "调查", "反映", "反应", "反馈", "投诉", "举报", "咨询", "建议", "关于", "有关", "问题", "情况", "如下", "以下",
    "为民做主", "百姓", "老百姓", "人民群众", "群众", "市民", "居民", "业主", "住户", "我们", "他们", "你们", "我是", "本人", "一名", "一个", "这个", "那个", "这样", "这种", "什么", "怎么", "为什么", "如何",
    "何时", "能不能", "能否", "可以", "是否", "不能", "没有", "已经", "一直", "多次", "长期", "至今", "现在", "目前", "今天", "昨天", "最近", "近期", "经常", "每天", "天天", "严重", "影响", "非常",
    "因为", "所以", "但是", "而且", "如果", "由于", "导致", "造成", "以及", "或者", "并且", "虽然", "然后", "还有", "还是", "就是", "都是", "不是", "也是", "政府", "领导", "部门", "单位", "工作人员", "工作",
    "生活", "正常", "出行", "大家", "有人", "附近", "旁边", "周边", "对面", "楼下", "门口", "位于", "小区", "社区", "这里", "那里", "地方", "时候", "时间", "电话", "打电话", "联系", "热线", "希望有关",
];

/// English words without a matter of their own.
pub const ENGLISH: &[&str] = &[
    "the", "a", "an", "and", "or", "but", "of", "on", "in", "at", "to", "for", "from", "with", "by", "is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "do", "does", "did", "not", "no", "it",
    "its", "this", "that", "these", "those", "there", "here", "we", "our", "us", "i", "my", "me", "you", "your", "they", "them", "their", "he", "she", "his", "her", "please", "can", "could", "would", "will", "should",
    "may", "must", "so", "if", "as", "all", "any", "very", "too", "just", "again", "still", "since", "when", "what", "who", "why", "how", "near", "next", "behind", "front", "about", "into", "out", "up", "down", "over",
    "after", "before", "every", "each", "some", "more", "most", "day", "days", "week", "weeks", "today", "yesterday", "now", "hello", "hi", "dear", "sir", "madam", "thanks", "thank", "complaint", "complain", "report",
    "reporting", "problem", "issue", "someone", "people", "residents", "resident", "neighbors", "neighbours", "city", "fix", "send", "help", "need", "needs", "get", "got", "keep", "keeps", "been", "nobody",
];

/// Whether an English word says nothing by itself.
pub fn is_english_filler(word: &str) -> bool {
    ENGLISH.contains(&word)
}
