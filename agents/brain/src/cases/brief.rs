//! What documents say to a matter, for the person who answers it: citations, and a draft each sentence of which carries one.
//! Nothing is sent; a draft without a citation is not taken, whoever wrote it.

use schemas::agent::{AgentAnswer, AgentRequest, Brief, Citation, Draft, Errand};

use super::ask::{Briefs, LLM, PlanAsked};
use super::opinion::{PERSON, RULES};
use crate::effect::{Decision, Effect, Response, ResponseTask};
use crate::limits;
use crate::state::{Case, State, Turn, quote};

impl State {
    /// Asks which documents hold a plan that was just proposed.
    pub(crate) fn ask_of_plan(&mut self, turn: &mut Turn<'_>, response: &Response) {
        let asking = &mut self.asking;
        if asking.briefs == Briefs::Off {
            return;
        }
        let errand = |task: &ResponseTask| Errand {
            unit: task.unit.clone(),
            level: task.level.name().to_owned(),
            zh: task.task.zh.clone(),
            en: task.task.en.clone(),
            minutes: u32::try_from((task.due - turn.at).num_minutes()).unwrap_or(0),
        };
        let brief = Brief::Plan {
            scenario: response.scenario.clone(),
            plan: response.plan.clone(),
            name: response.name.zh.clone(),
            basis: response.basis.clone(),
            lead: response.lead.clone(),
            tasks: response.tasks.iter().map(errand).collect(),
        };
        let request = AgentRequest {
            id: turn.next_id(),
            case: response.incident.clone(),
            at: turn.at,
            urgency: response.level,
            text: String::new(),
            questions: Vec::new(),
            elements: false,
            brief: Some(brief),
            graph_version: turn.graph.version(),
            evidence: turn.evidence(),
        };
        asking.plans.push(PlanAsked { request: request.id.clone(), incident: response.incident.clone(), scenario: response.scenario.clone() });
        if asking.plans.len() > limits::PLANS_ASKED_MAX {
            asking.plans.remove(0);
        }
        turn.effects.push(Effect::Ask(request));
    }
}

/// What was drafted for a case.
pub(super) fn drafted(turn: &Turn<'_>, answer: &AgentAnswer, case: &Case) -> Decision {
    let brief = taken(answer);
    let outcome = match (&brief.draft, brief.citations.is_empty()) {
        (Some(draft), _) => format!("a reply is proposed, by {}", draft.cites.join(", ")),
        (None, false) => "no reply is drafted; what documents say is cited".to_owned(),
        (None, true) => "no document says anything to it".to_owned(),
    };
    told(turn, "draft", &case.id, &outcome, brief, answer)
}

/// The decision of an answer that cites, as far as the answer makes it.
pub(crate) fn told(turn: &Turn<'_>, kind: &str, subject: &str, outcome: &str, brief: Taken, answer: &AgentAnswer) -> Decision {
    let (tier, by) = match &brief.draft {
        Some(draft) if draft.by == RULES => (RULES, "in the words of the documents".to_owned()),
        Some(draft) => (LLM, format!("written by {}, checked against the documents", draft.by)),
        None => (PERSON, "a person writes".to_owned()),
    };
    let reason = if brief.lacking.is_empty() { by } else { format!("{by}; {}", brief.lacking.join("; ")) };
    let model = brief.draft.as_ref().filter(|draft| draft.by != RULES).map(|draft| format!("{}@{}", draft.by, quote(&answer.digest)));
    Decision {
        confidence_permille: brief.citations.iter().map(|citation| citation.covered_permille.min(1000)).max().unwrap_or(0),
        models: model.into_iter().collect(),
        citations: brief.citations,
        draft: brief.draft,
        lacking: brief.lacking,
        request: Some(quote(&answer.request)),
        latency_ms: Some(answer.latency_ms),
        ..turn.decision(kind, subject, tier, outcome, reason)
    }
}

/// What of an answer's citations and draft is taken.
pub(crate) struct Taken {
    pub(crate) citations: Vec<Citation>,
    pub(crate) draft: Option<Draft>,
    pub(crate) lacking: Vec<String>,
}

/// Bounded, and without a draft that cites nothing or something that is not there.
pub(crate) fn taken(answer: &AgentAnswer) -> Taken {
    let short = |text: &str, chars: usize| text.chars().filter(|c| !c.is_control() || *c == '\n').take(chars).collect::<String>();
    let cite = |citation: &Citation| Citation {
        section: quote(&citation.section),
        zh: quote(&citation.zh),
        en: quote(&citation.en),
        words: short(&citation.words, limits::CITED_CHARS_MAX),
        covered_permille: citation.covered_permille.min(1000),
    };
    let citations: Vec<Citation> = answer.citations.iter().take(limits::CITATIONS_MAX).map(cite).collect();
    let mut lacking: Vec<String> = answer.lacking.iter().take(limits::CITATIONS_MAX).map(|it| quote(it)).collect();
    if let Some(failed) = &answer.failed {
        lacking.push(quote(failed));
    }
    let is_held = |draft: &&Draft| !draft.cites.is_empty() && draft.cites.iter().all(|cited| citations.iter().any(|known| known.section == *cited));
    let draft = answer.draft.as_ref().filter(is_held).map(|draft| Draft {
        kind: quote(&draft.kind),
        text: short(&draft.text, limits::DRAFT_CHARS_MAX),
        cites: draft.cites.clone(),
        by: quote(&draft.by),
    });
    if draft.is_none() && answer.draft.is_some() {
        lacking.push("a draft without a citation is not taken".to_owned());
    }
    Taken { citations, draft, lacking }
}
