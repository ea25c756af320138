-- What q14 gives over all events at once.
SELECT auction, bidder, 0.908 * price AS price,
    CASE
        WHEN date_part('hour', datetime) >= 8 AND date_part('hour', datetime) <= 18 THEN 'dayTime'
        WHEN date_part('hour', datetime) <= 6 OR date_part('hour', datetime) >= 20 THEN 'nightTime'
        ELSE 'otherTime'
    END AS bid_time,
    datetime, CAST(length(url) - length(replace(url, 'c', '')) AS BIGINT) AS c_counts
FROM bids
WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000
