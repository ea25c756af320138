-- What q4 gives over all events at once.
SELECT start, category, count(*) AS auctions, avg(final) AS average
FROM (
    SELECT date_bin(INTERVAL '10 seconds', b.datetime) AS start, a.id, a.category, max(b.price) AS final
    FROM auctions a JOIN bids b ON a.id = b.auction AND b.datetime BETWEEN a.datetime AND a.expires
    GROUP BY 1, 2, 3
)
GROUP BY start, category
