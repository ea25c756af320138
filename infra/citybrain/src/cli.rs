//! The commands that people type, and their exit status.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::decide::{AlertAction, CaseAction, ExerciseAction, ModeAction, SilenceAction};
use crate::home::{Home, Running};
use crate::lang::{self, Lang};

/// citybrain: an event-sourced, streaming, explainable, replayable city brain. 城市大脑：事件溯源、流式、可解释、可重放。
#[derive(Parser)]
#[command(name = "citybrain", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes, each also an environment variable.
#[derive(Args, Clone)]
pub struct Global {
    /// The folder that holds everything / 数据目录
    #[arg(long, global = true, env = "CITYBRAIN_HOME", default_value = ".citybrain")]
    pub home: PathBuf,
    /// A Kafka cluster, HOST:PORT[,...]; without it the embedded broker / 外部 Kafka 集群
    #[arg(long, global = true, env = "CITYBRAIN_KAFKA")]
    pub kafka: Option<String>,
    /// Configuration (TOML); `citybrain config` prints every key / 配置文件
    #[arg(long, global = true, env = "CITYBRAIN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Machine-readable output / 机器可读输出
    #[arg(long, global = true, env = "CITYBRAIN_JSON")]
    pub json: bool,
    /// People and their roles (YAML); without it people.yaml in the home / 人员与角色文件
    #[arg(long, global = true, env = "CITYBRAIN_PEOPLE", value_name = "FILE")]
    pub people: Option<PathBuf>,
    /// Your token, for what the running brain is asked for / 本人令牌
    #[arg(long, global = true, env = "CITYBRAIN_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Language of what people read / 语言
    #[arg(long, global = true, env = "CITYBRAIN_LANG")]
    pub lang: Option<Lang>,
    /// More logs (-v info, -vv debug) / 更多日志
    #[arg(short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only errors / 只报错误
    #[arg(short, global = true)]
    pub quiet: bool,
}

