// The dashboard's main jobs in headless Chromium against a real engine: sign in, make a link in the form,
// open its short URL as a visitor would, and watch the numbers move without a reload. The tests run in
// order and share one page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { accessibility, eventually, openPage, picture, startBrowser } from './browser.mjs';
import { Engine } from './engine.mjs';

const DESKTOP =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) ' +
  'Chrome/142.0.0.0 Safari/537.36';
const PHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) ' +
  'Version/18.5 Mobile/15E148 Safari/604.1';
const slug = `e2e-${Date.now().toString(36)}`;

let engine;
let browser;
let context;
let page;
let complaints;

before(async () => {
  engine = await Engine.start();
  browser = await startBrowser();
  context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
  ({ page, complaints } = await openPage(context, engine.admin));
});

after(async () => {
  await browser?.close();
  await engine?.remove();
});

/** What a visitor's browser does with the short link; @returns the destination it was sent to */
async function visit(agent = DESKTOP) {
  const answer = await fetch(`${engine.public}/${slug}`, {
    redirect: 'manual',
    headers: { 'User-Agent': agent, Referer: 'https://news.ycombinator.com/item?id=1' },
  });
  assert.equal(answer.status, 302);
  return new URL(answer.headers.get('location'));
}

async function api(method, path, body) {
  const answer = await fetch(engine.admin + path, {
    method,
    headers: { Authorization: `Bearer ${engine.key}`, 'Content-Type': 'application/json' },
    body: body ? JSON.stringify(body) : undefined,
  });
  assert.ok(answer.ok, `${method} ${path} answered ${answer.status}: ${await answer.clone().text()}`);
  return answer.json();
}

const kpi = async (name) => (await page.textContent(`[data-kpi=${name}]`))?.trim();
const count = async (name) => Number((await kpi(name))?.replace(/[^\d]/g, ''));

async function isLive() {
  await page.waitForSelector('[data-live=live]');
  await page.waitForFunction(() => document.querySelector('[data-kpi=clicks]')?.textContent?.trim());
}

test('a wrong key is refused in words', async () => {
  await page.goto(engine.admin);
  await page.getByLabel('Admin key').fill('weir_00000000000000000000000000000000');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText('not known').waitFor();
  assert.deepEqual(await accessibility(page), []);
});

test('the sign-in link of the log signs in once', async () => {
  const link = await engine.signInLink();
  assert.equal(new URL(link).origin, engine.admin);
  const other = await browser.newContext();
  const opened = await openPage(other, engine.admin);
  await opened.page.goto(link);
  await opened.page.getByRole('navigation', { name: 'Main' }).waitFor();
  assert.doesNotMatch(opened.page.url(), /token=/);
  const cookie = (await other.cookies()).find(({ name }) => name === 'weir_session');
  assert.deepEqual([cookie?.httpOnly, cookie?.sameSite], [true, 'Strict']);
  await other.close();

  const late = await browser.newContext();
  const refused = await openPage(late, engine.admin);
  await refused.page.goto(link);
  await refused.page.getByText('has been used or has expired').waitFor();
  await late.close();
  assert.deepEqual([...opened.complaints, ...refused.complaints], []);
});

