-- Looks at each garbage station once a day and names those whose weights cannot be right, so that an inspector visits four of 59
-- stations and not all of them. Three things are odd: what went in did not come out again (`unbalanced`), it is far from what
-- this station has on such a day (`unusual`), or vehicles came between midnight and five (`at_night`). What a station usually
-- has is its own mean times a factor for the weekday, or for the holiday that the calendar knows, times one for the day's
-- rain, which makes garbage heavier. A station that weighs nothing all day is unusual, too. Days are the city's, at UTC+8.

CREATE TABLE weighings (
    station TEXT,
    direction TEXT,
    net_kg DOUBLE,
    at TIMESTAMP METADATA FROM 'ce_time',
    local TIMESTAMP GENERATED ALWAYS AS (at + INTERVAL '8 hours') STORED,
    WATERMARK FOR local AS local - INTERVAL '1 hour'
) WITH (
    connector = 'kafka',
    topic = 'raw.context',
    format = 'json',
    'event.type' = 'io.citybrain.garbage.weighing.v1'
);

CREATE TABLE weather (
    station TEXT,
    district TEXT,
    rain DOUBLE,
    at TIMESTAMP METADATA FROM 'ce_time',
    local TIMESTAMP GENERATED ALWAYS AS (at + INTERVAL '8 hours') STORED,
    WATERMARK FOR local AS local - INTERVAL '1 hour'
) WITH (
    connector = 'kafka',
    topic = 'raw.context',
    format = 'json',
    'event.type' = 'io.citybrain.context.weather.v1'
);

CREATE TABLE stations (
    station TEXT,
    name TEXT,
    district TEXT,
    daily_kg DOUBLE,
    balance_tolerance DOUBLE,
    usual_tolerance DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'lookup',
    path = 'garbage_stations.csv',
    format = 'csv'
);

CREATE TABLE weekdays (weekday INT, factor DOUBLE)
WITH (connector = 'filesystem', type = 'lookup', path = 'garbage_weekdays.csv', format = 'csv');

CREATE TABLE calendar (date DATE, factor DOUBLE)
WITH (connector = 'filesystem', type = 'lookup', path = 'garbage_calendar.csv', format = 'csv');

CREATE TABLE wetness (from_mm DOUBLE, below_mm DOUBLE, factor DOUBLE)
WITH (connector = 'filesystem', type = 'lookup', path = 'garbage_rain.csv', format = 'csv');

CREATE TABLE anomalies (
    day DATE,
    station TEXT,
    name TEXT,
    district TEXT,
    unbalanced BOOLEAN,
    unusual BOOLEAN,
    at_night BIGINT,
    in_kg DOUBLE,
    out_kg DOUBLE,
    expected_kg DOUBLE,
    rain_mm DOUBLE,
    vehicles_in BIGINT,
    vehicles_out BIGINT
) WITH (
    connector = 'delta',
    path = 'gold.weigh_anomaly'
);

CREATE VIEW days AS
SELECT
    tumble(INTERVAL '1 day') AS day,
    station,
    sum(net_kg) FILTER (WHERE direction = 'in') AS in_kg,
    sum(net_kg) FILTER (WHERE direction = 'out') AS out_kg,
    count(*) FILTER (WHERE direction = 'in') AS vehicles_in,
    count(*) FILTER (WHERE direction = 'out') AS vehicles_out,
    count(*) FILTER (WHERE date_part('hour', local) < 5) AS at_night
FROM weighings
GROUP BY 1, station;

-- Each station on each day on which anything was weighed in the city.
CREATE VIEW roll_call AS
SELECT d.day, s.*
FROM (SELECT day FROM days GROUP BY day) d
CROSS JOIN stations s;

CREATE VIEW rain AS
SELECT tumble(INTERVAL '1 day') AS day, district, sum(rain) / count(DISTINCT station) AS rain_mm
FROM weather
WHERE rain IS NOT NULL
GROUP BY 1, district;

CREATE VIEW weighed AS
SELECT
    CAST(c.day['start'] AS DATE) AS date,
    date_part('isodow', c.day['start']) AS weekday,
    c.station,
    c.name,
    c.district,
    c.daily_kg,
    c.balance_tolerance,
    c.usual_tolerance,
    coalesce(d.in_kg, 0) AS in_kg,
    coalesce(d.out_kg, 0) AS out_kg,
    coalesce(d.vehicles_in, 0) AS vehicles_in,
    coalesce(d.vehicles_out, 0) AS vehicles_out,
    coalesce(d.at_night, 0) AS at_night,
    coalesce(r.rain_mm, 0) AS rain_mm
FROM roll_call c
LEFT JOIN days d ON c.day = d.day AND c.station = d.station
LEFT JOIN rain r ON c.day = r.day AND c.district = r.district;

CREATE VIEW expected AS
SELECT w.*, w.daily_kg * coalesce(h.factor, f.factor) * r.factor AS expected_kg
FROM weighed w
JOIN weekdays f ON w.weekday = f.weekday
JOIN wetness r ON w.rain_mm >= r.from_mm AND w.rain_mm < r.below_mm
LEFT JOIN calendar h ON w.date = h.date;

CREATE VIEW judged AS
SELECT
    *,
    abs(in_kg - out_kg) > balance_tolerance * in_kg AS unbalanced,
    abs(in_kg - expected_kg) > usual_tolerance * expected_kg AS unusual
FROM expected;

INSERT INTO anomalies
SELECT
    date AS day,
    station,
    name,
    district,
    unbalanced,
    unusual,
    at_night,
    in_kg,
    out_kg,
    expected_kg,
    rain_mm,
    vehicles_in,
    vehicles_out
FROM judged
WHERE unbalanced OR unusual OR at_night > 0;
