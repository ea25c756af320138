-- What q11 gives over all events at once.
WITH marked AS (
    SELECT bidder, datetime,
        CASE WHEN datetime - lag(datetime) OVER (PARTITION BY bidder ORDER BY datetime) < INTERVAL '10 seconds' THEN 0 ELSE 1 END AS begins
    FROM bids
), numbered AS (
    SELECT bidder, datetime, sum(begins) OVER (PARTITION BY bidder ORDER BY datetime ROWS UNBOUNDED PRECEDING) AS nth FROM marked
)
SELECT min(datetime) AS start, max(datetime) + INTERVAL '10 seconds' AS finish, bidder, count(*) AS bids
FROM numbered GROUP BY bidder, nth
