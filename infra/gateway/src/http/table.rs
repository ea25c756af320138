//! The one table of what can be asked for: every route and every kind of command, and the one permission that each needs.
//!
//! The router, the check of rights, the audit and the description of the doors ([`super::openapi`]) are made from it.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodRouter, get as on_get, post as on_post};
use schemas::journal::Action;
use serde_json::Value;

use super::openapi::{self as shape, Field};
use super::{Gateway, audit, commands, devices, events, feed, graph, open311, people, sensorthings, sql, stream, views};
use crate::people::Permission;
use crate::people::Permission::{Administer, Audit, Command, Decide, Handle, Operate, Publish, Query, Read};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody: watchdogs, and what a standard wants public.
    Open,
    /// Whoever the door knows.
    Known,
    /// Whoever has the permission; for those that hold for domains and areas, somewhere: the handler looks at the subject.
    Needs(Permission),
    /// The same, or a registered device with its key.
    NeedsOrDevice(Permission),
    /// The same; the handler asks, because the standard has a way of its own to bring the key.
    HandlerAsks(Permission),
}

impl Access {
    /// The permission that it needs.
    pub fn permission(self) -> Option<Permission> {
        match self {
            Access::Open | Access::Known => None,
            Access::Needs(permission) | Access::NeedsOrDevice(permission) | Access::HandlerAsks(permission) => Some(permission),
        }
    }
}

/// What the audit keeps of the calls of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trail {
    /// Those that were refused for lack of a token or a permission.
    Refused,
    /// Every call.
    Every,
}

/// A route, or one of the paths that a route serves.
pub struct Route {
    /// `operationId` in the description, and the action in the audit.
    pub id: &'static str,
    /// The method.
    pub method: Method,
    /// The path as it is described.
    pub path: &'static str,
    /// The path as it is served, where that takes several.
    pub served: &'static str,
    /// Who may use it.
    pub access: Access,
    /// What the audit keeps.
    pub trail: Trail,
    /// What it does, in Chinese and English.
    pub summary: (&'static str, &'static str),
    handler: fn() -> MethodRouter<Arc<Gateway>>,
    /// Parameters, body and answers, as members of an OpenAPI operation.
    pub shape: fn() -> Value,
}

type Handler = fn() -> MethodRouter<Arc<Gateway>>;
type Shape = fn() -> Value;

const fn get(path: &'static str, id: &'static str, access: Access, summary: (&'static str, &'static str), handler: Handler, shape: Shape) -> Route {
    Route { id, method: Method::GET, path, served: path, access, trail: Trail::Refused, summary, handler, shape }
}

const fn post(path: &'static str, id: &'static str, access: Access, summary: (&'static str, &'static str), handler: Handler, shape: Shape) -> Route {
    Route { id, method: Method::POST, path, served: path, access, trail: Trail::Every, summary, handler, shape }
}

impl Route {
    const fn served_at(mut self, served: &'static str) -> Route {
        self.served = served;
        self
    }

    const fn always(mut self) -> Route {
        self.trail = Trail::Every;
        self
    }

    /// Whether a path of a request is the described one. What stands in braces is any text; the suffix of a format may be
    /// left out, and `{path}` at the end is all that follows.
    fn is(&self, path: &str) -> bool {
        let (mut wanted, mut found) = (self.path.split('/'), path.trim_end_matches('/').split('/'));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => return true,
                (Some("{path}"), Some(_)) => return true,
                (Some(wanted), Some(found)) if segment_is(wanted, found) => {}
                _ => return false,
            }
        }
    }
}

fn segment_is(wanted: &str, found: &str) -> bool {
    if let Some(stem) = wanted.strip_suffix(".{format}") {
        let bare = found.rsplit_once('.').filter(|(_, form)| matches!(*form, "json" | "xml")).map_or(found, |(bare, _)| bare);
        return segment_is(stem, bare);
    }
    match (wanted.find('{'), wanted.rfind('}')) {
        (Some(open), Some(close)) => {
            let (before, after) = (&wanted[..open], &wanted[close + 1..]);
            found.len() > before.len() + after.len() && found.starts_with(before) && found.ends_with(after)
        }
        _ => wanted == found,
    }
}

