-- q8, monitor new users: who came and opened auctions in the same ten seconds.

CREATE TABLE auctions (
    id BIGINT, item_name TEXT, initial_bid BIGINT, reserve BIGINT, datetime TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.auction');

CREATE TABLE persons (
    id BIGINT, name TEXT, city TEXT, state TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.person');

CREATE TABLE results (start TIMESTAMP, id BIGINT, name TEXT, auctions BIGINT)
WITH (connector = 'delta', path = 'nexmark.q8');

INSERT INTO results
SELECT p.window['start'] AS start, p.id, p.name, a.auctions
FROM (SELECT tumble(INTERVAL '10 seconds') AS window, id, name, count(*) AS entries FROM persons GROUP BY window, id, name) p
JOIN (SELECT tumble(INTERVAL '10 seconds') AS window, seller, count(*) AS auctions FROM auctions GROUP BY window, seller) a
    ON p.id = a.seller AND p.window = a.window;
