//! Arroyo's dialect, feature by feature as its own tests exercise it: what is accepted gives the right rows, and what is not is
//! refused with the reason. `docs/arroyo.md` holds the same list in words.

use crate::common::{Log, Record, config, run};
use pipelines::Job;
use serde_json::{Value, json};

const TRIPS: &str = "CREATE TABLE trips (
    driver BIGINT, what TEXT, place TEXT, fare DOUBLE, extra JSON, stops TEXT[], seat STRUCT<row INT, side STRUCT<name TEXT>>,
    ts TIMESTAMP METADATA FROM 'ce_time',
    WATERMARK FOR ts AS (ts - INTERVAL '5 seconds')
) WITH (connector = 'kafka', topic = 'raw.sensor', type = 'source', format = 'json', 'event.type' = 'trip');
";
const DRIVERS: &str = "CREATE TABLE drivers (driver BIGINT, name TEXT, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts - INTERVAL '5 seconds')
WITH (connector = 'kafka', topic = 'raw.sensor', type = 'source', format = 'json', 'event.type' = 'driver');
";
const OUT: &str = "CREATE TABLE out WITH (connector = 'delta', path = 'gold.test', format = 'parquet', type = 'sink');
";

/// Trips of two drivers; what the second of them says of a fare is nothing.
fn trips() -> Vec<Record> {
    let trip = |second: i64, driver: i64, what: &str, place: &str, rest: &str| Record {
        second: Some(second),
        kind: "trip",
        data: format!(r#"{{"driver":{driver},"what":"{what}","place":"{place}"{rest}}}"#),
    };
    vec![
        trip(0, 1, "pickup", "7", r#","fare":2.5,"extra":{"tags":["a","b"],"n":3},"stops":["x","y"],"seat":{"row":4,"side":{"name":"left"}}"#),
        trip(10, 2, "pickup", "8", r#","extra":{"tags":[],"n":"many"}"#),
        trip(20, 1, "dropoff", "9", r#","fare":4.0"#),
        trip(70, 1, "pickup", "7", r#","fare":1.0"#),
        trip(200, 2, "dropoff", "nowhere", ""),
    ]
}

fn drivers() -> Vec<Record> {
    let driver = |second: i64, driver: i64, name: &str| Record { second: Some(second), kind: "driver", data: format!(r#"{{"driver":{driver},"name":"{name}"}}"#) };
    vec![driver(5, 1, "ann"), driver(60, 3, "lee"), driver(65, 1, "ann")]
}

fn time(second: i64) -> Value {
    json!(crate::common::at(second).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// The rows of a whole job file, all events at once and one by one.
async fn gives_all(sql: &str, expected: Value) {
    let log = Log([(0, trips()), (1, drivers())].into());
    for step in [100, 1] {
        let job = Job::parse("test", sql, &[("names.csv", "driver,name\n1,ann\n2,kim\n")]).unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let given = run(job, &log, step, config(2)).await.json();
        assert_eq!(sorted(&given), sorted(expected.as_array().expect("rows are a list")), "{step} at a time\n{sql}");
    }
}

/// The rows of a query over trips and drivers.
async fn gives(sql: &str, expected: Value) {
    gives_all(&format!("{TRIPS}{DRIVERS}{OUT}{sql}"), expected).await;
}

/// What is said of a whole job file, without its place.
fn refused_all(sql: &str, expected: &str) {
    let error = Job::parse("test", sql, &[]).expect_err(sql);
    assert!(error.message.starts_with(expected), "{error}\n--- is not ---\n{expected}\n{sql}");
    assert!(error.hint.is_some() || error.line > 0, "{error}: it says where, or what to do");
}

fn refused(sql: &str, expected: &str) {
    refused_all(&format!("{TRIPS}{DRIVERS}{OUT}{sql}"), expected);
}

#[tokio::test]
async fn watermarks() {
    let count = "INSERT INTO out SELECT count(*) AS n FROM trips GROUP BY tumble(INTERVAL '1 hour')";
    let with = |watermark: &str, options: &str| {
        format!(
            "CREATE TABLE trips (driver BIGINT, ts TIMESTAMP METADATA FROM 'ce_time', behind TIMESTAMP GENERATED ALWAYS AS (ts - INTERVAL '1 minute') STORED,
             other TIMESTAMP GENERATED ALWAYS AS (ts + INTERVAL '1 day'){watermark})
             WITH (connector = 'kafka', topic = 'raw.sensor', format = 'json', 'event.type' = 'trip'{options});\n{OUT}{count}"
        )
    };
    for (watermark, options, behind) in [
        (", WATERMARK FOR ts", "", "1 s"),
        (", watermark for ts as ts", "", "0 µs"),
        (", WATERMARK FOR ts AS (ts - INTERVAL '90' SECOND)", "", "90 s"),
        ("", ", event_time_field = 'ts'", "1 s"),
        ("", ", event_time_field = 'ts', watermark_field = 'behind'", "1 min"),
        ("", ", event_time_field = 'ts', watermark_field = 'ts', idle_micros = '1000000'", "0 µs"),
    ] {
        let sql = with(watermark, options);
        let explained = Job::parse("test", &sql, &[]).unwrap_or_else(|error| panic!("{error}\n{sql}")).explain();
        assert!(explained.contains(&format!("time     ts, watermark {behind} behind")), "{explained}");
    }
    gives_all(&with(", WATERMARK FOR ts AS (ts - INTERVAL '5 seconds')", ""), json!([{"n": 5}])).await;
    refused_all(&with(", WATERMARK FOR ts AS now()", ""), "a watermark of now()");
    refused_all(&with("", ", event_time_field = 'ts', watermark_field = 'other'"), "other is not computed as ts - INTERVAL");
    refused_all(&with(", WATERMARK FOR ts", ", event_time_field = 'ts'"), "two watermarks");
    refused_all(&with("", ", event_time_field = 'driver'"), "driver is no TIMESTAMP");
    refused_all(&with("", ""), "a window needs a watermark");
}

#[tokio::test]
async fn tables_and_columns() {
    let with = |columns: &str, select: &str| {
        format!(
            "CREATE TABLE trips ({columns}) WITH (connector = 'kafka', topic = 'raw.sensor', format = 'json', type = 'source', 'event.type' = 'trip', 'source.offset' = 'earliest');
             {OUT}INSERT INTO out SELECT {select} FROM trips WHERE driver = 2 AND nth < 2"
        )
    };
    gives_all(
        &with(
            "driver BIGINT PRIMARY KEY, what TEXT NOT NULL, nth BIGINT GENERATED ALWAYS AS (metadata('offset_id')) STORED, topic TEXT METADATA FROM 'topic',
             twice BIGINT GENERATED ALWAYS AS (driver * 2)",
            "nth, topic, twice",
        ),
        json!([{"nth": 1, "topic": "raw.sensor", "twice": 4}]),
    )
    .await;
    for (column, said) in [("fare DECIMAL(10, 5)", "the dialect has no type DECIMAL"), ("fare BYTEA", "the dialect has no type BYTEA"), ("fare BIGINT UNSIGNED", "the dialect has no type BIGINT UNSIGNED")] {
        refused_all(&with(&format!("driver BIGINT, nth BIGINT METADATA FROM 'offset', {column}"), "driver"), said);
    }
    refused_all(&with("driver BIGINT, nth BIGINT METADATA FROM 'nth'", "driver"), "there is no metadata 'nth'");
    refused_all(&with("driver BIGINT, __arroyo_x BIGINT, nth BIGINT METADATA FROM 'offset'", "driver"), "column __arroyo_x begins with __");
    let unstructured = "CREATE TABLE trips (value JSON) WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'trip', format = 'json', 'json.unstructured' = 'true');\n";
    gives_all(
        &format!("{unstructured}{OUT}INSERT INTO out SELECT value ->> 'what' AS what, json_contains(value, 'fare') AS has FROM trips WHERE (value ->> 'driver') = '2'"),
        json!([{"what": "pickup", "has": false}, {"what": "dropoff", "has": false}]),
    )
    .await;
    refused_all(&format!("{unstructured}{OUT}INSERT INTO out SELECT value ? 'fare' AS has FROM trips"), "a job file has CREATE TABLE, CREATE VIEW and INSERT INTO statements, not ?");
    let text = "CREATE TABLE trips (value TEXT NOT NULL, what TEXT GENERATED ALWAYS AS (extract_json_string(value, '$.what')))
                WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'trip', format = 'raw_string');\n";
    gives_all(&format!("{text}{OUT}INSERT INTO out SELECT what FROM trips WHERE what <> 'pickup'"), json!([{"what": "dropoff"}, {"what": "dropoff"}])).await;
    let layout = "CREATE TABLE out WITH (connector = 'delta', path = 'gold.test', format = 'parquet', type = 'sink', 'parquet.compression' = 'zstd', 'filename.strategy' = 'uuid', rollover_seconds = 6000);\n";
    gives_all(&format!("{TRIPS}{layout}INSERT INTO out SELECT fare FROM trips WHERE fare > 3"), json!([{"fare": 4.0}])).await;
}

#[tokio::test]
async fn what_stands_in_a_file() {
    gives("CREATE TABLE counts AS (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM trips GROUP BY 1); INSERT INTO out SELECT n FROM counts WHERE n > 1", json!([{"n": 3}])).await;
    gives("CREATE VIEW two AS (SELECT * FROM trips WHERE driver = 2); INSERT INTO out SELECT count(*) AS n FROM two GROUP BY tumble(INTERVAL '1 hour');", json!([{"n": 2}])).await;
    refused("SELECT * FROM trips", "a job file has CREATE TABLE, CREATE VIEW and INSERT INTO statements, not SELECT");
    refused("SET updating_ttl = '5 seconds'", "a job file has CREATE TABLE, CREATE VIEW and INSERT INTO statements, not SET");
    refused("INSERT INTO out SELECT driver FROM trips; INSERT INTO out SELECT driver FROM drivers", "a second INSERT");
    refused("CREATE TABLE memory (driver BIGINT); INSERT INTO memory SELECT driver FROM trips", "table memory has no WITH: a table in memory");
    refused("INSERT INTO trips SELECT * FROM trips", "type is 'source'");
    for connector in ["impulse", "sse", "nexmark", "redis", "websocket", "kinesis"] {
        refused_all(&format!("CREATE TABLE trips (driver BIGINT) WITH (connector = '{connector}', format = 'json');\n{OUT}INSERT INTO out SELECT driver FROM trips"), &format!("connector '{connector}'"));
    }
    let debezium = TRIPS.replace("format = 'json'", "format = 'debezium_json'");
    refused_all(&format!("{debezium}{OUT}INSERT INTO out SELECT driver FROM trips"), "format is 'debezium_json'");
}

#[tokio::test]
async fn windows_and_how_they_are_spelled() {
    let expected = json!([{"s": time(0), "n": 3}, {"s": time(60), "n": 1}, {"s": time(180), "n": 1}]);
    for query in [
        "SELECT w.start AS s, n FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM trips GROUP BY 1)",
        "SELECT w.start AS s, n FROM (SELECT TUMBLE(INTERVAL '1' MINUTE) AS w, COUNT(*) AS n FROM trips GROUP BY w)",
        "SELECT w['start'] AS s, n FROM (SELECT tumble(interval '60 seconds') AS w, count(*) AS n FROM trips GROUP BY w)",
        "SELECT x.w.start AS s, x.n FROM (SELECT tumble('60 seconds') AS w, count(*) AS n FROM trips GROUP BY 1) AS x",
        "SELECT tumble(ts, INTERVAL '1 minute')['start'] AS s, count(*) AS n FROM trips GROUP BY tumble(ts, INTERVAL '1 minute')",
        "SELECT w.start AS s, n FROM (SELECT hop(INTERVAL '1 minute', INTERVAL '1 minute') AS w, count(*) AS n FROM trips GROUP BY 1)",
    ] {
        gives(&format!("INSERT INTO out {query}"), expected.clone()).await;
    }
    let hops = json!([{"s": time(-60), "e": time(60), "n": 3}, {"s": time(0), "e": time(120), "n": 4}, {"s": time(60), "e": time(180), "n": 1}, {"s": time(120), "e": time(240), "n": 1}, {"s": time(180), "e": time(300), "n": 1}]);
    for call in ["hop(INTERVAL '1' MINUTE, INTERVAL '2' MINUTE)", "hop('1 minute', '2 minutes')"] {
        gives(&format!("INSERT INTO out SELECT w.start AS s, w.end AS e, n FROM (SELECT {call} AS w, count(*) AS n FROM trips GROUP BY 1)"), hops.clone()).await;
    }
    // Arroyo wants a width that is a multiple of the slide.
    gives("INSERT INTO out SELECT count(*) AS n FROM trips WHERE driver = 2 AND what = 'pickup' GROUP BY hop(INTERVAL '40 seconds', INTERVAL '1 minute')", json!([{"n": 1}, {"n": 1}])).await;
    for call in ["session(INTERVAL '20 seconds')", "SESSION('20 seconds')"] {
        // Without a key: sessions of the whole stream.
        let sessions = json!([{"s": time(0), "e": time(40), "n": 3}, {"s": time(70), "e": time(90), "n": 1}, {"s": time(200), "e": time(220), "n": 1}]);
        gives(&format!("INSERT INTO out SELECT w.start AS s, w.end AS e, n FROM (SELECT {call} AS w, count(*) AS n FROM trips GROUP BY w)"), sessions).await;
    }
    gives("INSERT INTO out SELECT driver FROM trips GROUP BY driver, tumble(INTERVAL '1 hour')", json!([{"driver": 1}, {"driver": 2}])).await;
    refused("INSERT INTO out SELECT count(*) AS n FROM trips GROUP BY tumble(INTERVAL '1' month)", "months have no fixed length");
    refused("INSERT INTO out SELECT count(*) AS n FROM trips GROUP BY tumble('soon')", "Parser error: Invalid input syntax for type interval");
    refused("INSERT INTO out SELECT count(*) AS n FROM HOP(trips, ts, INTERVAL '5 minutes', INTERVAL '10 minutes')", "table function 'HOP' not found");
}

#[tokio::test]
async fn windows_over_windows() {
    let inner = "SELECT driver, count(*) AS n FROM trips GROUP BY 1, tumble(INTERVAL '1 minute')";
    gives(
        &format!("INSERT INTO out SELECT w.start AS s, w.end AS e, drivers FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(DISTINCT driver) AS drivers FROM ({inner}) WHERE n > 1 GROUP BY 1)"),
        json!([{"s": time(0), "e": time(60), "drivers": 1}]),
    )
    .await;
    // Arroyo refuses another window than the inner one.
    gives(&format!("INSERT INTO out SELECT sum(n) AS n FROM ({inner}) GROUP BY tumble(INTERVAL '2 minutes')"), json!([{"n": 4}, {"n": 1}])).await;
    refused("INSERT INTO out SELECT max(n) AS n FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM trips GROUP BY 1)", "an aggregate over windows that does not say which window");
}

#[tokio::test]
async fn functions_over_windows() {
    let counts = "SELECT tumble(INTERVAL '1 hour') AS w, driver, count(*) AS n FROM trips GROUP BY 1, 2";
    gives(
        &format!("INSERT INTO out SELECT driver, n FROM (SELECT *, row_number() OVER (PARTITION BY w ORDER BY n DESC, driver DESC) AS nth FROM ({counts})) WHERE nth = 1"),
        json!([{"driver": 1, "n": 3}]),
    )
    .await;
    gives(&format!("INSERT INTO out SELECT driver, rank() OVER (PARTITION BY 2 * n, w ORDER BY driver) AS place FROM ({counts})"), json!([{"driver": 1, "place": 1}, {"driver": 2, "place": 1}])).await;
    refused("INSERT INTO out SELECT *, row_number() OVER (PARTITION BY driver ORDER BY ts DESC) AS nth FROM trips", "row_number() OVER rows of a stream looks at rows that may not have come yet");
}

#[tokio::test]
async fn results_that_would_have_to_be_taken_back() {
    refused("INSERT INTO out SELECT driver, count(*) AS n FROM trips GROUP BY 1", "an aggregate without a window would be kept for ever and never be done");
    refused("INSERT INTO out SELECT count(*) AS n FROM (SELECT driver, sum(CASE WHEN what = 'pickup' THEN 1 ELSE 0 END) AS p FROM trips GROUP BY 1) WHERE p > 1", "an aggregate without a window");
    refused("INSERT INTO out SELECT DISTINCT driver FROM trips", "SELECT DISTINCT would have to remember the whole stream");
    for kind in ["", "LEFT", "RIGHT", "FULL OUTER"] {
        refused(&format!("INSERT INTO out SELECT t.what, d.name FROM trips t {kind} JOIN drivers d ON t.driver = d.driver"), "a join of two streams that bounds no time");
    }
    refused("INSERT INTO out SELECT t.what, d.name FROM trips t JOIN drivers d ON t.driver < d.driver", "a join of two streams without equal keys");
    refused("INSERT INTO out SELECT driver FROM trips WHERE driver IN (SELECT driver FROM drivers)", "a subquery over a stream");
    refused("INSERT INTO out SELECT driver FROM trips UNION SELECT driver FROM drivers", "UNION of streams would have to remember all of them");
    refused("INSERT INTO out SELECT driver FROM trips ORDER BY driver", "ORDER BY over a stream");
    refused("INSERT INTO out SELECT driver FROM trips LIMIT 3", "LIMIT over a stream");
}

#[tokio::test]
async fn joins_of_windows() {
    let sides = "(SELECT tumble(INTERVAL '1 minute') AS w, driver, count(*) AS n FROM trips GROUP BY 1, 2) t {} JOIN
                 (SELECT tumble(INTERVAL '1 minute') AS w, driver, max(name) AS name FROM drivers GROUP BY 1, 2) d";
    let both = json!([{"n": 2, "name": "ann"}, {"n": 1, "name": "ann"}]);
    let left = json!([{"n": 1}, {"n": 1}]);
    let right = json!([{"name": "lee"}]);
    let all = |parts: &[&Value]| Value::Array(parts.iter().flat_map(|part| part.as_array().unwrap().clone()).collect());
    for (kind, expected) in [
        ("INNER", all(&[&both])),
        ("LEFT", all(&[&both, &left])),
        ("RIGHT", all(&[&both, &right])),
        ("FULL OUTER", all(&[&both, &left, &right])),
    ] {
        for same in ["t.w = d.w", "t.w.start = d.w.start"] {
            gives(&format!("INSERT INTO out SELECT t.n, d.name FROM {} ON {same} AND t.driver = d.driver", sides.replace("{}", kind)), expected.clone()).await;
        }
    }
    // Arroyo takes the windows of both sides for the same without being told.
    refused(&format!("INSERT INTO out SELECT t.n, d.name FROM {} ON t.driver = d.driver", sides.replace("{}", "")), "a join of windows that does not say that they are the same");
    refused(
        "INSERT INTO out SELECT t.n FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM trips GROUP BY 1) t
         JOIN (SELECT tumble(INTERVAL '2 minutes') AS w, count(*) AS n FROM drivers GROUP BY 1) d ON t.w = d.w",
        "a join of different windows: tumble 1 min and tumble 2 min",
    );
    refused("INSERT INTO out SELECT t.n FROM (SELECT tumble(INTERVAL '1 minute') AS w, driver, count(*) AS n FROM trips GROUP BY 1, 2) t JOIN drivers d ON t.driver = d.driver", "a join of rows with windows");
}

#[tokio::test]
async fn joins_within_a_time() {
    // A trip, and what the driver was called up to ten seconds later.
    let on = "ON t.driver = d.driver AND d.ts BETWEEN t.ts AND t.ts + INTERVAL '10 seconds'";
    let (met, alone) = (json!({"t": time(0), "d": time(5)}), [10, 20, 70, 200].map(|second| json!({"t": time(second)})));
    let others = [60, 65].map(|second| json!({"d": time(second)}));
    let rows = |left: bool, right: bool| {
        let alone = alone.iter().filter(|_| left).chain(others.iter().filter(|_| right));
        Value::Array([&met].into_iter().chain(alone).cloned().collect())
    };
    for (kind, left, right) in [("", false, false), ("LEFT", true, false), ("RIGHT", false, true), ("FULL", true, true)] {
        gives(&format!("INSERT INTO out SELECT t.ts AS t, d.ts AS d FROM trips t {kind} JOIN drivers d {on}"), rows(left, right)).await;
    }
    // What else stands in ON decides who meets, not who is given.
    gives(&format!("INSERT INTO out SELECT t.ts AS t, d.name FROM trips t LEFT JOIN drivers d {on} AND t.fare > 100 WHERE t.driver = 1 AND t.what = 'pickup'"), json!([{"t": time(0)}, {"t": time(70)}])).await;
    // A row that nobody met belongs to the window in which its time to meet somebody ended.
    gives(
        &format!("INSERT INTO out SELECT w.start AS s, n, met FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n, count(d.ts) AS met FROM trips t LEFT JOIN drivers d {on} GROUP BY 1)"),
        json!([{"s": time(0), "n": 3, "met": 1}, {"s": time(60), "n": 1, "met": 0}, {"s": time(180), "n": 1, "met": 0}]),
    )
    .await;
}

#[tokio::test]
async fn files_and_unions() {
    let names = "CREATE TABLE names (driver BIGINT PRIMARY KEY, name TEXT) WITH (connector = 'filesystem', type = 'lookup', path = 'names.csv', format = 'csv');\n";
    gives(
        &format!("{names}INSERT INTO out SELECT t.what, n.name FROM trips t LEFT JOIN names n ON t.driver = n.driver WHERE n.name = 'kim'"),
        json!([{"what": "pickup", "name": "kim"}, {"what": "dropoff", "name": "kim"}]),
    )
    .await;
    gives("INSERT INTO out SELECT driver, 'trip' AS of FROM trips WHERE fare > 3 UNION ALL SELECT driver, 'driver' AS of FROM drivers WHERE driver = 3", json!([{"driver": 1, "of": "trip"}, {"driver": 3, "of": "driver"}])).await;
}

#[tokio::test]
async fn aggregates() {
    gives(
        "INSERT INTO out SELECT round(avg(driver), 4) AS mean, bit_and(driver) AS a, bit_or(driver) AS o, bit_xor(driver) AS x, bool_and(driver > 0) AS every,
             bool_or(driver > 1) AS some, count(*) AS cnt, count(fare) AS fares, max(driver) AS high, median(driver) AS middle, min(driver) AS low, sum(driver) AS total,
             round(stddev(driver), 4) AS sd, round(stddev_pop(driver), 4) AS sdp, round(var(driver), 4) AS v, round(var_pop(driver), 4) AS vp,
             approx_distinct(driver) AS about, count(DISTINCT what) AS kinds, count(*) FILTER (WHERE what = 'pickup') AS pickups
         FROM trips GROUP BY tumble(INTERVAL '1 day')",
        json!([{"mean": 1.4, "a": 0, "o": 3, "x": 1, "every": true, "some": true, "cnt": 5, "fares": 3, "high": 2, "middle": 1.0, "low": 1, "total": 7, "sd": 0.5477, "sdp": 0.4899,
            "v": 0.3, "vp": 0.24, "about": 2, "kinds": 2, "pickups": 3}]),
    )
    .await;
    gives(
        "INSERT INTO out SELECT driver, count(*) AS cnt, count(fare) AS fares, min(fare) AS low, sum(fare) AS total, avg(fare) AS mean FROM trips GROUP BY driver, tumble(INTERVAL '1 day')",
        json!([{"driver": 1, "cnt": 3, "fares": 3, "low": 1.0, "total": 7.5, "mean": 2.5}, {"driver": 2, "cnt": 2, "fares": 0}]),
    )
    .await;
    gives("INSERT INTO out SELECT driver FROM trips GROUP BY driver, tumble(INTERVAL '1 day') HAVING count(*) > 2", json!([{"driver": 1}])).await;
    for call in ["array_agg(driver)", "first_value(fare)", "last_value(fare)", "approx_median(driver)", "approx_percentile_cont(driver, 0.5)", "string_agg(what, ',')"] {
        let name = call.split('(').next().unwrap();
        refused(&format!("INSERT INTO out SELECT {call} AS a FROM trips GROUP BY tumble(INTERVAL '1 day')"), &format!("{name} depends on the order of rows"));
    }
    for call in ["corr(driver, fare)", "covar_pop(driver, fare)", "covar_samp(driver, fare)", "regr_slope(driver, fare)"] {
        let name = call.split('(').next().unwrap();
        refused(&format!("INSERT INTO out SELECT {call} AS a FROM trips GROUP BY tumble(INTERVAL '1 day')"), name);
    }
}

#[tokio::test]
async fn expressions() {
    gives(
        "INSERT INTO out WITH first AS (SELECT * FROM trips WHERE fare = 2.5) SELECT extract(epoch FROM ts) - extract(epoch FROM TIMESTAMP '2026-07-18T00:00:00Z') AS second,
             CASE what WHEN 'pickup' THEN 'in' ELSE 'out' END AS way, seat.side.name AS side, seat['row'] AS row, stops[2] AS stop, array_length(stops) AS n,
             extra -> 'tags' ->> 0 AS tag, json_get_int(extra, 'n') AS deep, extract_json(extra, '$.tags[*]') AS tags, encode(sha256(what), 'hex') AS hash,
             date_trunc('hour', ts) AS hour, concat(what, ':', place) AS text, ts + INTERVAL '1' HOUR AS later FROM first",
        json!([{"second": 0.0, "way": "in", "side": "left", "row": 4, "stop": "y", "n": 2, "tag": "a", "deep": 3, "tags": ["\"a\"", "\"b\""],
            "hash": "1f64847ea58525bd846baf310370b01c25080aa244700aece9bd71a95ed22b1e", "hour": time(0), "text": "pickup:7", "later": time(3_600)}]),
    )
    .await;
    // A text that is compared with a number is read as one; what is none is neither equal nor unequal.
    gives("INSERT INTO out SELECT place FROM trips WHERE place <> 7 AND driver = 2", json!([{"place": "8"}])).await;
    gives("INSERT INTO out SELECT CAST(place AS INT) AS place FROM trips WHERE driver = 2", json!([{"place": 8}, {}])).await;
    gives("CREATE VIEW all_stops AS SELECT unnest(stops) AS stop FROM trips; INSERT INTO out SELECT stop FROM all_stops GROUP BY stop, tumble(INTERVAL '1 second')", json!([{"stop": "x"}, {"stop": "y"}])).await;
    gives("INSERT INTO out SELECT unnest(extract_json(extra, '$.tags[*]')) AS tag FROM trips", json!([{"tag": "\"a\""}, {"tag": "\"b\""}])).await;
    for call in ["now()", "wallclock()", "random()", "uuid()"] {
        refused(&format!("INSERT INTO out SELECT {call} AS x FROM trips"), call);
    }
}

#[tokio::test]
async fn columns_of_the_sink() {
    let sink = |columns: &str, select: &str| format!("{TRIPS}CREATE TABLE out ({columns}) WITH (connector = 'delta', path = 'gold.test');\nINSERT INTO out SELECT {select} FROM trips WHERE fare > 3");
    gives_all(&sink("driver DOUBLE, ts TIMESTAMP", "driver, ts"), json!([{"driver": 1.0, "ts": time(20)}])).await;
    // Arroyo casts to whatever the sink declares, by place and not by name.
    refused_all(&sink("driver TEXT", "driver"), "column driver is BIGINT, the sink's is TEXT");
    refused_all(&sink("who BIGINT", "driver"), "column 1 of the SELECT is driver, the sink's is who");
    gives_all(&sink("driver TEXT", "CAST(driver AS TEXT) AS driver"), json!([{"driver": "1"}])).await;
}
