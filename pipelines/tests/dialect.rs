//! The dialect: what is accepted, and what is said of what is not.

use pipelines::{Job, Location, Target};

const TABLES: &str = "CREATE TABLE readings (
    station TEXT, result DOUBLE, n INT,
    ts TIMESTAMP METADATA FROM 'ce_time',
    origin POSITION METADATA FROM 'position',
    WATERMARK FOR ts AS ts - INTERVAL '30' SECOND
) WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'io.citybrain.sensor.observation.v1');
CREATE TABLE places (station TEXT, street TEXT) WITH (connector = 'filesystem', path = 'places.csv');
CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');
";

const PLACES: &str = "# where stations stand\nstreet,station,note\n\nRiver Road,s1,old\n";

fn parse(sql: &str) -> Result<Job, String> {
    Job::parse("test", sql, &[("places.csv", PLACES)]).map_err(|error| error.to_string())
}

/// What is said of a job with these tables and this INSERT, which begins on line 9.
fn check(insert: &str, expected: &str) {
    check_all(&format!("{TABLES}{insert}"), expected);
}

fn check_all(sql: &str, expected: &str) {
    let said = match parse(sql) {
        Ok(job) => job.output_schema().fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", "),
        Err(error) => error,
    };
    assert_eq!(said, expected, "\n{sql}");
}

#[test]
fn what_a_stream_can_do() {
    check("INSERT INTO out SELECT station, result * 2 AS twice FROM readings WHERE n > 3", "station Utf8, twice Float64");
    check(
        "INSERT INTO out SELECT station, count(*) AS n FROM readings GROUP BY tumble(ts, INTERVAL '1 minute'), station HAVING count(*) > 1",
        "station Utf8, n Int64",
    );
    check(
        "INSERT INTO out SELECT w.station, p.street, w.n FROM (SELECT station, count(*) AS n FROM readings GROUP BY station, tumble(ts, INTERVAL '1 hour')) w
         LEFT JOIN places p ON w.station = p.station",
        "station Utf8, street Utf8, n Int64",
    );
    check(
        "INSERT INTO out SELECT max(p.street) AS street, sum(milli(r.result)) AS total FROM readings r JOIN places p ON r.station = p.station
         GROUP BY tumble(r.ts, INTERVAL '1 minute')",
        "street Utf8, total Int64",
    );
    check(
        "INSERT INTO out WITH w AS (SELECT tumble(ts, INTERVAL '1 minute') AS span, count(*) AS n FROM readings GROUP BY 1)
         SELECT span['end'] AS until, n FROM w CROSS JOIN (SELECT count(*) AS places FROM places) p WHERE n > places",
        "until Timestamp(µs, \"UTC\"), n Int64",
    );
}

#[test]
fn what_needs_the_end_of_a_stream() {
    check(
        "INSERT INTO out SELECT station, count(*) AS n FROM readings GROUP BY station",
        "test.sql:9:70: an aggregate without a window would be kept for ever and never be done\n  help: write GROUP BY tumble(INTERVAL '1 minute'), ...",
    );
    check(
        "INSERT INTO out SELECT count(*) AS n FROM readings",
        "test.sql:9:17: an aggregate without a window would be kept for ever and never be done\n  help: write GROUP BY tumble(INTERVAL '1 minute'), ...",
    );
    check(
        "INSERT INTO out SELECT station FROM readings ORDER BY station",
        "test.sql:9:55: ORDER BY over a stream, which never ends\n  help: leave it out: rows come ordered by window and keys",
    );
    check(
        "INSERT INTO out SELECT station FROM readings LIMIT 10",
        "test.sql:9:52: LIMIT over a stream: which rows come first depends on the run\n  help: choose rows by WHERE, or number them in windows: ROW_NUMBER() OVER (PARTITION BY window ORDER BY ...)",
    );
    check(
        "INSERT INTO out SELECT DISTINCT station FROM readings",
        "test.sql:9:17: SELECT DISTINCT would have to remember the whole stream\n  help: write SELECT DISTINCT ..., tumble(INTERVAL '1 minute') AS window, or GROUP BY tumble(...) and the columns",
    );
    check(
        "INSERT INTO out SELECT row_number() OVER (PARTITION BY station) AS n FROM readings",
        "test.sql:9:24: row_number() OVER rows of a stream looks at rows that may not have come yet\n  help: give the rows windows first: SELECT *, tumble(INTERVAL '1 minute') AS window FROM ..., then OVER (PARTITION BY window ...)",
    );
    check(
        "INSERT INTO out SELECT a.station FROM readings a JOIN readings b ON a.station = b.station",
        "test.sql:9:17: a join of two streams that bounds no time: both would have to be kept for ever\n  help: bound it, as in AND b.ts BETWEEN a.ts - INTERVAL '1 minute' AND a.ts + INTERVAL '10 minutes'",
    );
    check(
        "INSERT INTO out SELECT p.street FROM places p LEFT JOIN readings r ON p.station = r.station",
        "test.sql:9:17: Left JOIN would give rows that no event stands for\n  help: write JOIN or, with the stream on the left, LEFT JOIN",
    );
    check(
        "INSERT INTO out SELECT station FROM readings UNION ALL SELECT station FROM places",
        "test.sql:9:17: UNION ALL of a stream and a file\n  help: join the file to the stream, or leave it out",
    );
    check("INSERT INTO out SELECT street FROM places", "test.sql:9:17: the job reads no stream\n  help: write FROM readings");
}

