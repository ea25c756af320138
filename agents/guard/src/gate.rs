//! The gate for tools: what an agent may call, with which arguments, how often, and what it may do at most: propose.
//!
//! There are five tools, each with its arguments; anything else is refused, a wrong or additional argument too. Three of them
//! read, two make a proposal that waits for people: nothing is sent, closed or approved by any. Once untrusted words were read,
//! a proposal may only name the case and the candidates that were there before. Each call leaves a [`ToolCall`], personal data
//! masked. The gate runs no tool: it says whether the caller may.

use std::collections::BTreeMap;

use graph::{Element, Graph};
use schemas::agent::ToolCall;
use schemas::pii;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{CALLS_MAX, DEPTH_MAX, REPEATS_MAX, RESOURCE_COUNT_MAX, RESOURCES_MAX, ROWS_ALL_MAX, ROWS_MAX, TIME_MS_MAX, TOKENS_MAX, WORDS_CHARS_MAX};
use crate::sql::{self, SqlError};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    /// What is it, where, how urgent?
    Triage,
    /// What follows?
    Predict,
    /// Who owes it, with what?
    Dispatch,
    /// What happened, in numbers?
    Report,
    /// Words for people.
    Draft,
}

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Reads tables.
    QuerySql,
    /// Reads the graph.
    GraphWalk,
    /// Reads the knowledge base.
    SearchKnowledge,
    /// Proposes a unit.
    ProposeDispatch,
    /// Proposes words.
    DraftText,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::QuerySql, Self::GraphWalk, Self::SearchKnowledge, Self::ProposeDispatch, Self::DraftText];

    /// Its name; no other spelling is known.
    pub fn name(self) -> &'static str {
        match self {
            Self::QuerySql => "query_sql",
            Self::GraphWalk => "graph_walk",
            Self::SearchKnowledge => "search_knowledge",
            Self::ProposeDispatch => "propose_dispatch",
            Self::DraftText => "draft_text",
        }
    }

    /// The tool of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }
}

impl Agent {
    /// Its name in traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triage => "triage",
            Self::Predict => "predict",
            Self::Dispatch => "dispatch",
            Self::Report => "report",
            Self::Draft => "draft",
        }
    }

    /// The tools that it may call.
    pub fn tools(self) -> &'static [Tool] {
        match self {
            Self::Triage => &[Tool::GraphWalk, Tool::SearchKnowledge],
            Self::Predict => &[Tool::GraphWalk, Tool::QuerySql],
            Self::Dispatch => &[Tool::GraphWalk, Tool::SearchKnowledge, Tool::ProposeDispatch],
            Self::Report => &[Tool::QuerySql, Tool::SearchKnowledge],
            Self::Draft => &[Tool::SearchKnowledge, Tool::DraftText],
        }
    }
}

/// What a walk follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Walk {
    /// Who owes what.
    Duty,
    /// What leads to what.
    Chain,
    /// What lies where.
    Place,
    /// Who reports to whom.
    Superior,
}

/// What a draft is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftKind {
    /// An answer to the citizen.
    Reply,
    /// A notice to the public.
    Notice,
    /// An order to a unit.
    Order,
}

/// Something that a proposal asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its kind in the graph, such as `pump_truck`.
    pub kind: String,
    /// How many.
    pub count: i64,
}

/// A call with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tool", content = "arguments", rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// [`Tool::QuerySql`].
    QuerySql {
        /// One SELECT.
        sql: String,
    },
    /// [`Tool::GraphWalk`].
    GraphWalk {
        /// Where it begins: an id of the graph.
        from: String,
        /// What it follows.
        kind: Walk,
        /// How many steps.
        depth: u32,
    },
    /// [`Tool::SearchKnowledge`].
    SearchKnowledge {
        /// Words; none of them is syntax.
        query: String,
    },
    /// [`Tool::ProposeDispatch`].
    ProposeDispatch {
        /// The case.
        case: String,
        /// Who should go.
        unit: String,
        /// Why.
        #[serde(default)]
        reason: String,
        /// With what.
        #[serde(default)]
        resources: Vec<Resource>,
    },
    /// [`Tool::DraftText`].
    DraftText {
        /// The case.
        case: String,
        /// What it is for.
        kind: DraftKind,
        /// What it should say.
        #[serde(default)]
        about: String,
    },
}

