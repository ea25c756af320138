-- Raises a signal when a measured value crosses a threshold, and clears it when the value has come back, so that the brain
-- hears of changes and not of every reading. The thresholds are those of the city's graph. Between the lowest one and `clear`
-- nothing is said, so a value that trembles at a threshold raises one signal and not a hundred.

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
    'key' = 'station',
    'latch.key' = 'rule, station',
    'latch.state' = 'state',
    'latch.level' = 'level'
);

INSERT INTO signals
WITH
-- The worst of each minute: the highest value for what is dangerous when high, the lowest for what is dangerous when low.
minutes AS (
    SELECT
        tumble(INTERVAL '1 minute') AS span,
        coalesce(station, datastream) AS station,
        property,
        unit,
        max(district) AS district,
        max(lat) AS lat,
        max(lon) AS lon,
        max(milli(result)) AS max_milli,
        min(milli(result)) AS min_milli,
        position_at_max(milli(result), origin) AS max_at,
        position_at_min(milli(result), origin) AS min_at
    FROM readings
    WHERE milli(result) IS NOT NULL
    GROUP BY tumble(INTERVAL '1 minute'), coalesce(station, datastream), property, unit
),
-- `way` turns what is dangerous when low around, so that one comparison serves both sides.
rules AS (
    SELECT
        rule, scenario, property, unit, side = 'below' AS below,
        CASE WHEN side = 'below' THEN -1 ELSE 1 END AS way,
        milli(red) AS red, milli(orange) AS orange, milli(yellow) AS yellow, milli(blue) AS blue, milli(clear) AS clear
    FROM thresholds
),
measured AS (
    SELECT
        r.*, m.span, m.station, m.district, m.lat, m.lon,
        CASE WHEN r.below THEN m.min_milli ELSE m.max_milli END AS value_milli,
        CASE WHEN r.below THEN evidence(m.min_at) ELSE evidence(m.max_at) END AS evidence
    FROM minutes m
    JOIN rules r ON m.property = r.property AND m.unit = r.unit
),
judged AS (
    SELECT
        *,
        CASE
            WHEN way * value_milli >= way * red THEN 1
            WHEN way * value_milli >= way * orange THEN 2
            WHEN way * value_milli >= way * yellow THEN 3
            WHEN way * value_milli >= way * blue THEN 4
        END AS level
    FROM measured
)
SELECT
    'threshold' AS signal,
    scenario,
    rule,
    coalesce(level, 4) AS level,
    CASE
        WHEN level IS NOT NULL THEN 'raised'
        WHEN way * value_milli < way * clear THEN 'cleared'
    END AS state,
    property,
    station,
    district,
    value_milli,
    CASE level WHEN 1 THEN red WHEN 2 THEN orange WHEN 3 THEN yellow WHEN 4 THEN blue ELSE clear END AS threshold_milli,
    unit,
    span['start'] AS window_start,
    span['end'] AS window_end,
    lat,
    lon,
    evidence
FROM judged;
