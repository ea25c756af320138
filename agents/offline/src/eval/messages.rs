//! `eval messages`: seven classes of real messages to a government, on rows that no training sees.
//!
//! Trained on the rows of the split `train`, judged on the raw messages of `dev`. The baselines stand in the same run: words
//! only, the recipe of published peers (0.914 to 0.920), and the commonest label.

use anyhow::Result;
use learn::Options;

use crate::labelled::{Labelled, Read, read};
use crate::model::{judge, train_shown};
use crate::store::Columns;
use crate::table::Where;
use crate::{Context, figures};

const LABEL: &str = "一级标签";
/// What is aimed at.
const ACCURACY_AIM: f64 = 0.95;

/// Runs the evaluation and prints it.
pub fn run(context: &Context) -> Result<()> {
    let segmented = rows(context, "labelled_segmented.csv.gz", "tokens", "train")?;
    let raw = rows(context, "labelled_raw.csv.gz", "text", "train")?;
    let dev = rows(context, "labelled_raw.csv.gz", "text", "dev")?;

    let options = Options::default();
    let (model, _, pace) = train_shown(context, &segmented, &options)?;
    let found = judge(&model, &dev);
    let (few, _, _) = train_shown(context, &raw, &options)?;
    let few = judge(&few, &dev);
    let words = Options { weights: [0.0, 1.0, 0.0, 0.0, 0.0, 0.0], ..Options::default() };
    let (words, _, _) = train_shown(context, &segmented, &words)?;
    let words = judge(&words, &dev);

    if context.json {
        println!("{}", serde_json::json!({
            "rows_trained": segmented.len(), "rows_per_s": pace.round(), "figures": found, "aim": ACCURACY_AIM, "reached": found.accuracy >= ACCURACY_AIM,
            "raw_rows_only": { "rows_trained": raw.len(), "accuracy": few.accuracy, "macro_f1": few.macro_f1 },
            "baseline_words": { "accuracy": words.accuracy, "macro_f1": words.macro_f1 },
            "baseline_majority": found.majority,
        }));
        return Ok(());
    }
    figures::print(context, &found);
    println!("{} {:.4}, macro-F1 {:.4}", context.t("仅用原文训练：准确率", "trained on raw rows only: accuracy"), few.accuracy, few.macro_f1);
    println!("{} {:.4}, macro-F1 {:.4}", context.t("基线（词 TF-IDF 线性 SVM）：准确率", "baseline (linear SVM on TF-IDF of words): accuracy"), words.accuracy, words.macro_f1);
    println!("{} {:.4}", context.t("基线（最常见类）：准确率", "baseline (commonest label): accuracy"), found.majority);
    println!("{} {:.0} {}; {} {ACCURACY_AIM}", context.t("训练", "training"), pace, context.t("行/秒", "rows/s"), context.t("目标准确率", "aim for the accuracy"));
    Ok(())
}

fn rows(context: &Context, file: &str, text: &str, split: &str) -> Result<Vec<Labelled>> {
    let path = context.data_file(&format!("hotline_messages/{file}"))?;
    let columns = Columns { text: vec![text.to_owned()], label: Some(LABEL.to_owned()), ..Columns::default() };
    let mut found = Read::default();
    read(&path, &columns, &[Where { column: "split".to_owned(), value: split.to_owned(), equal: true }], &mut found)?;
    Ok(found.rows)
}