/// Every route.
pub static ROUTES: &[Route] = &[
    post("/v1/events", "postEvents", Access::NeedsOrDevice(Publish), ("接收事件", "Events in"), || on_post(events::post_events), shape::events),
    post("/v1/refused", "postRefused", Access::Needs(Publish), ("保存无法成为事件的行", "Keeps a row that is no event"), || on_post(events::post_refused), shape::refused),
    get("/v1/stream", "stream", Access::Needs(Read), ("实时事件流", "Live events (SSE)"), || on_get(stream::stream), shape::stream),
    get("/v1/alerts", "listAlerts", Access::Needs(Read), ("预警列表", "List of alerts"), || on_get(views::alerts), || shape::list("Alert")),
    get("/v1/alerts.atom", "alertsFeed", Access::Needs(Read), ("预警订阅", "Alerts as a feed"), || on_get(feed::atom), shape::feed),
    // Before the alert itself, whose path fits it, too.
    get("/v1/alerts/{id}.cap", "alertCap", Access::Needs(Read), ("CAP 1.2 预警", "An alert as CAP 1.2"), || on_get(views::alert), shape::cap).served_at("/v1/alerts/{id}"),
    get("/v1/alerts/{id}", "getAlert", Access::Needs(Read), ("单个预警", "One alert"), || on_get(views::alert), || shape::item("Alert")),
    get("/v1/alerts/{id}/why", "whyAlert", Access::Needs(Read), ("预警溯源", "Where an alert came from"), || on_get(views::alert_why), shape::why),
    get("/v1/cases", "listCases", Access::Needs(Read), ("案件列表", "List of cases"), || on_get(views::cases), || shape::list("Case")),
    get("/v1/cases/{id}", "getCase", Access::Needs(Read), ("单个案件", "One case"), || on_get(views::case), || shape::item("Case")),
    get("/v1/cases/{id}/why", "whyCase", Access::Needs(Read), ("案件溯源", "Where a case came from"), || on_get(views::case_why), shape::why),
    get("/v1/incidents", "listIncidents", Access::Needs(Read), ("事件列表", "List of incidents"), || on_get(views::incidents), || shape::list("Incident")),
    get("/v1/incidents/{id}", "getIncident", Access::Needs(Read), ("单个事件", "One incident"), || on_get(views::incident), || shape::item("Incident")),
    get("/v1/incidents/{id}/why", "whyIncident", Access::Needs(Read), ("事件溯源", "Where an incident came from"), || on_get(views::incident_why), shape::why),
    get(
        "/v1/alerting",
        "alerting",
        Access::Needs(Read),
        ("模式、演练、静默、预警分组、各单位通知数", "Mode, exercises, silences, groups of alerts, notifications of each unit"),
        || on_get(views::alerting),
        shape::alerting,
    ),
    post("/v1/commands", "command", Access::Needs(Read), ("人工命令", "What people decide"), || on_post(commands::command), shape::command),
    get("/v1/jobs", "listJobs", Access::Needs(Operate), ("流式作业及其指标", "Streaming jobs with state, lag and figures of each step"), || on_get(views::jobs), shape::jobs),
    get("/v1/models", "listModels", Access::Needs(Operate), ("小模型及其指标：漂移、一致率", "Small models with drift and agreement"), || on_get(views::models), shape::models),
    get("/v1/graph", "graph", Access::Needs(Read), ("当前图谱概况", "The live graph: version, elements, packs"), || on_get(graph::summary), shape::graph),
    post("/v1/graph", "changeGraph", Access::Needs(Administer), ("变更图谱", "Changes the live graph, all or nothing"), || on_post(graph::change), shape::graph_change),
    get("/v1/graph/{view}", "graphView", Access::Needs(Read), ("图谱视图", "A table of the live graph, as jobs look it up"), || on_get(graph::table), shape::graph_table),
    get("/v1/devices", "listDevices", Access::Needs(Administer), ("已登记设备", "Registered devices"), || on_get(devices::list), shape::devices),
    post("/v1/devices", "changeDevice", Access::Needs(Administer), ("登记、换钥、吊销设备", "Adds, rotates or revokes a device"), || on_post(devices::change), shape::device_change),
    get("/v1/people", "listPeople", Access::Needs(Administer), ("人员与角色", "People and roles"), || on_get(people::list), shape::people),
    post("/v1/people", "changePeople", Access::Needs(Administer), ("增加、换令牌、授权、移除人员", "Adds, rotates, grants or removes a person"), || on_post(people::change), shape::people_change),
    get("/v1/me", "me", Access::Known, ("我是谁，我能做什么", "Who I am and what I may do"), || on_get(people::me), shape::me),
    get("/v1/audit", "listAudit", Access::Needs(Audit), ("审计条目", "Entries of the audit"), || on_get(audit::list), shape::audit).always(),
    get("/v1/audit/head", "auditHead", Access::Needs(Audit), ("审计链的末端", "The end of the audit's chain"), || on_get(audit::head), shape::audit_head),
    post("/v1/sql", "sql", Access::Needs(Query), ("查询", "Query"), || on_post(sql::sql), shape::sql),
    get("/open311/v2/discovery.{format}", "open311Discovery", Access::Open, ("Open311 服务发现", "Open311: where the service is"), || on_get(open311::get), || shape::open311(&[], &[]))
        .served_at("/open311/v2/{*path}"),
    get("/open311/v2/services.{format}", "open311Services", Access::Open, ("Open311 可上报的事项", "Open311: what can be reported"), || on_get(open311::get), || shape::open311(&[], &[]))
        .served_at("/open311/v2/{*path}"),
    get(
        "/open311/v2/services/{service_code}.{format}",
        "open311Service",
        Access::Open,
        ("Open311 事项的表单", "Open311: the questions of a service"),
        || on_get(open311::get),
        || shape::open311(&["service_code"], &[]),
    )
    .served_at("/open311/v2/{*path}"),
    get("/open311/v2/requests.{format}", "open311Requests", Access::HandlerAsks(Read), ("Open311 诉求列表", "Open311: requests"), || on_get(open311::get), || {
        shape::open311(&[], &["service_request_id", "service_code", "status", "start_date", "end_date", "updated_after", "updated_before", "bbox", "page", "page_size", "extensions"])
    })
    .served_at("/open311/v2/{*path}"),
    get(
        "/open311/v2/requests/{service_request_id}.{format}",
        "open311Request",
        Access::HandlerAsks(Read),
        ("Open311 单个诉求", "Open311: one request"),
        || on_get(open311::get),
        || shape::open311(&["service_request_id"], &["extensions"]),
    )
    .served_at("/open311/v2/{*path}"),
    get(
        "/open311/v2/tokens/{token}.{format}",
        "open311Token",
        Access::HandlerAsks(Read),
        ("Open311 令牌对应的编号", "Open311: the number of a token"),
        || on_get(open311::get),
        || shape::open311(&["token"], &[]),
    )
    .served_at("/open311/v2/{*path}"),
    post("/open311/v2/requests.{format}", "open311Report", Access::HandlerAsks(Publish), ("Open311 上报诉求", "Open311: a report"), || on_post(open311::post), shape::open311_report)
        .served_at("/open311/v2/{*path}"),
    get("/sensorthings/v1.1", "sensorthingsRoot", Access::NeedsOrDevice(Read), ("SensorThings 实体集", "SensorThings: entity sets"), || on_get(sensorthings::get_root), shape::things_root),
    get("/sensorthings/v1.1", "sensorthingsRoot", Access::NeedsOrDevice(Read), ("SensorThings 实体集", "SensorThings: entity sets"), || on_get(sensorthings::get_root), shape::things_root)
        .served_at("/sensorthings/v1.1/"),
    get("/sensorthings/v1.1/{path}", "sensorthingsGet", Access::NeedsOrDevice(Read), ("SensorThings 查询实体", "SensorThings: entities, one of them, or its links"), || on_get(sensorthings::get), shape::things)
        .served_at("/sensorthings/v1.1/{*path}"),
    post(
        "/sensorthings/v1.1/{path}",
        "sensorthingsPost",
        Access::NeedsOrDevice(Publish),
        ("SensorThings 创建实体与观测", "SensorThings: creates entities, observations, or many observations"),
        || on_post(sensorthings::post),
        shape::things_post,
    )
    .served_at("/sensorthings/v1.1/{*path}"),
    get("/health/live", "live", Access::Open, ("存活", "Whether it runs"), || on_get(views::live), shape::live),
    get("/health/ready", "ready", Access::Open, ("就绪", "Whether all parts are ready"), || on_get(views::ready), shape::ready),
    get("/metrics", "metrics", Access::Needs(Operate), ("Prometheus 指标", "Prometheus metrics"), || on_get(views::metrics), shape::metrics),
    get("/openapi.json", "openapi", Access::Known, ("本文档", "This document"), || on_get(shape::document), shape::itself),
];