#[test]
fn what_would_differ_from_run_to_run() {
    check(
        "INSERT INTO out SELECT station, now() AS t FROM readings",
        "test.sql:9:33: now(): the clock differs from run to run, so the result could not be recomputed\n  help: use the event's own time, or METADATA FROM 'recorded_time'",
    );
    check(
        "INSERT INTO out SELECT station FROM readings WHERE random() < 0.1",
        "test.sql:9:52: random(): chance differs from run to run, so the result could not be recomputed\n  help: rows have ids already; for a sample write WHERE \"offset\" % 100 = 0",
    );
    check(
        "INSERT INTO out SELECT count(*) AS n, sum(result) AS total FROM readings GROUP BY tumble(ts, INTERVAL '1 minute')",
        "n Int64, total Float64",
    );
    check(
        "INSERT INTO out SELECT avg(n) AS mean FROM readings GROUP BY tumble(ts, INTERVAL '1 minute')",
        "mean Float64",
    );
    check(
        "INSERT INTO out SELECT array_agg(n) AS all FROM readings GROUP BY tumble(ts, INTERVAL '1 minute')",
        "test.sql:9:24: array_agg depends on the order of rows, or cannot be kept exactly\n  help: the aggregates are count, sum, min, max, avg, stddev, stddev_pop, var, var_pop, median, approx_distinct, bool_and, bool_or, bit_and, bit_or, bit_xor, position_at_max, position_at_min",
    );
}

#[test]
fn windows() {
    check(
        "INSERT INTO out SELECT count(*) AS n FROM readings GROUP BY hop(ts, INTERVAL '1 minute', INTERVAL '5 minutes')",
        "n Int64",
    );
    check(
        "INSERT INTO out SELECT count(*) AS n FROM readings GROUP BY tumble(ts, INTERVAL '1 month')",
        "test.sql:9:61: months have no fixed length: write days",
    );
    check(
        "INSERT INTO out SELECT count(*) AS n FROM (SELECT ts + INTERVAL '1 hour' AS late FROM readings) GROUP BY tumble(late, INTERVAL '1 day')",
        "test.sql:9:106: tumble over late, which is not the column of the watermark\n  help: write tumble(INTERVAL '1 minute'): the time is that of the watermark",
    );
    check(
        "INSERT INTO out SELECT max(n) AS n FROM (SELECT count(*) AS n FROM readings GROUP BY tumble(ts, INTERVAL '1 minute')) GROUP BY n",
        "test.sql:9:128: an aggregate over windows that does not say which window\n  help: put the inner query's window column into GROUP BY, or GROUP BY a longer tumble(INTERVAL '1 hour')",
    );
    let without = TABLES.replace(",\n    WATERMARK FOR ts AS ts - INTERVAL '30' SECOND", "");
    check_all(
        &format!("{without}INSERT INTO out SELECT count(*) AS n FROM readings GROUP BY tumble(ts, INTERVAL '1 minute')"),
        "test.sql:7:14: a window needs a watermark, and readings has none\n  help: write WATERMARK FOR ts AS ts - INTERVAL '30 seconds' among its columns",
    );
}

