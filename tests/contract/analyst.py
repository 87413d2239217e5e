"""The user of docs/analysts.md, as far as a ClickHouse without users can show it: `analyst.py LIBCHDB DATA DOCS FOLDER`.

libchdb has no storage that CREATE USER could write to, but it takes its only user from a file: here it gets the grants,
settings and limits of the recipe, and is asked for what it may read and for what it may not.
"""

import ctypes
import os
import re
import sys
from pathlib import Path

library, data, docs, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
recipe = next(block for block in re.findall(r"```sql\n(.*?)```", docs.read_text(), re.S) if "CREATE USER" in block)
statements = [part.strip() for part in re.sub(r"--.*", "", recipe).split(";") if part.strip()]
settings, limits = "", ""
for part in re.match(r"CREATE SETTINGS PROFILE analyst SETTINGS (.*)", statements[0], re.S)[1].split(","):
    name, value, least, most = re.fullmatch(r"(\w+) = (\d+)(?: MIN (\d+))?(?: MAX (\d+))?", part.strip()).groups()
    settings += f"<{name}>{value}</{name}>"
    bounds = (f"<min>{least}</min>" if least else "") + (f"<max>{most}</max>" if most else "")
    limits += f"<{name}>{bounds}</{name}>" if bounds else ""
grants = [one.removesuffix(" TO analyst") for one in statements if one.startswith("GRANT")]
assert statements[1].startswith("CREATE USER analyst ") and len(grants) == len(statements) - 2, statements
queries = "".join(f"<query>{grant}</query>" for grant in grants)
(folder / "users.xml").write_text(
    f"""<clickhouse><profiles><default>{settings}<constraints>{limits}</constraints></default></profiles>
    <users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile>
    <quota>default</quota><grants>{queries}</grants></default></users><quotas><default></default></quotas></clickhouse>"""
)
(folder / "config.xml").write_text(f"<clickhouse><users_config>{folder}/users.xml</users_config></clickhouse>")

chdb = ctypes.CDLL(library)
chdb.chdb_connect.restype = ctypes.POINTER(ctypes.c_void_p)
chdb.chdb_query.restype, chdb.chdb_query.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
for call in (chdb.chdb_result_buffer, chdb.chdb_result_error):
    call.restype, call.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
arguments = [b"clickhouse", f"--path={data}".encode(), f"--config-file={folder}/config.xml".encode()]
connection = chdb.chdb_connect(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
assert connection, "the library opens the folder"


def ask(sql):
    """What is answered, and what is refused; one of the two is empty."""
    result = chdb.chdb_query(connection[0], sql.encode(), b"TSV")
    refused = chdb.chdb_result_error(result)
    return ("" if refused else (chdb.chdb_result_buffer(result) or b"").decode().strip(), (refused or b"").decode())


for statement in statements:
    quoted = statement.replace("\\", "\\\\").replace("'", "\\'")
    assert ask(f"SELECT formatQueryOrNull('{quoted}') IS NULL")[0] == "0", f"ClickHouse cannot read: {statement}"
assert ask("SELECT formatQueryOrNull('GRANT SELEC ON weir.clicks_v1 TO analyst') IS NULL")[0] == "1"

for sql, answer in [
    ("SELECT count() FROM weir.clicks_v1", "2"),
    ("SELECT sum(revenue) FROM weir.conversions_v1", "500"),
    ("SELECT count() >= 0 FROM weir.events_v1", "1"),
    ("SELECT 1 SETTINGS max_execution_time = 5", "1"),
    ("SELECT getSetting('readonly')", "2"),
]:
    assert ask(sql) == (answer, ""), (sql, ask(sql))
for sql, why in [
    ("SELECT count() FROM weir.dead_letter", "ACCESS_DENIED"),
    ("SELECT count() FROM weir.click_cells", "ACCESS_DENIED"),
    ("SELECT * FROM file('/etc/passwd', 'LineAsString')", "ACCESS_DENIED"),
    ("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", "ACCESS_DENIED"),
    ("SELECT count() FROM system.users", "ACCESS_DENIED"),
    ("INSERT INTO weir.clicks (seq) VALUES (3)", "ACCESS_DENIED"),
    ("ALTER TABLE weir.clicks DELETE WHERE 1", "ACCESS_DENIED"),
    ("DROP VIEW weir.clicks_v1", "ACCESS_DENIED"),
    ("CREATE TABLE weir.mine (a Int8) ENGINE = Memory", "ACCESS_DENIED"),
    ("SET readonly = 0", "READONLY"),
    ("SELECT 1 SETTINGS max_execution_time = 0", "SETTING_CONSTRAINT_VIOLATION"),
    ("SELECT 1 SETTINGS max_execution_time = 3600", "SETTING_CONSTRAINT_VIOLATION"),
    ("SELECT 1 SETTINGS max_memory_usage = 0", "SETTING_CONSTRAINT_VIOLATION"),
    ("SELECT 1 SETTINGS max_result_rows = 0", "SETTING_CONSTRAINT_VIOLATION"),
]:
    assert why in ask(sql)[1], (sql, ask(sql))
print("passed", flush=True)
# Not by way of the library's own end, which is made for no interpreter.
os._exit(0)