test('the admin key signs in, and an empty workspace says what to do first', async () => {
  await page.getByLabel('Admin key').fill(engine.key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
  await isLive();
  await page.getByRole('heading', { name: 'No link yet' }).waitFor();
  await page.getByText('/v1/links').waitFor();
  await picture(page, 'overview-empty');
  assert.deepEqual(await accessibility(page), []);
});

test('the form shows what is wrong at its field, then makes the link', async () => {
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Links' }).click();
  await page.getByRole('link', { name: 'New link' }).click();
  await page.getByRole('textbox', { name: 'Destination' }).fill('javascript:alert(1)');
  await page.getByRole('textbox', { name: 'Slug' }).fill(slug);
  await page.getByRole('button', { name: 'Create link' }).click();
  await page.locator('input[name=destination][aria-invalid=true]').waitFor();
  assert.deepEqual(await accessibility(page), []);

  await page.getByRole('textbox', { name: 'Destination' }).fill('https://shop.example/spring?id=1');
  await page.getByRole('textbox', { name: 'Title' }).fill('Browser test');
  await page.getByRole('textbox', { name: 'Tags' }).fill('mail, spring');
  await page.getByRole('button', { name: 'Create link' }).click();
  await page.getByRole('heading', { name: `/${slug}` }).waitFor();

  const { data } = await api('GET', `/v1/links?search=${slug}`);
  assert.equal(data.length, 1);
  assert.equal(data[0].destination, 'https://shop.example/spring?id=1');
  assert.deepEqual(data[0].tags, ['mail', 'spring']);
});

test('a taken slug is said at its field', async () => {
  await page.goto(`${engine.admin}/links/new`);
  await page.getByRole('textbox', { name: 'Destination' }).fill('https://shop.example/');
  await page.getByRole('textbox', { name: 'Slug' }).fill(slug);
  await page.getByRole('button', { name: 'Create link' }).click();
  await page.locator('input[name=slug][aria-invalid=true]').waitFor();
  assert.equal(new URL(page.url()).pathname, '/links/new');
});

test('a click moves the number, the breakdown and the tail without a reload', async () => {
  await page.goto(`${engine.admin}/?range=24h`);
  await isLive();
  await page.evaluate(() => (globalThis.sameDocument = true));
  const before = await count('clicks');

  const destination = await visit();
  assert.equal(destination.origin + destination.pathname, 'https://shop.example/spring');
  await eventually(async () => (await count('clicks')) === before + 1, 'one click did not count one');
  await visit();
  await visit();
  await eventually(async () => (await count('clicks')) === before + 3, 'three clicks did not count three');
  await page.getByRole('region', { name: 'Links' }).getByText(`/${slug}`).waitFor();
  const tail = page.getByRole('region', { name: 'Live events' }).getByRole('listitem');
  await eventually(async () => (await tail.count()) === 3, 'the tail does not show three clicks');
  assert.match(await tail.first().textContent(), new RegExp(`click.*/${slug}`));
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
  assert.deepEqual(await accessibility(page), []);
});

test('the clicks of a robot do not count', async () => {
  const before = await count('clicks');
  await fetch(`${engine.public}/${slug}`, { redirect: 'manual', headers: { 'User-Agent': 'Googlebot/2.1' } });
  await visit();
  await eventually(async () => (await count('clicks')) === before + 1, 'the visit did not count');
  assert.equal(await count('clicks'), before + 1);
});

test('a sale moves the money, and its attribution can be read', async () => {
  const before = await count('conversions');
  const wclid = (await visit()).searchParams.get('wclid');
  const occurred_at = new Date().toISOString();
  assert.ok(wclid, 'the destination carries no wclid');
  const order = `A-${slug}`;
  const currency = await page.evaluate(async () => {
    const answer = await fetch('/v1/session', { headers: { 'X-Weir-Session': '1' } });
    return (await answer.json()).workspace.currency;
  });
  const revenue = await kpi('revenue');
  const sale = await api('POST', '/v1/conversions', {
    event: 'sale',
    order_id: order,
    wclid,
    occurred_at,
    amount: { amount: 4999, currency },
  });
  await eventually(async () => (await count('conversions')) === before + 1, 'the sale did not count');
  await eventually(async () => (await kpi('revenue')) !== revenue, 'the revenue did not move');
  const tail = page.getByRole('region', { name: 'Live events' });
  await tail.getByRole('listitem').filter({ hasText: 'sale' }).getByRole('link', { name: order }).waitFor();

  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Conversions' }).click();
  await page.getByRole('row', { name: new RegExp(order) }).waitFor();
  assert.deepEqual(await accessibility(page), []);
  const renewal = { event: 'renewal', order_id: `${order}-2`, wclid, amount: { amount: 2500, currency } };
  await api('POST', '/v1/conversions', renewal);
  await page.getByRole('row', { name: new RegExp(`${order}-2`) }).waitFor();
  await page.goto(`${engine.admin}/conversions/${sale.id}`);
  await page.getByRole('heading', { name: 'Why' }).waitFor();
  // Nobody orders in the second after the click: a label, with what it was noticed by.
  const signal = page.getByRole('region', { name: 'Fraud signals' }).locator('[data-signal=fast_conversion]');
  await signal.getByText(/converted sooner than a person can/).waitFor();
  await page.getByText(`/${slug}`).first().waitFor();
  assert.deepEqual(await accessibility(page), []);
});

test('the tail is paused, says how many came meanwhile, and goes on', async () => {
  await page.goto(`${engine.admin}/?range=24h`);
  await isLive();
  const region = page.getByRole('region', { name: 'Live events' });
  const lines = region.getByRole('listitem');
  const before = await lines.count();
  await region.getByRole('button', { name: 'Pause' }).click();
  await visit();
  await visit();
  await region.getByRole('button', { name: '2 new' }).waitFor();
  assert.equal(await lines.count(), before, 'nothing moves while it is paused');
  await region.getByRole('button', { name: '2 new' }).click();
  await eventually(async () => (await lines.count()) === before + 2, 'the two are not shown');
  await visit();
  await region.getByRole('button', { name: '1 new' }).waitFor();
  await region.getByRole('button', { name: 'Resume' }).click();
  await eventually(async () => (await lines.count()) === before + 3, 'the third is not shown');
});

test('a card is saved as a table of exactly what it shows', async () => {
  const card = page.getByRole('region', { name: 'Sources' });
  const cells = (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
  const shown = () => card.locator('tbody tr').evaluateAll(cells);
  let rows;
  let saved;
  do {
    rows = await shown();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      card.getByRole('button', { name: 'Save Sources as CSV' }).click(),
    ]);
    saved = readFileSync(await download.path(), 'utf8')
      .trim()
      .split(/\r?\n/);
    // It moved in between: the last visit was only just drawn.
  } while (!isDeepStrictEqual(rows, await shown()));
  assert.equal(saved.length, rows.length + 1);
  for (const [at, [name, clicks]] of rows.entries()) {
    assert.ok(saved[at + 1].startsWith(`${name},${clicks},`), `${saved[at + 1]}: ${name} ${clicks}`);
  }
});

