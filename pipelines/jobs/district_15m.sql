-- One row for each district, property and quarter of an hour, so that a month of the city fits into one picture. First each
-- station by itself, then the stations of a district together: one that speaks every second does not outvote the others.

CREATE TABLE readings (
    datastream TEXT,
    result DOUBLE,
    unit TEXT,
    property TEXT,
    station TEXT,
    district TEXT,
    ts TIMESTAMP METADATA FROM 'ce_time',
    WATERMARK FOR ts AS ts - INTERVAL '2 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.sensor',
    format = 'json',
    'event.type' = 'io.citybrain.sensor.observation.v1'
);

CREATE TABLE district_15m (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    district TEXT,
    property TEXT,
    unit TEXT,
    stations BIGINT,
    readings BIGINT,
    min_milli BIGINT,
    max_milli BIGINT,
    avg_milli BIGINT
) WITH (
    connector = 'delta',
    path = 'gold.district_15m'
);

CREATE VIEW stations AS
SELECT
    tumble(INTERVAL '15 minutes') AS quarter,
    coalesce(station, datastream) AS station,
    district,
    property,
    unit,
    count(*) AS readings,
    min(milli(result)) AS min_milli,
    max(milli(result)) AS max_milli,
    sum(milli(result)) / count(*) AS avg_milli
FROM readings
WHERE milli(result) IS NOT NULL AND district IS NOT NULL AND property IS NOT NULL
GROUP BY tumble(INTERVAL '15 minutes'), coalesce(station, datastream), district, property, unit;

INSERT INTO district_15m
SELECT
    quarter['start'] AS window_start,
    quarter['end'] AS window_end,
    district,
    property,
    unit,
    count(*) AS stations,
    sum(readings) AS readings,
    min(min_milli) AS min_milli,
    max(max_milli) AS max_milli,
    sum(avg_milli) / count(*) AS avg_milli
FROM stations
GROUP BY quarter, district, property, unit;
