-- q1, currency: each price in euros.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (auction BIGINT, bidder BIGINT, price DOUBLE, datetime TIMESTAMP)
WITH (connector = 'kafka', topic = 'nexmark.q1', format = 'json', 'event.type' = 'io.nexmark.q1');

INSERT INTO results
SELECT auction, bidder, 0.908 * price AS price, datetime FROM bids;