test('a link is made with the keyboard alone', async () => {
  await page.goto(`${engine.admin}/links`);
  await page.getByRole('link', { name: 'New link' }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');
  const reach = async (name) => {
    for (let presses = 0; presses < 80; presses++) {
      if ((await focused()) === name) return;
      await page.keyboard.press('Tab');
    }
    assert.fail(`Tab never comes to “${name}”`);
  };
  await reach('New link');
  await page.keyboard.press('Enter');
  const destination = page.getByRole('textbox', { name: 'Destination' });
  await destination.waitFor();
  while (!(await destination.evaluate((input) => input === document.activeElement)))
    await page.keyboard.press('Tab');
  await page.keyboard.type('https://shop.example/by-keyboard');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/links\/lnk_/);
  await page.getByRole('main').getByText('https://shop.example/by-keyboard').first().waitFor();
});

test('a row filters everything, and the address keeps it', async () => {
  await page.goto(`${engine.admin}/?range=24h`);
  await isLive();
  const all = await count('clicks');
  await visit(PHONE);
  await visit(PHONE);
  await eventually(async () => (await count('clicks')) === all + 2, 'two phones did not count two');
  const row = (region, name) => page.getByRole('region', { name: region }).getByRole('button', { name });
  await row('Devices', /^mobile$/i).click();
  await page.waitForURL(/device=mobile/);
  await page.getByRole('group', { name: 'Filters' }).waitFor();
  await eventually(async () => (await count('clicks')) === 2, 'the filter does not leave the two phones');
  await visit();
  await visit(PHONE);
  await eventually(async () => (await count('clicks')) === 3, 'the filtered number does not move');

  await row('Links', `/${slug}`).click();
  await page.waitForURL(/link=lnk_/);
  await page.reload();
  await isLive();
  await page.getByRole('group', { name: 'Filters' }).getByText(`/${slug}`).waitFor();
  assert.equal(await count('clicks'), 3);
  await row('Devices', /^mobile$/i).click();
  await eventually(
    async () => (await count('clicks')) === all + 4,
    'taking the filter away shows less than all',
  );
});

test('a lost connection says so, comes back, and has counted what happened meanwhile', async () => {
  const other = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await other.addCookies(await context.cookies());
  const opened = await openPage(other, engine.admin);
  const sockets = [];
  let refuse = false;
  await opened.page.routeWebSocket(/\/v1\/live/, (socket) => {
    if (refuse) return void socket.close({ code: 3001 });
    socket.connectToServer();
    sockets.push(socket);
  });
  const clicks = async () =>
    Number((await opened.page.textContent('[data-kpi=clicks]'))?.replace(/[^\d]/g, ''));
  await opened.page.goto(`${engine.admin}/?range=24h`);
  await opened.page.waitForSelector('[data-live=live]');
  const before = await eventually(clicks, 'no count to begin with');

  refuse = true;
  for (const socket of sockets) await socket.close({ code: 3001 });
  await opened.page.waitForSelector('[data-live=reconnecting]');
  assert.equal(await clicks(), before, 'the last numbers stay while the line is down');
  await visit();
  refuse = false;
  await opened.page.waitForSelector('[data-live=live]');
  await eventually(async () => (await clicks()) === before + 1, 'the click during the outage is missing');
  await other.close();
});

