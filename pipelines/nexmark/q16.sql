-- q16, bidding statistics of each channel and day.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (start TIMESTAMP, channel TEXT,
    total_bids BIGINT, rank1_bids BIGINT, rank2_bids BIGINT, rank3_bids BIGINT, total_bidders BIGINT, rank1_bidders BIGINT, rank2_bidders BIGINT, rank3_bidders BIGINT, total_auctions BIGINT, rank1_auctions BIGINT, rank2_auctions BIGINT, rank3_auctions BIGINT)
WITH (connector = 'delta', path = 'nexmark.q16');

INSERT INTO results
SELECT w.window['start'] AS start, w.channel,
    w.total_bids, w.rank1_bids, w.rank2_bids, w.rank3_bids, w.total_bidders, w.rank1_bidders, w.rank2_bidders, w.rank3_bidders, w.total_auctions, w.rank1_auctions, w.rank2_auctions, w.rank3_auctions
FROM (
    SELECT tumble(INTERVAL '1 day') AS window, channel,
        count(*) AS total_bids,
        count(*) FILTER (WHERE price < 10000) AS rank1_bids,
        count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
        count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
        count(DISTINCT bidder) AS total_bidders,
        count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
        count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
        count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
        count(DISTINCT auction) AS total_auctions,
        count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions,
        count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_auctions,
        count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions
    FROM bids GROUP BY window, channel
) w;