/// What people can ask for.
#[derive(Subcommand)]
pub enum Command {
    /// A generated city through everything, with a summary at the end / 演示：生成一座城市并跑完整条链路
    Demo(DemoArgs),
    /// The whole brain as a service / 作为服务运行
    Run(RunArgs),
    /// Each part with its health, lag and counts / 各部分状态
    Status,
    /// Real files in: CSV, JSONL, Parquet, .gz, .zst / 导入文件
    Import(ImportArgs),
    /// SQL over the lakehouse / 湖仓 SQL 查询
    Sql(SqlArgs),
    /// Streaming SQL jobs / 流式 SQL 作业
    Job {
        #[command(subcommand)]
        action: JobAction,
    },
    /// Alerts, and what people decide about them / 预警
    Alert {
        #[command(subcommand)]
        action: AlertAction,
    },
    /// Cases, and what people decide about them / 案件
    Case {
        #[command(subcommand)]
        action: CaseAction,
    },
    /// Silences: alerts that are not told of / 静默
    Silence {
        #[command(subcommand)]
        action: SilenceAction,
    },
    /// Exercises / 演练
    Exercise {
        #[command(subcommand)]
        action: ExerciseAction,
    },
    /// 平时, 救时: how the city works / 模式
    Mode {
        #[command(subcommand)]
        action: ModeAction,
    },
    /// Incidents / 事件
    Incident {
        #[command(subcommand)]
        action: crate::decide::IncidentAction,
    },
    /// The event and duty graph / 事件链与职责链图谱
    Graph {
        /// The graph as it was at a moment (RFC 3339) / 历史时刻
        #[arg(long, global = true, value_name = "TIME")]
        as_of: Option<String>,
        #[command(subcommand)]
        action: GraphAction,
    },
    /// Recompute decisions from the lake alone and compare digests / 重放并比对
    Replay(ReplayArgs),
    /// From any alert, case, decision or row back to topic, partition and offset, and forward / 溯源
    Why(WhyArgs),
    /// What was refused, why, and another try / 被拒收的数据
    Dlq {
        #[command(subcommand)]
        action: DlqAction,
    },
    /// Devices that may send, and their keys / 设备登记与密钥
    Device {
        #[command(subcommand)]
        action: DeviceAction,
    },
    /// People, their roles and tokens / 人员、角色与令牌
    People {
        #[command(subcommand)]
        command: PeopleCommand,
    },
    /// Who did what: entries that nobody can alter unseen / 审计
    Audit {
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Small models: trained on your labels, measured, promoted, rolled back / 小模型的训练与生命周期
    Model(offline::model::Args),
    /// People's corrections as rows to train small models on, and to judge them by / 人工更正转为训练与评估样本
    Labels(LabelsArgs),
    /// What each message of a file says / 读懂文件中的每条诉求
    Triage(offline::triage::Args),
    /// Which unit owes each row of a file / 为文件中的每一行找到责任单位
    Route(offline::route::Args),
    /// Anomaly scores of series / 时间序列异常评分
    Detect(offline::detect::Args),
    /// Forecasts with intervals / 带区间的预测
    Forecast(offline::forecast::Forecast),
    /// Hot issues of a stream of messages / 热点问题
    Hotspots(offline::hotspots::Args),
    /// The knowledge base: check its documents, search them / 知识库
    Know(offline::knowledge::Args),
    /// Benchmarks, each with its baseline beside it / 基准测试
    Bench(BenchArgs),
    /// Evaluations on real data / 评测
    Eval(EvalArgs),
    /// Check of the machine, ports, versions, disk, Kafka / 环境检查
    Doctor,
    /// Every key of the configuration with its default and meaning / 打印全部配置项
    Config,
}

#[derive(Args, Clone)]
pub struct DemoArgs {
    /// Houston's real flood of 2017 instead of the generated city (needs the data folder)
    #[arg(long, value_name = "NAME")]
    pub real: Option<String>,
    /// Seed of the generated city
    #[arg(long, default_value_t = 2025)]
    pub seed: u64,
    /// Event time runs at most this many times faster than it happened; without it, as fast as the machine can
    #[arg(long)]
    pub speed: Option<f64>,
    /// Keep the demo's home (it is named at the end) instead of starting from an empty one next time
    #[arg(long)]
    pub keep: bool,
}

#[derive(Args, Clone)]
pub struct RunArgs {
    /// Parts to run in this process, comma-separated: doors,jobs,brain,lake
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Part>,
}

/// A part of the brain that `run --only` can start alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// HTTP and MQTT
    Doors,
    /// Streaming SQL
    Jobs,
    /// Sequencer and brain
    Brain,
    /// Forecasts of volumes and hot issues, made from what the brain decides
    Agents,
    /// Delta tables
    Lake,
}

#[derive(Args, Clone)]
pub struct ImportArgs {
    /// houston, baltimore, nyc, taipei, hotline, air-beijing, or a mapping file of your own
    #[arg(long)]
    pub mapping: String,
    /// The files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Event time runs at most this many times faster than it happened
    #[arg(long)]
    pub speed: Option<f64>,
}

/// What people correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Corrected {
    Category,
    Unit,
}

impl Corrected {
    /// The column of a case.
    pub fn field(self) -> &'static str {
        match self {
            Corrected::Category => "category",
            Corrected::Unit => "unit",
        }
    }
}

#[derive(Args, Clone)]
pub struct LabelsArgs {
    /// Rows to train on, as CSV: `citybrain model train --in FILE --text text --label label`
    pub out: PathBuf,
    /// What was corrected
    #[arg(long, value_enum, default_value = "category")]
    pub task: Corrected,
    /// Rows that are never trained on, to judge by: a fifth of the cases
    #[arg(long, value_name = "FILE")]
    pub held_out: Option<PathBuf>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Csv,
    Json,
    Parquet,
}

