//! What came of the demo: numbers, alerts, the chain of one of them, a replay proof, and what to try next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use gateway::steps::Tally;
use serde::Serialize;

use super::{harvey_days, seconds};
use crate::city::City;
use crate::cli::DemoArgs;
use crate::home::Home;
use crate::lake::{self, Row, integer, quoted, text};
use crate::lang::t;
use crate::replay::{Range, Report, replay};
use crate::service::Service;
use crate::why::{Why, why};

/// Alerts that are listed; the rest is counted.
const ALERTS_SHOWN: usize = 12;

/// Something that was planted, and whether the brain found it.
#[derive(Debug, Serialize)]
pub struct Story {
    scenario: String,
    zh: String,
    en: String,
    /// When it began.
    start: DateTime<Utc>,
    /// When an alert should be up at the latest.
    alert_by: DateTime<Utc>,
    /// Whether the demo is wrong without it.
    required: bool,
    /// Whether an alert was up by then.
    found: bool,
    /// The alert.
    alert_key: Option<String>,
    /// Minutes from the beginning to the alert.
    minutes: Option<i64>,
}

/// The summary.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Where everything is.
    pub home: String,
    title_zh: &'static str,
    title_en: &'static str,
    events: Tallied,
    seconds: f64,
    seconds_feeding: f64,
    tables: BTreeMap<String, i64>,
    incidents: i64,
    alerts: Vec<Row>,
    alerts_total: i64,
    cases: i64,
    cases_closed: i64,
    decisions: i64,
    dispatches: i64,
    stories: Vec<Story>,
    chain: Option<Why>,
    replay: Report,
}

#[derive(Debug, Serialize)]
struct Tallied {
    accepted: u64,
    duplicate: u64,
    refused: u64,
}

/// Asks the lake what came of it.
pub async fn gather(service: &Service, home: &Home, args: &DemoArgs, tally: Tally, feeding: Duration, began: Instant) -> Result<Summary> {
    let lake = &service.lake;
    let mut tables = BTreeMap::new();
    for row in lake::rows(lake, "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('bronze', 'silver', 'gold', 'ops') AND table_type = 'BASE TABLE'").await? {
        let name = format!("{}.{}", text(&row, "table_schema"), text(&row, "table_name"));
        let count = count(service, &format!("SELECT count(*) AS n FROM {}.\"{}\"", text(&row, "table_schema"), text(&row, "table_name"))).await?;
        if count > 0 {
            tables.insert(name, count);
        }
    }
    let alerts = lake::rows(
        lake,
        "SELECT * FROM (SELECT alert_key, alert, scenario, min(level) AS level, min(id) AS first, CAST(min(onset) AS VARCHAR) AS onset, CAST(min(\"at\") AS VARCHAR) AS raised, \
         first_value(headline_zh ORDER BY id) AS headline_zh, first_value(headline_en ORDER BY id) AS headline_en, \
         last_value(state ORDER BY id) AS state, max(evidence_count) AS evidence \
         FROM silver.alert_transition GROUP BY alert_key, alert, scenario) ORDER BY level, first",
    )
    .await?;
    let planted = match args.real {
        Some(_) => vec![harvey()],
        None => City::new(args.seed).truth().planted.iter().map(planted_story).collect(),
    };
    let mut stories = Vec::new();
    for (story, districts) in planted {
        stories.push(look_for(service, story, &districts).await?);
    }
    let chain = match stories.iter().find_map(|story| story.alert_key.as_deref()) {
        Some(key) => Some(why(lake, key).await?),
        None => None,
    };
    let replay = replay(lake, &Range::default(), None).await?;
    Ok(Summary {
        home: home.root().display().to_string(),
        title_zh: if args.real.is_some() { "休斯敦，2017 年 8 月 24 日至 9 月 15 日" } else { "城市的一天" },
        title_en: if args.real.is_some() { "Houston, 24 August to 15 September 2017" } else { "The day of the city" },
        events: Tallied { accepted: tally.accepted, duplicate: tally.duplicate, refused: tally.refused },
        tables,
        incidents: count(service, "SELECT count(DISTINCT incident) AS n FROM silver.incident_transition").await?,
        alerts_total: alerts.len() as i64,
        alerts: alerts.into_iter().take(ALERTS_SHOWN).collect(),
        cases: count(service, "SELECT count(DISTINCT \"case\") AS n FROM silver.case_transition").await?,
        cases_closed: count(service, "SELECT count(DISTINCT \"case\") AS n FROM silver.case_transition WHERE \"to\" = 'closed'").await?,
        decisions: count(service, "SELECT count(*) AS n FROM silver.decision").await?,
        dispatches: count(service, "SELECT count(*) AS n FROM silver.dispatch").await?,
        stories,
        chain,
        replay,
        seconds_feeding: seconds(feeding),
        seconds: seconds(began.elapsed()),
    })
}

async fn count(service: &Service, query: &str) -> Result<i64> {
    Ok(lake::rows(&service.lake, query).await?.first().map_or(0, |row| integer(row, "n")))
}

fn planted_story(planted: &crate::city::Planted) -> (Story, Vec<String>) {
    let story = Story {
        scenario: planted.scenario.to_owned(),
        zh: planted.zh.to_owned(),
        en: planted.en.to_owned(),
        start: planted.start,
        alert_by: planted.alert_by,
        required: planted.required,
        found: false,
        alert_key: None,
        minutes: None,
    };
    (story, planted.districts.iter().map(|district| (*district).to_owned()).collect())
}

