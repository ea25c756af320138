-- One row for each district, property and minute, so that the map can be coloured and districts compared while it happens.
-- `stations` says how many stations the row rests on: a district with one gauge left is no longer a district.

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

CREATE TABLE district_1m (
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
    path = 'gold.district_1m'
);

INSERT INTO district_1m
SELECT
    minute['start'] AS window_start,
    minute['end'] AS window_end,
    district,
    property,
    unit,
    stations,
    readings,
    min_milli,
    max_milli,
    sum_milli / readings AS avg_milli
FROM (
    SELECT
        tumble(INTERVAL '1 minute') AS minute,
        district,
        property,
        unit,
        count(DISTINCT coalesce(station, datastream)) AS stations,
        count(*) AS readings,
        min(milli(result)) AS min_milli,
        max(milli(result)) AS max_milli,
        sum(milli(result)) AS sum_milli
    FROM readings
    WHERE milli(result) IS NOT NULL AND district IS NOT NULL AND property IS NOT NULL
    GROUP BY tumble(INTERVAL '1 minute'), district, property, unit
);
