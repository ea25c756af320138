//! How much is too much, and why.

use chrono::TimeDelta;

/// A case that nobody has moved for this long leaves live state; its history stays in the tables. Of 58,000 work orders
/// of a real city 99.7 % were closed within it, and at 400 new cases a day it keeps some 70,000 in memory.
pub(crate) const OPEN_CASE_AGE_MAX: TimeDelta = TimeDelta::days(180);

/// A case that is over stays this long, so that a repeated or late fact about it still finds it.
pub(crate) const FINAL_CASE_AGE_MAX: TimeDelta = TimeDelta::days(3);

/// Cases in state, whatever their age: a guard against a flood of reports (about 1 KiB each).
pub(crate) const CASES_MAX: usize = 200_000;

/// Cases that may leave for each record that arrives, so that no single record is slow.
pub(crate) const LEAVING_PER_RECORD_MAX: usize = 8;

/// Cases that a merge looks at for one grid cell, address or station: the latest ones. Where more are open at once, they
/// are not told apart by place.
pub(crate) const MATTERS_MAX: usize = 32;

/// Cases that one case may hold: a burst main brings some hundred calls. The next one begins a case of its own.
pub(crate) const MERGED_MAX: usize = 500;

/// Merges of merges that are followed to the case that has the matter.
pub(crate) const MERGE_STEPS_MAX: usize = 16;

/// Categories of a text that are remembered for judging the answer: a text that speaks of more speaks of everything.
pub(crate) const TOPICS_MAX: usize = 6;

/// From this level on what a station measures needs somebody on the spot; level 4 (blue) asks for attention only.
pub(crate) const MACHINE_LEVEL_MAX: u8 = 3;

/// A text or answer with less than this many characters of meaning (a Latin word counts as two) says nothing.
pub(crate) const MEANING_MIN: usize = 4;

/// The same category at the same place within this time belongs to one incident.
pub(crate) const SAME_PLACE: TimeDelta = TimeDelta::hours(24);

/// An event goes on when it is seen again within this time.
pub(crate) const INCIDENT_JOIN: TimeDelta = TimeDelta::hours(6);

/// An incident that nothing has joined for this long is over.
pub(crate) const INCIDENT_AGE_MAX: TimeDelta = TimeDelta::hours(48);

/// Incidents in state; the oldest leave first.
pub(crate) const INCIDENTS_MAX: usize = 4096;

/// Nodes of one incident; beyond, something new goes into the node that it would hang on.
pub(crate) const NODES_MAX: usize = 64;

/// A chain less likely than this explains nothing, neither from the event that it hangs on nor from what the incident began
/// with.
pub(crate) const TIE_PERMILLE_MIN: u32 = 30;
/// See [`TIE_PERMILLE_MIN`].
pub(crate) const CHAIN_PERMILLE_MIN: u32 = 20;

/// Matters of this urgency or a lower one are heard every day, and from this probability on they are part of something.
pub(crate) const EVERYDAY_URGENCY_MIN: u8 = 3;
/// See [`EVERYDAY_URGENCY_MIN`].
pub(crate) const EVERYDAY_PERMILLE_MIN: u32 = 100;

/// How likely it is that what is foretold comes, in thousandths, as far as what may follow is put in order.
pub(crate) const FORETOLD_PERMILLE: u32 = 800;

/// From this probability on a cause that is seen later joins the incident that it explains with another one, and two reports
/// of different kinds are an incident.
pub(crate) const MERGE_PERMILLE_MIN: u32 = 100;
/// Two incidents in which the same event goes on are one when both are fresh and near: see `incidents/tie.rs`.
pub(crate) const MERGE_WEIGHT_MIN: u32 = 400;

/// From this probability on something that nobody has seen explains two events that somebody has.
pub(crate) const SHARED_PERMILLE_MIN: u32 = 150;

/// What follows may be reported a little before its cause, and long after its time: clocks differ, and people call when they
/// have time.
pub(crate) const EARLY: TimeDelta = TimeDelta::minutes(15);
/// See [`EARLY`].
pub(crate) const LATE: TimeDelta = TimeDelta::hours(2);
/// So much later than what it led to may a cause be seen.
pub(crate) const EXPLAINED_LATE: TimeDelta = TimeDelta::hours(1);

