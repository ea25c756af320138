//! The tools of the agents. Each call goes through the gate ([`guard::gate`]), which lets it through, makes it less or refuses it, and
//! leaves a trace. Two read: the graph, and the knowledge base. Two propose, and what they propose waits for people. None
//! sends, closes or approves anything. The arguments are ours; a model never writes one.

use std::time::Instant;

use chrono::NaiveDate;
use graph::Graph;
use guard::gate::{Call, Tool, Verdict, Walk};
use guard::{Agent, Gate, Session};
use knowledge::{Hit, Kind, Knowledge, Query};
use schemas::agent::ToolCall;
use serde_json::{Value, json};

/// Sections that a search gives back.
const HITS: usize = 10;
/// Events that a walk along the event chain gives back.
const FOLLOWING: usize = 5;

/// What tools read.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The graph, as it is now.
    pub graph: &'a Graph,
    /// Groups of words that mean one matter, for searches.
    pub aliases: &'a [Vec<String>],
    /// The documents.
    pub knowledge: &'a Knowledge,
    /// The city's day.
    pub today: NaiveDate,
}

/// One agent at work on one matter.
pub struct Tools<'a> {
    sources: Sources<'a>,
    session: Session,
    began: Instant,
    traces: &'a mut Vec<ToolCall>,
}

impl<'a> Tools<'a> {
    /// An agent that begins with a matter, which may propose one of the candidates. `tainted` when it has read what people outside wrote.
    pub fn of(agent: Agent, matter: &str, candidates: &[&str], tainted: bool, sources: Sources<'a>, began: Instant, traces: &'a mut Vec<ToolCall>) -> Tools<'a> {
        let mut session = Session::new(agent, Some(matter), candidates);
        if tainted {
            session.taint();
        }
        Tools { sources, session, began, traces }
    }

    /// Sections that say something to these words: of documents of these kinds, that hold at the place, the best first.
    pub fn search(&mut self, words: &str, kinds: &[Kind], place: Option<&str>) -> Vec<Hit> {
        let Some(Call::SearchKnowledge { query }) = self.call(Tool::SearchKnowledge, json!({ "query": words })) else { return Vec::new() };
        let Sources { graph, aliases, knowledge, today } = self.sources;
        // A place that the graph does not know is none.
        let areas = place.and_then(|place| offline::knowledge::with_what_it_lies_in(graph, place).ok()).unwrap_or_default();
        let hits = knowledge.search(&Query { kinds, areas: &areas, aliases, limit: HITS, ..Query::of(&query, today) });
        self.found(hits.len());
        hits
    }

    /// The units that a unit reports to, the nearest first.
    pub fn superiors(&mut self, unit: &str) -> Vec<String> {
        let Some(Call::GraphWalk { from, depth, .. }) = self.walk(unit, Walk::Superior, 3) else { return Vec::new() };
        let mut superiors = self.sources.graph.superiors(&from);
        superiors.truncate(depth as usize);
        self.found(superiors.len());
        superiors
    }

    /// The events that may follow one, by name, the likeliest first, with their probabilities in thousandths.
    pub fn followers(&mut self, event: &str) -> Vec<(graph::Name, u32)> {
        let Some(Call::GraphWalk { from, depth, .. }) = self.walk(event, Walk::Chain, 2) else { return Vec::new() };
        let chains = self.sources.graph.what_follows(&from, graph::Here::default(), None, FOLLOWING);
        let near = chains.into_iter().filter(|chain| chain.steps.len() <= depth as usize);
        let followers: Vec<_> = near.filter_map(|chain| Some((chain.steps.last()?.name.clone(), chain.permille))).collect();
        self.found(followers.len());
        followers
    }

    /// Proposes a unit for the matter: whether it may be proposed.
    pub fn propose(&mut self, unit: &str, reason: &str) -> bool {
        let matter = self.session.case.clone();
        self.call(Tool::ProposeDispatch, json!({ "case": matter, "unit": unit, "reason": reason })).is_some()
    }

    /// Proposes words of a kind (`reply`, `order`): whether they may be proposed.
    pub fn draft(&mut self, kind: &str, about: &str) -> bool {
        let matter = self.session.case.clone();
        self.call(Tool::DraftText, json!({ "case": matter, "kind": kind, "about": about })).is_some()
    }

    /// A model has read and written so many tokens for it: whether it may be asked again.
    pub fn spend(&mut self, tokens: u32) -> bool {
        self.session.tokens(tokens);
        self.session.may_ask(self.elapsed_ms()).is_ok()
    }

    fn walk(&mut self, from: &str, kind: Walk, depth: u32) -> Option<Call> {
        self.call(Tool::GraphWalk, json!({ "from": from, "kind": kind, "depth": depth }))
    }

    /// The call as the gate lets it through; none when it does not.
    fn call(&mut self, tool: Tool, arguments: Value) -> Option<Call> {
        let elapsed_ms = self.elapsed_ms();
        let (verdict, trace) = Gate::new(self.sources.graph).call(&mut self.session, tool.name(), &arguments, elapsed_ms);
        self.traces.push(trace);
        match verdict {
            Verdict::Run { call, .. } | Verdict::Waits { call } => Some(call),
            Verdict::Refused(_) => None,
        }
    }

    fn found(&mut self, count: usize) {
        if let Some(last) = self.traces.last_mut() {
            last.found = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}
