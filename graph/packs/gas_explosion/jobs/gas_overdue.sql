-- Says once, at the moment when it happens, that a household's gas has not been inspected for six months, so that the supplier
-- goes there and nobody has to search 3.33 million rows for it. Six months are calendar months in the city's time: after an
-- inspection on 31 August it is overdue at the same time of day on 28 or 29 February. A visit at which nobody opened is no
-- inspection. The next inspection begins a new half year, which can be overdue once more.

CREATE TABLE inspections (
    household TEXT,
    result TEXT,
    supplier TEXT,
    district TEXT,
    ts TIMESTAMP METADATA FROM 'ce_time',
    WATERMARK FOR ts AS ts - INTERVAL '1 hour'
) WITH (
    connector = 'kafka',
    topic = 'raw.context',
    format = 'json',
    'event.type' = 'io.citybrain.gas.inspection.v1'
);

CREATE TABLE overdue (
    household TEXT,
    overdue_from TIMESTAMP,
    last_inspection TIMESTAMP,
    supplier TEXT,
    district TEXT
) WITH (
    connector = 'delta',
    path = 'gold.gas_overdue'
);

-- A session ends six months after the last inspection in it.
INSERT INTO overdue
SELECT
    household,
    half_year['end'] AS overdue_from,
    last_inspection,
    supplier,
    district
FROM (
    SELECT
        session(INTERVAL '6 months', '+08:00') AS half_year,
        household,
        max(ts) AS last_inspection,
        max(supplier) AS supplier,
        max(district) AS district
    FROM inspections
    WHERE result IS DISTINCT FROM 'no_entry'
    GROUP BY 1, household
);
