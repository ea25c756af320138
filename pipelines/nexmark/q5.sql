-- q5, hot items: the auctions with most bids in the last ten seconds, every two seconds.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, auction BIGINT, bids BIGINT)
WITH (connector = 'delta', path = 'nexmark.q5');

INSERT INTO results
SELECT c.window['start'] AS start, c.auction, c.bids
FROM (SELECT hop(INTERVAL '2 seconds', INTERVAL '10 seconds') AS window, auction, count(*) AS bids FROM bids GROUP BY window, auction) c
JOIN (
    SELECT n.window, max(n.bids) AS most
    FROM (SELECT hop(INTERVAL '2 seconds', INTERVAL '10 seconds') AS window, auction, count(*) AS bids FROM bids GROUP BY window, auction) n
    GROUP BY n.window
) m ON c.window = m.window AND c.bids = m.most;
