//! The configuration: one TOML file, every key with a default, a meaning and the version it came with.
//!
//! A setting is either *operational* (ports, sizes, intervals: free to change at any time) or *behavioural* (it changes
//! what the brain decides). Behavioural settings reach the brain as records of the journal, never as files.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gateway::Admission;
use serde::{Deserialize, Serialize};

use crate::agents;
use crate::notify::RECEIVERS_MAX;

/// Everything that can be set.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the embedded broker listens while `run`, `import` or `demo` runs.
    pub kafka_listen: SocketAddr,
    /// Where the HTTP door listens.
    pub http_listen: SocketAddr,
    /// Bearer token for the HTTP door, which may do everything; beyond loopback it or people are needed.
    pub http_token: String,
    /// Where the MQTT door listens, as in `127.0.0.1:1883`; empty keeps it shut.
    pub mqtt_listen: String,
    /// Whether devices need a key to send: `open` or `registered`.
    pub devices: Admission,
    /// User name and password (SASL/PLAIN) of the embedded broker; needed beyond loopback.
    pub kafka_user: String,
    /// See `kafka_user`.
    pub kafka_password: String,
    /// Further librdkafka settings, as in `security.protocol`.
    pub kafka_options: std::collections::BTreeMap<String, String>,
    /// Partitions of `raw.sensor` when it is created.
    pub sensor_partitions: i32,
    /// Largest time between two commits of a table, ms.
    pub lake_commit_interval_ms: u64,
    /// Rows that make a commit before its time.
    pub lake_commit_rows: usize,
    /// Time between two rounds of upkeep (compaction, checkpoints, vacuum), s.
    pub lake_upkeep_interval_s: u64,
    /// Ids that the duplicate index remembers.
    pub dedup_window_ids: u64,
    /// Journal records between two snapshots of the brain.
    pub snapshot_every_records: u64,
    /// How many plans of a kind of danger people must have approved in a row before the next one of level Ⅲ needs nobody; 0 is never.
    pub plans_earned: u32,
    /// Whether documents are looked up for plans, citizens' questions and doubtful reports.
    pub documents: bool,
    /// Log filter, as in `info,broker=debug`.
    pub log: String,
    /// Logs as JSON lines.
    pub log_json: bool,
    /// Receivers of notifications.
    pub webhooks: Vec<webhooks::Receiver>,
    /// The language model.
    pub llm: Llm,
}

/// The language model that agents ask; without `model` and `endpoints` there is none.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Llm {
    /// A GGUF file, or `box`: the one that ships.
    pub model: String,
    /// Threads of the engine.
    pub threads: u32,
    /// Requests that the engine works on at once.
    pub sequences: u32,
    /// Tokens of prompt and answer together.
    pub context: u32,
    /// Of how many of a thousand reports it may be asked, at most.
    pub ask_permille: u32,
    /// OpenAI-compatible endpoints to ask instead.
    pub endpoints: Vec<llm::remote::Endpoint>,
    /// What the file of the model must be, when somebody has registered it: another one is not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<llm::entry::Entry>,
}

impl Default for Llm {
    fn default() -> Llm {
        Llm { model: String::new(), threads: 1, sequences: 8, context: 2_048, ask_permille: 300, endpoints: Vec::new(), entry: None }
    }
}

impl Llm {
    /// Of how many of a thousand reports agents may be asked: of none when there is no model.
    pub fn asks(&self) -> u32 {
        if self.model.is_empty() && self.endpoints.is_empty() { 0 } else { self.ask_permille.min(1_000) }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            kafka_listen: "127.0.0.1:8492".parse().expect("a constant address"),
            http_listen: "127.0.0.1:8400".parse().expect("a constant address"),
            http_token: String::new(),
            mqtt_listen: String::new(),
            devices: Admission::Open,
            kafka_user: String::new(),
            kafka_password: String::new(),
            kafka_options: Default::default(),
            sensor_partitions: 4,
            lake_commit_interval_ms: 1_000,
            lake_commit_rows: 200_000,
            lake_upkeep_interval_s: 300,
            dedup_window_ids: 20_000_000,
            snapshot_every_records: 50_000,
            plans_earned: 0,
            documents: true,
            log: "warn".to_string(),
            log_json: false,
            webhooks: Vec::new(),
            llm: Llm::default(),
        }
    }
}

