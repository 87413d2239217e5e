-- Clicks added up beforehand, for questions over long ranges: one row per cell of time and value, as the warehouse's
-- folding thread made them of the clicks of one step (engine::warehouse::cells). Nothing here is a truth of its own:
-- `TRUNCATE TABLE click_steps` has all of it made anew from `clicks`, and so it is after this migration.
--
-- A step is a range of sequences, so that every answer stays exact as of its own sequence: what is in no step that ends
-- at or before it is read from `clicks`. Steps are folded once, and merged into longer ones; `step` names one try of
-- folding, and only tries that `click_steps` holds count. What a crash left of another is read by nobody. A step is a
-- partition: it is let go of as files.
--
-- `dimension` and `grain`: '' (with visitors) in quarters of an hour, `country` (with visitors) and the others that the
-- dashboard lists in days; and all of them in longer cells (1h, 4h, 1d, 4d, 32d), which begin at multiples of their
-- length in UTC. `text` or `number` is the dimension's value.
-- `visitors` is the exact number of counted visitors up to 10,000, and 10,001 beyond. `few` are they themselves, up to
-- 2,048; from there to 10,000 they are `several`, in cells of 15m and 1d, which most questions need not read: from
-- 2,049 on there are `registers`: one byte for each of the HyperLogLog's, the same as memory and raw clicks make.
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
    registers Array(UInt8) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY step
ORDER BY (workspace, dimension, grain, at, text, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
TRUNCATE TABLE IF EXISTS click_steps;