/// What the gate has to know of the city.
pub trait World {
    /// Whether the graph has this id.
    fn has(&self, id: &str) -> bool;
    /// Whether the graph has this unit.
    fn has_unit(&self, id: &str) -> bool;
    /// How many of a kind a unit has; none when nothing is known of what it has.
    fn stock(&self, unit: &str, kind: &str) -> Option<u32>;
}

impl World for Graph {
    fn has(&self, id: &str) -> bool {
        self.called(id).next().is_some()
    }

    fn has_unit(&self, id: &str) -> bool {
        self.unit(id).is_some()
    }

    fn stock(&self, unit: &str, kind: &str) -> Option<u32> {
        let mut stock = None;
        for entry in self.entries() {
            let Element::Resource(resource) = &entry.element else { continue };
            if resource.unit == unit {
                let more = if resource.kind == kind { resource.count } else { 0 };
                stock = Some(stock.unwrap_or(0_u32).saturating_add(more));
            }
        }
        stock
    }
}

/// What one decision has been about and has cost so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Who calls.
    pub agent: Agent,
    /// The case that it is about, if about one.
    pub case: Option<String>,
    /// The units that were offered.
    pub candidates: Vec<String>,
    /// Whether untrusted words were read.
    pub tainted: bool,
    calls: u32,
    rows: u32,
    tokens: u32,
    made: BTreeMap<String, u32>,
}

impl Session {
    /// A decision that has called nothing yet.
    pub fn new(agent: Agent, case: Option<&str>, candidates: &[&str]) -> Self {
        let candidates = candidates.iter().map(|it| (*it).to_owned()).collect();
        Self { agent, case: case.map(str::to_owned), candidates, tainted: false, calls: 0, rows: 0, tokens: 0, made: BTreeMap::new() }
    }

    /// Untrusted words were read: a citizen's, or those of a document that nobody reviewed.
    pub fn taint(&mut self) {
        self.tainted = true;
    }

    /// A tool has given back so many rows.
    pub fn rows(&mut self, rows: u32) {
        self.rows = self.rows.saturating_add(rows);
    }

    /// A model has read and written so many tokens.
    pub fn tokens(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Whether another question may be put to a model; otherwise the matter goes on to a person.
    ///
    /// # Errors
    /// [`Why::Budget`] when tokens or time are spent.
    pub fn may_ask(&self, elapsed_ms: u32) -> Result<(), Why> {
        if self.tokens >= TOKENS_MAX {
            return Err(Why::Budget(format!("{TOKENS_MAX} tokens")));
        }
        if elapsed_ms >= TIME_MS_MAX {
            return Err(Why::Budget(format!("{TIME_MS_MAX} ms")));
        }
        Ok(())
    }
}

/// Why a call does not go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is no such tool.
    #[error("there is no such tool")]
    NoTool,
    /// The agent may not call it.
    #[error("this agent may not call it")]
    NotYours,
    /// Its arguments are not those of the tool.
    #[error("its arguments are wrong: {0}")]
    Arguments(String),
    /// A query that does not run.
    #[error("{0}")]
    Sql(SqlError),
    /// An id that the graph does not have.
    #[error("the graph has no {0}")]
    Unknown(String),
    /// Another case than the decision's.
    #[error("the decision is about another case")]
    OtherCase,
    /// A unit that was not offered.
    #[error("{0} is not among the candidates")]
    NoCandidate(String),
    /// More than there is.
    #[error("there are not so many {0}")]
    Stock(String),
    /// The same call again.
    #[error("it was called with this before: use what came back")]
    Repeated,
    /// A budget of the decision is spent.
    #[error("the budget of this decision is spent: {0}")]
    Budget(String),
}

