-- Finds people who had to call three times or more on one day (一人多诉), so that somebody calls them back before they call
-- again. A person is a masked token here; who it is, only the hotline's own vault can say. Days are the city's, at UTC+8.

CREATE TABLE messages (
    caller TEXT,
    category TEXT,
    district TEXT,
    at TIMESTAMP METADATA FROM 'ce_time',
    origin POSITION METADATA FROM 'position',
    local TIMESTAMP GENERATED ALWAYS AS (at + INTERVAL '8 hours') STORED,
    WATERMARK FOR local AS local - INTERVAL '5 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.hotline',
    format = 'json',
    'event.type' = 'io.citybrain.hotline.message.v1'
);

CREATE TABLE repeat_callers (
    day DATE,
    caller TEXT,
    messages BIGINT,
    categories BIGINT,
    districts BIGINT,
    first_at TIMESTAMP,
    last_at TIMESTAMP,
    first POSITION,
    last POSITION
) WITH (
    connector = 'delta',
    path = 'gold.repeat_caller'
);

INSERT INTO repeat_callers
SELECT
    CAST(day['start'] AS DATE) AS day,
    caller,
    messages,
    categories,
    districts,
    first_at,
    last_at,
    first,
    last
FROM (
    SELECT
        tumble(INTERVAL '1 day') AS day,
        caller,
        count(*) AS messages,
        count(DISTINCT category) AS categories,
        count(DISTINCT district) AS districts,
        min(at) AS first_at,
        max(at) AS last_at,
        position_at_min(at, origin) AS first,
        position_at_max(at, origin) AS last
    FROM messages
    WHERE caller IS NOT NULL
    GROUP BY 1, caller
)
WHERE messages >= 3;