/// How far a report's point may be from what it tells of, in metres.
pub(crate) const PLACE_BLUR_M: u32 = 100;
/// What happens this near to the border of a district happens in the next one too, in metres.
pub(crate) const NEXT_DOOR_M: u32 = 1000;
/// Two reports of one kind that nothing else joins are one matter within so many metres.
pub(crate) const SAME_MATTER_M: u32 = 300;

/// Incidents that a change names as considered and rejected: a reviewer asks for the nearest few.
pub(crate) const CONSIDERED_MAX: usize = 3;

/// Chains that are looked at from each event of an incident, and events that are named as expected.
pub(crate) const FOLLOWING_MAX: usize = 12;
/// See [`FOLLOWING_MAX`].
pub(crate) const EXPECTED_MAX: usize = 5;

/// Reports of one event type that belong to nothing yet; and how many of them an incident takes in when it begins.
pub(crate) const LOOSE_MAX: usize = 128;
/// See [`LOOSE_MAX`].
pub(crate) const ADOPTED_MAX: usize = 64;

/// A forecast that has not come true so long after its time does not come true.
pub(crate) const FORECAST_GRACE: TimeDelta = TimeDelta::minutes(30);

/// A forecast whose moment moved by more than this is told again.
pub(crate) const FORECAST_MOVED: TimeDelta = TimeDelta::minutes(10);

/// The level of the early alert that weak signs add up to; an alert of this level or a graver one needs no early one.
pub(crate) const WEAK_LEVEL: u8 = 3;
/// Weak signs within so many metres speak of one danger.
pub(crate) const HINT_REACH_M: u32 = 1500;

/// A finding out of nothing is borne out by an alert near by that is not older than this.
pub(crate) const BORNE_OUT: TimeDelta = TimeDelta::minutes(5);

/// Weak signs of one scenario that are remembered.
pub(crate) const HINTS_MAX: usize = 512;

/// Alerts in state; the oldest cleared ones leave first, an active one never leaves.
pub(crate) const ALERTS_MAX: usize = 2048;

/// Evidence that an alert collects before it is sent as an update: evidence is complete, but no record is huge.
pub(crate) const EVIDENCE_PENDING_MAX: usize = 256;

/// An alert of which nothing was heard for this long is unknown, and one that goes on is told of anew: its CAP message
/// ends then. A day is what the warnings of weather services live at most.
pub(crate) const ALERT_LIFE: TimeDelta = TimeDelta::hours(24);

/// Conditions that have not held long enough to be alerts; beyond them, a condition is an alert at once.
pub(crate) const PENDING_MAX: usize = 4096;

/// Alert keys whose comings and goings are remembered; those that were quiet longest leave first.
pub(crate) const FLAPS_MAX: usize = 4096;

/// Alerts of silent stations at a time. When more fall silent at once, it is the network and not the stations.
pub(crate) const NO_SIGNAL_ALERTS_MAX: usize = 256;

/// Alerts that one notification tells of; a person reads no more, and the rest is counted.
pub(crate) const TOLD_MAX: usize = 64;

/// Silences at a time, Alertmanager's users have tens; and how long one may last: what is silent for longer is forgotten.
pub(crate) const SILENCES_MAX: usize = 1000;
/// See [`SILENCES_MAX`].
pub(crate) const SILENCE_MAX: TimeDelta = TimeDelta::days(90);

/// Exercises at a time; and how long one may last, so that nobody forgets to end it while a real flood is taken for one.
pub(crate) const EXERCISES_MAX: usize = 100;
/// See [`EXERCISES_MAX`].
pub(crate) const EXERCISE_MAX: TimeDelta = TimeDelta::hours(24);

/// Conditions of one silence or exercise.
pub(crate) const MATCHERS_MAX: usize = 16;

/// How long a warning of the public holds, and how long before its end somebody is reminded to renew it.
pub(crate) const WARNING_LIFE: TimeDelta = TimeDelta::hours(24);
/// See [`WARNING_LIFE`].
pub(crate) const WARNING_REMINDER: TimeDelta = TimeDelta::hours(1);