impl Why {
    /// Whether it is a limit and not a mistake.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::Repeated | Self::Budget(_) => true,
            Self::NoTool | Self::NotYours | Self::Arguments(_) | Self::Sql(_) | Self::Unknown(_) | Self::OtherCase | Self::NoCandidate(_) | Self::Stock(_) => false,
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may run as it stands here; `limited` says what was taken off.
    Run {
        /// The call.
        call: Call,
        /// What was made less.
        limited: Option<String>,
    },
    /// It is put down as a proposal, and waits for a person or for the policy of its category. The gate approves nothing.
    Waits {
        /// What is proposed.
        call: Call,
    },
    /// It does not go through.
    Refused(Why),
}

/// The gate.
pub struct Gate<'a> {
    world: &'a dyn World,
    tables: &'a [&'a str],
}

impl<'a> Gate<'a> {
    /// A gate for a city, with the tables of [`sql::TABLES`].
    pub fn new(world: &'a dyn World) -> Self {
        Self { world, tables: &sql::TABLES }
    }

    /// Judges a call. `elapsed_ms` is how long the decision has taken so far. Refused calls count as well.
    pub fn call(&self, session: &mut Session, tool: &str, arguments: &Value, elapsed_ms: u32) -> (Verdict, ToolCall) {
        session.calls = session.calls.saturating_add(1);
        let verdict = self.judge(session, tool, arguments, elapsed_ms).unwrap_or_else(Verdict::Refused);
        let (word, reason) = match &verdict {
            Verdict::Run { limited, .. } => ("run", limited.clone()),
            Verdict::Waits { .. } => ("waits", None),
            Verdict::Refused(why) => ("refused", Some(why.to_string())),
        };
        let mut kept = shortened(arguments, 0);
        pii::mask_json(&mut kept);
        let trace = ToolCall {
            number: session.calls,
            agent: session.agent.name().to_owned(),
            tool: pii::mask(&tool.chars().take(40).collect::<String>()).0.into_owned(),
            arguments: kept,
            tainted: session.tainted,
            verdict: word.to_owned(),
            reason: reason.map(|reason| pii::mask(&reason).0.into_owned()),
            found: 0,
            elapsed_ms,
        };
        (verdict, trace)
    }

    fn judge(&self, session: &mut Session, tool: &str, arguments: &Value, elapsed_ms: u32) -> Result<Verdict, Why> {
        if session.calls > CALLS_MAX {
            return Err(Why::Budget(format!("{CALLS_MAX} calls")));
        }
        session.may_ask(elapsed_ms)?;
        let tool = Tool::of(tool).ok_or(Why::NoTool)?;
        if !session.agent.tools().contains(&tool) {
            return Err(Why::NotYours);
        }
        let call = read(tool, arguments)?;
        let made = session.made.entry(format!("{call:?}")).or_default();
        *made += 1;
        if *made > REPEATS_MAX {
            return Err(Why::Repeated);
        }
        match call {
            Call::QuerySql { sql } => {
                let left = ROWS_ALL_MAX.saturating_sub(session.rows).min(ROWS_MAX);
                if left == 0 {
                    return Err(Why::Budget(format!("{ROWS_ALL_MAX} rows")));
                }
                let allowed = sql::check(&sql, self.tables, left).map_err(Why::Sql)?;
                let limited = allowed.cut.then(|| format!("at most {} rows", allowed.rows_max));
                Ok(Verdict::Run { call: Call::QuerySql { sql: allowed.sql }, limited })
            }
            Call::GraphWalk { from, kind, depth } => {
                if !is_id(&from) || !self.world.has(&from) {
                    return Err(Why::Unknown(quoted(&from)));
                }
                let limited = (depth > DEPTH_MAX).then(|| format!("at most {DEPTH_MAX} steps"));
                Ok(Verdict::Run { call: Call::GraphWalk { from, kind, depth: depth.min(DEPTH_MAX) }, limited })
            }
            Call::SearchKnowledge { query } => {
                let short: String = query.chars().take(WORDS_CHARS_MAX).collect();
                let limited = (short.len() < query.len()).then(|| format!("at most {WORDS_CHARS_MAX} characters"));
                Ok(Verdict::Run { call: Call::SearchKnowledge { query: pii::mask(&short).0.into_owned() }, limited })
            }
            Call::ProposeDispatch { case, unit, reason, resources } => {
                own_case(session, &case)?;
                if !self.world.has_unit(&unit) {
                    return Err(Why::Unknown(quoted(&unit)));
                }
                // Without candidates a proposal is its maker's own, and nobody makes one after reading what others wrote.
                if !session.candidates.contains(&unit) && (session.tainted || !session.candidates.is_empty()) {
                    return Err(Why::NoCandidate(quoted(&unit)));
                }
                self.in_stock(&unit, &resources)?;
                Ok(Verdict::Waits { call: Call::ProposeDispatch { case, unit, reason: words(&reason), resources } })
            }
            Call::DraftText { case, kind, about } => {
                own_case(session, &case)?;
                Ok(Verdict::Waits { call: Call::DraftText { case, kind, about: words(&about) } })
            }
        }
    }

