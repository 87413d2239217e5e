-- A conversion's properties, so that it is grouped and filtered by them as browser events are. Rows from before have none.
ALTER TABLE effects ADD COLUMN IF NOT EXISTS properties Map(LowCardinality(String), String) CODEC(ZSTD(1));