test('the page comes back by itself after the engine was restarted', async () => {
  await page.goto(`${engine.admin}/?range=24h`);
  await isLive();
  await page.evaluate(() => (globalThis.sameDocument = true));
  const before = await count('clicks');
  await engine.stop();
  await page.waitForSelector('[data-live=reconnecting]');
  assert.equal(await count('clicks'), before);
  await picture(page, 'overview-reconnecting');
  await engine.again();
  await visit();
  await page.waitForSelector('[data-live=live]');
  await eventually(
    async () => (await count('clicks')) === before + 1,
    'the click after the restart is missing',
  );
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
  // An engine that stops may still answer, and says that it is not there.
  const others = complaints.filter((line) => !/responded with a status of 503/.test(line));
  complaints.splice(0, complaints.length, ...others);
});

test('keys are made and revoked', async () => {
  await page.goto(`${engine.admin}/settings`);
  await page.getByRole('link', { name: 'Team and keys' }).click();
  const keys = page.getByRole('region', { name: 'People and keys' });
  await keys.getByRole('button', { name: 'New key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Name' }).fill(slug);
  await dialog.getByRole('button', { name: 'Create key' }).click();
  const secret = (await dialog.locator('code').textContent())?.trim();
  assert.match(secret, /^weir_/);
  assert.deepEqual(await accessibility(page), []);
  await dialog.getByRole('button', { name: 'Done' }).click();
  const answer = await fetch(`${engine.admin}/v1/links?limit=1`, {
    headers: { Authorization: `Bearer ${secret}` },
  });
  assert.equal(answer.status, 200);
  await keys.getByRole('button', { name: `Revoke ${slug}` }).click();
  await dialog.getByRole('button', { name: 'Revoke the key' }).click();
  await keys.getByRole('button', { name: `Revoke ${slug}` }).waitFor({ state: 'detached' });
  const refused = await fetch(`${engine.admin}/v1/links?limit=1`, {
    headers: { Authorization: `Bearer ${secret}` },
  });
  assert.equal(refused.status, 401);
  assert.deepEqual(await accessibility(page), []);
});

test('a person is invited, signs in by the link once, gets another role, and is put out', async () => {
  await page.goto(`${engine.admin}/settings?tab=team`);
  const keys = page.getByRole('region', { name: 'People and keys' });
  const dialog = page.getByRole('dialog');
  await keys.getByRole('button', { name: 'Invite a person' }).click();
  await dialog.getByRole('button', { name: 'Make the link' }).click();
  await dialog.locator('input[name=name][aria-invalid=true]').waitFor();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Ada Example');
  await dialog.getByRole('button', { name: 'Make the link' }).click();
  const link = (await dialog.locator('code').textContent())?.trim();
  assert.match(link, /\/sign-in\?token=/);
  assert.deepEqual(await accessibility(page), []);
  await dialog.getByRole('button', { name: 'Done' }).click();

  const own = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const line = keys.getByRole('row', { name: /Ada Example/ });
  await line.getByText('never', { exact: true }).waitFor();
  const theirs = (await openPage(own, engine.admin)).page;
  await theirs.goto(link);
  await theirs.getByRole('contentinfo').getByText('Ada Example (viewer)').waitFor();
  await theirs.goto(`${engine.admin}/links`);
  assert.equal(await theirs.getByRole('link', { name: 'New link' }).count(), 0);

  await page.reload();
  await line.waitFor();
  assert.equal(await line.getByText('never', { exact: true }).count(), 0);
  await keys.getByRole('button', { name: 'Edit Ada Example' }).click();
  await dialog.getByRole('combobox', { name: 'Role' }).selectOption('editor');
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await keys.getByRole('row', { name: /Ada Example.*editor/ }).waitFor();
  await theirs.reload();
  await theirs.getByRole('contentinfo').getByText('Ada Example (editor)').waitFor();

  await keys.getByRole('button', { name: 'Revoke Ada Example' }).click();
  await dialog.getByRole('button', { name: 'Revoke the key' }).click();
  await keys.getByRole('button', { name: 'Revoke Ada Example' }).waitFor({ state: 'detached' });
  await theirs.reload();
  await theirs.getByRole('heading', { name: 'Sign in to Weir' }).waitFor();
  await theirs.goto(link);
  await theirs.getByRole('heading', { name: 'Sign in to Weir' }).waitFor();
  await own.close();
});

