//! A case: one matter that the city owes somebody an answer to, from 上报 to 结案.
//!
//! [`CaseState::may_become`] is the whole law of its life. Every step is a [`CaseTransition`] with an actor, a reason
//! and evidence; the fold over a case's transitions is the case. What changes a case without moving it (a merge, a
//! deadline that passed, a request for more time) is a transition to the state in which it stands.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::position::Position;
use crate::signal::MicroDeg;

/// Where a case stands. The six steps, and the side tracks of practice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// 上报: somebody or something reported it.
    Reported,
    /// 受理: it is a matter for the city, classified and given a number.
    Accepted,
    /// 分拨: a unit owes it.
    Assigned,
    /// 处置: the unit works on it.
    Processing,
    /// 核查: the unit says that it is done; somebody checks.
    Verifying,
    /// 结案: done and checked.
    Closed,
    /// 退回: the unit sent it back as not its own.
    Returned,
    /// 返工: the check failed, the unit works again.
    Rework,
    /// 延期: the unit was given more time.
    Extended,
    /// 挂起: waiting for something outside the unit's power.
    Suspended,
    /// 作废: no matter for the city, or the same as another case.
    Voided,
    /// 重开: closed or voided, and not done after all.
    Reopened,
}

impl CaseState {
    /// Every state, in the order of a case's life.
    pub const ALL: [CaseState; 12] = [
        CaseState::Reported,
        CaseState::Accepted,
        CaseState::Assigned,
        CaseState::Processing,
        CaseState::Verifying,
        CaseState::Closed,
        CaseState::Returned,
        CaseState::Rework,
        CaseState::Extended,
        CaseState::Suspended,
        CaseState::Voided,
        CaseState::Reopened,
    ];

    /// Whether a case in this state may go to `to`.
    pub fn may_become(self, to: CaseState) -> bool {
        use CaseState::{
            Accepted, Assigned, Closed, Extended, Processing, Reopened, Reported, Returned, Rework, Suspended, Verifying, Voided,
        };
        match self {
            Reported => matches!(to, Accepted | Voided),
            Accepted => matches!(to, Assigned | Suspended | Voided),
            // From one unit straight to another is a new assignment.
            Assigned => matches!(to, Assigned | Processing | Returned | Extended | Suspended | Voided),
            Processing => matches!(to, Assigned | Verifying | Returned | Extended | Suspended | Voided),
            Verifying => matches!(to, Closed | Rework | Suspended),
            Returned => matches!(to, Accepted | Assigned | Suspended | Voided),
            Rework => matches!(to, Assigned | Verifying | Returned | Extended | Suspended | Voided),
            Extended => matches!(to, Assigned | Processing | Verifying | Returned | Extended | Suspended | Voided),
            // It goes on where it stood.
            Suspended => matches!(
                to,
                Accepted | Assigned | Processing | Verifying | Returned | Rework | Extended | Reopened | Voided
            ),
            Closed | Voided => matches!(to, Reopened),
            Reopened => matches!(to, Accepted | Assigned | Suspended | Voided),
        }
    }

    /// Whether the case is over unless it is reopened.
    pub fn is_final(self) -> bool {
        matches!(self, CaseState::Closed | CaseState::Voided)
    }

    /// Whether the unit has begun: from here on nobody above it needs to be told that nothing happens.
    pub fn is_at_work(self) -> bool {
        matches!(self, CaseState::Processing | CaseState::Verifying | CaseState::Rework)
    }

    /// The name that the control centre uses.
    pub fn zh(self) -> &'static str {
        match self {
            CaseState::Reported => "上报",
            CaseState::Accepted => "受理",
            CaseState::Assigned => "分拨",
            CaseState::Processing => "处置",
            CaseState::Verifying => "核查",
            CaseState::Closed => "结案",
            CaseState::Returned => "退回",
            CaseState::Rework => "返工",
            CaseState::Extended => "延期",
            CaseState::Suspended => "挂起",
            CaseState::Voided => "作废",
            CaseState::Reopened => "重开",
        }
    }

    /// The name in JSON, SQL and English text.
    pub fn name(self) -> &'static str {
        match self {
            CaseState::Reported => "reported",
            CaseState::Accepted => "accepted",
            CaseState::Assigned => "assigned",
            CaseState::Processing => "processing",
            CaseState::Verifying => "verifying",
            CaseState::Closed => "closed",
            CaseState::Returned => "returned",
            CaseState::Rework => "rework",
            CaseState::Extended => "extended",
            CaseState::Suspended => "suspended",
            CaseState::Voided => "voided",
            CaseState::Reopened => "reopened",
        }
    }
}

