// What ClickHouse will not take, on the page where it is looked at and tried again: a real engine on a ClickHouse of
// the test's own, which is told to refuse some rows and later to take them.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { eventually } from './browser.mjs';
import { binary, environment, removeFolder, repository } from './engine.mjs';
import { openWorkspace } from './workspace.mjs';

const PASSWORD = 'of-the-test';
const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-clickhouse-'));
let clickhouse;
let url;
let on;
let page;

/** Runs a statement; @returns the answer's text */
async function run(sql) {
  const headers = { 'X-ClickHouse-User': 'default', 'X-ClickHouse-Key': PASSWORD };
  const answer = await fetch(`${url}/?database=weir`, { method: 'POST', headers, body: sql });
  const text = await answer.text();
  assert.ok(answer.ok, `${sql}: ${text}`);
  return text.trim();
}

before(async () => {
  const options = ['clickhouse', '--addr', '127.0.0.1:0', '--data-dir', folder, '--password', PASSWORD];
  const stdio = ['ignore', 'pipe', 'ignore'];
  clickhouse = spawn(binary(), options, { cwd: repository, stdio, env: environment() });
  url = await new Promise((settle, fail) => {
    clickhouse.once('exit', (code) => fail(new Error(`ClickHouse ended with ${code}`)));
    createInterface({ input: clickhouse.stdout }).on('line', (line) => {
      if (line.startsWith('{')) settle(JSON.parse(line).clickhouse);
    });
  });
  on = await openWorkspace({ WEIR_CLICKHOUSE_URL: url, WEIR_CLICKHOUSE_PASSWORD: PASSWORD });
  page = on.page;
});

after(async () => {
  await on?.close();
  if (clickhouse?.exitCode === null) {
    const ended = once(clickhouse, 'exit');
    clickhouse.kill('SIGKILL');
    await ended;
  }
  removeFolder(folder);
});

test('rows that were refused are listed with the reason, tried again one by one, then all at once', async () => {
  await on.api('POST', '/v1/links', { destination: 'https://shop.example/', slug: 'shop' });
  const stored = () => run('SELECT count() FROM clicks');
  await eventually(() => stored().catch(() => null), 'the tables are not there');
  await run("ALTER TABLE clicks ADD CONSTRAINT no_poison CHECK utm_content NOT LIKE 'poison%'");
  for (const content of ['fine', 'poison-1', 'poison-2', 'poison-3', 'fine']) {
    await on.visit(`shop?utm_content=${content}`);
  }
  const dead = () => run('SELECT count() FROM dead_letter');
  await eventually(async () => (await dead()) === '3', 'not three rows were put aside');

  await on.open('/health');
  const list = page.getByRole('region', { name: 'Dead letters' });
  const rows = list.getByRole('row', { name: /no_poison/ });
  await rows.first().waitFor();
  assert.equal(await rows.count(), 3);
  await on.holds('dead letters');

  // While the cause is there, trying again changes nothing, and the page says so.
  const again = list.getByRole('button', { name: /^Try again entry \d+$/ });
  await again.first().click();
  await page.getByText('0 stored, 1 still refused.').waitFor();
  assert.equal(await rows.count(), 3);
  await run('ALTER TABLE clicks DROP CONSTRAINT no_poison');
  await again.first().click();
  await page.getByText('1 stored, 0 still refused.').waitFor();
  await eventually(async () => (await rows.count()) === 2, 'the row that was stored is still listed');
  // As if there were many: one batch after the other, each of one row.
  let batches = 0;
  await page.route('**/v1/admin/dead-letters?limit=200*', (route) => {
    batches += 1;
    return route.continue({ url: route.request().url().replace('limit=200', 'limit=1') });
  });
  await list.getByRole('button', { name: 'Try all again' }).click();
  await page.getByText('2 stored, 0 still refused.').waitFor();
  await list.getByText('None.').waitFor();
  assert.equal(batches, 2);
  assert.deepEqual([await stored(), await dead()], ['5', '0']);
  assert.deepEqual(on.complaints, []);
});
