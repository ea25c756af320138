//! Evaluations: each prints what it measures beside a baseline measured in the same run.

pub mod agents;
pub mod air;
pub mod air_planted;
mod bodies;
pub mod breach;
pub mod hotspots;
pub mod hotspots_planted;
pub mod intents;
pub mod leaks;
pub mod levels;
pub mod messages;
pub mod nab;
pub mod nab_score;
pub mod pii;
pub mod pii_generate;
pub mod redteam;
pub mod traffic;
pub mod units;
pub mod volumes;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::Named;

/// Messages that models are judged by.
const MESSAGES: &str = include_str!("../../../evaluation/messages.jsonl");

/// Whether a text, personal data masked, is one that models are judged by: nothing may learn from it.
pub fn is_evaluation(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Row {
        text: String,
    }
    static TEXTS: LazyLock<BTreeSet<String>> =
        LazyLock::new(|| MESSAGES.lines().filter_map(|line| serde_json::from_str::<Row>(line).ok()).map(|row| schemas::pii::mask(&row.text).0.into_owned()).collect());
    TEXTS.contains(text.trim())
}

/// All of them.
pub const ALL: [Named; 15] = [
    ("agents", "语言模型在手写留言上的增益，与规则和词语并列", "what a language model adds on messages written by hand, beside rules and words", agents::run),
    ("air", "北京空气：植入的中断与卡值，与固定规则并列", "silent and stuck sensors planted in Beijing's air, beside fixed rules", air::run),
    ("breach", "工单逾期风险，与各类型的逾期率并列", "risk that a work order is late, beside the rate of its type", breach::run),
    ("hotspots", "热点问题归组，与仅按地点归组并列", "hot issues of a stream, beside grouping by place alone", hotspots::run),
    ("intents", "留言的意图、紧急程度与时间，与关键词投票并列", "intent, urgency and time of messages, beside a vote of words", intents::run),
    ("knowledge", "知识检索：前三条中有正确条款的比例，与词重叠、字对 BM25 并列", "search of the knowledge base, beside word overlap and BM25 on pairs of characters", crate::knowledge::run),
    ("leaks", "供水管网漏损，与夜间流量门限并列", "leaks of a water network, beside a threshold on the night flow", leaks::run),
    ("levels", "两小时水位预测，与不变和直线外推并列", "water levels two hours ahead, beside persistence and a straight line", levels::run),
    ("messages", "留言一级分类，与词频线性模型并列", "classes of messages, beside a linear model on words", messages::run),
    ("nab", "NAB 单序列异常检测，与窗口高斯并列", "anomalies of single series by NAB's rules, beside a windowed Gaussian", nab::run),
    ("pii", "个人信息的识别，与常用正则并列", "personal data in sentences, beside plain regular expressions", pii::run),
    ("redteam", "注入、内容过滤与 OWASP LLM 前十，与关键词过滤并列", "injections, content filter and OWASP's LLM Top 10, beside a filter of a dozen words", redteam::run),
    ("traffic", "路网车速多列检测：植入的单列故障，与逐列 z 分数并列", "faults planted in single columns of a road network's speeds, beside a z-score of each column", traffic::run),
    ("units", "责任单位，与各类型最常见单位并列", "the unit that owes it, beside the commonest unit of the type", units::run),
    ("volumes", "台北一周后的件数，与上周同日并列", "volumes of Taipei a week ahead, beside the same day last week", volumes::run),
];
