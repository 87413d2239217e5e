-- One row per browser event: page views, what became of them (engagement), clicks on elements, custom events and
-- impressions. `(node, seq)` is its identity in the journal, as for clicks.
--
-- ORDER BY (workspace, at, id): as for clicks, and so that clicks and events of a query are read alike. Everything else
-- (one site, one page's heat map) is a scan of the range's few columns.
-- PARTITION BY month, no TTL, no aggregating projections, the deduplication window: see 0001.
-- `value` is exact: 6 decimals of a number of the page, or of `currency` where it names one. `properties` are texts, as
-- queries group and filter by them; at most 20 (schemas::event), so that a Map stays small.
-- Coordinates are CSS pixels; `engaged_ms` and `scroll` (percent of the page) stand in rows of kind `engagement`, which
-- belong to the page view with the same `view`.
CREATE TABLE IF NOT EXISTS events
(
    node UInt16 CODEC(T64, ZSTD(1)),
    seq UInt64 CODEC(Delta(8), ZSTD(1)),
    id UInt128 CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    kind LowCardinality(String),
    event LowCardinality(String),
    bot Bool,
    workspace UInt32 CODEC(T64, ZSTD(1)),
    site UInt64 CODEC(ZSTD(1)),
    click UInt128 CODEC(ZSTD(1)),
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
    view UInt64 CODEC(ZSTD(1)),
    path String CODEC(ZSTD(1)),
    title String CODEC(ZSTD(1)),
    engaged_ms UInt32 CODEC(T64, ZSTD(1)),
    scroll UInt8 CODEC(ZSTD(1)),
    selector String CODEC(ZSTD(1)),
    href String CODEC(ZSTD(1)),
    x UInt32 CODEC(T64, ZSTD(1)),
    y UInt32 CODEC(T64, ZSTD(1)),
    element_x UInt32 CODEC(T64, ZSTD(1)),
    element_y UInt32 CODEC(T64, ZSTD(1)),
    page_width UInt32 CODEC(T64, ZSTD(1)),
    page_height UInt32 CODEC(T64, ZSTD(1)),
    value Decimal(18, 6) CODEC(ZSTD(1)),
    currency LowCardinality(String),
    properties Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    INDEX by_seq seq TYPE minmax GRANULARITY 1,
    INDEX by_site site TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (workspace, at, id)
SETTINGS non_replicated_deduplication_window = 10000;
