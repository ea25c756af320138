//! Lives of cases, told one by one: clocks that stop, units that ask for time, superiors who hear of it, reports that turn
//! out to be one matter and matters that turn out to be two.

mod city;

use city::{City, at, decisions, minutes, refusal, transitions};
use schemas::case::{CaseChange, CaseState, VoidGround};
use schemas::journal::{Action, HotlineMessage};
use schemas::signal::MicroDeg;

fn call(number: &str, text: &str, address: Option<&str>) -> HotlineMessage {
    HotlineMessage { message_id: number.to_owned(), text: text.to_owned(), address: address.map(str::to_owned), ..HotlineMessage::default() }
}

/// Parking: four working hours. Reminded after three, overdue after four, then one superior after another each working
/// day, up to the city.
#[test]
fn who_does_nothing_is_reminded_and_reported_up_the_duty_chain() {
    let mut city = City::new();
    let case = city.order(at("2026-07-15T10:00"), "w1", "违停", "中山路88号");
    assert_eq!(city.case(&case).due, Some(at("2026-07-15T15:00")));
    city.until(at("2026-07-25T00:00"));
    let told = |kind: &str| city.sent(&case, kind).into_iter().map(|it| (it.at, it.unit.as_str())).collect::<Vec<_>>();
    assert_eq!(told("reminder"), [(at("2026-07-15T14:00"), "traffic-police")]);
    assert_eq!(told("escalation"), [(at("2026-07-15T15:00"), "police"), (at("2026-07-16T17:00"), "command")]);
    let reasons: Vec<_> = city.sent(&case, "escalation").into_iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "overdue after 5 h at traffic-police",
            "overdue since 2026-07-15 15:00 at traffic-police, still assigned; nobody has begun since police heard of it",
        ]
    );
    assert!(city.case(&case).overdue);
    assert_eq!(city.brain.next_timer(), None, "the chain is at its end");
}

#[test]
fn who_begins_is_left_in_peace() {
    let mut city = City::new();
    let case = city.order(at("2026-07-15T10:00"), "w1", "违停", "中山路88号");
    city.until(at("2026-07-15T16:00"));
    city.update(at("2026-07-15T16:30"), "w1", "到场处理");
    city.until(at("2026-07-25T00:00"));
    assert_eq!(city.sent(&case, "escalation").len(), 1, "the superior heard of it once");
    // One that works when the deadline passes is reported once, too.
    let other = city.order(at("2026-07-27T10:00"), "w2", "违停", "中山路99号");
    city.command(Action::Dispatch, &other, |_| {});
    city.until(at("2026-08-25T00:00"));
    assert_eq!(city.sent(&other, "escalation").len(), 1);
    // And nobody is told of what was closed in time.
    let third = city.order(at("2026-08-26T10:00"), "w3", "违停", "中山路77号");
    city.close(at("2026-08-26T11:00"), "w3", "车辆已驶离，停车位恢复");
    city.until(at("2026-09-25T00:00"));
    assert!(city.sent(&third, "reminder").is_empty() && city.sent(&third, "escalation").is_empty());
}

#[test]
fn a_suspended_case_gets_its_working_time_back() {
    let mut city = City::new();
    let case = city.order(at("2026-09-30T15:00"), "w1", "违停", "中山路88号");
    city.until(at("2026-09-30T16:00"));
    city.update(at("2026-09-30T16:00"), "w1", "到场");
    city.command(Action::Suspend, &case, |_| {});
    let held = city.case(&case);
    assert_eq!((held.state, held.due, held.remaining_s), (CaseState::Suspended, None, Some(3 * 3600)));
    assert_eq!(city.brain.next_timer(), None, "its clock stands");
    assert!(refusal(&city.command(Action::Extend, &case, |command| command.due = Some(at("2026-10-20T12:00")))).contains("no deadline runs"));
    // The holidays pass; 200 minutes of the 8th are left when it goes on.
    city.order(at("2026-10-08T11:30"), "w2", "路灯故障", "湖滨路1号");
    city.command(Action::Resume, &case, |_| {});
    let held = city.case(&case);
    assert_eq!((held.state, held.due, held.remaining_s), (CaseState::Processing, Some(at("2026-10-08T15:30")), None));
    assert!(refusal(&city.command(Action::Resume, &case, |_| {})).contains("not suspended"));
}

