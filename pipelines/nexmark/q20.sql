-- q20, each bid with its auction, of category 10.
-- The original keeps all auctions for ever. Here an auction begins within 10 seconds of the bid: at 10,000 events a second
-- bids are on one of the last two hundred auctions (a third of a second) or on one of the next ten, so that the bound loses
-- nothing.

CREATE TABLE auctions (
    id BIGINT, item_name TEXT, initial_bid BIGINT, reserve BIGINT, datetime TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.auction');

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, item_name TEXT, initial_bid BIGINT, reserve BIGINT, opened TIMESTAMP, expires TIMESTAMP, seller BIGINT)
WITH (connector = 'delta', path = 'nexmark.q20');

INSERT INTO results
SELECT b.auction, b.bidder, b.price, b.datetime, a.item_name, a.initial_bid, a.reserve, a.datetime AS opened, a.expires, a.seller
FROM bids b
JOIN auctions a ON b.auction = a.id AND a.datetime BETWEEN b.datetime - INTERVAL '10 seconds' AND b.datetime + INTERVAL '10 seconds'
WHERE a.category = 10;
