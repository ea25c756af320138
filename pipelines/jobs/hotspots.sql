-- Finds places from which many people report the same matter within an hour (一事多诉), so that one crew goes out to one cause
-- instead of ten orders to ten letters. People are counted, not messages: one who calls nine times is one. A place is the
-- street or site of the masked address, without the house number.

CREATE TABLE messages (
    message_id TEXT,
    caller TEXT,
    category TEXT,
    district TEXT,
    address TEXT,
    lat DOUBLE,
    lon DOUBLE,
    ts TIMESTAMP METADATA FROM 'ce_time',
    origin POSITION METADATA FROM 'position',
    WATERMARK FOR ts AS ts - INTERVAL '5 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.hotline',
    format = 'json',
    'event.type' = 'io.citybrain.hotline.message.v1'
);

CREATE TABLE hotspots (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    district TEXT,
    place TEXT,
    category TEXT,
    callers BIGINT,
    messages BIGINT,
    lat DOUBLE,
    lon DOUBLE,
    first POSITION,
    last POSITION
) WITH (
    connector = 'delta',
    path = 'gold.hotspot_15m'
);

-- 民主路35号 and 西城区民主路20号 are both 民主路. Who leaves neither token nor address is nobody anywhere, and is not counted.
CREATE VIEW placed AS
SELECT
    ts,
    origin,
    caller,
    district,
    coalesce(category, '未分类') AS category,
    regexp_replace(replace(address, coalesce(district, ''), ''), '[0-9０-９].*$', '') AS place,
    lat,
    lon
FROM messages
WHERE caller IS NOT NULL AND address IS NOT NULL;

INSERT INTO hotspots
SELECT
    hour['start'] AS window_start,
    hour['end'] AS window_end,
    district,
    place,
    category,
    callers,
    messages,
    lat,
    lon,
    first,
    last
FROM (
    SELECT
        hop(INTERVAL '15 minutes', INTERVAL '1 hour') AS hour,
        district,
        place,
        category,
        count(DISTINCT caller) AS callers,
        count(*) AS messages,
        avg(lat) AS lat,
        avg(lon) AS lon,
        position_at_min(ts, origin) AS first,
        position_at_max(ts, origin) AS last
    FROM placed
    WHERE place <> ''
    GROUP BY 1, district, place, category
)
WHERE callers >= 5;