#[test]
fn more_time_is_asked_for_and_given_or_not() {
    let mut city = City::new();
    let case = city.order(at("2026-07-15T10:00"), "w1", "违停", "中山路88号");
    assert!(refusal(&city.command(Action::ApproveExtension, &case, |_| {})).contains("nobody has asked"));
    assert!(refusal(&city.command(Action::RequestExtension, &case, |command| command.due = Some(at("2026-07-15T14:00")))).contains("not after the one that holds"));
    let asked = city.command(Action::RequestExtension, &case, |command| command.due = Some(at("2026-07-17T12:00")));
    assert_eq!((transitions(&asked)[0].change, transitions(&asked)[0].asked_due), (CaseChange::ExtensionRequested, Some(at("2026-07-17T12:00"))));
    assert_eq!(city.case(&case).due, Some(at("2026-07-15T15:00")), "asking changes nothing");
    let refused = city.command(Action::RejectExtension, &case, |_| {});
    assert_eq!((transitions(&refused)[0].change, city.case(&case).asked_due), (CaseChange::ExtensionRejected, None));

    city.command(Action::RequestExtension, &case, |command| command.due = Some(at("2026-07-17T12:00")));
    city.command(Action::ApproveExtension, &case, |_| {});
    let held = city.case(&case);
    assert_eq!((held.state, held.due, held.asked_due), (CaseState::Extended, Some(at("2026-07-17T12:00")), None));
    city.until(at("2026-07-17T11:59"));
    assert!(!city.case(&case).overdue);
    city.until(at("2026-07-17T12:00"));
    assert!(city.case(&case).overdue);
    // An extension after the deadline takes the shame away.
    city.command(Action::Extend, &case, |command| command.due = Some(at("2026-07-20T12:00")));
    assert!(!city.case(&case).overdue);
}

#[test]
fn cases_are_transferred_voided_and_reopened_with_their_reasons() {
    let mut city = City::new();
    let case = city.order(at("2026-07-15T10:00"), "w1", "违停", "中山路88号");
    assert!(refusal(&city.command(Action::Transfer, &case, |command| command.unit = Some("traffic-police".to_owned()))).contains("already"));
    let moved = city.command(Action::Transfer, &case, |command| command.unit = Some("urban-management".to_owned()));
    assert_eq!(transitions(&moved)[0].reason, "原因 (from traffic-police to urban-management)");
    city.command(Action::Return, &case, |_| {});
    assert_eq!(city.case(&case).unit, None);
    assert!(refusal(&city.command(Action::Transfer, &case, |command| command.unit = Some("police".to_owned()))).contains("assign it"));
    let voided = city.command(Action::Void, &case, |command| command.ground = Some(VoidGround::Mistaken));
    assert_eq!(transitions(&voided)[0].ground, Some(VoidGround::Mistaken));
    assert!(refusal(&city.command(Action::Verify, &case, |_| {})).contains("作废 may not become 核查"));
    city.command(Action::Reopen, &case, |_| {});
    assert_eq!((city.case(&case).state, city.case(&case).reopened), (CaseState::Reopened, 1));
}

#[test]
fn a_proposed_dispatch_is_approved_or_rejected() {
    let mut city = City::new();
    let case = city.call(at("2026-07-15T10:00"), call("m1", "食堂后厨煤气味很浓", Some("大学路28号")));
    assert_eq!(city.case(&case).proposed_unit.as_deref(), Some("gas"));
    let rejected = city.command(Action::Reject, &case, |_| {});
    assert_eq!((transitions(&rejected)[0].change, city.case(&case).proposed_unit.as_deref()), (CaseChange::DispatchRejected, None));
    assert!(refusal(&city.command(Action::Approve, &case, |_| {})).contains("no dispatch waits"));

    let other = city.call(at("2026-07-15T11:00"), call("m2", "厨房煤气味很浓", Some("湖滨路7号")));
    city.command(Action::Approve, &other, |command| command.unit = Some("emergency".to_owned()));
    let sent = city.sent(&other, "approved");
    assert_eq!((sent.len(), sent[0].unit.as_str(), sent[0].proposed), (1, "emergency", false));
    assert_eq!(city.case(&other).state, CaseState::Processing);
}

