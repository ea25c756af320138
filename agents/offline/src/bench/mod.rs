//! Benchmarks: each prints what it measures beside a baseline measured in the same run.

pub mod detect;
pub mod llm;
pub mod text;

use crate::Named;

/// All of them.
pub const ALL: [Named; 3] = [
    ("detect", "单序列检测的速度，与窗口高斯并列", "points per second of the detector of one series, beside a windowed Gaussian", detect::run),
    ("llm", "语言模型的速度，与同一文件上的 llama.cpp 并列", "tokens per second of a language model, beside llama.cpp alone on the same file", llm::run),
    ("text", "读懂诉求的速度，与只数字符并列", "messages per second through everything that is read of them, beside counting characters", text::run),
];
