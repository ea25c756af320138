//! Hot issues (一事多诉): messages of one matter, grouped as they come; one that becomes hot is told at once.
//!
//! Reads the journal, in which each message stands once, masked and in order. Every message that joins a matter is told with what
//! ties it there; a matter is told when it becomes hot, each time its reports have doubled, when another turns out to be the
//! same, and when it was silent too long ([`hotspots::Hotspots`]).

use std::collections::BTreeMap;

use hotspots::{Hotspots, Matter, MatterId, Message, Options, Tie};
use schemas::journal::{Body, JournalRecord};
use schemas::topics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fold, Said, rounded, time};
use crate::rows::Row;

const CHANGE: &str = "io.citybrain.hotissue.change.v1";
const MEMBER: &str = "io.citybrain.hotissue.member.v1";
/// How a record of a message is told from others without reading it: how its body begins.
const HOTLINE: &str = r#""body":{"hotline":{"#;

/// The fold.
#[derive(Serialize, Deserialize)]
pub struct Matters {
    hotspots: Hotspots,
    /// Hot matters, and the reports that each had when it was told last.
    told: BTreeMap<MatterId, u64>,
}

impl Fold for Matters {
    const NAME: &'static str = "matters";
    const READS: &'static str = topics::JOURNAL;
    const WRITES: &'static str = topics::HOT_ISSUE;

    fn begin(_: i32) -> Matters {
        Matters { hotspots: Hotspots::new(Options::default()), told: BTreeMap::new() }
    }

    fn take(&mut self, row: &Row<'_>, said: &mut Vec<Said>) {
        let Some(data) = row.data.filter(|data| data.contains(HOTLINE)) else { return };
        let Ok(record) = JournalRecord::from_json(data) else { return };
        let Body::Hotline(message) = &record.body else { return };
        // A message without a believable time comes when the one before it came.
        let time_us = record.event_time().map_or_else(|| self.now_us(), |time| time.timestamp_micros());
        let place = [message.district.as_deref(), message.address.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let became = self.hotspots.observe(&Message {
            id: &message.message_id,
            caller: message.caller.as_deref().unwrap_or_default(),
            title: "",
            text: &message.text,
            place: &place,
            time_us,
            likes: 0,
        });
        for matter in became.retired.iter().filter(|matter| self.told.remove(&matter.id).is_some()) {
            said.push(change(record.seq, matter, "ended", time_us, None));
        }
        let id = became.matter;
        if let Some(tie) = &became.tie {
            said.push(member(record.seq, id, &message.message_id, time_us, became.new_caller, tie));
        }
        for gone in became.merged.iter().filter(|gone| self.told.remove(gone).is_some()) {
            let id = issue(*gone);
            let name = format!("{}-{}", id, record.seq);
            let data = json!({ "issue": id, "change": "merged", "at": time(time_us), "other": issue(became.matter) });
            said.push(Said { event_type: CHANGE, id: name, key: id, at: time(time_us), data });
        }
        let Some(matter) = self.hotspots.matter(id).filter(|matter| matter.raised.is_some()) else { return };
        let what = match self.told.get(&id) {
            None => "raised",
            Some(told) if matter.reports >= told.saturating_mul(2) => "grown",
            Some(_) => return,
        };
        let rank = self.hotspots.hottest(time_us, usize::MAX).iter().position(|(other, _)| other.id == id).map(|at| at + 1);
        said.push(change(record.seq, matter, what, time_us, rank));
        self.told.insert(id, matter.reports);
    }
}

impl Matters {
    /// When the latest message came.
    fn now_us(&self) -> i64 {
        self.hotspots.matters().map(|matter| matter.last_us).max().unwrap_or_default()
    }
}

/// The name of an issue: the number that its matter got.
fn issue(matter: MatterId) -> String {
    format!("issue-{matter}")
}

fn change(seq: u64, matter: &Matter, what: &str, at_us: i64, rank: Option<usize>) -> Said {
    let issue = issue(matter.id);
    // One record changes an issue once.
    let id = format!("{issue}-{seq}");
    let data = json!({
        "issue": issue, "change": what, "at": time(at_us), "title": matter.title, "place": Some(matter.place()).filter(|place| !place.is_empty()),
        "rank": rank, "reports": matter.reports, "callers": matter.callers, "repeat_callers": matter.repeat_callers().len(),
        "first": time(matter.first_us), "last": time(matter.last_us), "raised_at": matter.raised.map(|(at_us, _)| time(at_us)),
        "raised_after": matter.raised.map(|(_, reports)| reports), "heat": rounded(matter.heat(at_us)), "members": matter.members,
    });
    Said { event_type: CHANGE, id, key: issue, at: time(at_us), data }
}

fn member(seq: u64, matter: MatterId, message: &str, at_us: i64, new_caller: bool, tie: &Tie) -> Said {
    let issue = issue(matter);
    let id = format!("member-{seq}");
    let place: Value = serde_json::to_value(&tie.place).unwrap_or_default();
    let data = json!({
        "issue": issue, "message": message, "at": time(at_us), "new_caller": new_caller, "same_caller": tie.same_caller,
        "likeness": tie.likeness, "enough": rounded(tie.enough), "places": place["places"], "place": place["name"], "words": tie.words, "days": rounded(tie.days),
    });
    Said { event_type: MEMBER, id, key: issue, at: time(at_us), data }
}
