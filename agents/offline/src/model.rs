//! `citybrain model`: train, list, eval, shadow, promote and roll back the small models of the home.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use learn::metrics::{Answer, Figures};
use learn::{Model, Options, Progress, Scratch, Stage, train};

use crate::labelled::{Labelled, Read, read, with_examples};
use crate::store::{Columns, Store, Stored, short};
use crate::table::Where;
use crate::{Context, figures};

/// The small models of the home
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Learn from labelled rows; the model becomes a candidate, the first of its name the active one
    Train(TrainArgs),
    /// Names, active models, candidates and their figures
    List,
    /// Judge a model on labelled rows, beside the active one and the commonest label
    Eval(EvalArgs),
    /// Make a candidate the active model, if it is not worse than the active one
    Promote(PromoteArgs),
    /// Let a candidate answer beside the active model in the running brain, recorded and never acting
    Shadow {
        /// Name of the model
        name: String,
        /// Digest of a candidate, or its beginning; else the latest one
        #[arg(conflicts_with = "none")]
        digest: Option<String>,
        /// No shadow any more
        #[arg(long)]
        none: bool,
    },
    /// Make the model active that was so before
    Rollback {
        /// Name of the model
        name: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct RowsArgs {
    /// Labelled rows: CSV, JSON lines or Parquet; may be repeated
    #[arg(long = "in", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Only rows where a column has, or has not, a value; may be repeated
    #[arg(long = "where", value_name = "COL=VALUE")]
    conditions: Vec<Where>,
    /// Which columns are what; for `eval` and `promote` those of the training, unless given
    #[command(flatten)]
    columns: Columns,
}

#[derive(Debug, Clone, clap::Args)]
struct TrainArgs {
    /// What the model is for: category, unit or a name of its own
    #[arg(long)]
    task: String,
    #[command(flatten)]
    rows: RowsArgs,
    /// Name of the model
    #[arg(long)]
    name: String,
    /// What chance is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of wrong answers tolerated among the accepted ones
    #[arg(long, default_value_t = 0.03)]
    risk: f64,
    /// Write the figures on held-out rows as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct EvalArgs {
    /// Name of the model
    name: String,
    /// Digest of a candidate, or its beginning; else the latest one
    digest: Option<String>,
    #[command(flatten)]
    rows: RowsArgs,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct PromoteArgs {
    /// Name of the model
    name: String,
    /// Digest of a candidate, or its beginning; else the latest one
    digest: Option<String>,
    /// Labelled rows to compare both on; may be repeated. Without them the held-out figures of their trainings decide
    #[arg(long = "in", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only rows where a column has, or has not, a value
    #[arg(long = "where", value_name = "COL=VALUE")]
    conditions: Vec<Where>,
    #[command(flatten)]
    columns: Columns,
    /// Promote although the gate says no; needs a reason
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
}

/// How much worse a candidate's macro-F1 may be: below it two trainings on the same rows differ by chance.
pub const MACRO_F1_LOSS_MAX: f64 = 0.005;
/// How much larger a candidate's calibration error may be.
pub const CALIBRATION_LOSS_MAX: f64 = 0.02;

impl Args {
    /// Does what was asked.
    pub fn run(&self, context: &Context) -> Result<()> {
        let store = Store::open(&context.home);
        match &self.command {
            Command::Train(args) => args.run(context, &store),
            Command::List => list(context, &store),
            Command::Eval(args) => args.run(context, &store),
            Command::Promote(args) => args.run(context, &store),
            Command::Shadow { name, digest, none } => {
                let shadow = if *none { None } else { Some(latest(&store, name, digest.as_deref())?.digest) };
                store.shadow(name, shadow.as_deref())?;
                let shown = shadow.as_deref().map_or(context.t("无", "none"), short);
                say(context, &serde_json::json!({ "name": name, "shadow": shadow }), &format!("{name}: {} {shown}", context.t("影子模型", "shadow is")))
            }
            Command::Rollback { name, reason } => {
                let digest = store.previous(name)?;
                store.activate(name, &digest, "rolled back", reason)?;
                say(context, &serde_json::json!({ "name": name, "active": digest }), &format!("{name}: {} {}", context.t("现用模型", "active is"), short(&digest)))
            }
        }
    }
}

fn say(context: &Context, json: &serde_json::Value, text: &str) -> Result<()> {
    if context.json {
        println!("{json}");
    } else {
        println!("{text}");
    }
    Ok(())
}

fn read_all(context: &Context, files: &[PathBuf], columns: &Columns, conditions: &[Where]) -> Result<Vec<Labelled>> {
    ensure!(columns.label.is_some(), "name the column of the right label: --label COL");
    let mut all = Read::default();
    for file in files {
        read(file, columns, conditions, &mut all)?;
    }
    if all.unreadable + all.unlabelled > 0 && !context.quiet {
        eprintln!("{}: {} / {}", context.t("未用的行（无法读取 / 无标签）", "rows left out (unreadable / without a label)"), all.unreadable, all.unlabelled);
    }
    ensure!(!all.rows.is_empty(), "no row is left to work with: see --where and --label");
    Ok(all.rows)
}

/// Trains with a progress bar; gives rows per second too.
pub fn train_shown(context: &Context, rows: &[Labelled], options: &Options) -> Result<(Model, learn::Report, f64)> {
    let bar = context.progress(0, "");
    let begun = Instant::now();
    let mut show = |progress: Progress| {
        bar.set_message(match progress.stage {
            Stage::Reading => context.t("读取", "reading"),
            Stage::Fitting => context.t("训练", "fitting"),
        });
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let trained = with_examples(rows, |examples| train(examples, options, &mut show));
    bar.finish_and_clear();
    let (model, report) = trained?;
    Ok((model, report, rows.len() as f64 / begun.elapsed().as_secs_f64()))
}

/// The answers of a model to rows, judged.
pub fn judge(model: &Model, rows: &[Labelled]) -> Figures {
    let mut scratch = Scratch::default();
    with_examples(rows, |examples| {
        let answer = |example: &learn::Example| {
            let prediction = model.predict(&example.input, &mut scratch);
            let (given, confidence) = prediction.ranked.first().copied().unwrap_or_default();
            (given.to_owned(), confidence, prediction.accepted)
        };
        let given: Vec<(String, f32, bool)> = examples.iter().map(answer).collect();
        let answers: Vec<Answer> = examples.iter().zip(&given).map(|(example, (given, confidence, accepted))| Answer { truth: example.label, given, confidence: *confidence, accepted: *accepted }).collect();
        Figures::of(&answers)
    })
}

impl TrainArgs {
    fn run(&self, context: &Context, store: &Store) -> Result<()> {
        ensure!(self.risk > 0.0 && self.risk < 1.0, "--risk {}: write a share between 0 and 1", self.risk);
        let RowsArgs { files, conditions, columns } = &self.rows;
        let rows = read_all(context, files, columns, conditions)?;
        let options = Options { task: self.task.clone(), seed: self.seed, risk: self.risk, ..Options::default() };
        let (model, report, pace) = train_shown(context, &rows, &options)?;
        let active = store.add(&self.name, &model, columns)?;
        if let Some(path) = &self.report {
            std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
        }
        if context.json {
            println!("{}", serde_json::json!({
                "name": self.name, "digest": model.digest(), "active": active, "rows": rows.len(), "rows_per_s": pace.round(), "labels": model.card().labels.len(), "features": model.card().features,
                "accuracy": report.held_out.accuracy, "macro_f1": report.held_out.macro_f1, "majority": report.held_out.majority, "calibration_error": report.held_out.calibration_error,
                "accepted": report.held_out.accepted, "accepted_accuracy": report.held_out.accepted_accuracy, "threshold": Some(model.threshold()).filter(|threshold| threshold.is_finite()), "rare": report.rare, "blank": report.blank,
            }));
            return Ok(());
        }
        for (label, count) in report.rare.iter().take(10) {
            eprintln!("{}: {label} ({count})", context.t("标签的行太少，难以学会", "too few rows to learn this label"));
        }
        println!("{} ({})", figures::summary(context, &report.held_out), context.t("留出的行", "held-out rows"));
        let role = if active { context.t("现用", "active") } else { context.t("候选；用 model promote 启用", "candidate; `model promote` makes it active") };
        println!("{} {}: {role}. {:.0} {}", self.name, short(&model.digest()), pace, context.t("行/秒", "rows/s"));
        Ok(())
    }
}

fn latest(store: &Store, name: &str, digest: Option<&str>) -> Result<Stored> {
    match digest {
        Some(digest) => store.find(name, digest),
        None => match store.stored(name)?.pop() {
            Some(stored) => Ok(stored),
            None => bail!("no model is called {name}; see `citybrain model list`"),
        },
    }
}

/// The columns given, or those of the training where none are.
fn columns_or(given: &Columns, trained: &Columns) -> Columns {
    let label = given.label.clone().or_else(|| trained.label.clone());
    let named = !given.text.is_empty() || given.kind.is_some() || !given.place.is_empty() || !given.field.is_empty();
    Columns { label, ..if named { given.clone() } else { trained.clone() } }
}

impl EvalArgs {
    fn run(&self, context: &Context, store: &Store) -> Result<()> {
        let stored = latest(store, &self.name, self.digest.as_deref())?;
        let rows = read_all(context, &self.rows.files, &columns_or(&self.rows.columns, &stored.columns), &self.rows.conditions)?;
        let found = judge(&store.load(&self.name, &stored.digest)?, &rows);
        let active = store.state(&self.name)?.active.filter(|active| *active != stored.digest);
        let beside = active.map(|digest| Ok::<_, anyhow::Error>((judge(&store.load(&self.name, &digest)?, &rows), digest))).transpose()?;
        if let Some(path) = &self.report {
            std::fs::write(path, serde_json::to_vec_pretty(&found)?)?;
        }
        if context.json {
            let active = beside.map(|(figures, digest)| serde_json::json!({ "digest": digest, "figures": figures }));
            println!("{}", serde_json::json!({ "name": self.name, "digest": stored.digest, "figures": found, "active": active, "majority": found.majority }));
            return Ok(());
        }
        figures::print(context, &found);
        if let Some((figures, digest)) = beside {
            println!("{} {}: {}", context.t("现用模型", "active model"), short(&digest), figures::summary(context, &figures));
        }
        Ok(())
    }
}

/// Why a candidate does not pass the gate; `None` when it does.
pub fn refused(candidate: &Figures, active: &Figures) -> Option<String> {
    let mut why = Vec::new();
    if candidate.macro_f1 < active.macro_f1 - MACRO_F1_LOSS_MAX {
        why.push(format!("macro-F1 {:.4} < {:.4} - {MACRO_F1_LOSS_MAX}", candidate.macro_f1, active.macro_f1));
    }
    if candidate.calibration_error > active.calibration_error + CALIBRATION_LOSS_MAX {
        why.push(format!("calibration error {:.4} > {:.4} + {CALIBRATION_LOSS_MAX}", candidate.calibration_error, active.calibration_error));
    }
    (!why.is_empty()).then(|| why.join("; "))
}

impl PromoteArgs {
    fn run(&self, context: &Context, store: &Store) -> Result<()> {
        let stored = latest(store, &self.name, self.digest.as_deref())?;
        let active = store.state(&self.name)?.active;
        ensure!(active.as_deref() != Some(stored.digest.as_str()), "{} of {} is active already", short(&stored.digest), self.name);
        let mut reason = self.reason.clone().unwrap_or_default();
        let mut how = "promoted";
        if let Some(active) = active {
            let active = store.find(&self.name, &active)?;
            let (candidate, present) = if self.files.is_empty() {
                (stored.card.held_out.clone(), active.card.held_out.clone())
            } else {
                let rows = read_all(context, &self.files, &columns_or(&self.columns, &stored.columns), &self.conditions)?;
                (judge(&store.load(&self.name, &stored.digest)?, &rows), judge(&store.load(&self.name, &active.digest)?, &rows))
            };
            let compared = format!("macro-F1 {:.4} ({:.4}), calibration error {:.4} ({:.4})", candidate.macro_f1, present.macro_f1, candidate.calibration_error, present.calibration_error);
            match refused(&candidate, &present) {
                Some(why) if !self.force => bail!("{} of {} is worse than the active model: {why}. Promote it all the same with --force --reason TEXT", short(&stored.digest), self.name),
                Some(why) => {
                    how = "forced";
                    reason = format!("{reason} [{why}]");
                }
                None => reason = format!("{reason} [{compared}]").trim().to_owned(),
            }
        }
        store.activate(&self.name, &stored.digest, how, &reason)?;
        say(context, &serde_json::json!({ "name": self.name, "active": stored.digest, "how": how, "reason": reason }), &format!("{}: {} {} {reason}", self.name, context.t("现用模型", "active is"), short(&stored.digest)))
    }
}

fn list(context: &Context, store: &Store) -> Result<()> {
    let mut lines = Vec::new();
    for name in store.names()? {
        let state = store.state(&name)?;
        for stored in store.stored(&name)? {
            let is = |digest: &Option<String>| digest.as_deref() == Some(stored.digest.as_str());
            let role = if is(&state.active) { "active" } else if is(&state.shadow) { "shadow" } else { "candidate" };
            lines.push((name.clone(), role, stored));
        }
    }
    if context.json {
        let line = |(name, role, stored): &(String, &str, Stored)| {
            let figures = &stored.card.held_out;
            serde_json::json!({
                "name": name, "role": role, "digest": stored.digest, "task": stored.card.task, "created": stored.created, "rows": stored.card.rows, "labels": stored.card.labels.len(), "features": stored.card.features,
                "data_digest": stored.card.data_digest, "accuracy": figures.accuracy, "macro_f1": figures.macro_f1, "calibration_error": figures.calibration_error, "majority": figures.majority,
            })
        };
        println!("{}", serde_json::Value::Array(lines.iter().map(line).collect()));
        return Ok(());
    }
    println!("{:<20}{:<11}{:<14}{:<10}{:>8}{:>8}{:>10}{:>10}  {}", context.t("名称", "name"), context.t("角色", "role"), context.t("摘要", "digest"), context.t("任务", "task"), context.t("行数", "rows"), context.t("标签", "labels"), context.t("准确率", "accuracy"), "macro-F1", context.t("日期", "date"));
    for (name, role, stored) in &lines {
        let figures = &stored.card.held_out;
        println!("{name:<20}{role:<11}{:<14}{:<10}{:>8}{:>8}{:>10.4}{:>10.4}  {}", short(&stored.digest), stored.card.task, stored.card.rows, stored.card.labels.len(), figures.accuracy, figures.macro_f1, stored.created);
    }
    Ok(())
}
