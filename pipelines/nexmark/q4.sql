-- q4, average price for a category: of the highest bid on each auction while it was open.
-- The original averages over all time and corrects itself with each bid. Here bids come within a second of their auction's
-- beginning (auctions of the generator last a third of that at most, at 10,000 events a second), and the average is that of
-- the auctions bid on in ten seconds.

CREATE TABLE auctions (
    id BIGINT, item_name TEXT, initial_bid BIGINT, reserve BIGINT, datetime TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.auction');

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, category BIGINT, auctions BIGINT, average DOUBLE)
WITH (connector = 'delta', path = 'nexmark.q4');

INSERT INTO results
SELECT w.window['start'] AS start, w.category, count(*) AS auctions, avg(w.final) AS average
FROM (
    SELECT tumble(INTERVAL '10 seconds') AS window, a.id, a.category, max(b.price) AS final
    FROM auctions a
    JOIN bids b ON a.id = b.auction AND b.datetime BETWEEN a.datetime AND a.datetime + INTERVAL '1 second'
    WHERE b.datetime <= a.expires
    GROUP BY window, a.id, a.category
) w
GROUP BY w.window, w.category;