/// Longest headline of a warning of the public, in characters: what a telephone shows.
pub(crate) const WARNING_CHARS_MAX: usize = 500;

/// Messages that a CAP reference list names: the first and the latest say which they are.
pub(crate) const CAP_REFERENCES_MAX: usize = 8;

/// Units whose notifications are counted.
pub(crate) const LOADS_MAX: usize = 4096;

/// Lower readings in a row before an alert's level goes down.
pub(crate) const LOWER_READINGS_MIN: u32 = 3;

/// Reports of one surge window; more than any city of ten million sends in two hours.
pub(crate) const SURGE_REPORTS_MAX: usize = 20_000;

/// Hours in a row with hardly any report before a surge is over: people sleep, the water does not go.
pub(crate) const SURGE_QUIET_HOURS: u32 = 24;

/// Times at which parallel streams may stand: live, and a few imports of other years.
pub(crate) const TIMELINES_MAX: usize = 16;

/// Sources whose timeline is remembered.
pub(crate) const SOURCES_MAX: usize = 4096;

/// Records this far apart may still speak of the same days.
pub(crate) const TIMELINE_SPAN: TimeDelta = TimeDelta::days(3);

/// Ids of commands that are remembered against repeats.
pub(crate) const COMMANDS_MAX: usize = 10_000;

/// Request types whose category is remembered; a pure function's memory, not state.
pub(crate) const MEMO_MAX: usize = 4096;

/// Deadlines beyond this are somebody's mistake.
pub(crate) const DEADLINE_MAX: TimeDelta = TimeDelta::days(730);

/// From this on the graph's words are sure of a category, in thousandths: one category's words and no other's. Below, an
/// accepted opinion of the active model goes before them.
pub(crate) const WORDS_SURE_PERMILLE: u32 = 800;

/// Opinions of models that a decision keeps: an active model and a few shadows for each of two tasks.
pub(crate) const OPINIONS_MAX: usize = 8;

/// Words of a reader that a decision repeats.
pub(crate) const WORDS_MAX: usize = 8;

/// Characters of a person's or another system's text that are repeated in reasons.
pub(crate) const QUOTE_CHARS_MAX: usize = 120;

/// A text with fewer characters says nothing that a language model could understand and words could not.
pub(crate) const ASKED_CHARS_MIN: usize = 6;
/// Characters of a text that are put to a model.
pub(crate) const ASKED_CHARS_MAX: usize = 4_000;
/// Cases about which an answer is awaited; the oldest question is given up when there is one more.
pub(crate) const ASKED_MAX: usize = 10_000;
/// Plans about which an answer is awaited; the oldest is given up when there is one more.
pub(crate) const PLANS_ASKED_MAX: usize = 100;
/// Citations of a decision, and reasons why something was not drafted.
pub(crate) const CITATIONS_MAX: usize = 8;
/// Characters of a section that a citation shows.
pub(crate) const CITED_CHARS_MAX: usize = 400;
/// Characters of a draft.
pub(crate) const DRAFT_CHARS_MAX: usize = 4_000;
/// Questions that may be saved up for a busy hour, in thousandths.
pub(crate) const ASK_CREDIT_MAX: u32 = 50_000;
/// Incidents up to this level get a plan; those of level Ⅳ are only watched.
pub(crate) const PLANNED_LEVEL_MAX: u8 = 3;
/// Resources must be there within so many minutes.
pub(crate) const RESOURCE_MINUTES_MAX: u32 = 60;
/// Resources of a plan.
pub(crate) const PLAN_RESOURCES_MAX: usize = 12;
/// Places in which tasks of a plan are given to somebody; an incident that touches more is led from above.
pub(crate) const PLAN_PLACES_MAX: usize = 8;
/// What may follow is told of so many events.
pub(crate) const OUTLOOK_MAX: usize = 3;
/// Options of a question.
pub(crate) const OFFERS_MAX: usize = 24;
/// From here on a language model's answer decides.
pub const ANSWER_SURE_PERMILLE: u32 = 700;
