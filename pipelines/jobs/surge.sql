-- Compares what people report each hour with what this district, category, weekday and hour usually have, so that a rise is seen
-- hours before anybody reads the letters: heating complaints before the cold wave's second night, hygiene before an outbreak.
-- `score` says how many usual deviations the hour is above the usual; a deviation is taken for one report at least, so that
-- one call where there is usually none is no surge. What is usual stands in hotline_baseline.csv and hotline_districts.csv.
-- Alerts on surges of a scenario are the brain's own work; this table is for people who plan.

CREATE TABLE messages (
    category TEXT,
    district TEXT,
    at TIMESTAMP METADATA FROM 'ce_time',
    local TIMESTAMP GENERATED ALWAYS AS (at + INTERVAL '8 hours') STORED,
    WATERMARK FOR local AS local - INTERVAL '5 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.hotline',
    format = 'json',
    'event.type' = 'io.citybrain.hotline.message.v1'
);

CREATE TABLE orders (
    category TEXT,
    district TEXT,
    at TIMESTAMP METADATA FROM 'ce_time',
    local TIMESTAMP GENERATED ALWAYS AS (at + INTERVAL '8 hours') STORED,
    WATERMARK FOR local AS local - INTERVAL '5 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.workorder',
    format = 'json',
    'event.type' = 'io.citybrain.workorder.created.v1'
);

CREATE TABLE baseline (
    category TEXT,
    weekday INT,
    hour INT,
    expected DOUBLE,
    deviation DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'lookup',
    path = 'hotline_baseline.csv',
    format = 'csv'
);

CREATE TABLE districts (
    district TEXT,
    share DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'lookup',
    path = 'hotline_districts.csv',
    format = 'csv'
);

CREATE TABLE surges (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    district TEXT,
    category TEXT,
    reports BIGINT,
    expected DOUBLE,
    score DOUBLE
) WITH (
    connector = 'delta',
    path = 'gold.surge'
);

CREATE VIEW reports AS
SELECT district, category FROM messages
UNION ALL
SELECT district, category FROM orders;

CREATE VIEW hours AS
SELECT hour, date_part('isodow', hour['start']) AS weekday, date_part('hour', hour['start']) AS hour_of_day, district, category, reports
FROM (
    SELECT tumble(INTERVAL '1 hour') AS hour, district, category, count(*) AS reports
    FROM reports
    WHERE district IS NOT NULL AND category IS NOT NULL
    GROUP BY 1, district, category
);

-- The city's usual hour, cut to the district's share of it; a category that is not in the file has nothing usual.
CREATE VIEW compared AS
SELECT
    h.hour,
    h.district,
    h.category,
    h.reports,
    coalesce(b.expected * d.share, 0) AS expected,
    greatest(coalesce(b.deviation * sqrt(d.share), 1), 1) AS deviation
FROM hours h
LEFT JOIN districts d ON h.district = d.district
LEFT JOIN baseline b ON h.category = b.category AND h.weekday = b.weekday AND h.hour_of_day = b.hour;

INSERT INTO surges
SELECT
    hour['start'] - INTERVAL '8 hours' AS window_start,
    hour['end'] - INTERVAL '8 hours' AS window_end,
    district,
    category,
    reports,
    expected,
    (reports - expected) / deviation AS score
FROM compared
WHERE reports >= 5 AND (reports - expected) / deviation >= 4;
