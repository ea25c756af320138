-- What q2 gives over all events at once.
SELECT auction, price FROM bids WHERE auction % 123 = 0
