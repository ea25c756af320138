//! Benchmarks: each prints what it measures beside a baseline measured in the same run.

pub mod detect;

use crate::Named;

/// All of them.
pub const ALL: [Named; 1] = [("detect", "单序列检测的速度，与窗口高斯并列", "points per second of the detector of one series, beside a windowed Gaussian", detect::run)];
