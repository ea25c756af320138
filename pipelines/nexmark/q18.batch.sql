-- What q18 gives over all events at once.
SELECT start, auction, bidder, price, datetime
FROM (
    SELECT date_bin(INTERVAL '10 seconds', datetime) AS start, auction, bidder, price, datetime,
        row_number() OVER (PARTITION BY date_bin(INTERVAL '10 seconds', datetime), auction, bidder ORDER BY datetime DESC, price DESC) AS nth
    FROM bids
)
WHERE nth = 1
