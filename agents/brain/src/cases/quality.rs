//! What makes a problem order: no address, the wrong category, a text that says nothing, an answer to something else, a
//! closing that nobody can believe. Rules over words that the graph keeps; each finding is a decision that quotes them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use graph::case_rules::Quality;

use super::place::is_han;
use super::{Intake, MACHINE};
use crate::effect::{Decision, Effect};
use crate::limits;
use crate::state::{Case, State, Turn, quote};

/// What a closing says.
pub(crate) struct Answer<'a> {
    /// Who says it.
    pub(crate) source: &'a str,
    /// The answer; empty when there is none.
    pub(crate) text: &'a str,
    /// How long after the report.
    pub(crate) after: TimeDelta,
}

/// The first of `words` that a text has. The words are in lower case.
pub(crate) fn says<'a>(words: &'a [String], text: &str) -> Option<&'a str> {
    let text = text.to_lowercase();
    words.iter().find(|word| text.contains(word.as_str())).map(String::as_str)
}

impl State {
    /// Looks at what a new report says of its matter.
    pub(crate) fn judge_report(&mut self, turn: &mut Turn<'_>, intake: &Intake<'_>, case: &Case) {
        if intake.channel == MACHINE {
            return;
        }
        let rules = &turn.graph.case_rules().quality;
        let topics = &case.handling.topics;
        let mut findings = Vec::new();
        // Who only asks a question needs no place.
        if case.category != "other" && !has_place(rules, intake) {
            let field = intake.address.map_or_else(String::new, |address| format!(" (`{}` is none)", quote(address)));
            findings.push(("missing_address", format!("neither point nor address{field}, and the text names no place")));
        }
        if intake.chosen
            && !topics.is_empty()
            && !topics.iter().any(|topic| rules.are_alike(topic, &case.category))
            && let Some(word) = turn.graph.sort_text(intake.text).word.filter(|word| is_telling(word))
        {
            let topics = list(topics);
            findings.push(("wrong_category", format!("the text says `{word}` ({topics}), {} was chosen", case.category)));
        }
        let says_nothing = match intake.text.trim().is_empty() {
            true => !intake.typed,
            false => topics.is_empty() && meaning(&rules.empty_words, intake.text) < limits::MEANING_MIN,
        };
        if says_nothing {
            findings.push(("vague_text", "without courtesies and words that fit every matter nothing is left".to_owned()));
        }
        for (name, reason) in findings {
            find(turn, case, name, reason);
        }
    }

    /// Looks at the answer with which a request is closed.
    pub(crate) fn judge_answer(&mut self, turn: &mut Turn<'_>, seq: u64, answer: &Answer<'_>) {
        let case = self.cases[&seq].clone();
        let rules = &turn.graph.case_rules().quality;
        let mut unjustified = Vec::new();
        let says_something = meaning(&rules.empty_answers, answer.text) >= limits::MEANING_MIN;
        if says_something {
            if self.answering.len() < limits::SOURCES_MAX {
                self.answering.insert(answer.source.to_owned());
            }
        } else if self.answering.contains(answer.source) {
            unjustified.push(match answer.text.trim() {
                "" => "closed without an answer".to_owned(),
                text => format!("the answer says nothing: `{}`", quote(text)),
            });
        }
        if answer.after < TimeDelta::minutes(rules.close_minutes_min.into()) && !case.handling.own {
            unjustified.push(format!("closed {} min after it was reported", answer.after.num_minutes()));
        }
        if !unjustified.is_empty() {
            find(turn, &case, "unjustified_close", unjustified.join("; "));
        }
        let asked: BTreeSet<&str> = case.handling.topics.iter().map(String::as_str).chain([case.category.as_str()]).filter(|id| *id != "other").collect();
        let mut answered = turn.graph.categories_in(answer.text);
        for (category, words) in &rules.work_words {
            if let Some(word) = says(words, answer.text) {
                answered.entry(category).or_insert(word);
            }
        }
        let fits = || asked.iter().any(|asked| answered.keys().any(|answered| rules.are_alike(asked, answered)));
        if says_something && !asked.is_empty() && answered.values().any(|word| is_telling(word)) && !fits() {
            let words = answered.iter().map(|(category, word)| format!("`{word}` ({category})")).collect::<Vec<_>>().join(", ");
            let asked = asked.into_iter().collect::<Vec<_>>().join(", ");
            find(turn, &case, "answer_mismatch", format!("the answer speaks of {words}, the request of {asked}"));
        }
    }
}

