-- Gives the level of each gauge by the minute with the rain that fell in its district meanwhile, so that the levels of the next two
-- hours can be foretold (docs/forecasts.md). A minute in which no rain gauge of the district spoke has no rain, not a dry one.

CREATE TABLE readings (
    datastream TEXT,
    result DOUBLE,
    unit TEXT,
    property TEXT,
    station TEXT,
    district TEXT,
    ts TIMESTAMP METADATA FROM 'ce_time',
    origin POSITION METADATA FROM 'position',
    WATERMARK FOR ts AS ts - INTERVAL '30 seconds'
) WITH (
    connector = 'kafka',
    topic = 'raw.sensor',
    format = 'json',
    'event.type' = 'io.citybrain.sensor.observation.v1'
);

CREATE TABLE minutes (
    station TEXT,
    district TEXT,
    minute TIMESTAMP,
    level_m DOUBLE,
    rain_mm DOUBLE,
    evidence POSITION[]
) WITH (
    connector = 'kafka',
    topic = 'city.level',
    format = 'json',
    'event.type' = 'io.citybrain.level.minute.v1',
    'key' = 'station'
);

-- In thousandths, so that nothing depends on the order in which readings came.
CREATE VIEW levels AS
SELECT
    tumble(INTERVAL '1 minute') AS minute,
    coalesce(station, datastream) AS station,
    max(district) AS district,
    CAST(sum(milli(result)) AS DOUBLE) / CAST(count(*) * 1000 AS DOUBLE) AS level_m,
    position_at_min(ts, origin) AS first,
    position_at_max(ts, origin) AS last
FROM readings
WHERE property = 'water_level' AND unit = 'm' AND milli(result) BETWEEN -200000000 AND 200000000
GROUP BY 1, coalesce(station, datastream);

CREATE VIEW rain AS
SELECT
    tumble(INTERVAL '1 minute') AS minute,
    district,
    CAST(sum(milli(result)) AS DOUBLE) / CAST(count(*) * 60000 AS DOUBLE) AS rain_mm,
    position_at_max(ts, origin) AS last
FROM readings
WHERE property = 'rainfall' AND unit = 'mm/h' AND milli(result) BETWEEN 0 AND 1000000
GROUP BY 1, district;

INSERT INTO minutes
SELECT
    l.station,
    l.district,
    l.minute['start'] AS minute,
    l.level_m,
    r.rain_mm,
    evidence(l.first, l.last, r.last) AS evidence
FROM levels l
LEFT JOIN rain r ON l.minute = r.minute AND l.district = r.district;
