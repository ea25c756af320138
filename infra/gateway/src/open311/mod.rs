//! Open311 GeoReport v2: what people report as requests of this standard, and cases as the standard shows them.
//! Translation only; the handlers are in `http::open311`.
//!
//! A posted request is a `workorder.created` event and so becomes a case. Of the person who reports, nothing is kept: no
//! name, address, number or account.

mod forms;
pub mod report;
pub mod show;

use chrono::{DateTime, Utc};
use schemas::case::CaseState;

use crate::query::Bounds;
pub use forms::Forms;

/// Why a request has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The HTTP status that says so; also the standard's error code.
    pub status: u16,
    /// What is wrong, in English.
    pub en: String,
    /// What is wrong, in Chinese.
    pub zh: String,
}

impl Wrong {
    /// A request that cannot be understood.
    pub fn bad(en: impl Into<String>, zh: impl Into<String>) -> Wrong {
        Wrong { status: 400, en: en.into(), zh: zh.into() }
    }

    /// Nothing of that name.
    pub fn none(what: &str, zh: &str, id: &str) -> Wrong {
        let id: String = id.chars().take(120).collect();
        Wrong { status: 404, en: format!("there is no {what} {id:?}"), zh: format!("没有{zh} {id:?}") }
    }
}

/// A kind of matter that people can report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its code: a category of the city's graph.
    pub code: String,
    /// 小类.
    pub name_zh: String,
    /// Its name in English.
    pub name_en: String,
    /// 大类.
    pub group: String,
    /// The scenario that it belongs to.
    pub scenario: Option<String>,
}

/// Which requests are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Those with these numbers, whatever else is asked.
    pub ids: Vec<String>,
    /// Of these services; of all, when empty.
    pub services: Vec<String>,
    /// Open ones or closed ones.
    pub open: Option<bool>,
    /// Reported from this time on.
    pub from: Option<DateTime<Utc>>,
    /// Reported before this time, or at it.
    pub to: Option<DateTime<Utc>>,
    /// Moved after this time.
    pub updated_after: Option<DateTime<Utc>>,
    /// Moved before this time.
    pub updated_before: Option<DateTime<Utc>>,
    /// Within this box.
    pub bounds: Option<Bounds>,
    /// Without the first ones.
    pub skip: usize,
    /// At most this many.
    pub limit: usize,
    /// Whether the steps of each case are asked for.
    pub notes: bool,
    /// Whether only what is in memory is asked for, and is asked for at once.
    pub live: bool,
}

/// A reported matter as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The number under which it was reported.
    pub id: String,
    /// The case.
    pub case: String,
    /// Where the case stands.
    pub state: CaseState,
    /// The service.
    pub service: String,
    /// Its name.
    pub service_name: String,
    /// What was said; the numbers of people in it are masked.
    pub description: Option<String>,
    /// The unit that owes it, by name.
    pub agency: Option<String>,
    /// When it was reported.
    pub requested: DateTime<Utc>,
    /// When it last moved.
    pub updated: DateTime<Utc>,
    /// Until when it is owed.
    pub expected: Option<DateTime<Utc>>,
    /// The address.
    pub address: Option<String>,
    /// Latitude and longitude, degrees.
    pub place: Option<(f64, f64)>,
    /// District.
    pub district: Option<String>,
    /// From 1 (at once) to 4 (as planned).
    pub urgency: u8,
    /// Whether the deadline has passed.
    pub overdue: bool,
    /// The incident that it belongs to.
    pub incident: Option<String>,
    /// The steps of the case so far, when they were asked for.
    pub notes: Vec<Note>,
}

/// A step of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: DateTime<Utc>,
    /// Where the case went.
    pub to: CaseState,
    /// Why.
    pub reason: String,
}

/// A page of requests, the newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The requests.
    pub requests: Vec<Request>,
    /// How many there are in all.
    pub total: usize,
}
