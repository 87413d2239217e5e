-- What could not be stored, with the reason: an entry is stored, waiting, or here, and never silently gone.
-- `source` is the table it was meant for; `sub` is 0 for clicks. `payload` is the entry's bytes as the
-- journal had them.
CREATE TABLE IF NOT EXISTS dead_letter
(
    node UInt16,
    seq UInt64,
    sub UInt16,
    at DateTime64(3, 'UTC'),
    source LowCardinality(String),
    reason String,
    payload String CODEC(ZSTD(3))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (node, seq, sub)
SETTINGS non_replicated_deduplication_window = 10000;
