-- q7, highest bid of each ten seconds.
-- Of equal bids the one on the first auction by the first bidder, so that the result is one.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, auction BIGINT, bidder BIGINT, price BIGINT)
WITH (connector = 'delta', path = 'nexmark.q7');

INSERT INTO results
SELECT r.window['start'] AS start, r.auction, r.bidder, r.price
FROM (
    SELECT w.window, w.auction, w.bidder, w.price,
        row_number() OVER (PARTITION BY w.window ORDER BY w.price DESC, w.auction, w.bidder) AS nth
    FROM (
        SELECT tumble(INTERVAL '10 seconds') AS window, auction, bidder, max(price) AS price
        FROM bids GROUP BY window, auction, bidder
    ) w
) r
WHERE r.nth = 1;
