-- What q5 gives over all events at once.
WITH counts AS (
    SELECT date_bin(INTERVAL '2 seconds', datetime) - slid AS start, auction, count(*) AS bids
    FROM bids CROSS JOIN (
        VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'), (INTERVAL '6 seconds'), (INTERVAL '8 seconds')
    ) AS slides (slid)
    GROUP BY 1, 2
)
SELECT c.start, c.auction, c.bids
FROM counts c JOIN (SELECT start, max(bids) AS most FROM counts GROUP BY start) m ON c.start = m.start AND c.bids = m.most
