-- The clicks of a link, whose own page asks for them by everything that a visitor is, lie scattered over all clicks.
-- Here they lie together, with the columns that the page asks for: of ten million clicks the visitors of a link of 44,000
-- were found in 45 ms instead of a second, for 32 bytes a click. What else is asked of a link (latencies, networks) is
-- read as before.
ALTER TABLE clicks ADD PROJECTION IF NOT EXISTS by_link
(
    SELECT workspace, link, at, seq, verdict, bot, visitor, program, partner, domain, variant, country, region, city,
        device, browser, os, referrer, medium, utm_source, utm_campaign
    ORDER BY (workspace, link, at)
);
-- In the background, for what is stored already.
ALTER TABLE clicks MATERIALIZE PROJECTION by_link SETTINGS mutations_sync = 0;
