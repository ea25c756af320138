-- q19, the ten highest prices bid for each auction, in each ten seconds.
-- The original ranks bids over all time; equal prices count once here.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, auction BIGINT, price BIGINT, nth BIGINT)
WITH (connector = 'delta', path = 'nexmark.q19');

INSERT INTO results
SELECT r.window['start'] AS start, r.auction, r.price, r.nth
FROM (
    SELECT w.window, w.auction, w.price, CAST(row_number() OVER (PARTITION BY w.window, w.auction ORDER BY w.price DESC) AS BIGINT) AS nth
    FROM (
        SELECT tumble(INTERVAL '10 seconds') AS window, auction, price, count(*) AS bids
        FROM bids GROUP BY window, auction, price
    ) w
) r
WHERE r.nth <= 10;
