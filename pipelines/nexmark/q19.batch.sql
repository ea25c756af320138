-- What q19 gives over all events at once.
SELECT start, auction, price, nth
FROM (
    SELECT start, auction, price, CAST(row_number() OVER (PARTITION BY start, auction ORDER BY price DESC) AS BIGINT) AS nth
    FROM (SELECT DISTINCT date_bin(INTERVAL '10 seconds', datetime) AS start, auction, price FROM bids)
)
WHERE nth <= 10
