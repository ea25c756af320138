-- q17, bidding statistics of each auction and day.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, auction BIGINT,
    total_bids BIGINT, rank1_bids BIGINT, rank2_bids BIGINT, rank3_bids BIGINT, min_price BIGINT, max_price BIGINT, avg_price DOUBLE, sum_price BIGINT)
WITH (connector = 'delta', path = 'nexmark.q17');

INSERT INTO results
SELECT w.window['start'] AS start, w.auction,
    w.total_bids, w.rank1_bids, w.rank2_bids, w.rank3_bids, w.min_price, w.max_price, w.avg_price, w.sum_price
FROM (
    SELECT tumble(INTERVAL '1 day') AS window, auction,
        count(*) AS total_bids,
        count(*) FILTER (WHERE price < 10000) AS rank1_bids,
        count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
        count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
        min(price) AS min_price,
        max(price) AS max_price,
        avg(price) AS avg_price,
        sum(price) AS sum_price
    FROM bids GROUP BY window, auction
) w;
