-- q21, the channel's id, from its name or from the address.

CREATE TABLE bids (
    auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP,
    WATERMARK FOR datetime AS datetime - INTERVAL '1 second'
) WITH (connector = 'kafka', topic = 'nexmark', format = 'json', 'event.type' = 'io.nexmark.bid');

CREATE TABLE results (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, channel_id TEXT)
WITH (connector = 'delta', path = 'nexmark.q21');

INSERT INTO results
SELECT auction, bidder, price, channel,
    CASE
        WHEN lower(channel) = 'apple' THEN '0'
        WHEN lower(channel) = 'google' THEN '1'
        WHEN lower(channel) = 'facebook' THEN '2'
        WHEN lower(channel) = 'baidu' THEN '3'
        ELSE split_part(split_part(url, 'channel_id=', 2), '&', 1)
    END AS channel_id
FROM bids
WHERE lower(channel) IN ('apple', 'google', 'facebook', 'baidu') OR split_part(url, 'channel_id=', 2) <> '';
