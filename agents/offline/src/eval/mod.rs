//! Evaluations: each prints what it measures beside a baseline measured in the same run.

mod bodies;
pub mod breach;
pub mod hotspots;
pub mod hotspots_planted;
pub mod leaks;
pub mod levels;
pub mod messages;
pub mod nab;
pub mod nab_score;
pub mod pii;
pub mod pii_generate;
pub mod units;
pub mod volumes;

use crate::Named;

/// All of them.
pub const ALL: [Named; 9] = [
    ("breach", "工单逾期风险，与各类型的逾期率并列", "risk that a work order is late, beside the rate of its type", breach::run),
    ("hotspots", "热点问题归组，与仅按地点归组并列", "hot issues of a stream, beside grouping by place alone", hotspots::run),
    ("leaks", "供水管网漏损，与夜间流量门限并列", "leaks of a water network, beside a threshold on the night flow", leaks::run),
    ("levels", "两小时水位预测，与不变和直线外推并列", "water levels two hours ahead, beside persistence and a straight line", levels::run),
    ("messages", "留言一级分类，与词频线性模型并列", "classes of messages, beside a linear model on words", messages::run),
    ("nab", "NAB 单序列异常检测，与窗口高斯并列", "anomalies of single series by NAB's rules, beside a windowed Gaussian", nab::run),
    ("pii", "个人信息的识别，与常用正则并列", "personal data in sentences, beside plain regular expressions", pii::run),
    ("units", "责任单位，与各类型最常见单位并列", "the unit that owes it, beside the commonest unit of the type", units::run),
    ("volumes", "台北一周后的件数，与上周同日并列", "volumes of Taipei a week ahead, beside the same day last week", volumes::run),
];