/// The router of the table. A path that is described in several rows is served once.
pub(super) fn router() -> Router<Arc<Gateway>> {
    let mut served: Vec<(&Method, &str)> = Vec::new();
    let mut router = Router::new();
    for route in ROUTES {
        if !served.contains(&(&route.method, route.served)) {
            served.push((&route.method, route.served));
            router = router.route(route.served, (route.handler)());
        }
    }
    router
}

/// The row of a request: of those that are served there, the one whose description fits the path.
pub(super) fn find(method: &Method, served: &str, path: &str) -> Option<&'static Route> {
    let fits = |route: &&Route| route.method == *method || (*method == Method::HEAD && route.method == Method::GET);
    let mut rows = ROUTES.iter().filter(fits).filter(|route| route.served == served);
    rows.clone().find(|route| route.is(path)).or_else(|| rows.next())
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A case.
    Case,
    /// An alert.
    Alert,
    /// A case or an alert.
    Either,
    /// A case, and another one.
    TwoCases,
    /// The alerts that fit the matchers.
    Matchers,
    /// A silence.
    Silence,
    /// An exercise.
    Exercise,
    /// An incident.
    Incident,
    /// The whole city.
    City,
}

/// A kind of command.
pub struct Kind {
    /// What is done.
    pub action: Action,
    /// What it needs.
    pub permission: Permission,
    /// What it is about: against this, as the city knows it, domains and areas are checked.
    pub target: Target,
    /// What it says beyond target and reason.
    pub fields: &'static [Field],
    /// What it is, in Chinese and English.
    pub summary: (&'static str, &'static str),
}

