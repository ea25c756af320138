-- Keeps each reading that can be true, once, so that nobody who counts or draws has to clean again: devices send twice after
-- a lost answer, and a broken one sends -999. Which properties, units and values there are stands in properties.csv; what
-- is left out stays in bronze, and `quality` counts it.

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
    recorded TIMESTAMP METADATA FROM 'recorded_time',
    origin POSITION METADATA FROM 'position',
    WATERMARK FOR ts AS ts - INTERVAL '2 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.sensor',
    format = 'json',
    'event.type' = 'io.citybrain.sensor.observation.v1'
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

CREATE TABLE observations (
    time TIMESTAMP,
    datastream TEXT,
    station TEXT,
    property TEXT,
    result DOUBLE,
    unit TEXT,
    district TEXT,
    lat DOUBLE,
    lon DOUBLE,
    origin POSITION
) WITH (
    connector = 'delta',
    path = 'silver.observation'
);

-- A null, an unknown unit and a value out of range find no partner here.
CREATE VIEW plausible AS
SELECT r.*
FROM readings r
JOIN properties p ON r.property = p.property AND r.unit = p.unit AND r.result BETWEEN p.low AND p.high;

-- Copies have the same time, so they meet in the same window, however short; the first that was recorded stays.
INSERT INTO observations
SELECT ts AS time, datastream, coalesce(station, datastream) AS station, property, result, unit, district, lat, lon, origin
FROM (
    SELECT *, row_number() OVER (PARTITION BY span, datastream, property, ts, result ORDER BY recorded) AS copy
    FROM (SELECT *, tumble(INTERVAL '10 seconds') AS span FROM plausible)
)
WHERE copy = 1;
