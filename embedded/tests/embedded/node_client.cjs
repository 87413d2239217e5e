// @clickhouse/client against the embedded server: URL and password as arguments; prints `passed`.
const assert = require("node:assert/strict");
const { Readable } = require("node:stream");
const { createClient } = require(process.env.CLICKHOUSE_CLIENT);

const [url, password] = process.argv.slice(2);

async function check(compression) {
  const client = createClient({ url, username: "default", password, compression });
  assert.equal((await client.ping()).success, true);
  assert.equal((await client.ping({ select: true })).success, true);
  await client.command({ query: "DROP TABLE IF EXISTS visits" });
  await client.command({
    query: "CREATE TABLE visits (id UInt64, name String, note Nullable(String)) ENGINE = MergeTree ORDER BY id",
  });
  const values = Array.from({ length: 20000 }, (_, id) => ({ id, name: `n\n\n${id}`, note: id % 3 ? null : "x" }));
  const inserted = await client.insert({ table: "visits", values, format: "JSONEachRow" });
  assert.ok(inserted.query_id);
  assert.equal(inserted.summary.written_rows, "20000");
  await client.insert({ table: "visits", values: Readable.from(["90000,stream,\n"], { objectMode: false }), format: "CSV" });
  const answer = await client.query({
    query: "SELECT id, name, note FROM visits WHERE id < {upto: UInt64} ORDER BY id",
    query_params: { upto: 15000 },
    clickhouse_settings: { output_format_json_quote_64bit_integers: 0, max_threads: 2 },
    format: "JSONEachRow",
  });
  assert.deepEqual(await answer.json(), values.slice(0, 15000));
  const bound = await client.query({ query: "SELECT {a: String} AS a", query_params: { a: "it's \\ \n" }, format: "JSON" });
  assert.equal((await bound.json()).data[0].a, "it's \\ \n");
  let rows = 0;
  const streamed = await client.query({ query: "SELECT number FROM numbers(1000000)", format: "CSV" });
  for await (const part of streamed.stream()) rows += part.length;
  assert.equal(rows, 1000000);
  await assert.rejects(client.query({ query: "SELECT * FROM missing" }), (error) => error.code === "60");
  await client.close();
}

async function main() {
  await check({});
  await check({ request: true, response: true });
  const stranger = createClient({ url, username: "default", password: "wrong" });
  await assert.rejects(stranger.query({ query: "SELECT 1" }), (error) => error.code === "516");
  await stranger.close();
  console.log("passed");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
