-- `click_cells` with registers that are joined fast. All of it is made anew from `clicks`.
--
-- The largest of each of 16,384 registers was worked out by a call for each register of each row; that, and as many
-- calls to begin and to end each row of an answer, was most of what a question for visitors took. In unary (the value v
-- is v bits) the largest is the bitwise or: 1,024 numbers of 256 bits, one instruction each. `registers` has for each
-- register a byte of its first eight bits and then for each one of the next eight; `high` has the values beyond 16 as
-- `register * 64 + value`, one of 65,536 visitors. LZ4, as reading ZSTD took longer than joining.
-- Visitors by Berlin's day over a year: 0.16 s of a core instead of 0.48, for twice the bytes of registers.
DROP TABLE IF EXISTS click_cells;
CREATE TABLE IF NOT EXISTS click_cells
(
    step UInt64 CODEC(ZSTD(1)),
    workspace UInt32 CODEC(T64, ZSTD(1)),
    dimension LowCardinality(String),
    grain LowCardinality(String),
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    text String CODEC(ZSTD(1)),
    number UInt64 CODEC(ZSTD(1)),
    clicks UInt64 CODEC(T64, ZSTD(1)),
    orphans UInt64 CODEC(T64, ZSTD(1)),
    bots UInt64 CODEC(T64, ZSTD(1)),
    hits UInt64 CODEC(T64, ZSTD(1)),
    visitors UInt32 CODEC(T64, ZSTD(1)),
    few Array(UInt64) CODEC(ZSTD(1)),
    several Array(UInt64) CODEC(ZSTD(1)),
    registers Array(UInt256) CODEC(LZ4),
    high Array(UInt32) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY step
ORDER BY (workspace, dimension, grain, toHour(at), at, text, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity_bytes = 262144;
TRUNCATE TABLE IF EXISTS click_steps;
