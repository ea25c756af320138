//! Figures of answers as a table for people.

use learn::metrics::Figures;

use crate::Context;

/// Prints what answers are worth: overall, each label, the accuracy at each coverage and the confusion of labels.
pub fn print(context: &Context, figures: &Figures) {
    let t = |zh, en| context.t(zh, en);
    println!("{:<24}{:>8}{:>11}{:>9}{:>9}", t("标签", "label"), t("行数", "rows"), t("精确率", "precision"), t("召回率", "recall"), "F1");
    for label in figures.labels.iter().take(LABELS_SHOWN) {
        println!("{:<24}{:>8}{:>11.3}{:>9.3}{:>9.3}", label.label, label.rows, label.precision, label.recall, label.f1);
    }
    if figures.labels.len() > LABELS_SHOWN {
        println!("{}", context.t("其余标签见 --json 或 --report", "further labels: --json or --report"));
    }
    println!("{}", t("覆盖率与准确率", "accuracy at coverage"));
    for point in &figures.coverage {
        println!("{:>8.2}{:>9.4}  {} {:.3}", point.share, point.accuracy, t("置信度不低于", "confidence from"), point.confidence);
    }
    if figures.labels.len() <= CONFUSION_SHOWN {
        println!("{}", t("混淆矩阵（行：正确标签）", "confusion (row: right label)"));
        for (label, row) in figures.labels.iter().zip(&figures.confusion) {
            println!("{}  {}", row.iter().map(|count| format!("{count:>6}")).collect::<String>(), label.label);
        }
    }
    println!("{}", summary(context, figures));
}

const LABELS_SHOWN: usize = 60;
const CONFUSION_SHOWN: usize = 20;

/// One line of the figures that count most.
pub fn summary(context: &Context, figures: &Figures) -> String {
    let names = if context.zh { ["准确率", "宏平均 F1", "校准误差", "采纳", "采纳者准确率", "多数类", "行"] } else { ["accuracy", "macro-F1", "calibration error", "accepted", "accuracy of accepted", "majority", "rows"] };
    format!(
        "{} {:.4}, {} {:.4}, {} {:.4}, {} {:.3}, {} {:.4} ({} {:.4}, {} {})",
        names[0], figures.accuracy, names[1], figures.macro_f1, names[2], figures.calibration_error, names[3], figures.accepted, names[4], figures.accepted_accuracy, names[5], figures.majority, figures.rows, names[6]
    )
}
