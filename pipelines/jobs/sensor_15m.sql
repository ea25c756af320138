-- One row for each station, property and quarter of an hour, so that a week of a station is seven hundred rows and can be
-- drawn at once. It is put together from minutes, which count the same however often the station speaks in each, and
-- `minutes` says how many of the fifteen it did speak in. Values are thousandths of the unit, as in `sensor_1m`.

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

CREATE TABLE sensor_15m (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    station TEXT,
    property TEXT,
    unit TEXT,
    district TEXT,
    minutes BIGINT,
    readings BIGINT,
    min_milli BIGINT,
    max_milli BIGINT,
    avg_milli BIGINT
) WITH (
    connector = 'delta',
    path = 'gold.sensor_15m'
);

CREATE VIEW minutes AS
SELECT
    tumble(INTERVAL '1 minute') AS minute,
    coalesce(station, datastream) AS station,
    coalesce(property, 'value') AS property,
    unit,
    max(district) AS district,
    count(*) AS readings,
    min(milli(result)) AS min_milli,
    max(milli(result)) AS max_milli,
    sum(milli(result)) / count(*) AS avg_milli
FROM readings
WHERE milli(result) IS NOT NULL
GROUP BY tumble(INTERVAL '1 minute'), coalesce(station, datastream), coalesce(property, 'value'), unit;

INSERT INTO sensor_15m
SELECT
    quarter['start'] AS window_start,
    quarter['end'] AS window_end,
    station,
    property,
    unit,
    district,
    minutes,
    readings,
    min_milli,
    max_milli,
    avg_milli
FROM (
    SELECT
        tumble(INTERVAL '15 minutes') AS quarter,
        station,
        property,
        unit,
        max(district) AS district,
        count(*) AS minutes,
        sum(readings) AS readings,
        min(min_milli) AS min_milli,
        max(max_milli) AS max_milli,
        sum(avg_milli) / count(*) AS avg_milli
    FROM minutes
    GROUP BY tumble(INTERVAL '15 minutes'), station, property, unit
);
