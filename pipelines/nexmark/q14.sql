-- q14, calculation: prices converted, hours named, letters counted.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (auction BIGINT, bidder BIGINT, price DOUBLE, bid_time TEXT, datetime TIMESTAMP, c_counts BIGINT)
WITH (connector = 'delta', path = 'nexmark.q14');

INSERT INTO results
SELECT auction, bidder, 0.908 * price AS price,
    CASE
        WHEN date_part('hour', datetime) >= 8 AND date_part('hour', datetime) <= 18 THEN 'dayTime'
        WHEN date_part('hour', datetime) <= 6 OR date_part('hour', datetime) >= 20 THEN 'nightTime'
        ELSE 'otherTime'
    END AS bid_time,
    datetime, CAST(length(url) - length(replace(url, 'c', '')) AS BIGINT) AS c_counts
FROM bids
WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
