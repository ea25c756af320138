-- q12, windows of the time of arrival: how often somebody bids in ten seconds of the clock.
-- The clock is Kafka's: the timestamp of each record, so that the result can be computed again.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, arrived TIMESTAMP METADATA FROM 'timestamp',
    WATERMARK FOR arrived AS arrived - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, bidder BIGINT, bids BIGINT)
WITH (connector = 'delta', path = 'nexmark.q12');

INSERT INTO results
SELECT w.window['start'] AS start, w.bidder, w.bids
FROM (SELECT tumble(INTERVAL '10 seconds') AS window, bidder, count(*) AS bids FROM bids GROUP BY window, bidder) w;
