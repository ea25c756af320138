-- What q8 gives over all events at once.
SELECT p.start, p.id, p.name, a.auctions
FROM (SELECT date_bin(INTERVAL '10 seconds', datetime) AS start, id, name FROM persons) p
JOIN (SELECT date_bin(INTERVAL '10 seconds', datetime) AS start, seller, count(*) AS auctions FROM auctions GROUP BY 1, 2) a
    ON p.id = a.seller AND p.start = a.start
