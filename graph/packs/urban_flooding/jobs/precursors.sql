-- Tells the brain that water has begun to rise where it rains hard, so that pumps and barriers can go out before the road is
-- under water: from the first rise to the depth that stops a car there are often ten minutes. Rain alone floods nothing where
-- the pumps keep up, and a rise alone may be a burst main; both together, in one district and the same quarter of an hour,
-- are the beginning of a flood. From the first threshold of the water level on `thresholds` speaks, and this is taken back.

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

CREATE TABLE precursors (
    rain_mm_per_h DOUBLE,
    calm_mm_per_h DOUBLE,
    rise_m DOUBLE,
    depth_m DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'lookup',
    path = 'precursors.csv',
    format = 'csv'
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
    'latch.state' = 'state'
);

CREATE VIEW rain AS
SELECT
    hop(INTERVAL '5 minutes', INTERVAL '15 minutes') AS quarter,
    district,
    avg(result) AS mm_per_h,
    position_at_max(milli(result), origin) AS hardest
FROM readings
WHERE property = 'rainfall' AND unit = 'mm/h' AND result >= 0
GROUP BY 1, district;

CREATE VIEW levels AS
SELECT
    hop(INTERVAL '5 minutes', INTERVAL '15 minutes') AS quarter,
    coalesce(station, datastream) AS station,
    district,
    max(lat) AS lat,
    max(lon) AS lon,
    max(result) AS highest_m,
    max(result) - min(result) AS rise_m,
    position_at_min(milli(result), origin) AS lowest,
    position_at_max(milli(result), origin) AS highest
FROM readings
WHERE property = 'water_level' AND unit = 'm' AND result IS NOT NULL
GROUP BY 1, coalesce(station, datastream), district;

INSERT INTO signals
SELECT
    'threshold' AS signal,
    'urban_flooding' AS scenario,
    'flood_precursor' AS rule,
    4 AS level,
    CASE
        WHEN l.highest_m >= p.depth_m THEN 'cleared'
        WHEN r.mm_per_h >= p.rain_mm_per_h AND l.rise_m >= p.rise_m THEN 'raised'
        WHEN r.mm_per_h < p.calm_mm_per_h AND l.rise_m < p.rise_m THEN 'cleared'
    END AS state,
    'water_level_rise' AS property,
    l.station,
    l.district,
    milli(l.rise_m) AS value_milli,
    milli(p.rise_m) AS threshold_milli,
    'm' AS unit,
    l.quarter['start'] AS window_start,
    l.quarter['end'] AS window_end,
    l.lat,
    l.lon,
    evidence(l.lowest, l.highest, r.hardest) AS evidence
FROM levels l
JOIN rain r ON l.quarter = r.quarter AND l.district = r.district
CROSS JOIN precursors p;
