-- What q1 gives over all events at once.
SELECT auction, bidder, 0.908 * price AS price, datetime FROM bids