fn find(turn: &mut Turn<'_>, case: &Case, name: &str, reason: String) {
    let finding = Decision {
        category: Some(case.category.clone()),
        unit: case.unit.clone(),
        confidence_permille: 900,
        ..turn.decision("quality", &case.id, "rules", name, reason)
    };
    turn.effects.push(Effect::Decision(finding));
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Whether a word tells a category by itself: a single character or a short Latin word stands in many texts.
fn is_telling(word: &str) -> bool {
    word.chars().filter(|c| is_han(*c)).count() >= 2 || word.len() >= 4 && word.is_ascii()
}

/// How much a text says beyond `empty` words: a Chinese character counts one, a Latin word two, a number nothing.
fn meaning(empty: &[String], text: &str) -> usize {
    let mut text: String = text.chars().take(2 * limits::QUOTE_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let (latin, chinese): (Vec<&String>, Vec<&String>) = empty.iter().partition(|word| word.is_ascii());
    for word in chinese {
        text = text.replace(word.as_str(), " ");
    }
    let is_empty = |word: &str| latin.iter().any(|phrase| phrase.split(' ').any(|part| part == word));
    let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1 && !is_empty(word));
    text.chars().filter(|c| is_han(*c)).count() + 2 * words.count()
}

/// Whether a report says where it is: by a point, an address, or a place that its text names.
fn has_place(rules: &Quality, intake: &Intake<'_>) -> bool {
    let point = intake.lat.is_some() && intake.lon.is_some();
    let written = |address: &str| {
        let address = address.trim().to_lowercase();
        address.chars().filter(|c| c.is_alphanumeric()).count() >= 2 && !rules.no_address.contains(&address)
    };
    point || intake.address.is_some_and(written) || names_chinese_place(rules, intake.text) || names_latin_place(rules, intake.text)
}

/// Characters that end the name of a place, read backwards.
const NO_NAME: &str = "的在到是有了从往和与这那哪条个我你他她们家住该每各旁于为被把去离近";

/// Whether a text has something like 解放路 or 丽发新城小区: an ending with a name of two characters or more before it.
fn names_chinese_place(rules: &Quality, text: &str) -> bool {
    let named = |ending: &str| {
        text.match_indices(ending).any(|(at, _)| {
            let name: Vec<char> = text[..at].chars().rev().take(6).take_while(|c| c.is_alphanumeric() && !NO_NAME.contains(*c)).collect();
            let next = text[at + ending.len()..].chars().next();
            // 路灯, 路面, 村民, 厂家: the ending is the beginning of another word.
            let other_word = next.is_some_and(|c| "灯面边上障况过基由牌民委家房".contains(c));
            let whole: String = name.iter().rev().chain(&ending.chars().collect::<Vec<_>>()).collect();
            name.len() >= 2 && !other_word && !rules.no_places.iter().any(|no| whole.ends_with(no.as_str()))
        })
    };
    rules.place_endings.iter().filter(|ending| !ending.is_ascii()).any(|ending| named(ending))
}

/// Whether a text has something like Main Street: an ending after a number or a name, which begins with a capital.
fn names_latin_place(rules: &Quality, text: &str) -> bool {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| {
        let (name, ending) = (pair[0], pair[1].to_lowercase());
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()) && name.len() >= 2;
        is_name && rules.place_endings.contains(&ending) && !rules.no_places.contains(&name.to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use graph::CaseRules;

    #[test]
    fn places_are_seen_in_texts() {
        let rules = CaseRules::default().quality;
        for text in ["解放路下穿通道积水很深", "丽发新城小区二期半夜施工", "第三小学门口", "There is a leak at 12 Oak Street", "Flooding on Main St near the bakery"] {
            assert!(names_chinese_place(&rules, text) || names_latin_place(&rules, text), "{text}");
        }
        for text in ["小区门口路灯不亮", "我们小区停水了", "这条路坑坑洼洼", "门口的水泥路塌了", "旁边学校太吵", "the street is flooded", "cars park on the road", "by the way it is my street"] {
            assert!(!names_chinese_place(&rules, text) && !names_latin_place(&rules, text), "{text}");
        }
    }

    #[test]
    fn courtesies_have_no_meaning() {
        let rules = CaseRules::default().quality;
        for text in ["您好，请尽快处理一下这个问题，谢谢！", "有问题请解决", "Please help, there is a problem here. Thank you", "……", "12345"] {
            assert!(meaning(&rules.empty_words, text) < limits::MEANING_MIN, "{text}: {}", meaning(&rules.empty_words, text));
        }
        for text in ["隔壁邻居养鸡", "楼上漏水到我家了", "A dog attacks people"] {
            assert!(meaning(&rules.empty_words, text) >= limits::MEANING_MIN, "{text}");
        }
        for text in ["已处理", "您的留言已收悉，已转相关部门处理，感谢您对我们工作的支持！", "Closed", "Resolved. Thank you.", "已办结", "按规定处理完毕"] {
            assert!(meaning(&rules.empty_answers, text) < limits::MEANING_MIN, "{text}: {}", meaning(&rules.empty_answers, text));
        }
        for text in ["更换灯泡", "已通风关阀", "已更换2盏路灯", "Pothole filled with asphalt"] {
            assert!(meaning(&rules.empty_answers, text) >= limits::MEANING_MIN, "{text}: {}", meaning(&rules.empty_answers, text));
        }
    }
}
