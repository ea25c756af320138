-- Tells the brain which devices have fallen silent and which speak again, so that it knows where it is blind: silence clears no
-- alert and is never taken for good news. A device is silent when a session of its readings has ended, 15 minutes after the
-- last one where lives hang on it and an hour elsewhere (devices.csv), while others still speak: when all of them are
-- silent it is the line that is broken, and nothing is said of the devices.

CREATE TABLE readings (
    datastream TEXT,
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

CREATE TABLE devices (
    property TEXT,
    pace TEXT,
    scenario TEXT
) WITH (
    connector = 'filesystem',
    type = 'lookup',
    path = 'devices.csv',
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
    'latch.key' = 'rule, station, property',
    'latch.state' = 'state'
);

CREATE VIEW words AS
SELECT coalesce(r.station, r.datastream) AS station, r.property, r.district, r.lat, r.lon, r.ts, r.origin, d.pace, d.scenario
FROM readings r
JOIN devices d ON r.property = d.property
WHERE d.scenario IS NOT NULL;

-- A session ends one gap after the last word: that is the moment from which on the device is silent.
CREATE VIEW fast_sessions AS
SELECT session(INTERVAL '15 minutes') AS spoke, station, property, scenario,
       max(district) AS district, max(lat) AS lat, max(lon) AS lon, position_at_max(ts, origin) AS last_word
FROM words
WHERE pace = 'fast'
GROUP BY 1, station, property, scenario;

CREATE VIEW slow_sessions AS
SELECT session(INTERVAL '1 hour') AS spoke, station, property, scenario,
       max(district) AS district, max(lat) AS lat, max(lon) AS lon, position_at_max(ts, origin) AS last_word
FROM words
WHERE pace = 'slow'
GROUP BY 1, station, property, scenario;

-- Slices of five minutes, so that who has fallen silent can be laid beside who was heard.
CREATE VIEW silent AS
SELECT tumble(INTERVAL '5 minutes') AS slice, station, property, scenario, max(spoke['start']) AS since, max(spoke['end']) AS silent_from,
       max(district) AS district, max(lat) AS lat, max(lon) AS lon, position_at_max(spoke['end'], last_word) AS last_word
FROM fast_sessions
GROUP BY 1, station, property, scenario
UNION ALL
SELECT tumble(INTERVAL '5 minutes') AS slice, station, property, scenario, max(spoke['start']) AS since, max(spoke['end']) AS silent_from,
       max(district) AS district, max(lat) AS lat, max(lon) AS lon, position_at_max(spoke['end'], last_word) AS last_word
FROM slow_sessions
GROUP BY 1, station, property, scenario;

CREATE VIEW heard AS
SELECT tumble(INTERVAL '5 minutes') AS slice, station, property, scenario, max(ts) AS last_heard,
       max(district) AS district, max(lat) AS lat, max(lon) AS lon, position_at_max(ts, origin) AS last_word
FROM words
GROUP BY 1, station, property, scenario;

CREATE VIEW others AS
SELECT slice, count(*) AS devices
FROM heard
GROUP BY slice;

INSERT INTO signals
SELECT
    'no_signal' AS signal,
    s.scenario,
    'no_signal' AS rule,
    4 AS level,
    'raised' AS state,
    s.property,
    s.station,
    s.district,
    NULL AS value_milli,
    NULL AS threshold_milli,
    NULL AS unit,
    s.since AS window_start,
    s.silent_from AS window_end,
    s.lat,
    s.lon,
    evidence(s.last_word) AS evidence
FROM silent s
JOIN others o ON s.slice = o.slice
LEFT JOIN heard h ON s.slice = h.slice AND s.station = h.station AND s.property = h.property
WHERE h.last_heard IS NULL OR h.last_heard < s.silent_from

UNION ALL

-- The latch lets this through only when the device was called silent before.
SELECT
    'no_signal' AS signal,
    h.scenario,
    'no_signal' AS rule,
    4 AS level,
    'cleared' AS state,
    h.property,
    h.station,
    h.district,
    NULL AS value_milli,
    NULL AS threshold_milli,
    NULL AS unit,
    h.slice['start'] AS window_start,
    h.slice['end'] AS window_end,
    h.lat,
    h.lon,
    evidence(h.last_word) AS evidence
FROM heard h
LEFT JOIN silent s ON h.slice = s.slice AND h.station = s.station AND h.property = s.property
WHERE s.silent_from IS NULL OR h.last_heard >= s.silent_from;