#[test]
fn tables() {
    let replaced = |from: &str, to: &str, expected: &str| {
        check_all(&format!("{}INSERT INTO out SELECT station FROM readings", TABLES.replacen(from, to, 1)), expected);
    };
    replaced("topic = 'raw.sensor'", "topics = 'raw.sensor'", "test.sql:1:14: table readings has no option topic\n  help: write 'topic' = 'raw.sensor' in its WITH");
    replaced(
        "'event.type' =",
        "'start' = 'now', 'event.type' =",
        "test.sql:6:52: table readings has an unknown option start\n  help: the options are connector, topic, event.type, type, source.offset, format, json.unstructured, bad_data, bootstrap_servers, source.group_id, source.group_id_prefix, source.read_mode, idle_micros, event_time_field, watermark_field",
    );
    replaced(
        "station TEXT, result",
        "station UUID, result",
        "test.sql:2:5: the dialect has no type UUID\n  help: write TEXT, INT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, JSON, POSITION, STRUCT<...> or one of them with []",
    );
    replaced(
        "FROM 'ce_time'",
        "FROM 'ce_tyme'",
        "test.sql:3:32: there is no metadata 'ce_tyme'\n  help: it is one of topic, partition, offset, offset_id, key, timestamp, ce_id, ce_source, ce_type, ce_subject, ce_time, recorded_time, position",
    );
    replaced("n INT,", "n INT, origin TEXT,", "test.sql:4:5: column origin is already there");
    replaced(
        "ts - INTERVAL '30' SECOND",
        "now() - 5",
        "test.sql:5:25: a watermark of now() - 5\n  help: write WATERMARK FOR ts AS ts - INTERVAL '30 seconds'",
    );
    replaced(
        "connector = 'delta'",
        "connector = 'mysql'",
        "test.sql:8:24: connector 'mysql'\n  help: write kafka, delta, filesystem, stdout or blackhole",
    );
    replaced("'gold.test'", "'/tmp/test'", "station Utf8");
    replaced(
        "path = 'places.csv'",
        "path = 'other.csv'",
        "test.sql:7:81: could not read other.csv: it is not there\n  help: put the file beside the job's",
    );
    replaced(
        "street TEXT",
        "road TEXT",
        "test.sql:7:79: places.csv: there is no column road\n  help: its header is street,station,note",
    );
    check("", "test.sql: the job writes nothing\n  help: end the file with INSERT INTO sink SELECT ... FROM source");
    check("SELECT 1", "test.sql:9:1: a job file has CREATE TABLE, CREATE VIEW and INSERT INTO statements, not SELECT\n  help: end each statement with ;");
    check("INSERT INTO out SELEC station", "test.sql:9:17: Expected: SELECT, VALUES, or a subquery in the query body, found: SELEC");
    check(
        "INSERT INTO out SELECT statoin FROM readings",
        "test.sql:9:24: No field named statoin.\n  help: Did you mean 'readings.station'? Valid fields are readings.station, readings.result, readings.n, readings.ts, readings.origin.",
    );
}

#[test]
fn sinks() {
    let kafka = |columns: &str, options: &str, insert: &str, expected: &str| {
        let sink = format!("CREATE TABLE out {columns} WITH (connector = 'kafka', topic = 'city.signal', 'event.type' = 'e.v1'{options});");
        let delta = "CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');";
        check_all(&format!("{}{insert}", TABLES.replace(delta, &sink)), expected);
    };
    let select = "INSERT INTO out SELECT station, n FROM readings";
    kafka("(station TEXT, n BIGINT)", ", 'key' = 'station'", select, "station Utf8, n Int64");
    kafka("", ", 'key' = 'statoin'", select, "test.sql:8:92: the sink has no column statoin\n  help: its columns are station, n");
    kafka("(station TEXT)", "", select, "test.sql:9:17: the SELECT gives 2 columns, the sink has 1\n  help: the sink's columns are station");
    kafka(
        "(n INT, station TEXT)",
        "",
        select,
        "test.sql:9:17: column 1 of the SELECT is station, the sink's is n\n  help: write ... AS n, or put the columns into the sink's order",
    );
    kafka(
        "(station BIGINT, n INT)",
        "",
        select,
        "test.sql:9:17: column station is TEXT, the sink's is BIGINT\n  help: declare the sink's column with that type, or convert it in the SELECT",
    );
    kafka(
        "",
        ", 'latch.key' = 'station'",
        select,
        "test.sql:8:92: half a latch\n  help: a latch needs both 'latch.key' = 'rule, station' and 'latch.state' = 'state'",
    );
    kafka(
        "",
        ", 'latch.key' = 'station', 'latch.state' = 'n'",
        select,
        "test.sql:8:14: a latch without a window: the order of records differs from run to run\n  help: GROUP BY tumble(INTERVAL '1 minute') and the columns of latch.key",
    );
}

#[test]
fn the_jobs_that_ship() {
    let job = crate::common::builtin;
    let sensor_1m = job("sensor_1m");
    assert_eq!((sensor_1m.topics(), sensor_1m.event_types()), (&["raw.sensor".to_owned()][..], &["io.citybrain.sensor.observation.v1".to_owned()][..]));
    assert_eq!(*sensor_1m.target(), Target::Delta(Location::Lake { schema: "gold".to_owned(), table: "sensor_1m".to_owned() }));
    let explained = job("thresholds").explain();
    let (_, csv) = crate::common::VIEWS.iter().find(|(name, _)| name == "thresholds").expect("it is a view");
    let lookup = format!("lookup   thresholds, {} rows", csv.lines().count() - 1);
    let head: Vec<&str> = explained.lines().take(5).collect();
    assert_eq!(head, [
        "job      thresholds",
        "reads    raw.sensor: io.citybrain.sensor.observation.v1",
        "time     ts, watermark 30 s behind",
        lookup.as_str(),
        "step     tumble 1 min by coalesce(readings.station,readings.datastream), property, unit",
    ]);
    assert!(explained.contains("latch    changes of state by rule, station"), "{explained}");
    assert!(explained.contains("TableScan: readings"), "{explained}");
}

#[test]
fn the_example_of_the_readme_is_a_job() {
    let readme = include_str!("../README.md");
    let example = readme.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).expect("the README has an example");
    let job = Job::parse("busy", example, &[("places.csv", "station,street\ns1,River Road\n")]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(job.description(), "The first comment is the job's description.");
}
