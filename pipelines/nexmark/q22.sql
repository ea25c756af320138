-- q22, the folders of the address.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, dir1 TEXT, dir2 TEXT, dir3 TEXT)
WITH (connector = 'delta', path = 'nexmark.q22');

INSERT INTO results
SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2, split_part(url, '/', 6) AS dir3
FROM bids;
