-- One row per signed change that a fact made (schemas::effect). Everything is added up, nothing is ever
-- updated: a restatement is a pair of rows. `(node, seq, sub)` is a row's identity.
--
-- ORDER BY (workspace, at, seq, sub): as for clicks; `at` is when the event happened, which may be long
-- before it came. Text defaults are empty, ids 0 where there is none: Nullable would cost a mask per column
-- and mean the same.
CREATE TABLE IF NOT EXISTS effects
(
    node UInt16 CODEC(T64, ZSTD(1)),
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    sub UInt16 CODEC(T64, ZSTD(1)),
    workspace UInt32 CODEC(T64, ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event LowCardinality(String),
    conversion UInt64 CODEC(ZSTD(1)),
    order_id String CODEC(ZSTD(1)),
    customer UInt64 CODEC(ZSTD(1)),
    provider LowCardinality(String),
    currency LowCardinality(String),
    click UInt128 CODEC(ZSTD(1)),
    link UInt64 CODEC(ZSTD(1)),
    program UInt64 CODEC(ZSTD(1)),
    partner UInt64 CODEC(ZSTD(1)),
    visitor UInt64 CODEC(ZSTD(1)),
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
    leads Int64 CODEC(T64, ZSTD(1)),
    conversions Int64 CODEC(T64, ZSTD(1)),
    orders Int64 CODEC(T64, ZSTD(1)),
    events Int64 CODEC(T64, ZSTD(1)),
    new_customers Int64 CODEC(T64, ZSTD(1)),
    revenue Int64 CODEC(T64, ZSTD(1)),
    refunds Int64 CODEC(T64, ZSTD(1)),
    commission Int64 CODEC(T64, ZSTD(1)),
    INDEX by_seq seq TYPE minmax GRANULARITY 1,
    INDEX by_conversion conversion TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_customer customer TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (workspace, at, seq, sub)
SETTINGS non_replicated_deduplication_window = 10000;
