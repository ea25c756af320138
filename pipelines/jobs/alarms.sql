-- Raises a signal at once for each reading beyond the red threshold, so that danger to life does not wait for the end of its
-- minute. The thresholds are those of the city's graph, as for `thresholds`, which also finds the milder levels and says when
-- a value has come back. The brain takes repeated signals of one condition as one alert.

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
    origin POSITION METADATA FROM 'position'
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
    blue DOUBLE,
    clear DOUBLE
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
    lat DOUBLE,
    lon DOUBLE,
    evidence POSITION[]
) WITH (
    connector = 'kafka',
    topic = 'city.signal',
    format = 'json',
    'event.type' = 'io.citybrain.city.signal.v1',
    'key' = 'station'
);

INSERT INTO signals
SELECT
    'threshold' AS signal,
    t.scenario,
    t.rule,
    1 AS level,
    'raised' AS state,
    r.property,
    coalesce(r.station, r.datastream) AS station,
    r.district,
    milli(r.result) AS value_milli,
    milli(t.red) AS threshold_milli,
    r.unit,
    r.ts AS window_start,
    r.ts AS window_end,
    r.lat,
    r.lon,
    evidence(r.origin) AS evidence
FROM readings r
JOIN thresholds t ON r.property = t.property AND r.unit = t.unit
WHERE CASE WHEN t.side = 'below' THEN milli(r.result) <= milli(t.red) ELSE milli(r.result) >= milli(t.red) END;
