-- What q0 gives over all events at once.
SELECT auction, bidder, price, channel, url, datetime FROM bids