/// One key, for `citybrain config`.
struct Key {
    name: &'static str,
    since: &'static str,
    zh: &'static str,
    en: &'static str,
}

const KEYS: &[Key] = &[
    Key { name: "kafka_listen", since: "0.1", zh: "内置消息代理的监听地址", en: "address of the embedded broker" },
    Key { name: "http_listen", since: "0.1", zh: "HTTP 入口的监听地址", en: "address of the HTTP door" },
    Key { name: "http_token", since: "0.1", zh: "HTTP 令牌，持有者可做一切；监听非本机地址时须有它或人员（citybrain people）", en: "bearer token of the HTTP door, which may do everything; beyond loopback it or people (citybrain people) are needed" },
    Key { name: "mqtt_listen", since: "0.1", zh: "MQTT 入口的监听地址，如 127.0.0.1:1883；为空则不开", en: "address of the MQTT door, as in 127.0.0.1:1883; empty keeps it shut" },
    Key { name: "devices", since: "0.1", zh: "设备准入：open 不查密钥；registered 只接收已登记设备（citybrain device add）的数据", en: "open: devices need no key; registered: only devices of the registry (citybrain device add) may send readings" },
    Key { name: "kafka_user", since: "0.1", zh: "内置代理的用户名（SASL/PLAIN）；监听非本机地址时必填", en: "user of the embedded broker (SASL/PLAIN); needed beyond loopback" },
    Key { name: "kafka_password", since: "0.1", zh: "内置代理的口令", en: "password of the embedded broker" },
    Key { name: "sensor_partitions", since: "0.1", zh: "raw.sensor 建立时的分区数", en: "partitions of raw.sensor when it is created" },
    Key { name: "lake_commit_interval_ms", since: "0.1", zh: "两次表提交的最长间隔（毫秒）", en: "longest time between two commits of a table, ms" },
    Key { name: "lake_commit_rows", since: "0.1", zh: "达到多少行即提前提交", en: "rows that make a commit before its time" },
    Key { name: "lake_upkeep_interval_s", since: "0.1", zh: "表维护（合并、检查点、清理）的间隔（秒）", en: "time between rounds of upkeep (compaction, checkpoints, vacuum), s" },
    Key { name: "dedup_window_ids", since: "0.1", zh: "去重索引记住的事件编号数", en: "event ids that the duplicate index remembers" },
    Key { name: "snapshot_every_records", since: "0.1", zh: "每多少条日志做一次快照", en: "journal records between two snapshots of the brain" },
    Key {
        name: "plans_earned",
        since: "0.1",
        zh: "同类联动预案连续获人工同意多少次后，Ⅲ级预案自动同意；0 为从不；见 docs/incidents.md",
        en: "how many plans of a kind people must have approved in a row before the next of level Ⅲ needs nobody; 0 is never; see docs/incidents.md",
    },
    Key {
        name: "documents",
        since: "0.1",
        zh: "是否检索知识库：为联动预案、市民咨询和存疑诉求附上条款引用与草稿；见 docs/agents.md",
        en: "whether documents are looked up: citations and drafts for plans, citizens' questions and doubtful reports; see docs/agents.md",
    },
    Key { name: "log", since: "0.1", zh: "日志过滤", en: "log filter" },
    Key { name: "log_json", since: "0.1", zh: "日志写成 JSON 行", en: "logs as JSON lines" },
    Key {
        name: "webhooks",
        since: "0.1",
        zh: "预警通知的接收方：[[webhooks]] name、url、kind（alertmanager、cloudevents、pagerduty）、levels、scenarios、public、secret、max_age_s；见 docs/alerts.md",
        en: "receivers of notifications: [[webhooks]] name, url, kind (alertmanager, cloudevents, pagerduty), levels, scenarios, public, secret, max_age_s; see docs/alerts.md",
    },
    Key {
        name: "llm",
        since: "0.1",
        zh: "语言模型：model（GGUF 文件；box 为内置模型）或 endpoints（OpenAI 兼容端点）；均为空则不用模型；ask_permille 为每千件诉求最多询问的件数；见 docs/agents.md",
        en: "language model: model (a GGUF file, or box for the one that ships) or endpoints (OpenAI-compatible); without both there is none; ask_permille: of how many of a thousand reports it may be asked; see docs/agents.md",
    },
    Key { name: "kafka_options", since: "0.1", zh: "librdkafka 的其他设置（表）", en: "further librdkafka settings (a table)" },
];

