-- q2, selection: bids on some auctions.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (auction BIGINT, price BIGINT)
WITH (connector = 'kafka', topic = 'nexmark.q2', format = 'json', 'event.type' = 'io.nexmark.q2');

INSERT INTO results
SELECT auction, price FROM bids WHERE auction % 123 = 0;