test('a link has a QR code to look at and to keep', async () => {
  const { data } = await api('GET', `/v1/links?search=${slug}`);
  await page.goto(`${engine.admin}/links/${data[0].id}`);
  await page.getByText('QR code', { exact: true }).click();
  const code = page.getByRole('img', { name: /^QR code of/ });
  await code.waitFor();
  await eventually(() => code.evaluate((image) => image.naturalWidth > 0), 'the picture does not load');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'Save SVG' }).click(),
  ]);
  assert.equal(download.suggestedFilename(), `${slug}.svg`);
  assert.deepEqual(await accessibility(page), []);
});

test('a link is disabled, enabled and deleted', async () => {
  const doomed = `${slug}-gone`;
  await api('POST', '/v1/links', { destination: 'https://shop.example/', slug: doomed });
  await page.goto(`${engine.admin}/links?search=${doomed}`);
  await page.getByRole('button', { name: `Disable ${doomed}` }).click();
  await page.getByRole('button', { name: `Enable ${doomed}` }).waitFor();
  const gone = () => fetch(`${engine.public}/${doomed}`, { redirect: 'manual' }).then(({ status }) => status);
  assert.equal(await gone(), 410);
  await page.getByRole('button', { name: `Enable ${doomed}` }).click();
  await page.getByRole('button', { name: `Disable ${doomed}` }).waitFor();
  assert.equal(await gone(), 302);
  await page.getByRole('button', { name: `Delete ${doomed}` }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete the link' }).click();
  await page.getByText('No link matches').waitFor();
  assert.equal(await gone(), 404);
});

test('a rule and a cap are added to a link, and its page says what became of every hit', async () => {
  const edited = `${slug}-edited`;
  await api('POST', '/v1/links', { destination: 'https://shop.example/', slug: edited, tags: ['kept'] });
  await page.goto(`${engine.admin}/links?search=${edited}&range=24h`);
  await page.getByRole('link', { name: `Edit ${edited}` }).click();
  await page.getByText('Rules', { exact: true }).click();
  await page.getByRole('button', { name: 'Add a rule' }).click();
  const rule = page.getByRole('listitem', { name: 'Rule 1' });
  const row = rule.getByRole('group', { name: 'condition 1 of rule 1', exact: true });
  await row.getByRole('textbox', { name: 'Country' }).fill('XX');
  await rule.getByRole('textbox', { name: 'Then go to' }).fill('https://m.shop.example/');
  await page.getByText('Limits and schedule').click();
  await page.getByRole('spinbutton', { name: 'Most clicks', exact: false }).first().fill('2');
  await page.getByText('Rules', { exact: true }).click();
  await page.getByRole('button', { name: 'Save changes' }).click();
  // The closed section opens, and the complaint stands at the input that the engine named.
  await row.locator('input[aria-invalid=true]').waitFor();
  await row.getByText('is no country').waitFor();
  await picture(page, 'link-edit-fault');
  assert.deepEqual(await accessibility(page), []);

  await row.getByRole('combobox', { name: 'Subject' }).selectOption('device');
  await row.getByRole('checkbox', { name: 'Mobile' }).check();
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.waitForURL(/\/links\/lnk_[^/]+$/);
  await page.getByRole('heading', { name: `/${edited}` }).waitFor();
  const { data } = await api('GET', `/v1/links?search=${edited}`);
  assert.deepEqual(data[0].rules, [{ if: { device: ['mobile'] }, destination: 'https://m.shop.example/' }]);
  assert.deepEqual([data[0].max_clicks, data[0].tags], [2, ['kept']]);

  const hit = async (agent, method = 'GET') => {
    const options = { method, redirect: 'manual', headers: { 'User-Agent': agent } };
    const answer = await fetch(`${engine.public}/${edited}`, options);
    const to = answer.headers.get('location');
    return [answer.status, to && new URL(to).host];
  };
  assert.deepEqual(await hit(PHONE), [302, 'm.shop.example']);
  assert.deepEqual(await hit(DESKTOP, 'HEAD'), [302, 'shop.example']);
  assert.deepEqual(await hit(DESKTOP), [302, 'shop.example']);
  assert.equal((await hit(DESKTOP))[0], 410);
  const verdicts = page.getByRole('region', { name: 'Hits by verdict' });
  const shown = async () => {
    const cells = await verdicts.locator('[data-hits]').all();
    const read = async (cell) => [await cell.getAttribute('data-hits'), await cell.textContent()];
    return Object.fromEntries(await Promise.all(cells.map(read)));
  };
  const wanted = { capped: '1', counted: '2', head: '1' };
  const same = (found) =>
    JSON.stringify(Object.entries(found).sort()) === JSON.stringify(Object.entries(wanted));
  let last;
  await eventually(async () => same((last = await shown())), 'the verdicts are not shown').catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(last)}`);
  });
  await picture(page, 'link-verdicts');

  await page.getByRole('link', { name: 'Edit', exact: true }).click();
  await page.getByText('1 rule', { exact: true }).click();
  assert.equal(await row.getByRole('checkbox', { name: 'Mobile' }).isChecked(), true);
});

test('links come from a table, are tagged and archived together, and one is previewed', async () => {
  await page.goto(`${engine.admin}/links`);
  await page.getByLabel('CSV file').setInputFiles({
    name: 'links.csv',
    mimeType: 'text/csv',
    buffer: Buffer.from(
      `destination,slug\nhttps://shop.example/1,${slug}-t1\nnonsense,\nhttps://shop.example/2,${slug}-t2\n`,
    ),
  });
  await page.getByText('2 links were made').waitFor();
  await page.getByText('Line 3: destination must begin').waitFor();
  await page.getByLabel(`Choose ${slug}-t1`).check();
  await page.getByLabel(`Choose ${slug}-t2`).check();
  await picture(page, 'links-chosen');
  assert.deepEqual(await accessibility(page), []);
  await page.getByLabel('Tag to add').fill('table');
  await page.getByRole('button', { name: 'Add tag' }).click();
  await page.getByLabel('Tag', { exact: true }).selectOption('table');
  await page.getByLabel('Choose all').check();
  await page.getByText('2 chosen').waitFor();
  await page.getByRole('button', { name: 'Archive', exact: true }).click();
  await page.getByText('No link matches').waitFor();
  await page.getByLabel('Archived').check();
  await page.getByRole('link', { name: `/${slug}-t1` }).waitFor();
  const { data } = await api('GET', '/v1/links?tag=table&archived=true');
  assert.equal(data.length, 2);

  await page.goto(`${engine.admin}/links/${data[0].id}/edit`);
  await page.getByRole('textbox', { name: 'Country', exact: false }).first().fill('DE');
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.getByText(/^The visitor goes to https:\/\/shop\.example\//).waitFor();
  await picture(page, 'link-preview');
});