#[test]
fn a_person_corrects_the_triage() {
    let mut city = City::new();
    let case = city.order(at("2026-07-15T10:00"), "w1", "噪音", "中山路88号");
    let effects = city.command(Action::Recategorise, &case, |command| command.category = Some("collapse".to_owned()));
    let correction = decisions(&effects)[0];
    assert_eq!((correction.kind.as_str(), correction.outcome.as_str(), correction.tier.as_str()), ("correction", "collapse to roads", "person"));
    assert!(correction.reason.contains("was noise at environment"), "{}", correction.reason);
    let held = city.case(&case);
    assert_eq!((held.category.as_str(), held.unit.as_deref(), held.urgency, held.due), ("collapse", Some("roads"), 1, Some(at("2026-07-15T18:00"))));
    // From now on it takes in reports of its new kind.
    let other = city.order(at("2026-07-15T11:00"), "w2", "路面塌陷", "中山路88号");
    assert_eq!(city.case(&other).merged_into.as_ref(), Some(&case));
    assert!(refusal(&city.command(Action::Recategorise, &case, |command| command.category = Some("dreams".to_owned()))).contains("no category `dreams`"));
}

/// Three channels tell of one gas leak; one of them turns out to be another one.
#[test]
fn three_channels_make_one_case_that_can_be_taken_apart() {
    let mut city = City::new();
    let point = (30_531_000, 114_360_000);
    city.station(at("2026-07-15T10:00"), "gas_explosion", "d1", 2, Some(point));
    let machine = city.brain.cases().next().expect("the station's case").id.clone();
    assert_eq!((city.case(&machine).channel.as_str(), city.case(&machine).urgency), ("machine", 2));
    let mut message = call("m1", "后厨煤气味很浓", Some("大学路28号"));
    (message.lat, message.lon) = (Some(MicroDeg(30_531_400)), Some(MicroDeg(114_360_300)));
    let called = city.call(at("2026-07-15T10:10"), message);
    let effects = city.hears(
        at("2026-07-15T10:30"),
        "orders",
        schemas::journal::Body::WorkOrder(schemas::journal::WorkOrder::Created(schemas::journal::WorkOrderCreated {
            request_id: "w1".to_owned(),
            category: Some("燃气".to_owned()),
            lat: Some(MicroDeg(30_531_900)),
            lon: Some(MicroDeg(114_360_000)),
            ..Default::default()
        })),
    );
    let reported = city.brain.cases().last().expect("the order's case").id.clone();
    for case in [&called, &reported] {
        assert_eq!((city.case(case).state, city.case(case).merged_into.as_ref()), (CaseState::Voided, Some(&machine)));
    }
    let merges: Vec<_> = transitions(&effects).into_iter().filter(|it| it.change == CaseChange::Merged).map(|it| (it.case.clone(), it.other.clone().unwrap(), it.to)).collect();
    assert_eq!(merges, [(reported.clone(), machine.clone(), CaseState::Voided), (machine.clone(), reported.clone(), CaseState::Assigned)]);
    assert!(city.case(&machine).risk_to_life && city.case(&machine).urgency == 1, "the caller's danger is the matter's danger");
    assert_eq!(city.sent(&machine, "urgent_case").len(), 1);

    // Work on one is work on the matter.
    city.update(at("2026-07-15T10:40"), "w1", "抢修队到场");
    assert_eq!(city.case(&machine).state, CaseState::Processing);
    assert!(refusal(&city.command(Action::Close, &called, |_| {})).contains("its matter is with"));

    let apart = city.command(Action::Unmerge, &called, |_| {});
    let held = city.case(&called);
    assert_eq!((held.state, held.request.as_str(), held.due), (CaseState::Assigned, "m1", Some(at("2026-07-15T14:10"))), "its own number and deadline");
    assert_eq!(held.unit.as_deref(), Some("gas"));
    assert!(!city.case(&machine).risk_to_life, "the danger that it told of goes with it");
    assert_eq!(city.case(&machine).urgency, 1, "the order is of an urgent kind");
    assert_eq!(transitions(&apart).iter().filter(|it| it.change == CaseChange::Unmerged).count(), 2);
    assert_eq!(city.case(&machine).merged.iter().collect::<Vec<_>>(), [&reported]);
    city.until(at("2026-07-15T14:10"));
    assert!(city.case(&called).overdue, "its clock runs again");

    // And back together by a person's word.
    city.command(Action::Merge, &called, |command| command.other = Some(reported.clone()));
    assert_eq!(city.case(&called).merged_into.as_ref(), Some(&machine), "the case that has the matter takes it");
    assert!(refusal(&city.command(Action::Merge, &machine, |command| command.other = Some(called.clone()))).contains("itself"));
}