#[derive(Args, Clone)]
pub struct SqlArgs {
    /// The query, a file's path, or - for standard input; without it a prompt
    pub query: Option<String>,
    /// The lake as it was at a time (RFC 3339) or table version
    #[arg(long)]
    pub as_of: Option<String>,
    /// Output format
    #[arg(long)]
    pub format: Option<Format>,
    /// Write to a file
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Subcommand, Clone)]
pub enum JobAction {
    /// Check a job's SQL / 检查作业
    Validate { file: PathBuf },
    /// Show how a job runs; while it runs, with rates, lag, watermark and state of each step / 执行计划与实时指标
    Explain {
        /// A job's name, or a file
        #[arg(value_name = "NAME|FILE")]
        job: PathBuf,
    },
    /// Run a job: in the brain that runs on this home, alone, or over what has been / 运行作业
    #[command(long_about = RUN_ABOUT)]
    Run(JobRunArgs),
    /// Write a job for an Arroyo cluster, with what it needs there / 导出作业到 Arroyo 集群
    #[command(long_about = EXPORT_ABOUT)]
    Export(JobExportArgs),
    /// Every job with its state, epoch, watermark, lag, rate and state size / 作业列表
    List,
    /// Stop a job and keep its state; holds until `job start` / 停止作业（保留状态）
    Stop { name: String },
    /// Let a stopped job run again / 重新启动作业
    Start { name: String },
    /// Drop a job's state and positions: it begins anew / 清空作业状态与位置
    #[command(long_about = RESET_ABOUT)]
    Reset {
        name: String,
        /// Do not ask / 不询问
        #[arg(long)]
        yes: bool,
    },
}

const RUN_ABOUT: &str = "\
Run a job / 运行作业

While a brain runs on this home, FILE becomes one of its jobs: it is checked, what happens to the state of an earlier
version is said, then the file and its lookup files are copied to <home>/jobs.d, where the brain takes them up. Removing
the file there stops the job and keeps its state.

Without a brain, or with --until-caught-up, the job runs alone in this process: on the Kafka that its tables name
(bootstrap_servers), else --kafka, else that of the running brain, else the log of the embedded broker. State and
positions stay in <home>/jobs/<name>, so the next run goes on from there. --until-caught-up stops when everything is
read and committed that was there at the start.

With --shared the job is one of several processes that share it by a consumer group: partitions of its topics, and slices
of its state where it has one, spread over those that live. They need a Kafka that all of them reach and one home, which
may be a folder on the network. Rows go from partitions to slices by the topic job.<name>.<life>.slices. What one process
leaves, another goes on with; nothing is lost or counted twice.

With --dry it prints what the job would give on what has been between --from and --to (by event time, from the tables
of the lake; of another Kafka by the time of its records), and writes nothing.

Exit status: 0 done, 1 failed, 2 wrong usage.";

const EXPORT_ABOUT: &str = "\
Write a job for an Arroyo cluster, with what it needs there / 导出作业到 Arroyo 集群