    fn in_stock(&self, unit: &str, resources: &[Resource]) -> Result<(), Why> {
        if resources.len() > RESOURCES_MAX {
            return Err(Why::Stock("kinds of resources".to_owned()));
        }
        let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
        for resource in resources {
            if resource.count < 1 || !is_id(&resource.kind) {
                return Err(Why::Arguments("a resource has a kind of the graph and a count of at least 1".to_owned()));
            }
            let all = wanted.entry(&resource.kind).or_default();
            *all = all.saturating_add(resource.count);
            let there = self.world.stock(unit, &resource.kind).map_or(RESOURCE_COUNT_MAX, i64::from);
            if *all > there {
                return Err(Why::Stock(resource.kind.clone()));
            }
        }
        Ok(())
    }
}

/// A call of these arguments and no others.
fn read(tool: Tool, arguments: &Value) -> Result<Call, Why> {
    let whole = serde_json::json!({ "tool": tool.name(), "arguments": arguments });
    // What is wrong is told by its kind: the words of the error may be an attacker's.
    serde_json::from_value(whole).map_err(|error| Why::Arguments(error.to_string().chars().take(80).collect()))
}

fn own_case(session: &Session, case: &str) -> Result<(), Why> {
    if session.case.as_deref() == Some(case) { Ok(()) } else { Err(Why::OtherCase) }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
}

