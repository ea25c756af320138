-- Finds work orders on which nothing has happened for four hours and that are not closed, so that somebody asks before the
-- deadline does. A session of an order's events ends four hours after the last of them; if none of them closed the order, it
-- lies somewhere. `risk` says how bad that is: `overdue` when the deadline has passed, `near` when less than the same four hours
-- are left, `idle` when there is more time, and `forgotten` when it was touched once more and then left (its deadline was
-- told at its creation, in an earlier session).

CREATE TABLE orders (
    request_id TEXT,
    category TEXT,
    district TEXT,
    agency TEXT,
    status TEXT,
    due TIMESTAMP,
    kind TEXT METADATA FROM 'ce_type',
    ts TIMESTAMP METADATA FROM 'ce_time',
    origin POSITION METADATA FROM 'position',
    WATERMARK FOR ts AS ts - INTERVAL '5 minutes'
) WITH (
    connector = 'kafka',
    topic = 'raw.workorder',
    format = 'json',
    'event.type' = 'io.citybrain.workorder.created.v1, io.citybrain.workorder.updated.v1, io.citybrain.workorder.closed.v1'
);

CREATE TABLE deadline_risks (
    at TIMESTAMP,
    request_id TEXT,
    risk TEXT,
    due TIMESTAMP,
    minutes_left BIGINT,
    category TEXT,
    district TEXT,
    agency TEXT,
    last_event TIMESTAMP,
    events BIGINT,
    evidence POSITION[]
) WITH (
    connector = 'delta',
    path = 'gold.deadline_risk'
);

CREATE VIEW idle AS
SELECT
    session(INTERVAL '4 hours') AS busy,
    request_id,
    max(due) AS due,
    max(category) AS category,
    max(district) AS district,
    max(agency) AS agency,
    max(ts) AS last_event,
    count(*) AS events,
    bool_or(kind = 'io.citybrain.workorder.closed.v1' OR coalesce(status, '') = 'closed') AS closed,
    position_at_max(ts, origin) AS last
FROM orders
GROUP BY 1, request_id;

INSERT INTO deadline_risks
SELECT
    busy['end'] AS at,
    request_id,
    CASE
        WHEN due IS NULL THEN 'forgotten'
        WHEN due <= busy['end'] THEN 'overdue'
        WHEN due < busy['end'] + INTERVAL '4 hours' THEN 'near'
        ELSE 'idle'
    END AS risk,
    due,
    CAST((date_part('epoch', due) - date_part('epoch', busy['end'])) / 60 AS BIGINT) AS minutes_left,
    category,
    district,
    agency,
    last_event,
    events,
    evidence(last) AS evidence
FROM idle
WHERE NOT closed;
