-- Finds devices whose value is unlike all that came before it, so that somebody looks while no threshold is crossed yet: a
-- level, a spike, a drift or a flat line that this device never had. The function anomaly_score sees the quarters of the last
-- two days one by one; it needs no setting for a kind of device, and says nothing before a day and an hour of readings.
-- Said when it begins, in the quarter of an hour that follows; what is strange for days becomes what is usual.

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

CREATE TABLE anomalies (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    datastream TEXT,
    station TEXT,
    property TEXT,
    unit TEXT,
    district TEXT,
    quarters BIGINT,
    score DOUBLE,
    first POSITION,
    last POSITION
) WITH (
    connector = 'delta',
    path = 'gold.sensor_anomaly'
);

-- The mean of each quarter of an hour, in thousandths so that it does not depend on the order in which readings came.
CREATE VIEW quarters AS
SELECT
    tumble(INTERVAL '15 minutes') AS quarter,
    datastream,
    property,
    unit,
    max(coalesce(station, datastream)) AS station,
    max(district) AS district,
    max(CAST(ts AS BIGINT)) / 900000000 AS x,
    sum(milli(result)) / count(*) AS y,
    position_at_min(ts, origin) AS first,
    position_at_max(ts, origin) AS last
FROM readings
WHERE milli(result) IS NOT NULL
GROUP BY 1, datastream, property, unit;

CREATE VIEW days AS
SELECT
    hop(INTERVAL '15 minutes', INTERVAL '2 days') AS days,
    datastream,
    property,
    unit,
    max(station) AS station,
    max(district) AS district,
    count(*) AS quarters,
    max(x) AS newest,
    anomaly_score(to_timestamp_micros(x * 900000000), CAST(y AS DOUBLE)) AS score,
    position_at_max(quarter['start'], first) AS first,
    position_at_max(quarter['start'], last) AS last
FROM quarters
GROUP BY 1, datastream, property, unit;

-- A device that has fallen silent is no_signal's to tell: only a score of the newest quarter counts.
INSERT INTO anomalies
SELECT
    days['start'] AS window_start,
    days['end'] AS window_end,
    datastream,
    station,
    property,
    unit,
    district,
    quarters,
    score,
    first,
    last
FROM days
WHERE score >= 0.5 AND newest = CAST(days['end'] AS BIGINT) / 900000000 - 1;
