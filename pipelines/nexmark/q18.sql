-- q18, last bid of each bidder on each auction, in each ten seconds.
-- The original keeps the last bid for ever. Of bids in the same millisecond the highest counts.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP)
WITH (connector = 'delta', path = 'nexmark.q18');

INSERT INTO results
SELECT r.window['start'] AS start, r.auction, r.bidder, r.price, r.datetime
FROM (
    SELECT w.window, w.auction, w.bidder, w.price, w.datetime,
        row_number() OVER (PARTITION BY w.window, w.auction, w.bidder ORDER BY w.datetime DESC) AS nth
    FROM (
        SELECT tumble(INTERVAL '10 seconds') AS window, auction, bidder, datetime, max(price) AS price
        FROM bids GROUP BY window, auction, bidder, datetime
    ) w
) r
WHERE r.nth = 1;
