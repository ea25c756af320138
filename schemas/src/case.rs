//! A case: one matter that the city owes somebody an answer to, from 上报 to 结案.
//!
//! [`CaseState::may_become`] is the whole law of its life. Every step is a [`CaseTransition`] with an actor, a reason
//! and evidence; the fold over a case's transitions is the case.

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
            Rework => matches!(to, Verifying | Returned | Extended | Suspended | Voided),
            Extended => matches!(to, Assigned | Processing | Verifying | Returned | Extended | Suspended | Voided),
            Suspended => matches!(to, Accepted | Assigned | Processing | Verifying | Voided),
            Closed | Voided => matches!(to, Reopened),
            Reopened => matches!(to, Accepted | Assigned | Suspended | Voided),
        }
    }

    /// Whether the case is over unless it is reopened.
    pub fn is_final(self) -> bool {
        matches!(self, CaseState::Closed | CaseState::Voided)
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
    /// How it was reported: `work_order`, `hotline` and the like.
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
    /// Until when it is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DateTime<Utc>>,
    /// Whether the deadline has passed.
    pub overdue: bool,
    /// The incident that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The records that this step rests on: what reported the case and what moved it.
    pub evidence: Vec<Position>,
}
