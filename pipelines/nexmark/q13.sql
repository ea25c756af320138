-- q13, side input: each bid beside a row of a file.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE side (key BIGINT, value TEXT)
WITH (connector = 'filesystem', type = 'lookup', path = 'side_input.csv', format = 'csv');

CREATE TABLE results (auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, value TEXT)
WITH (connector = 'delta', path = 'nexmark.q13');

INSERT INTO results
SELECT b.auction, b.bidder, b.price, b.datetime, s.value
FROM bids b JOIN side s ON b.auction % 1000 = s.key;
