-- What q7 gives over all events at once.
SELECT start, auction, bidder, price
FROM (
    SELECT date_bin(INTERVAL '10 seconds', datetime) AS start, auction, bidder, price,
        row_number() OVER (PARTITION BY date_bin(INTERVAL '10 seconds', datetime) ORDER BY price DESC, auction, bidder) AS nth
    FROM bids
)
WHERE nth = 1