const fn kind(action: Action, permission: Permission, target: Target, fields: &'static [Field], zh: &'static str, en: &'static str) -> Kind {
    Kind { action, permission, target, fields, summary: (zh, en) }
}

/// Every kind of command.
pub static COMMANDS: &[Kind] = &[
    kind(Action::Acknowledge, Handle, Target::Alert, &[Field::may("owner")], "确认预警并认领", "an alert is seen and owned"),
    kind(Action::Comment, Handle, Target::Alert, &[], "备注", "a remark on an alert"),
    kind(Action::DraftWarning, Handle, Target::Alert, &[Field::must("text")], "起草公众预警", "the text of a warning of the public"),
    kind(Action::Assign, Handle, Target::Case, &[Field::must("unit")], "分拨", "this unit owes a case"),
    kind(Action::Dispatch, Handle, Target::Case, &[Field::may("unit")], "派遣处置", "the unit begins, and is sent"),
    kind(Action::Verify, Handle, Target::Case, &[], "核查", "what was done is checked"),
    kind(Action::Return, Handle, Target::Case, &[], "退回", "back to who sent it"),
    kind(Action::Rework, Handle, Target::Case, &[], "返工", "it has to be done again"),
    kind(Action::Suspend, Handle, Target::Case, &[], "挂起", "its clock stands"),
    kind(Action::Resume, Handle, Target::Case, &[], "解除挂起", "its clock goes on"),
    kind(Action::Reopen, Handle, Target::Case, &[], "重开", "it was not over after all"),
    kind(Action::Transfer, Handle, Target::Case, &[Field::must("unit")], "移交", "from the unit that has it to another"),
    kind(Action::RequestExtension, Handle, Target::Case, &[Field::must("due")], "申请延期", "the unit asks for more time"),
    kind(Action::Close, Decide, Target::Either, &[], "结案；解除预警", "a case or an alert is over"),
    kind(Action::Void, Decide, Target::Case, &[Field::may("ground")], "作废", "no case at all"),
    kind(Action::Extend, Decide, Target::Case, &[Field::must("due")], "延期", "another deadline"),
    kind(Action::ApproveExtension, Decide, Target::Case, &[], "同意延期", "the unit gets more time"),
    kind(Action::RejectExtension, Decide, Target::Case, &[], "不同意延期", "it does not"),
    kind(Action::Merge, Decide, Target::TwoCases, &[Field::must("other")], "并案", "the same matter as another case"),
    kind(Action::Unmerge, Decide, Target::Case, &[], "拆案", "not the same matter after all"),
    kind(Action::Recategorise, Decide, Target::Case, &[Field::must("category")], "改类", "another category"),
    kind(Action::Approve, Decide, Target::Case, &[], "同意派遣", "a dispatch that was proposed is sent"),
    kind(Action::Reject, Decide, Target::Case, &[], "不同意派遣", "it is not sent"),
    kind(Action::ApprovePlan, Decide, Target::Incident, &[], "同意联动预案", "everybody whom an incident's plans name is sent"),
    kind(Action::RejectPlan, Decide, Target::Incident, &[], "不同意联动预案", "nobody is"),
    kind(Action::Judge, Decide, Target::Alert, &[Field::must("verdict")], "预警核实结论", "what an alert turned out to be"),
    kind(Action::Silence, Decide, Target::Matchers, &[Field::must("matchers"), Field::may("starts"), Field::must("ends")], "静默", "alerts that are not told of"),
    kind(Action::Unsilence, Decide, Target::Silence, &[], "解除静默", "the end of a silence"),
    kind(Action::ApproveWarning, Decide, Target::Alert, &[], "审核公众预警", "somebody else agrees with the text of a warning"),
    kind(Action::PublishWarning, Command, Target::Alert, &[], "发布公众预警", "the public is told"),
    kind(Action::CancelWarning, Command, Target::Alert, &[], "撤销公众预警", "what the public was told does not hold any more"),
    kind(Action::StartExercise, Command, Target::Matchers, &[Field::must("matchers"), Field::must("ends")], "开始演练", "what fits the matchers is an exercise"),
    kind(Action::StopExercise, Command, Target::Exercise, &[], "结束演练", "the end of an exercise"),
    kind(Action::Mode, Command, Target::City, &[Field::must("mode")], "平时、救时切换", "everyday or emergency"),
];