#[test]
fn a_duplicate_that_is_closed_closes_nothing_else() {
    let mut city = City::new();
    let first = city.order(at("2026-07-15T10:00"), "w1", "路灯故障", "中山路88号");
    city.order(at("2026-07-15T11:00"), "w2", "路灯故障", "中山路88号附近");
    city.close(at("2026-07-15T12:00"), "w2", "与w1重复");
    assert_eq!(city.case(&first).state, CaseState::Assigned);
    city.close(at("2026-07-15T13:00"), "w2", "已更换两盏路灯灯泡");
    assert_eq!(city.case(&first).state, CaseState::Closed, "work on one is work on the matter");
}

#[test]
fn what_is_not_done_comes_back() {
    let mut city = City::new();
    let case = city.order(at("2026-07-15T10:00"), "w1", "路灯故障", "中山路88号");
    city.close(at("2026-07-16T10:00"), "w1", "已更换灯泡");
    // The reporter is asked, and is not content.
    city.update(at("2026-07-16T15:00"), "w1", "回访：市民不满意，灯仍不亮");
    assert_eq!((city.case(&case).state, city.case(&case).reopened, city.case(&case).due), (CaseState::Assigned, 1, Some(at("2026-07-21T17:00"))));
    // A call that names the request.
    city.close(at("2026-07-17T10:00"), "w1", "已更换整流器");
    let again = city.call(at("2026-07-18T20:00"), HotlineMessage { about: Some("w1".to_owned()), ..call("m1", "路灯还是不亮", None) });
    assert_eq!((city.case(&case).reopened, city.case(&again).merged_into.as_ref()), (2, Some(&case)));
    // A new report of the same matter at the same place, within days.
    city.close(at("2026-07-20T10:00"), "w1", "已更换电缆");
    let third = city.order(at("2026-07-24T20:00"), "w3", "路灯故障", "中山路88号门口");
    assert_eq!((city.case(&case).reopened, city.case(&third).merged_into.as_ref()), (3, Some(&case)));
    // Later it is another matter; and what repeats every day reopens nothing.
    city.close(at("2026-07-25T10:00"), "w1", "已更换灯杆");
    let later = city.order(at("2026-08-03T20:00"), "w4", "路灯故障", "中山路88号");
    assert_eq!((city.case(&later).merged_into.as_ref(), city.case(&later).state), (None, CaseState::Assigned));
    let noise = city.order(at("2026-08-04T20:00"), "w5", "噪音", "湖滨路5号");
    city.close(at("2026-08-04T22:00"), "w5", "已劝阻，音响关闭");
    city.order(at("2026-08-05T20:00"), "w6", "噪音", "湖滨路5号");
    assert_eq!((city.case(&noise).state, city.case(&noise).reopened), (CaseState::Closed, 0));
}

#[test]
fn a_day_that_nobody_looked_up_is_said_in_the_triage() {
    let mut city = City::new();
    city.order(at("2026-12-30T10:00"), "w1", "路灯故障", "中山路88号");
    city.order(at("2026-07-15T10:00") + minutes(60 * 24 * 168), "w2", "路灯故障", "湖滨路1号");
    let reasons: Vec<_> = decisions(&city.told).into_iter().filter(|it| it.kind == "triage").map(|it| it.reason.as_str()).collect();
    assert!(reasons[0].ends_with("due 2027-01-04 17:00 (3 working days); the calendar covers 2026-01-01 to 2026-12-31: other days follow their weekday"), "{}", reasons[0]);
    assert_eq!(reasons.iter().filter(|reason| reason.matches("the calendar covers").count() > 1).count(), 0);
}
