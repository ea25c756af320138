-- Tells the brain of a value that moves towards a threshold and will cross it within two hours if it goes on as it does,
-- so that somebody can act before it does. The thresholds are those of the graph, as for `thresholds`. The pace is that of
-- the straight line through the last 15 minutes (least squares). It counts only when it is neither chance nor a jump: the line
-- explains four fifths of all movement, and each five minutes bring at least a quarter of the way. Taken back when the value
-- no longer moves that way, or has crossed all thresholds there are. Devices that speak less than ten times in 15 minutes
-- have no trend.

CREATE TABLE readings (
    datastream TEXT,
    result DOUBLE,
    unit TEXT,
    property TEXT,
    station TEXT,
    district TEXT,
    lat DOUBLE,
    lon DOUBLE,
    ts TIMESTAMP METADATA FROM 'ce_time',
    origin POSITION METADATA FROM 'position',
    WATERMARK FOR ts AS ts - INTERVAL '30 seconds'
) WITH (
    connector = 'kafka',
    topic = 'raw.sensor',
    format = 'json',
    'event.type' = 'io.citybrain.sensor.observation.v1'
);

CREATE TABLE thresholds (
    rule TEXT,
    scenario TEXT,
    property TEXT,
    unit TEXT,
    side TEXT,
    red DOUBLE,
    orange DOUBLE,
    yellow DOUBLE,
    blue DOUBLE
) WITH (
    connector = 'graph',
    type = 'lookup',
    path = 'thresholds'
);

CREATE TABLE signals (
    signal TEXT,
    scenario TEXT,
    rule TEXT,
    level INT,
    state TEXT,
    property TEXT,
    station TEXT,
    district TEXT,
    value_milli BIGINT,
    threshold_milli BIGINT,
    unit TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    expected TIMESTAMP,
    lat DOUBLE,
    lon DOUBLE,
    evidence POSITION[]
) WITH (
    connector = 'kafka',
    topic = 'city.signal',
    format = 'json',
    'event.type' = 'io.citybrain.city.signal.v1',
    'key' = 'station',
    'latch.key' = 'rule, station',
    'latch.state' = 'state',
    'latch.level' = 'level'
);

-- The mean of each minute, numbered since 1970. Beyond 200,000 of a unit sums of squares would not be exact.
CREATE VIEW minutes AS
SELECT
    tumble(INTERVAL '1 minute') AS minute,
    coalesce(station, datastream) AS station,
    property,
    unit,
    max(district) AS district,
    max(lat) AS lat,
    max(lon) AS lon,
    max(CAST(ts AS BIGINT)) / 60000000 AS x,
    sum(milli(result)) / count(*) AS y,
    position_at_min(ts, origin) AS first,
    position_at_max(ts, origin) AS last
FROM readings
WHERE milli(result) BETWEEN -200000000 AND 200000000
GROUP BY 1, coalesce(station, datastream), property, unit;

-- The sums that a line needs, and the mean of each third. Thirds are counted round since 1970, because a window does not
-- know where it begins before it is there.
CREATE VIEW quarters AS
SELECT
    hop(INTERVAL '5 minutes', INTERVAL '15 minutes') AS quarter,
    station,
    property,
    unit,
    max(district) AS district,
    max(lat) AS lat,
    max(lon) AS lon,
    count(*) AS n,
    sum(x) AS sx,
    sum(y) AS sy,
    sum(x * x) AS sxx,
    sum(x * y) AS sxy,
    sum(y * y) AS syy,
    sum(y) FILTER (WHERE x / 5 % 3 = 0) / count(*) FILTER (WHERE x / 5 % 3 = 0) AS third_0,
    sum(y) FILTER (WHERE x / 5 % 3 = 1) / count(*) FILTER (WHERE x / 5 % 3 = 1) AS third_1,
    sum(y) FILTER (WHERE x / 5 % 3 = 2) / count(*) FILTER (WHERE x / 5 % 3 = 2) AS third_2,
    position_at_min(minute['start'], first) AS first,
    position_at_max(minute['start'], last) AS last