/// The row of an action.
pub fn kind_of(action: Action) -> &'static Kind {
    COMMANDS.iter().find(|kind| kind.action == action).expect("the tests hold that every action has its row")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_has_one_row_and_every_route_one_name() {
        let actions: Vec<_> = COMMANDS.iter().map(|kind| kind.action).collect();
        assert_eq!(actions.iter().collect::<BTreeSet<_>>(), Action::ALL.iter().collect());
        assert_eq!(actions.len(), Action::ALL.len());
        let ids: BTreeSet<_> = ROUTES.iter().map(|route| (route.id, route.path, route.method.as_str())).collect();
        assert_eq!(ids.iter().map(|(id, ..)| id).collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn the_row_is_found_by_what_is_described() {
        let id = |method: Method, served: &str, path: &str| find(&method, served, path).map(|route| route.id);
        let alerts = "/v1/alerts/{id}";
        assert_eq!(id(Method::GET, alerts, "/v1/alerts/a-1.cap"), Some("alertCap"));
        assert_eq!(id(Method::HEAD, alerts, "/v1/alerts/a-1"), Some("getAlert"));
        let open311 = "/open311/v2/{*path}";
        for (path, wanted) in [
            ("/open311/v2/services", "open311Services"),
            ("/open311/v2/services/flooding.xml", "open311Service"),
            ("/open311/v2/requests.json", "open311Requests"),
            ("/open311/v2/requests/o311-1.json", "open311Request"),
            ("/open311/v2/nothing/at/all", "open311Discovery"),
        ] {
            assert_eq!(id(Method::GET, open311, path), Some(wanted), "{path}");
        }
        assert_eq!(id(Method::GET, "/sensorthings/v1.1/{*path}", "/sensorthings/v1.1/Things(1)/Datastreams"), Some("sensorthingsGet"));
        assert_eq!(id(Method::DELETE, alerts, "/v1/alerts/a-1"), None);
    }
}
