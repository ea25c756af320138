-- What q20 gives over all events at once.
SELECT b.auction, b.bidder, b.price, b.datetime, a.item_name, a.initial_bid, a.reserve, a.datetime AS opened, a.expires, a.seller
FROM bids b JOIN auctions a ON b.auction = a.id
WHERE a.category = 10
