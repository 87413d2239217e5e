-- One row per refined hit. `(node, seq)` is its identity in the journal; `id` its identity towards the world.
--
-- ORDER BY (workspace, at, id): every query names a workspace and a time range, batches arrive nearly
-- sorted this way, and the click of a token is one granule away, because a click id begins with its `at`.
-- PARTITION BY month: a month can be dropped or moved as files, and a range of days opens at most two
-- partitions. No TTL: history is the product; an operator who must forget sets one with ALTER TABLE …
-- MODIFY TTL. No aggregating projections: every query says `seq <= S`, which a projection summed over `seq`
-- cannot answer exactly. non_replicated_deduplication_window: 0 by default; the token of an insert is the
-- second layer of exactly-once, behind the count of `(node, seq)`, for which the skip index on `seq` is.
CREATE TABLE IF NOT EXISTS clicks
(
    node UInt16 CODEC(T64, ZSTD(1)),
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    id UInt128 CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    verdict LowCardinality(String),
    bot Bool,
    flags UInt8,
    status UInt16 CODEC(T64, ZSTD(1)),
    latency_us UInt32 CODEC(T64, ZSTD(1)),
    workspace UInt32 CODEC(T64, ZSTD(1)),
    link UInt64 CODEC(ZSTD(1)),
    program UInt64 CODEC(ZSTD(1)),
    partner UInt64 CODEC(ZSTD(1)),
    visitor UInt64 CODEC(ZSTD(1)),
    network UInt64 CODEC(ZSTD(1)),
    asn UInt32 CODEC(ZSTD(1)),
    domain LowCardinality(String),
    variant LowCardinality(String),
    country LowCardinality(String),
    region LowCardinality(String),
    city String CODEC(ZSTD(1)),
    continent LowCardinality(String),
    device LowCardinality(String),
    browser LowCardinality(String),
    os LowCardinality(String),
    referrer String CODEC(ZSTD(1)),
    medium LowCardinality(String),
    utm_source LowCardinality(String),
    utm_medium LowCardinality(String),
    utm_campaign LowCardinality(String),
    utm_term String CODEC(ZSTD(1)),
    utm_content String CODEC(ZSTD(1)),
    language LowCardinality(String),
    slug String CODEC(ZSTD(1)),
    INDEX by_seq seq TYPE minmax GRANULARITY 1,
    INDEX by_link link TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_partner partner TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (workspace, at, id)
SETTINGS non_replicated_deduplication_window = 10000;
