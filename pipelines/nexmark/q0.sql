-- q0, pass through: what reading and writing cost.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP)
WITH (connector = 'kafka', topic = 'nexmark.q0', format = 'json', 'event.type' = 'io.nexmark.q0');

INSERT INTO results
SELECT auction, bidder, price, channel, url, datetime FROM bids;
