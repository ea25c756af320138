-- Counts for each topic and type of event, every quarter of an hour, what came and what was wrong with it, so that a source that
-- begins to send rubbish is found before its rubbish is in somebody's report. `missing_*` are fields that are absent, `unknown`
-- readings have a property or unit that properties.csv does not know, `out_of_range` ones cannot be true, and the lag is the
-- time from the event to its record in seconds. How fresh the tables are stands in the same table; the lake itself notes that.

CREATE TABLE events (
    result DOUBLE,
    unit TEXT,
    property TEXT,
    district TEXT,
    lat DOUBLE,
    topic TEXT METADATA FROM 'topic',
    kind TEXT METADATA FROM 'ce_type',
    ts TIMESTAMP METADATA FROM 'ce_time',
    recorded TIMESTAMP METADATA FROM 'recorded_time',
    WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.sensor, raw.hotline, raw.workorder, raw.context',
    format = 'json'
);

CREATE TABLE properties (
    property TEXT,
    unit TEXT,
    low DOUBLE,
    high DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'lookup',
    path = 'properties.csv',
    format = 'csv'
);

CREATE TABLE quality (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    topic TEXT,
    event_type TEXT,
    events BIGINT,
    missing_district BIGINT,
    missing_place BIGINT,
    missing_result BIGINT,
    unknown BIGINT,
    out_of_range BIGINT,
    lag_avg_s DOUBLE,
    lag_max_s DOUBLE,
    late_5_min BIGINT
) WITH (
    connector = 'delta',
    path = 'ops.quality'
);

CREATE VIEW judged AS
SELECT
    e.topic,
    e.kind,
    e.district,
    e.lat,
    e.result,
    e.kind = 'io.citybrain.sensor.observation.v1' AS measured,
    p.property IS NOT NULL AS known,
    e.result NOT BETWEEN p.low AND p.high AS wild,
    date_part('epoch', e.recorded) - date_part('epoch', e.ts) AS lag_s
FROM events e
LEFT JOIN properties p ON e.property = p.property AND e.unit = p.unit;

INSERT INTO quality
SELECT
    quarter['start'] AS window_start,
    quarter['end'] AS window_end,
    topic,
    kind AS event_type,
    events,
    missing_district,
    missing_place,
    missing_result,
    unknown,
    out_of_range,
    lag_avg_s,
    lag_max_s,
    late_5_min
FROM (
    SELECT
        tumble(INTERVAL '15 minutes') AS quarter,
        topic,
        kind,
        count(*) AS events,
        count(*) FILTER (WHERE district IS NULL) AS missing_district,
        count(*) FILTER (WHERE lat IS NULL) AS missing_place,
        count(*) FILTER (WHERE measured AND result IS NULL) AS missing_result,
        count(*) FILTER (WHERE measured AND NOT known) AS unknown,
        count(*) FILTER (WHERE measured AND wild) AS out_of_range,
        avg(lag_s) AS lag_avg_s,
        max(lag_s) AS lag_max_s,
        count(*) FILTER (WHERE lag_s > 300) AS late_5_min
    FROM judged
    GROUP BY 1, topic, kind
);