FROM minutes
GROUP BY 1, station, property, unit;

INSERT INTO signals
WITH
-- `way` turns what is dangerous when low around, so that one comparison serves both sides.
rules AS (
    SELECT
        rule, scenario, property, unit,
        CASE WHEN side = 'below' THEN -1 ELSE 1 END AS way,
        milli(red) AS red, milli(orange) AS orange, milli(yellow) AS yellow, milli(blue) AS blue
    FROM thresholds
),
lines AS (
    SELECT
        *,
        CAST(quarter['end'] AS BIGINT) / 60000000 AS x_end,
        CAST(quarter['start'] AS BIGINT) / 300000000 % 3 AS turn,
        CAST(n * sxy - sx * sy AS DOUBLE) AS xy,
        CAST(n * sxx - sx * sx AS DOUBLE) AS xx,
        CAST(n * syy - sy * sy AS DOUBLE) AS yy
    FROM quarters
    WHERE n >= 10
),
moving AS (
    SELECT
        r.rule, r.scenario, r.way, r.red, r.orange, r.yellow, r.blue, l.*,
        r.way * l.xy / l.xx AS pace,
        -- Where the line is at the window's end.
        CAST(round((CAST(l.sy AS DOUBLE) + l.xy / l.xx * CAST(l.n * l.x_end - l.sx AS DOUBLE)) / l.n) AS BIGINT) AS value_milli,
        r.way * CASE l.turn WHEN 0 THEN l.third_0 WHEN 1 THEN l.third_1 ELSE l.third_2 END AS one,
        r.way * CASE l.turn WHEN 0 THEN l.third_1 WHEN 1 THEN l.third_2 ELSE l.third_0 END AS two,
        r.way * CASE l.turn WHEN 0 THEN l.third_2 WHEN 1 THEN l.third_0 ELSE l.third_1 END AS three
    FROM lines l
    JOIN rules r ON l.property = r.property AND l.unit = r.unit
),
-- The mildest level that is not reached yet.
ahead AS (
    SELECT
        *,
        CASE
            WHEN way * value_milli < way * blue THEN 4
            WHEN way * value_milli < way * yellow THEN 3
            WHEN way * value_milli < way * orange THEN 2
            WHEN way * value_milli < way * red THEN 1
        END AS level
    FROM moving
),
judged AS (
    SELECT
        *,
        CASE level WHEN 4 THEN blue WHEN 3 THEN yellow WHEN 2 THEN orange WHEN 1 THEN red END AS threshold_milli,
        pace > 0 AND one < three AND 4 * (two - one) >= three - one AND 4 * (three - two) >= three - one AND xy * xy >= 0.8 * xx * yy AS steady,
        pace > 0 AND one < three AND xy * xy >= 0.4 * xx * yy AS moves
    FROM ahead
),
timed AS (
    SELECT *, CASE WHEN pace > 0 THEN way * (threshold_milli - value_milli) / pace END AS minutes_left
    FROM judged
)
SELECT
    'trend' AS signal,
    scenario,
    rule,
    coalesce(level, 4) AS level,
    CASE
        WHEN level IS NULL OR NOT moves THEN 'cleared'
        WHEN steady AND minutes_left <= 120 THEN 'raised'
        -- Past one threshold, and too slow for the next.
        WHEN minutes_left > 120 AND way * value_milli >= way * coalesce(blue, yellow, orange, red) THEN 'cleared'
    END AS state,
    property,
    station,
    district,
    value_milli,
    threshold_milli,
    unit,
    quarter['start'] AS window_start,
    quarter['end'] AS window_end,
    CASE WHEN steady AND minutes_left <= 120 THEN to_timestamp_micros(CAST(quarter['end'] AS BIGINT) + CAST(round(minutes_left) AS BIGINT) * 60000000) END AS expected,
    lat,
    lon,
    evidence(first, last) AS evidence
FROM timed;
