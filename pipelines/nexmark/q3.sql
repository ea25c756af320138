-- q3, local items: who sells in Oregon, Idaho or California, and what of category 10.
-- The original keeps all persons for ever. Here a seller's entry and the auction lie within 10 seconds of each other: at
-- 10,000 events a second, as `citybrain bench nexmark` makes them, sellers are among the last thousand persons (5 seconds)
-- or among the next ten, so that the bound loses nothing.

CREATE TABLE auctions (
    id BIGINT, item_name TEXT, initial_bid BIGINT, reserve BIGINT, datetime TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.auction');

CREATE TABLE persons (
    id BIGINT, name TEXT, city TEXT, state TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.person');

CREATE TABLE results (name TEXT, city TEXT, state TEXT, auction BIGINT)
WITH (connector = 'delta', path = 'nexmark.q3');

INSERT INTO results
SELECT p.name, p.city, p.state, a.id AS auction
FROM auctions a
JOIN persons p ON a.seller = p.id AND p.datetime BETWEEN a.datetime - INTERVAL '10 seconds' AND a.datetime + INTERVAL '10 seconds'
WHERE a.category = 10 AND (p.state = 'OR' OR p.state = 'ID' OR p.state = 'CA');
