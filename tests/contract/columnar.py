"""Reads Parquet files and Arrow streams with Apache Arrow: types and values must be those of the same rows as JSON."""

import json
import sys
from datetime import datetime

import pyarrow
from pyarrow import ipc, parquet

MOMENT = pyarrow.timestamp("ms", tz="UTC")
TYPES = {
    "string": pyarrow.string(),
    "integer": pyarrow.int64(),
    "money": pyarrow.int64(),
    "number": pyarrow.float64(),
    "bool": pyarrow.bool_(),
    "time": MOMENT,
}
# Raw rows are as wide as they are stored.
RAW = {"bot": pyarrow.bool_(), "at": MOMENT, "status": pyarrow.uint16(), "latency_us": pyarrow.uint32()}
RAW |= {"asn": pyarrow.uint32(), "seq": pyarrow.uint64(), "sub": pyarrow.uint16()}
SUMS = ["leads", "conversions", "orders", "events", "new_customers", "revenue", "refunds", "commission"]
RAW |= {name: pyarrow.int64() for name in SUMS}


def tables(name):
    folder = sys.argv[1]
    yield parquet.read_table(f"{folder}/{name}.parquet")
    with open(f"{folder}/{name}.arrow", "rb") as stream:
        yield ipc.open_stream(stream).read_all()


def moment(text):
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def same(name, columns, rows):
    """`columns` are names and types, `rows` lists of cells as JSON has them."""
    for table in tables(name):
        found = [(field.name, field.type) for field in table.schema]
        assert found == columns, f"{name}: {found} instead of {columns}"
        cells = [[moment(cell) if kind == MOMENT else cell for cell, (_, kind) in zip(row, columns)] for row in rows]
        read = [list(row.values()) for row in table.to_pylist()]
        assert read == cells, f"{name}: {read} instead of {cells}"


for name in ["query", "nothing", "converted"]:
    with open(f"{sys.argv[1]}/{name}.json") as file:
        answer = json.load(file)
    same(name, [(column["name"], TYPES[column["type"]]) for column in answer["columns"]], answer["rows"])
for name in ["clicks", "conversions"]:
    with open(f"{sys.argv[1]}/{name}.ndjson") as file:
        objects = [json.loads(line) for line in file]
    columns = [(key, RAW.get(key, pyarrow.string())) for key in objects[0]]
    same(name, columns, [list(row.values()) for row in objects])
print("passed")