test('a site is registered and shows its snippet', async () => {
  await page.goto(`${engine.admin}/sites`);
  await page.getByRole('button', { name: 'New site' }).click();
  await page.getByLabel('Name').fill('Shop');
  await page.getByLabel('Origins').fill('shop.example');
  await page.getByRole('button', { name: 'Register site' }).click();
  await page.getByText('must be an origin').waitFor();
  assert.deepEqual(await accessibility(page), []);
  await page.getByLabel('Origins').fill('https://shop.example');
  await page.getByRole('button', { name: 'Register site' }).click();
  await page.getByText('weir.js').first().waitFor();
  await picture(page, 'sites-one');
  assert.deepEqual(await accessibility(page), []);
});

test('the API page renders the OpenAPI document', async () => {
  const document = await (await fetch(`${engine.admin}/openapi.json`)).json();
  await page.goto(`${engine.admin}/docs`);
  await page.locator('article').first().waitFor();
  const operations = Object.values(document.paths).flatMap((item) =>
    Object.keys(item).filter((name) => /^(get|post|put|patch|delete|head|options)$/.test(name)),
  );
  assert.equal(await page.locator('article').count(), operations.length);
  assert.deepEqual(await accessibility(page), []);
});

test('signing out ends the session', async () => {
  await page.goto(`${engine.admin}/settings`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in to Weir' }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: 'Sign in to Weir' }).waitFor();
});

test('the browser had nothing to complain about', () => {
  assert.deepEqual(complaints, []);
});
