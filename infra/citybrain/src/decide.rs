//! What people decide, from a terminal: the commands of alerts and cases, silences, exercises and the city's mode, through
//! the brain that runs on this home.

use anyhow::{Context, Result, bail};
use chrono::{Duration, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::{Ended, Invocation, ItemAction, moment};
use crate::items;
use crate::lang::t;
use crate::people::with_doors;
use crate::status;

/// What every command says.
#[derive(Args, Clone)]
pub struct Say {
    /// Why / 理由
    #[arg(long)]
    pub reason: String,
    /// The command's own id; a repeat is carried out once / 命令编号
    #[arg(long, value_name = "ID")]
    pub command_id: Option<String>,
    /// Who decides, on a door without tokens; else it is who shows the token / 操作者（仅无令牌的入口）
    #[arg(long)]
    pub actor: Option<String>,
}

/// Which alerts, and until when.
#[derive(Args, Clone)]
pub struct Fits {
    /// A label and its value: district=d01, scenario!=bridge, originator=~g1|g2.*; all have to hold / 条件
    #[arg(long = "match", value_name = "LABEL=VALUE", required = true)]
    pub matchers: Vec<String>,
    /// Until when (RFC 3339) / 截止时间
    #[arg(long, value_name = "TIME", required_unless_present = "minutes", conflicts_with = "minutes")]
    pub until: Option<String>,
    /// For how long, in minutes from now / 持续分钟数
    #[arg(long)]
    pub minutes: Option<u32>,
}

/// `citybrain incident`.
#[derive(Subcommand, Clone)]
pub enum IncidentAction {
    #[command(flatten)]
    Item(ItemAction),
    /// Everybody whom its plans name is sent / 同意联动预案
    ApprovePlan {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Nobody is / 不同意联动预案
    RejectPlan {
        id: String,
        #[command(flatten)]
        say: Say,
    },
}

/// `citybrain alert`.
#[derive(Subcommand, Clone)]
pub enum AlertAction {
    #[command(flatten)]
    Item(ItemAction),
    /// An alert is seen and owned / 确认并认领
    Acknowledge {
        id: String,
        /// Who shall own it / 认领人
        #[arg(long)]
        owner: Option<String>,
        #[command(flatten)]
        say: Say,
    },
    /// A remark, which is the reason / 备注
    Comment {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// It is over / 解除
    Close {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// What it turned out to be: real, false, drill, duplicate / 核实结论
    Judge {
        id: String,
        verdict: String,
        #[command(flatten)]
        say: Say,
    },
    /// Write a warning of the public / 起草公众预警
    DraftWarning {
        id: String,
        /// Text in Chinese / 中文内容
        #[arg(long)]
        zh: String,
        /// Text in English / 英文内容
        #[arg(long)]
        en: String,
        #[command(flatten)]
        say: Say,
    },
    /// Somebody else agrees with its text / 审核公众预警
    ApproveWarning {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Tell the public / 发布公众预警
    PublishWarning {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// What the public was told does not hold any more / 撤销公众预警
    CancelWarning {
        id: String,
        #[command(flatten)]
        say: Say,
    },
}

/// `citybrain case`.
#[derive(Subcommand, Clone)]
pub enum CaseAction {
    #[command(flatten)]
    Item(ItemAction),
    /// This unit owes it / 分拨
    Assign {
        id: String,
        #[arg(long)]
        unit: String,
        #[command(flatten)]
        say: Say,
    },
    /// The unit begins, and is sent / 派遣
    Dispatch {
        id: String,
        #[arg(long)]
        unit: Option<String>,
        #[command(flatten)]
        say: Say,
    },
    /// From the unit that has it to another / 移交
    Transfer {
        id: String,
        #[arg(long)]
        unit: String,
        #[command(flatten)]
        say: Say,
    },
    /// A dispatch that was proposed is sent / 同意派遣
    Approve {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// It is not sent / 不同意派遣
    Reject {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// What was done is checked / 核查
    Verify {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Done, checked and closed / 结案
    Close {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Back to who sent it / 退回
    Return {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// It has to be done again / 返工
    Rework {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Another deadline / 延期
    Extend {
        id: String,
        /// The deadline (RFC 3339) / 新期限
        #[arg(long)]
        due: String,
        #[command(flatten)]
        say: Say,
    },
    /// The unit asks for more time / 申请延期
    RequestExtension {
        id: String,
        /// The deadline (RFC 3339) / 新期限
        #[arg(long)]
        due: String,
        #[command(flatten)]
        say: Say,
    },
    /// It gets it / 同意延期
    ApproveExtension {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// It does not / 不同意延期
    RejectExtension {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Its clock stands / 挂起
    Suspend {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Its clock goes on / 解除挂起
    Resume {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// No case at all / 作废
    Void {
        id: String,
        /// not_accepted, duplicate, withdrawn or mistaken / 作废原因
        #[arg(long)]
        ground: Option<String>,
        #[command(flatten)]
        say: Say,
    },
    /// It was not over after all / 重开
    Reopen {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// The same matter as another case / 并案
    Merge {
        id: String,
        /// The case that has the matter / 主案件
        other: String,
        #[command(flatten)]
        say: Say,
    },
    /// Not the same matter after all / 拆案
    Unmerge {
        id: String,
        #[command(flatten)]
        say: Say,
    },
    /// Another category / 改类
    Recategorise {
        id: String,
        #[arg(long)]
        category: String,
        #[command(flatten)]
        say: Say,
    },
}

/// `citybrain silence`.
#[derive(Subcommand, Clone)]
pub enum SilenceAction {
    /// Those that hold / 静默列表
    List,
    /// Alerts that fit are not told of / 静默
    Add {
        #[command(flatten)]
        fits: Fits,
        /// From when (RFC 3339); without it from now / 开始时间
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        #[command(flatten)]
        say: Say,
    },
    /// End one / 解除静默
    Remove {
        id: String,
        #[command(flatten)]
        say: Say,
    },
}

/// `citybrain exercise`.
#[derive(Subcommand, Clone)]
pub enum ExerciseAction {
    /// Those that go on / 演练列表
    List,
    /// What is found where it fits is an exercise / 开始演练
    Start {
        #[command(flatten)]
        fits: Fits,
        #[command(flatten)]
        say: Say,
    },
    /// End one, and the alerts that came of it / 结束演练
    Stop {
        id: String,
        #[command(flatten)]
        say: Say,
    },
}

/// `citybrain mode`.
#[derive(Subcommand, Clone)]
pub enum ModeAction {
    /// In which mode the city is / 当前模式
    Show,
    /// 平时
    Everyday {
        #[command(flatten)]
        say: Say,
    },
    /// 救时
    Emergency {
        #[command(flatten)]
        say: Say,
    },
}

/// An alert's command.
pub async fn alert(context: &Invocation, action: AlertAction) -> Result<Ended> {
    match action {
        AlertAction::Item(action) => items::run(context, items::ALERT, action).await,
        AlertAction::Acknowledge { id, owner, say } => order(context, "acknowledge", &id, say, json!({ "owner": owner })).await,
        AlertAction::Comment { id, say } => order(context, "comment", &id, say, json!({})).await,
        AlertAction::Close { id, say } => order(context, "close", &id, say, json!({})).await,
        AlertAction::Judge { id, verdict, say } => order(context, "judge", &id, say, json!({ "verdict": verdict })).await,
        AlertAction::DraftWarning { id, zh, en, say } => order(context, "draft_warning", &id, say, json!({ "text": { "zh": zh, "en": en } })).await,
        AlertAction::ApproveWarning { id, say } => order(context, "approve_warning", &id, say, json!({})).await,
        AlertAction::PublishWarning { id, say } => order(context, "publish_warning", &id, say, json!({})).await,
        AlertAction::CancelWarning { id, say } => order(context, "cancel_warning", &id, say, json!({})).await,
    }
}

/// A case's command.
pub async fn case(context: &Invocation, action: CaseAction) -> Result<Ended> {
    match action {
        CaseAction::Item(action) => items::run(context, items::CASE, action).await,
        CaseAction::Assign { id, unit, say } => order(context, "assign", &id, say, json!({ "unit": unit })).await,
        CaseAction::Dispatch { id, unit, say } => order(context, "dispatch", &id, say, json!({ "unit": unit })).await,
        CaseAction::Transfer { id, unit, say } => order(context, "transfer", &id, say, json!({ "unit": unit })).await,
        CaseAction::Approve { id, say } => order(context, "approve", &id, say, json!({})).await,
        CaseAction::Reject { id, say } => order(context, "reject", &id, say, json!({})).await,
        CaseAction::Verify { id, say } => order(context, "verify", &id, say, json!({})).await,
        CaseAction::Close { id, say } => order(context, "close", &id, say, json!({})).await,
        CaseAction::Return { id, say } => order(context, "return", &id, say, json!({})).await,
        CaseAction::Rework { id, say } => order(context, "rework", &id, say, json!({})).await,
        CaseAction::Extend { id, due, say } => order(context, "extend", &id, say, json!({ "due": time("due", &due)? })).await,
        CaseAction::RequestExtension { id, due, say } => order(context, "request_extension", &id, say, json!({ "due": time("due", &due)? })).await,
        CaseAction::ApproveExtension { id, say } => order(context, "approve_extension", &id, say, json!({})).await,
        CaseAction::RejectExtension { id, say } => order(context, "reject_extension", &id, say, json!({})).await,
        CaseAction::Suspend { id, say } => order(context, "suspend", &id, say, json!({})).await,
        CaseAction::Resume { id, say } => order(context, "resume", &id, say, json!({})).await,
        CaseAction::Void { id, ground, say } => order(context, "void", &id, say, json!({ "ground": ground })).await,
        CaseAction::Reopen { id, say } => order(context, "reopen", &id, say, json!({})).await,
        CaseAction::Merge { id, other, say } => order(context, "merge", &id, say, json!({ "other": other })).await,
        CaseAction::Unmerge { id, say } => order(context, "unmerge", &id, say, json!({})).await,
        CaseAction::Recategorise { id, category, say } => order(context, "recategorise", &id, say, json!({ "category": category })).await,
    }
}

/// An incident's command.
pub async fn incident(context: &Invocation, action: IncidentAction) -> Result<Ended> {
    match action {
        IncidentAction::Item(action) => items::run(context, items::INCIDENT, action).await,
        IncidentAction::ApprovePlan { id, say } => order(context, "approve_plan", &id, say, json!({})).await,
        IncidentAction::RejectPlan { id, say } => order(context, "reject_plan", &id, say, json!({})).await,
    }
}

/// Silences.
pub async fn silence(context: &Invocation, action: SilenceAction) -> Result<Ended> {
    match action {
        SilenceAction::List => show(context, "silences", &["id", "starts", "ends", "author", "comment", "matchers"]).await,
        SilenceAction::Add { fits, from, say } => {
            let mut fields = fields(&fits)?;
            if let Some(from) = from {
                fields["starts"] = time("from", &from)?;
            }
            order(context, "silence", "", say, fields).await
        }
        SilenceAction::Remove { id, say } => order(context, "unsilence", &id, say, json!({})).await,
    }
}

/// Exercises.
pub async fn exercise(context: &Invocation, action: ExerciseAction) -> Result<Ended> {
    match action {
        ExerciseAction::List => show(context, "exercises", &["id", "began", "ends", "author", "comment", "matchers"]).await,
        ExerciseAction::Start { fits, say } => order(context, "start_exercise", "", say, fields(&fits)?).await,
        ExerciseAction::Stop { id, say } => order(context, "stop_exercise", &id, say, json!({})).await,
    }
}

/// The city's mode.
pub async fn mode(context: &Invocation, action: ModeAction) -> Result<Ended> {
    match action {
        ModeAction::Show => {
            let (_, answer) = ask(context, "GET", "/v1/alerting", "").await?;
            println!("{}", answer["mode"].as_str().unwrap_or_default());
            Ok(Ended::Done)
        }
        ModeAction::Everyday { say } => order(context, "mode", "city", say, json!({ "mode": "everyday" })).await,
        ModeAction::Emergency { say } => order(context, "mode", "city", say, json!({ "mode": "emergency" })).await,
    }
}

fn time(option: &str, text: &str) -> Result<Value> {
    Ok(json!(moment(option, Some(text))?))
}

fn fields(fits: &Fits) -> Result<Value> {
    let matchers: Vec<Value> = fits.matchers.iter().map(|text| matcher(text)).collect::<Result<_>>()?;
    let ends = match (&fits.until, fits.minutes) {
        (Some(until), _) => time("until", until)?,
        (None, minutes) => json!(Utc::now() + Duration::minutes(i64::from(minutes.unwrap_or_default()))),
    };
    Ok(json!({ "matchers": matchers, "ends": ends }))
}

/// Reads `district=d01`, `scenario!=bridge`, `originator=~g1|g2`, `originator!~g.*`.
fn matcher(text: &str) -> Result<Value> {
    let end = text.find(['=', '!']).with_context(|| format!("--match {text:?} has no `=`: write LABEL=VALUE, LABEL!=VALUE, LABEL=~A|B or LABEL!~A|B"))?;
    let (name, rest) = text.split_at(end);
    let found = [("!=", false, false), ("!~", false, true), ("=~", true, true), ("=", true, false)].into_iter().find_map(|(sign, is_equal, is_regex)| {
        let value = rest.strip_prefix(sign)?;
        Some(json!({ "name": name, "value": value, "isEqual": is_equal, "isRegex": is_regex }))
    });
    found.with_context(|| format!("--match {text:?}: write LABEL=VALUE, LABEL!=VALUE, LABEL=~A|B or LABEL!~A|B"))
}

async fn ask(context: &Invocation, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
    let home = context.home()?;
    let running = context.running(&home).context(t("本目录没有运行中的大脑：先执行 citybrain run", "no brain runs on this home: `citybrain run` starts it"))?;
    let (code, answer) = status::ask(&with_doors(&running)?, method, path, body).await?;
    if code >= 400 {
        let told = t(answer["detail_zh"].as_str().unwrap_or_default(), answer["detail"].as_str().unwrap_or_default());
        bail!("{told}{}", if matches!(code, 401 | 403) { t("（用 --token 或 CITYBRAIN_TOKEN 给出本人令牌）", " (give your own token with --token or CITYBRAIN_TOKEN)") } else { "" });
    }
    Ok((code, answer))
}

async fn order(context: &Invocation, action: &str, target: &str, say: Say, fields: Value) -> Result<Ended> {
    let id = say.command_id.unwrap_or_else(|| rand::random::<[u8; 12]>().iter().map(|byte| format!("{byte:02x}")).collect());
    // Who shows a token is who it belongs to; on a door without tokens it is who sits here.
    let actor = say.actor.or_else(|| std::env::var("USER").ok().filter(|_| context.global.token.is_none()));
    let mut command = json!({ "command_id": id, "action": action, "target": target, "reason": say.reason, "actor": actor.unwrap_or_default() });
    let fields = fields.as_object().cloned().unwrap_or_default();
    command.as_object_mut().expect("an object").extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    let (_, answer) = ask(context, "POST", "/v1/commands", &command.to_string()).await?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        println!("{}", answer["cursor"].as_str().unwrap_or_default());
    }
    match answer["refused"].as_str() {
        Some(reason) => {
            eprintln!("{}{reason}", t("未执行：", "not carried out: "));
            Ok(Ended::Refused)
        }
        None => Ok(Ended::Done),
    }
}

async fn show(context: &Invocation, list: &str, columns: &[&str]) -> Result<Ended> {
    let (_, answer) = ask(context, "GET", "/v1/alerting", "").await?;
    let rows: Vec<_> = answer[list].as_array().into_iter().flatten().filter_map(|row| row.as_object().cloned()).collect();
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if rows.is_empty() {
        println!("{}", t("没有", "none"));
    } else {
        items::print_table(columns, &rows);
    }
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let read = |text: &str| matcher(text).map(|it| (it["name"].clone(), it["value"].clone(), it["isEqual"] == true, it["isRegex"] == true));
        assert_eq!(read("district=d01").unwrap(), ("district".into(), "d01".into(), true, false));
        assert_eq!(read("scenario!=bridge").unwrap(), ("scenario".into(), "bridge".into(), false, false));
        assert_eq!(read("originator=~g1|g2.*").unwrap(), ("originator".into(), "g1|g2.*".into(), true, true));
        assert_eq!(read("originator!~a=b").unwrap(), ("originator".into(), "a=b".into(), false, true));
        assert!(read("district").is_err() && read("district!").is_err());
    }
}
