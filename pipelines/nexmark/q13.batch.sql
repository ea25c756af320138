-- What q13 gives over all events at once.
SELECT auction, bidder, price, datetime, concat('side-', auction % 1000) AS value FROM bids