/// The flood of Hurricane Harvey: by nine in the morning of 26 August 2017.
fn harvey() -> (Story, Vec<String>) {
    let at = |text: &str| DateTime::parse_from_rfc3339(text).expect("a constant time").with_timezone(&Utc);
    let story = Story {
        scenario: "urban_flooding".to_owned(),
        zh: "飓风哈维：2017 年 8 月 26 日清晨起全城积水".to_owned(),
        en: "Hurricane Harvey: floods all over the city from the morning of 26 August 2017".to_owned(),
        start: at("2017-08-26T06:00:00-05:00").max(harvey_days().0),
        alert_by: at("2017-08-26T09:00:00-05:00"),
        required: true,
        found: false,
        alert_key: None,
        minutes: None,
    };
    (story, Vec::new())
}

/// The first alert of the story's scenario, in one of its districts or all over the city, between its start and its limit.
async fn look_for(service: &Service, mut story: Story, districts: &[String]) -> Result<Story> {
    let places = districts.iter().map(|district| format!("area LIKE {}", quoted(&format!("%\"{district}\"%")))).chain(["originator = 'city'".to_owned()]);
    let query = format!(
        "SELECT alert_key, min(\"at\") AS raised, CAST(arrow_cast(min(\"at\"), 'Timestamp(Second, None)') AS BIGINT) AS raised_s \
         FROM silver.alert_transition WHERE scenario = {} AND change = 'raised' AND \"at\" >= {} AND \"at\" <= {} AND ({}) \
         GROUP BY alert_key ORDER BY raised LIMIT 1",
        quoted(&story.scenario),
        moment(story.start),
        moment(story.alert_by),
        places.collect::<Vec<_>>().join(" OR ")
    );
    if let Some(row) = lake::rows(&service.lake, &query).await?.first() {
        story.found = true;
        story.alert_key = Some(text(row, "alert_key").to_owned());
        story.minutes = Some((integer(row, "raised_s") - story.start.timestamp()) / 60);
    }
    Ok(story)
}

fn moment(time: DateTime<Utc>) -> String {
    format!("arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')", quoted(&time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)))
}

impl Summary {
    /// Whether everything that has to be is there: each required story, and an equal replay.
    pub fn is_right(&self) -> bool {
        self.replay.equal && self.stories.iter().all(|story| story.found || !story.required)
    }

    /// For people.
    pub fn print(&self) {
        let line = |zh: &str, en: &str, value: String| println!("  {:<14}{value}", t(zh, en));
        println!("\n{}", t(self.title_zh, self.title_en));
        line("事件", "events", format!(
            "{} {}, {} {}, {} {}", self.events.accepted, t("接收", "accepted"), self.events.duplicate, t("重复", "duplicate"), self.events.refused, t("拒收（见 citybrain dlq list）", "refused (see citybrain dlq list)")
        ));
        line("用时", "took", format!("{:.0} s", self.seconds));
        line("案件", "cases", format!("{} ({} {})", self.cases, self.cases_closed, t("已结案", "closed")));
        line("事件链", "incidents", self.incidents.to_string());
        line("决定", "decisions", format!("{} + {} {}", self.decisions, self.dispatches, t("条派遣建议", "dispatch proposals")));
        println!("\n{}", t("应当发现的事", "What had to be found"));
        for story in &self.stories {
            let mark = match (story.found, story.required) {
                (true, _) => t("发现", "found "),
                (false, true) => t("漏报", "MISSED"),
                (false, false) => t("未报", "not   "),
            };
            let after = story.minutes.map_or_else(String::new, |minutes| format!(" ({minutes} {})", t("分钟后", "min later")));
            println!("  {mark} {:<18}{}{after}", story.scenario, t(&story.zh, &story.en));
        }
        println!("\n{} ({})", t("预警", "Alerts"), self.alerts_total);
        for alert in &self.alerts {
            println!("  {}  {:<8} {}  {}", roman(integer(alert, "level")), text(alert, "state"), text(alert, "raised"), t(text(alert, "headline_zh"), text(alert, "headline_en")));
        }
        if let Some(chain) = &self.chain {
            println!("\n{}", t("一条预警的来龙去脉（citybrain why）", "The chain of one alert (citybrain why)"));
            chain.print_first();
        }
        println!("\n{}", t("重放证明", "Replay proof"));
        let verdict = if self.replay.equal { t("一致", "equal") } else { t("不一致", "DIFFERENT") };
        println!("  {} {}, {} {}… : {verdict}", self.replay.records, t("条记录", "records"), t("摘要", "digest"), &self.replay.computed_digest.get(..16).unwrap_or_default());
        println!("\n{}", t("数据表", "Tables"));
        for (table, rows) in &self.tables {
            println!("  {rows:>10}  {table}");
        }
        let home = &self.home;
        println!("\n{}", t("接下来可以试试", "What to try next"));
        for command in [
            format!("citybrain --home {home} sql \"SELECT scenario, level, state, headline_{} FROM silver.alert\"", t("zh", "en")),
            format!("citybrain --home {home} sql \"SELECT district, category, count(*) AS n FROM silver.case GROUP BY 1, 2 ORDER BY n DESC LIMIT 10\""),
            format!("citybrain --home {home} replay"),
            format!("citybrain --home {home} run        # HTTP, SSE, Kafka"),
        ] {
            println!("  {command}");
        }
    }
}

fn roman(level: i64) -> &'static str {
    match level {
        1 => "Ⅰ",
        2 => "Ⅱ",
        3 => "Ⅲ",
        _ => "Ⅳ",
    }
}
