-- What q12 gives over all events at once.
SELECT bidder, count(*) AS bids FROM bids GROUP BY bidder