FOLDER gets NAME.sql in Arroyo's dialect; NAME.udfs/*.rs, the user-defined functions that the job calls; and
NAME.relays/*.sql, jobs for this brain. Arroyo reads and writes no headers of Kafka, so a relay carries what stands in
headers (the times and types of events) over to plain JSON, and makes events of the results. Relays keep no state: start
them here with `citybrain job run`.

What Arroyo has no equivalent for is refused with its line, the reason and what to do. Differences that leave results as
they are stand at the head of NAME.sql.";

const RESET_ABOUT: &str = "\
Drop a job's state and positions / 清空作业状态与位置

The job begins anew, as its file says. Rows that it has written stay; what it reads again it writes again. On a topic
its records have the same ids as before.";

#[derive(Args, Clone)]
pub struct JobExportArgs {
    /// A job's name, or a file
    #[arg(value_name = "NAME|FILE")]
    pub job: PathBuf,
    /// For Arroyo, the one other engine there is / 目标引擎 Arroyo
    #[arg(long, required = true)]
    pub arroyo: bool,
    /// Where to write / 输出目录
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub out: PathBuf,
    /// Kafka as Arroyo reaches it; else --kafka, else that of this home / Arroyo 可达的 Kafka
    #[arg(long, value_name = "HOST:PORT[,...]")]
    pub bootstrap_servers: Option<String>,
    /// The lakehouse as Arroyo reaches it, as in s3://bucket/lake / Arroyo 可达的湖仓
    #[arg(long, value_name = "URL")]
    pub lake: Option<String>,
    /// The sources of user-defined functions, FOLDER/NAME/src/lib.rs / 自定义函数源码目录
    #[arg(long, value_name = "FOLDER", default_value = "udfs/functions")]
    pub udfs: PathBuf,
}

#[derive(Args, Clone)]
pub struct JobRunArgs {
    /// The job's file; with --dry or --until-caught-up also the name of a job
    pub file: PathBuf,
    /// Run alone; stop when all that was there at the start is read and committed / 追上后退出
    #[arg(long, conflicts_with = "dry")]
    pub until_caught_up: bool,
    /// Close the windows that are open at the end; rows that come later for them are late / 结束时关闭窗口
    #[arg(long, requires = "until_caught_up")]
    pub close: bool,
    /// Print what the job would give, and write nothing / 只打印，不写入
    #[arg(long)]
    pub dry: bool,
    /// Share the job with every other process that runs it so on the same Kafka and home / 与其他进程共同运行同一作业
    #[arg(long, conflicts_with_all = ["dry", "until_caught_up", "drop_state"])]
    pub shared: bool,
    /// Into how many slices a shared job is cut when it is shared for the first time / 首次共享时的分片数
    #[arg(long, requires = "shared", value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub slices: u32,
    /// From this time on (RFC 3339)
    #[arg(long, requires = "dry", value_name = "TIME")]
    pub from: Option<String>,
    /// Up to, not including, this time
    #[arg(long, requires = "dry", value_name = "TIME")]
    pub to: Option<String>,
    /// Print at most this many rows
    #[arg(long, requires = "dry", value_name = "N")]
    pub limit: Option<usize>,
    /// Let a version that cannot go on from the state drop its open windows; positions stay / 允许丢弃打开的窗口
    #[arg(long, conflicts_with = "dry")]
    pub drop_state: bool,
    /// Do not ask / 不询问
    #[arg(long)]
    pub yes: bool,
}

#[derive(Subcommand, Clone)]
pub enum ItemAction {
    /// All of them
    List {
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One of them
    Show { id: String },
    /// Where it came from
    Why { id: String },
}

/// The moment that an option names, if it is given.
///
/// # Errors
/// When its text is no RFC 3339 time.
pub fn moment(option: &str, text: Option<&str>) -> Result<Option<DateTime<Utc>>> {
    let Some(text) = text else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text).with_context(|| format!("--{option} {text:?} is no RFC 3339 time, such as 2026-08-26T00:00:00+08:00"))?;
    Ok(Some(time.to_utc()))
}

#[derive(Subcommand, Clone)]
pub enum GraphAction {
    /// Check files (those of the home without any): every mistake with its file and line / 检查图谱文件
    Check { files: Vec<PathBuf> },
    /// Who owes a matter, and why / 谁负责，为什么
    Ask(GraphAsk),
    /// An element and what it is joined to; without one, all keys / 查看元素
    Show {
        /// KIND/ID, or an id
        id: Option<String>,
        /// For Graphviz
        #[arg(long, conflicts_with = "geojson")]
        dot: bool,
        /// For a map
        #[arg(long)]
        geojson: bool,
    },
    /// How two elements are joined / 两个元素之间的路径
    Path { from: String, to: String },
    /// What can follow an event, or depends on an asset / 可能的后果
    Follow {
        /// An event type, or an asset
        what: String,
        /// At most this many chains
        #[arg(long, default_value_t = 5)]
        top: usize,
        #[command(flatten)]
        place: GraphPlace,
    },
    /// What can have caused an event / 可能的原因
    Explain {
        /// An event type
        event: String,
        /// At most this many causes
        #[arg(long, default_value_t = 5)]
        top: usize,
    },
    /// Which resources can be at a point in time / 可及时到达的资源
    Reach {
        /// Latitude
        #[arg(long, allow_negative_numbers = true)]
        lat: f64,
        /// Longitude
        #[arg(long, allow_negative_numbers = true)]
        lon: f64,
        /// Kinds, comma-separated; without it all
        #[arg(long, value_delimiter = ',')]
        kind: Vec<String>,
        /// Within this many minutes
        #[arg(long, default_value_t = 60)]
        minutes: u32,
        /// At most this many
        #[arg(long, default_value_t = 10)]
        top: usize,
    },
    /// What changed from --as-of to --to, or to FILES; exit 1 when they differ / 差异
    Diff {
        /// Files to compare with
        files: Vec<PathBuf>,
        /// A later moment; without it now
        #[arg(long, value_name = "TIME", conflicts_with = "files")]
        to: Option<String>,
    },
    /// Put elements of FILES into the graph of the running brain, and take others out: all or nothing / 变更运行中的图谱
    Apply(GraphApply),
    /// Packs: what one kind of danger brings along / 场景包
    Pack {
        #[command(subcommand)]
        action: PackAction,
    },
}

/// Why the graph is changed, and whether really.
#[derive(Args, Clone)]
pub struct GraphReason {
    /// Why; it stays in the log / 理由
    #[arg(long)]
    pub reason: Option<String>,
    /// Only print what would change / 仅显示差异
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Clone)]
pub struct GraphApply {
    /// YAML files, or folders of them
    #[arg(required_unless_present = "remove")]
    pub files: Vec<PathBuf>,
    /// Elements that go, as KIND/ID
    #[arg(long, value_name = "KEY", num_args = 1..)]
    pub remove: Vec<String>,
    /// The version of the graph that it was written for; refused when it has another one now
    #[arg(long, value_name = "VERSION")]
    pub expect: Option<String>,
    #[command(flatten)]
    pub reason: GraphReason,
}

#[derive(Subcommand, Clone)]
pub enum PackAction {
    /// Packs that ship, that are kept in the home, or that are installed / 列出
    List,
    /// Install a pack into the running brain: its part of the graph, then its jobs / 安装
    Install {
        /// One that ships, or a folder
        pack: String,
        #[command(flatten)]
        reason: GraphReason,
    },
    /// Take a pack out again: the graph is the one of before, its jobs stop, their tables stay / 卸载
    Remove {
        /// Its id
        pack: String,
        #[command(flatten)]
        reason: GraphReason,
    },
}

/// Where something is.
#[derive(Args, Clone)]
pub struct GraphPlace {
    /// A place's id or name / 地点
    #[arg(long = "at", value_name = "PLACE")]
    pub place: Option<String>,
    /// Latitude / 纬度
    #[arg(long, allow_negative_numbers = true)]
    pub lat: Option<f64>,
    /// Longitude / 经度
    #[arg(long, allow_negative_numbers = true)]
    pub lon: Option<f64>,
}

#[derive(Args, Clone)]
pub struct GraphAsk {
    /// A category, a request type, or what somebody said / 类别或原话
    pub what: String,
    #[command(flatten)]
    pub place: GraphPlace,
    /// When (RFC 3339); without it now / 时间
    #[arg(long)]
    pub time: Option<String>,
}

#[derive(Args, Clone)]
pub struct ReplayArgs {
    /// From this time on (RFC 3339); without it from the beginning
    #[arg(long)]
    pub from: Option<String>,
    /// Up to this time; without it to the end
    #[arg(long)]
    pub to: Option<String>,
    /// Only report decisions of this incident
    #[arg(long)]
    pub incident: Option<String>,
    /// Write the recomputed effects to tables `replay_<run>.*`
    #[arg(long)]
    pub keep: bool,
    /// Ask this language model (a GGUF file) what was asked, and show which decisions would differ
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    pub model: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct WhyArgs {
    /// The id of an alert, case, decision or event, or topic/partition/offset
    pub id: Option<String>,
    /// A table and the value of its key column instead
    #[arg(long, num_args = 2, value_names = ["TABLE", "KEY"])]
    pub sql_row: Option<Vec<String>>,
}

#[derive(Subcommand, Clone)]
pub enum DlqAction {
    /// What was refused
    List {
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One of them, with its original bytes
    Show { id: String },
    /// Another try after repair: the ids given, or all
    Retry { ids: Vec<String> },
}

#[derive(Subcommand, Clone)]
pub enum DeviceAction {
    /// Register a device; prints its key, this once / 登记设备并显示密钥（仅一次）
    Add {
        device: String,
        /// Its name / 名称
        #[arg(long)]
        name: Option<String>,
    },
    /// All devices / 设备列表
    List,
    /// Let a device in no more, at once / 立即吊销设备
    Revoke {
        device: String,
        /// Why / 原因
        #[arg(long)]
        reason: Option<String>,
    },
    /// Give a device a new key; the old one is void at once / 换发密钥
    Rotate {
        device: String,
        /// Why / 原因
        #[arg(long)]
        reason: Option<String>,
    },
}

/// What somebody is granted.
#[derive(Args, Clone)]
pub struct GrantArgs {
    /// A role; may be given several times / 角色
    #[arg(long, required = true)]
    pub role: Vec<String>,
    /// Only for these scenarios and categories, comma-separated / 领域
    #[arg(long, value_delimiter = ',')]
    pub domain: Vec<String>,
    /// Only for these districts, comma-separated / 区域
    #[arg(long, value_delimiter = ',')]
    pub area: Vec<String>,
}

#[derive(Subcommand, Clone)]
pub enum PeopleCommand {
    /// Let somebody in; prints their token, this once / 增加人员并显示令牌（仅一次）
    Add {
        /// The id: the actor of their commands / 编号
        person: String,
        /// Name in Chinese / 中文名
        #[arg(long)]
        zh: Option<String>,
        /// Name in English / 英文名
        #[arg(long)]
        en: Option<String>,
        #[command(flatten)]
        grant: GrantArgs,
        /// Why / 原因
        #[arg(long)]
        reason: Option<String>,
    },
    /// Grant somebody this, in place of what they were granted; several grants are written in the file / 授权
    Grant {
        person: String,
        #[command(flatten)]
        grant: GrantArgs,
        /// Why / 原因
        #[arg(long)]
        reason: Option<String>,
    },
    /// Give somebody a new token; the old one is void at once / 换发令牌
    Rotate {
        person: String,
        /// Why / 原因
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let somebody in no more, at once / 移除人员
    Remove {
        person: String,
        /// Why / 原因
        #[arg(long)]
        reason: Option<String>,
    },
    /// Everybody / 人员列表
    List,
    /// One of them / 单个人员
    Show { person: String },
    /// Which role allows what / 角色权限表
    Roles,
    /// Check the file, and its domains and areas against the graph / 检查人员文件
    Check,
}

#[derive(Subcommand, Clone)]
pub enum AuditAction {
    /// The latest entries / 审计列表
    List {
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// From this time on (RFC 3339)
        #[arg(long)]
        from: Option<String>,
        /// Up to this time
        #[arg(long)]
        to: Option<String>,
        /// Of this person
        #[arg(long)]
        actor: Option<String>,
        /// asked, done, refused or failed
        #[arg(long)]
        outcome: Option<String>,
    },
    /// One entry, by its number or CHAIN/NUMBER / 单个条目
    Show { entry: String },
    /// The ends of the chains, to be kept elsewhere / 链末端
    Head,
    /// Check that nothing was altered: log, lake and the heads that were kept; exit 1 when something was / 校验
    Verify {
        /// From this time on (RFC 3339)
        #[arg(long)]
        from: Option<String>,
        /// Up to this time
        #[arg(long)]
        to: Option<String>,
        /// A head that was kept elsewhere; may be given several times / 另存的链末端
        #[arg(long)]
        head: Vec<String>,
        /// A bundle of `audit export` instead
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Write entries out so that anybody can check them / 导出证据包
    Export {
        file: PathBuf,
        /// From this time on (RFC 3339)
        #[arg(long)]
        from: Option<String>,
        /// Up to this time
        #[arg(long)]
        to: Option<String>,
    },
}

#[derive(Args, Clone)]
pub struct BenchArgs {
    /// ingest, latency, asking, windows, nexmark, graph, soak, or list
    pub name: String,
    /// Events; graph: edges
    #[arg(long)]
    pub events: Option<u64>,
    /// Events per second, where the benchmark paces itself
    #[arg(long)]
    pub rate: Option<u64>,
    /// soak: how long, in minutes
    #[arg(long)]
    pub minutes: Option<u64>,
    /// soak: devices that send readings
    #[arg(long)]
    pub devices: Option<u64>,
    /// windows: sensors
    #[arg(long)]
    pub sensors: Option<u64>,
    /// nexmark: queries, comma-separated; without it all
    #[arg(long, value_delimiter = ',')]
    pub queries: Vec<String>,
    /// windows, nexmark: runs of each, of which the middle one counts
    #[arg(long, default_value_t = 1)]
    pub runs: usize,
    /// nexmark: compare each result with a batch query over the same events
    #[arg(long)]
    pub check: bool,
    /// nexmark: results go nowhere, as those of Flink's published figures do
    #[arg(long)]
    pub blackhole: bool,
    /// windows, nexmark: plain JSON values instead of CloudEvents; nexmark then runs no query: its rows are of one table with `person`, `auction` and `bid`
    #[arg(long)]
    pub plain: bool,
    /// measured: the job that a benchmark runs in a process of its own
    #[arg(long, hide = true)]
    pub job: Option<PathBuf>,
    /// measured: the topic of the baseline
    #[arg(long, hide = true)]
    pub topic: Option<String>,
}

#[derive(Args, Clone)]
pub struct EvalArgs {
    /// houston, incidents, or list
    pub name: String,
    /// incidents: scripts to play instead of those that ship (docs/incidents.md)
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub script: Vec<PathBuf>,
    /// incidents: how often each script is played; the first time as it is written, then varied by chance
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub variations: u32,
    /// incidents, pii: seed of all that is left to chance
    #[arg(long, default_value_t = 2026)]
    pub seed: u64,
}

/// How a command ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was done.
    Done,
    /// Done, but something was refused: it is in `dlq`.
    Refused,
    /// A check found a difference; the difference has been printed.
    Differs,
}

/// What every command gets.
#[derive(Clone)]
pub struct Invocation {
    /// Options of the command line.
    pub global: Global,
    /// The configuration in force.
    pub config: Config,
}

impl Invocation {
    /// Opens the home that the command line names.
    pub fn home(&self) -> Result<Home> {
        Home::open(&self.global.home)
    }

    /// The process that runs on a home, when one does, with the token that the command line gives for it.
    pub fn running(&self, home: &Home) -> Option<Running> {
        let running = home.running()?;
        Some(Running { token: self.global.token.clone().or(running.token), ..running })
    }
}

/// Runs one command.
pub fn run(cli: Cli) -> ExitCode {
    lang::set(cli.global.lang);
    match run_inner(cli) {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Differs) => ExitCode::from(1),
        Ok(Ended::Refused) => ExitCode::from(3),
        Err(error) => {
            eprintln!("citybrain: {}", told(&error));
            ExitCode::from(1)
        }
    }
}

/// An error with what it came of, each said once: some libraries repeat their causes in their own words.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.contains(&cause) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&cause);
    }
    told
}

fn run_inner(cli: Cli) -> Result<Ended> {
    let config = Config::load(cli.global.config.as_deref())?;
    start_logging(&cli.global, &config)?;
    let context = Invocation { global: cli.global, config };
    // More threads than cores: some of them wait for the disk (plans and states of jobs, snapshots), and others must not.
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * 2 + 4;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().context("could not start the runtime")?;
    let ended = runtime.block_on(dispatch(context, cli.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ended
}

async fn dispatch(context: Invocation, command: Command) -> Result<Ended> {
    match command {
        Command::Demo(args) => crate::demo::run(&context, args).await,
        Command::Run(args) => crate::run::run(&context, args).await,
        Command::Status => crate::status::run(&context).await,
        Command::Import(args) => crate::import::run(&context, args).await,
        Command::Sql(args) => crate::sql::run(&context, args).await,
        Command::Job { action } => crate::jobs::command(&context, action).await,
        Command::Alert { action } => crate::decide::alert(&context, action).await,
        Command::Case { action } => crate::decide::case(&context, action).await,
        Command::Silence { action } => crate::decide::silence(&context, action).await,
        Command::Exercise { action } => crate::decide::exercise(&context, action).await,
        Command::Mode { action } => crate::decide::mode(&context, action).await,
        Command::Incident { action } => crate::decide::incident(&context, action).await,
        Command::Graph { as_of, action } => crate::graph_command::run(&context, as_of, action).await,
        Command::Replay(args) => crate::replay::run(&context, args).await,
        Command::Why(args) => crate::why::run(&context, args).await,
        Command::Dlq { action } => crate::dlq::run(&context, action).await,
        Command::Device { action } => crate::device::run(&context, action).await,
        Command::People { command } => crate::people::run(&context, command).await,
        Command::Audit { action } => crate::audit::run(&context, action).await,
        Command::Model(command) => crate::small::run(&context, move |offline| command.run(offline)).await,
        Command::Labels(args) => crate::labels::run(&context, args).await,
        Command::Triage(command) => crate::small::run(&context, move |offline| command.run(offline)).await,
        Command::Route(command) => crate::small::run(&context, move |offline| command.run(offline)).await,
        Command::Detect(command) => crate::small::run(&context, move |offline| command.run(offline)).await,
        Command::Forecast(command) => crate::small::run(&context, move |offline| command.run(offline)).await,
        Command::Hotspots(command) => crate::small::run(&context, move |offline| command.run(offline)).await,
        Command::Know(command) => crate::small::run(&context, move |offline| command.run(offline)).await,
        Command::Bench(args) => crate::bench::run(&context, args).await,
        Command::Eval(args) => crate::eval::run(&context, args).await,
        Command::Doctor => crate::doctor::run(&context).await,
        Command::Config => {
            print!("{}", context.config.documented()?);
            Ok(Ended::Done)
        }
    }
}

fn start_logging(global: &Global, config: &Config) -> Result<()> {
    let filter = match (global.quiet, global.verbose) {
        (true, _) => "error".to_string(),
        (false, 0) => config.log.clone(),
        (false, 1) => "warn,citybrain=info,bus=info,broker=info,lakehouse=info,pipelines=info,gateway=info".to_string(),
        (false, _) => "info,citybrain=debug,bus=debug,broker=debug,lakehouse=debug,pipelines=debug,gateway=debug".to_string(),
    };
    // The Delta kernel logs an error for every table that is looked for and not there yet.
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{filter},buoyant_kernel=off,delta_kernel=off")).with_context(|| format!("log filter {filter:?} is wrong"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log_json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_comes_of_is_said_once() {
        let error = anyhow::anyhow!("no field named x").context("schema: no field named x").context("could not ask");
        assert_eq!(told(&error), "could not ask: schema: no field named x");
    }

    #[test]
    fn times_without_a_zone_are_told() {
        let message = format!("{:#}", moment("from", Some("2026-01-05")).unwrap_err());
        assert!(message.contains("--from") && message.contains("2026-01-05"), "{message}");
        assert_eq!(moment("to", None).unwrap(), None);
        let shanghai = moment("to", Some("2026-01-05T08:00:00+08:00")).unwrap().unwrap();
        assert_eq!(shanghai.to_rfc3339(), "2026-01-05T00:00:00+00:00");
    }
}