fn quoted(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn words(text: &str) -> String {
    pii::mask(&text.chars().take(WORDS_CHARS_MAX).collect::<String>()).0.into_owned()
}

/// Long words cut, deep values left out.
fn shortened(value: &Value, depth: usize) -> Value {
    match value {
        Value::String(text) => Value::String(words(text)),
        Value::Array(values) if depth < 4 => values.iter().take(20).map(|value| shortened(value, depth + 1)).collect(),
        Value::Object(members) if depth < 4 => Value::Object(members.iter().take(20).map(|(key, value)| (words(key), shortened(value, depth + 1))).collect()),
        Value::Array(_) | Value::Object(_) => Value::String("…".to_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct City;

    impl World for City {
        fn has(&self, id: &str) -> bool {
            matches!(id, "d01" | "gas")
        }

        fn has_unit(&self, id: &str) -> bool {
            matches!(id, "gas" | "emergency" | "police")
        }

        fn stock(&self, unit: &str, kind: &str) -> Option<u32> {
            (unit == "gas" && kind == "gas_crew").then_some(6)
        }
    }

    fn session(agent: Agent) -> Session {
        let mut session = Session::new(agent, Some("c-1"), &["gas", "emergency"]);
        session.taint();
        session
    }

    fn once(agent: Agent, tool: &str, arguments: Value) -> Verdict {
        Gate::new(&City).call(&mut session(agent), tool, &arguments, 0).0
    }

    fn why(agent: Agent, tool: &str, arguments: Value) -> Why {
        match once(agent, tool, arguments.clone()) {
            Verdict::Refused(why) => why,
            other => panic!("{tool} {arguments} is not refused: {other:?}"),
        }
    }

    #[test]
    fn there_are_five_tools_and_each_agent_has_its_own() {
        for tool in ["close_case", "shell", "Query_Sql", "query_sql ", "", "propose_dispatch\u{200b}"] {
            assert_eq!(why(Agent::Report, tool, json!({})), Why::NoTool, "{tool}");
        }
        for agent in [Agent::Triage, Agent::Predict, Agent::Report, Agent::Draft] {
            assert_eq!(why(agent, "propose_dispatch", json!({"case": "c-1", "unit": "gas"})), Why::NotYours);
        }
        assert_eq!(why(Agent::Triage, "query_sql", json!({"sql": "select 1"})), Why::NotYours);
    }

    #[test]
    fn arguments_are_the_tools_own() {
        for arguments in [json!({"query": ["a"]}), json!({"query": "a", "more": 1}), json!({}), json!("a"), json!(null)] {
            assert!(matches!(why(Agent::Triage, "search_knowledge", arguments), Why::Arguments(_)));
        }
        for (key, value) in [("approved", json!(true)), ("actor", json!("op:li")), ("send", json!(true))] {
            let mut arguments = json!({"case": "c-1", "unit": "gas"});
            arguments[key] = value;
            assert!(matches!(why(Agent::Dispatch, "propose_dispatch", arguments), Why::Arguments(_)), "{key}");
        }
        assert!(matches!(why(Agent::Draft, "draft_text", json!({"case": "c-1", "kind": "reply", "send": true})), Why::Arguments(_)));
    }

    #[test]
    fn a_proposal_names_its_case_its_candidates_and_what_there_is_and_waits() {
        let proposal = |case: &str, unit: &str, count: i64| json!({"case": case, "unit": unit, "reason": "漏气，联系13812345678", "resources": [{"kind": "gas_crew", "count": count}]});
        let Verdict::Waits { call: Call::ProposeDispatch { reason, .. } } = once(Agent::Dispatch, "propose_dispatch", proposal("c-1", "gas", 6)) else { panic!("a proposal") };
        assert!(!reason.contains("13812345678"));
        assert_eq!(why(Agent::Dispatch, "propose_dispatch", proposal("c-2", "gas", 1)), Why::OtherCase);
        assert_eq!(why(Agent::Dispatch, "propose_dispatch", proposal("c-1", "police", 1)), Why::NoCandidate("police".to_owned()));
        assert_eq!(why(Agent::Dispatch, "propose_dispatch", proposal("c-1", "army", 1)), Why::Unknown("army".to_owned()));
        assert_eq!(why(Agent::Dispatch, "propose_dispatch", proposal("c-1", "gas", 7)), Why::Stock("gas_crew".to_owned()));
        assert!(matches!(why(Agent::Dispatch, "propose_dispatch", proposal("c-1", "gas", 0)), Why::Arguments(_)));
        let two = json!({"case": "c-1", "unit": "gas", "resources": [{"kind": "gas_crew", "count": 4}, {"kind": "gas_crew", "count": 4}]});
        assert_eq!(why(Agent::Dispatch, "propose_dispatch", two), Why::Stock("gas_crew".to_owned()), "in two pieces");
        assert_eq!(why(Agent::Dispatch, "propose_dispatch", json!({"case": "c-1", "unit": "emergency", "resources": [{"kind": "boat", "count": 21}]})), Why::Stock("boat".to_owned()));
        // Who has read nothing and was offered nothing may name any unit; after reading, nobody may.
        let mut free = Session::new(Agent::Dispatch, Some("c-1"), &[]);
        assert!(matches!(Gate::new(&City).call(&mut free, "propose_dispatch", &json!({"case": "c-1", "unit": "police"}), 0).0, Verdict::Waits { .. }));
        free.taint();
        assert!(matches!(Gate::new(&City).call(&mut free, "propose_dispatch", &json!({"case": "c-1", "unit": "police"}), 0).0, Verdict::Refused(Why::NoCandidate(_))));
    }

    #[test]
    fn walks_are_short_and_begin_somewhere() {
        let walk = |from: &str, depth: u32| json!({"from": from, "kind": "duty", "depth": depth});
        assert_eq!(once(Agent::Triage, "graph_walk", walk("d01", 2)), Verdict::Run { call: Call::GraphWalk { from: "d01".to_owned(), kind: Walk::Duty, depth: 2 }, limited: None });
        assert!(matches!(once(Agent::Triage, "graph_walk", walk("d01", 100_000)), Verdict::Run { call: Call::GraphWalk { depth: DEPTH_MAX, .. }, limited: Some(_) }));
        assert!(matches!(why(Agent::Triage, "graph_walk", walk("d01'; drop", 1)), Why::Unknown(_)));
    }

    #[test]
    fn every_budget_ends() {
        let gate = Gate::new(&City);
        let search = |number: u32| json!({"query": format!("燃气 {number}")});
        let mut session = session(Agent::Triage);
        for number in 0..CALLS_MAX {
            assert!(matches!(gate.call(&mut session, "search_knowledge", &search(number), 0).0, Verdict::Run { .. }));
        }
        assert!(matches!(gate.call(&mut session, "search_knowledge", &search(99), 0).0, Verdict::Refused(Why::Budget(_))));
        let mut session = Session::new(Agent::Triage, None, &[]);
        for _ in 0..REPEATS_MAX {
            assert!(matches!(gate.call(&mut session, "search_knowledge", &search(1), 0).0, Verdict::Run { .. }));
        }
        assert_eq!(gate.call(&mut session, "search_knowledge", &search(1), 0).0, Verdict::Refused(Why::Repeated));
        assert!(matches!(gate.call(&mut session, "search_knowledge", &search(2), TIME_MS_MAX).0, Verdict::Refused(Why::Budget(_))));
        session.tokens(TOKENS_MAX);
        assert!(matches!(session.may_ask(0), Err(Why::Budget(_))));
        let mut report = Session::new(Agent::Report, None, &[]);
        let query = json!({"sql": "select unit from silver.decision limit 900"});
        report.rows(ROWS_ALL_MAX - 10);
        assert!(matches!(gate.call(&mut report, "query_sql", &query, 0).0, Verdict::Run { limited: Some(_), .. }));
        report.rows(10);
        assert!(matches!(gate.call(&mut report, "query_sql", &query, 0).0, Verdict::Refused(Why::Budget(_))));
    }

    #[test]
    fn every_call_leaves_a_trace_without_personal_data() {
        let mut session = session(Agent::Triage);
        let arguments = json!({"query": "王芳 13812345678 养老", "13987654321": {"a": {"b": {"c": {"d": {"e": 1}}}}}, "long": "长".repeat(1_000)});
        for (number, tool) in ["search_knowledge", "13812345678"].into_iter().enumerate() {
            let (_, trace) = Gate::new(&City).call(&mut session, tool, &arguments, 12);
            let text = serde_json::to_string(&trace).unwrap();
            assert!(!text.contains("13812345678") && !text.contains("13987654321") && text.len() < 3_000, "{text}");
            assert_eq!((trace.number as usize, trace.verdict.as_str(), trace.tainted, trace.elapsed_ms), (number + 1, "refused", true, 12));
            assert_eq!(serde_json::from_str::<ToolCall>(&text).unwrap(), trace);
        }
    }
}