/// What a transition changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseChange {
    /// The case begins.
    Opened,
    /// It goes from one state to another, or from one unit to another.
    #[default]
    Moved,
    /// 并案: it is the same matter as `other`. The one that is merged is voided, the other one goes on for both.
    Merged,
    /// 拆案: it is not the same matter as `other` after all.
    Unmerged,
    /// Another category, with its deadline and unit.
    Recategorised,
    /// 超期: the deadline has passed.
    Overdue,
    /// The unit asked for more time.
    ExtensionRequested,
    /// It did not get it.
    ExtensionRejected,
    /// A dispatch that was proposed was refused.
    DispatchRejected,
}

/// Why a case was voided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidGround {
    /// 不予受理: no matter for the city.
    NotAccepted,
    /// 重复: another case has the matter.
    Duplicate,
    /// 撤回: the reporter took it back.
    Withdrawn,
    /// 误报: it is not so.
    Mistaken,
}

/// One step of one case: the data of a `city.case` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseTransition {
    /// Id of this step, made from (sequence, ordinal).
    pub id: String,
    /// The case, named after the record that opened it.
    pub case: String,
    /// The reporter's own number: a work order's request id or a message's id.
    pub request: String,
    /// Where the case stood; nothing for the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CaseState>,
    /// Where it stands now.
    pub to: CaseState,
    /// What this step changes.
    #[serde(default)]
    pub change: CaseChange,
    /// The other case of a merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// Why it was voided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<VoidGround>,
    /// Who moved it: `citybrain`, a unit, or a person's name.
    pub actor: String,
    /// Why it moved, in one sentence.
    pub reason: String,
    /// When it moved, in city time.
    pub at: DateTime<Utc>,
    /// Category of the duty graph, such as `flooding`.
    pub category: String,
    /// The scenario that the category belongs to, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Urgency from 1 (at once) to 4 (as planned).
    pub urgency: u8,
    /// Whether somebody's life is at risk.
    pub risk_to_life: bool,
    /// How it was reported: `work_order`, `hotline` or `machine`.
    pub channel: String,
    /// The district as it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// The address as it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Latitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<MicroDeg>,
    /// Longitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<MicroDeg>,
    /// The unit that owes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Until when it is owed; nothing while it is suspended, because the clock stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DateTime<Utc>>,
    /// Whether the deadline has passed.
    pub overdue: bool,
    /// The time that is left when it goes on, while it is suspended: in seconds, of working time where it runs in that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_s: Option<i64>,
    /// The deadline that the unit asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_due: Option<DateTime<Utc>>,
    /// The unit whose dispatch waits for a person's approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_unit: Option<String>,
    /// The case that has its matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// How often it was reopened or sent back for rework.
    #[serde(default)]
    pub reopened: u32,
    /// The incident that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The records that this step rests on: what reported the case and what moved it.
    pub evidence: Vec<Position>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_case_can_go_on_wherever_it_stood() {
        for from in CaseState::ALL.into_iter().filter(|from| from.may_become(CaseState::Suspended)) {
            assert!(CaseState::Suspended.may_become(from), "{}", from.name());
        }
    }

    #[test]
    fn what_is_over_can_only_be_reopened() {
        for from in CaseState::ALL.into_iter().filter(|from| from.is_final()) {
            let next: Vec<_> = CaseState::ALL.into_iter().filter(|to| from.may_become(*to)).collect();
            assert_eq!(next, [CaseState::Reopened], "{}", from.name());
        }
    }

    #[test]
    fn transitions_of_before_are_read() {
        let old = r#"{"id":"1","case":"case-1","request":"r","from":"accepted","to":"assigned","actor":"a","reason":"b","at":"2026-01-05T08:00:00Z",
            "category":"noise","urgency":4,"risk_to_life":false,"channel":"hotline","overdue":false,"evidence":[]}"#;
        let read: CaseTransition = serde_json::from_str(old).expect("it reads");
        assert_eq!((read.change, read.reopened, read.merged_into), (CaseChange::Moved, 0, None));
    }
}
