-- q11, user sessions: how often somebody bids until they are silent for ten seconds.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, finish TIMESTAMP, bidder BIGINT, bids BIGINT)
WITH (connector = 'delta', path = 'nexmark.q11');

INSERT INTO results
SELECT w.window['start'] AS start, w.window['end'] AS finish, w.bidder, w.bids
FROM (SELECT session(INTERVAL '10 seconds') AS window, bidder, count(*) AS bids FROM bids GROUP BY window, bidder) w;
