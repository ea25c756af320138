-- One row for each station, property and minute, so that analysts read thousands of rows where there were millions.
-- Values are thousandths of the unit, as integers: they add up to the same sum on every run. `first` and `last` are the
-- log positions of the earliest and the latest reading, from which the row can be recomputed.

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
    WATERMARK FOR ts AS ts - INTERVAL '2 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.sensor',
    format = 'json',
    'event.type' = 'io.citybrain.sensor.observation.v1'
);

CREATE TABLE sensor_1m (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    station TEXT,
    property TEXT,
    unit TEXT,
    district TEXT,
    lat DOUBLE,
    lon DOUBLE,
    readings BIGINT,
    min_milli BIGINT,
    max_milli BIGINT,
    avg_milli BIGINT,
    first POSITION,
    last POSITION
) WITH (
    connector = 'delta',
    path = 'gold.sensor_1m'
);

INSERT INTO sensor_1m
SELECT
    w.span['start'] AS window_start,
    w.span['end'] AS window_end,
    w.station,
    w.property,
    w.unit,
    w.district,
    w.lat,
    w.lon,
    w.readings,
    w.min_milli,
    w.max_milli,
    w.sum_milli / w.readings AS avg_milli,
    w.first,
    w.last
FROM (
    SELECT
        tumble(INTERVAL '1 minute') AS span,
        coalesce(station, datastream) AS station,
        coalesce(property, 'value') AS property,
        unit,
        max(district) AS district,
        max(lat) AS lat,
        max(lon) AS lon,
        count(milli(result)) AS readings,
        min(milli(result)) AS min_milli,
        max(milli(result)) AS max_milli,
        sum(milli(result)) AS sum_milli,
        position_at_min(ts, origin) AS first,
        position_at_max(ts, origin) AS last
    FROM readings
    WHERE milli(result) IS NOT NULL
    GROUP BY tumble(INTERVAL '1 minute'), coalesce(station, datastream), coalesce(property, 'value'), unit
) w;
