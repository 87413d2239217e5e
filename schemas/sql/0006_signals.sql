-- What makes a click suspicious (`hosting`, `network_rate`, …, empty where nothing does) and by what it was noticed. A label:
-- nothing is dropped for it. Conversions inherit their click's. Rows from before have none.
ALTER TABLE clicks ADD COLUMN IF NOT EXISTS signal LowCardinality(String);
ALTER TABLE clicks ADD COLUMN IF NOT EXISTS evidence String CODEC(ZSTD(1));
ALTER TABLE effects ADD COLUMN IF NOT EXISTS signal LowCardinality(String);
ALTER TABLE events ADD COLUMN IF NOT EXISTS signal LowCardinality(String);
-- A verdict that came late moves hits between verdicts, under the click's own dimensions. Such a row has a `verdict`; those of
-- conversions have none.
ALTER TABLE effects ADD COLUMN IF NOT EXISTS hits Int64 CODEC(T64, ZSTD(1));
ALTER TABLE effects ADD COLUMN IF NOT EXISTS verdict LowCardinality(String);
ALTER TABLE effects ADD COLUMN IF NOT EXISTS asn UInt32 CODEC(T64, ZSTD(1));