impl Config {
    /// What the brain has agents look up: the setting [`brain::BRIEFS`]. The model that ships has not learnt to write a reply.
    pub fn briefs(&self) -> &'static str {
        let writes = !self.llm.endpoints.is_empty() || !matches!(self.llm.model.as_str(), "" | agents::IN_THE_BOX);
        match (self.documents, writes) {
            (false, _) => "off",
            (true, false) => "cited",
            (true, true) => "written",
        }
    }

    /// Reads a file; without one, the defaults.
    ///
    /// # Errors
    /// When the file cannot be read, or has a key that does not exist or a value of the wrong type.
    pub fn load(path: Option<&Path>) -> Result<Config> {
        let Some(path) = path else { return Ok(Config::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("could not read the configuration {}", path.display()))?;
        let mut config: Config =
            toml::from_str(&text).with_context(|| format!("the configuration {} is wrong (citybrain config prints every key)", path.display()))?;
        config.webhooks = checked(config.webhooks).with_context(|| format!("the configuration {} is wrong", path.display()))?;
        Ok(config)
    }

    /// The whole configuration as a commented TOML file.
    pub fn documented(&self) -> Result<String> {
        let table = toml::Table::try_from(self)?;
        let mut out = String::new();
        for key in KEYS {
            out.push_str(&format!("# {} (since {})\n", crate::lang::t(key.zh, key.en), key.since));
            match &table[key.name] {
                toml::Value::Table(entries) => {
                    out.push_str(&format!("[{}]\n", key.name));
                    for (name, value) in entries {
                        out.push_str(&format!("{name:?} = {value}\n"));
                    }
                }
                value => out.push_str(&format!("{} = {value}\n", key.name)),
            }
        }
        Ok(out)
    }
}

/// Receivers that are right, each with a name of its own.
fn checked(receivers: Vec<webhooks::Receiver>) -> Result<Vec<webhooks::Receiver>> {
    if receivers.len() > RECEIVERS_MAX {
        bail!("{} webhooks; at most {RECEIVERS_MAX} are served", receivers.len());
    }
    let receivers = receivers.into_iter().map(webhooks::Receiver::checked).collect::<Result<Vec<_>, _>>()?;
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = receivers.iter().find(|receiver| !names.insert(receiver.name.clone())) {
        bail!("two webhooks are called {}: give each a name of its own", twice.name);
    }
    Ok(receivers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_config_prints_is_a_configuration_with_every_key() {
        let config = Config::default();
        let printed = config.documented().unwrap();
        let read: Config = toml::from_str(&printed).unwrap();
        assert_eq!(read, config);
        assert_eq!(toml::Table::try_from(&config).unwrap().len(), KEYS.len(), "each key is documented");
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused_by_name() {
        let error = toml::from_str::<Config>("kafka_lisen = 1").unwrap_err().to_string();
        assert!(error.contains("kafka_lisen"), "{error}");
    }

    #[test]
    fn webhooks_are_checked() {
        let hook = |more: &str| format!("[[webhooks]]\nurl = \"http://h/x\"\nkind = \"alertmanager\"\n{more}\n");
        let read = |text: &str| checked(toml::from_str::<Config>(text).expect("TOML").webhooks);
        assert!(read(&hook("levels = [1, 2]\nscenarios = [\"urban_flooding\"]\npublic = true\nsecret = \"s\"")).is_ok());
        assert!(read(&(hook("") + &hook(""))).unwrap_err().to_string().contains("a name of its own"));
        assert!(read(&hook("levels = [5]")).unwrap_err().to_string().contains("1 to 4"));
    }
}
