"""clickhouse-connect against the embedded server: URL and password as arguments; prints `passed`."""

import sys
from datetime import datetime, timezone
from urllib.parse import urlparse

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

url, password = urlparse(sys.argv[1]), sys.argv[2]


def connect(**options):
    return clickhouse_connect.get_client(
        host=url.hostname, port=url.port, username="default", password=password, **options
    )


for compress in (True, False, "lz4", "gzip"):
    client = connect(compress=compress)
    client.command("DROP TABLE IF EXISTS visits")
    client.command(
        "CREATE TABLE visits (id UInt64, name String, note Nullable(String), at DateTime64(3, 'UTC'),"
        " tags Array(String)) ENGINE = MergeTree ORDER BY id"
    )
    at = datetime(2026, 11, 1, 12, 0, 0, 123000, tzinfo=timezone.utc)
    rows = [[n, f"n\n\n{n}", None if n % 3 else "x", at, ["a", "b"]] for n in range(20000)]
    client.insert("visits", rows, column_names=["id", "name", "note", "at", "tags"])
    found = client.query(
        "SELECT id, name, note, at, tags FROM visits WHERE id < %(upto)s ORDER BY id", parameters={"upto": 15000}
    )
    expected = [tuple(row) for row in rows[:15000]]
    assert [(r[0], r[1], r[2], r[3].replace(tzinfo=timezone.utc), r[4]) for r in found.result_rows] == expected
    bound = client.query("SELECT {a:String}, {b:UInt8}", parameters={"a": "it's \\ \n", "b": 7})
    assert bound.result_rows == [("it's \\ \n", 7)], bound.result_rows
    assert client.command("SELECT count() FROM visits") == 20000
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
        assert sum(len(block) for block in stream) == 1000000
    assert client.query("SELECT 1", settings={"max_threads": 1}).result_rows == [(1,)]
    client.raw_insert("visits", ["id", "name"], b"90000,raw\n", fmt="CSV")
    assert client.raw_query("SELECT name FROM visits WHERE id = 90000", fmt="CSV") == b'"raw"\n'
    try:
        client.query("SELECT * FROM missing")
        raise SystemExit("a missing table was found")
    except DatabaseError as error:
        assert "60" in str(error) and "missing" in str(error), error
    client.close()

try:
    clickhouse_connect.get_client(host=url.hostname, port=url.port, username="default", password="wrong")
    raise SystemExit("a wrong password was taken")
except DatabaseError as error:
    assert "516" in str(error), error

print("passed")
