-- Finds devices whose value has not moved for an hour, so that a stuck sensor is repaired before somebody trusts it. A healthy
-- instrument trembles; only the value at which a device may rest, as a dry rain gauge does, is no sign of a fault. What may
-- be expected of each kind of device stands in devices.csv. Said again every quarter of an hour while it lasts.

CREATE TABLE readings (
    datastream TEXT,
    result DOUBLE,
    unit TEXT,
    property TEXT,
    station TEXT,
    district TEXT,
    ts TIMESTAMP METADATA FROM 'ce_time',
    origin POSITION METADATA FROM 'position',
    WATERMARK FOR ts AS ts - INTERVAL '2 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.sensor',
    format = 'json',
    'event.type' = 'io.citybrain.sensor.observation.v1'
);

CREATE TABLE devices (
    property TEXT,
    rest DOUBLE,
    readings BIGINT
) WITH (
    connector = 'filesystem',
    type = 'lookup',
    path = 'devices.csv',
    format = 'csv'
);

CREATE TABLE flat_lines (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    datastream TEXT,
    station TEXT,
    property TEXT,
    unit TEXT,
    district TEXT,
    readings BIGINT,
    value DOUBLE,
    first POSITION,
    last POSITION
) WITH (
    connector = 'delta',
    path = 'gold.flat_line'
);

CREATE VIEW hours AS
SELECT
    hop(INTERVAL '15 minutes', INTERVAL '1 hour') AS hour,
    datastream,
    property,
    unit,
    max(coalesce(station, datastream)) AS station,
    max(district) AS district,
    count(*) AS readings,
    min(result) AS lowest,
    max(result) AS highest,
    position_at_min(ts, origin) AS first,
    position_at_max(ts, origin) AS last
FROM readings
WHERE result IS NOT NULL
GROUP BY 1, datastream, property, unit;

INSERT INTO flat_lines
SELECT
    h.hour['start'] AS window_start,
    h.hour['end'] AS window_end,
    h.datastream,
    h.station,
    h.property,
    h.unit,
    h.district,
    h.readings,
    h.lowest AS value,
    h.first,
    h.last
FROM hours h
JOIN devices d ON h.property = d.property
WHERE h.readings >= d.readings AND h.lowest = h.highest AND (d.rest IS NULL OR h.lowest <> d.rest);
