// What people who run a workspace do: save and share, watch with alerts, look at the engine, its changes, other
// workspaces. Headless Chromium against a real engine; the tests run in order and share one page.

import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before, test } from 'node:test';
import { accessibility, eventually, openPage, tooWide } from './browser.mjs';
import { openWorkspace } from './workspace.mjs';

const VISITS = 5;
let on;
let page;
const region = (name) => page.getByRole('region', { name, exact: true });

before(async () => {
  on = await openWorkspace();
  page = on.page;
  await on.api('POST', '/v1/links', { destination: 'https://shop.example/', slug: 'watched' });
  for (let at = 0; at < VISITS; at++) await on.visit('watched');
});

after(async () => {
  await on?.close();
});

test('a report is saved, found again, and edited as the API takes it', async () => {
  await on.open('/reports/funnels?range=24h');
  await page.getByText('1. click').waitFor();
  await page.getByRole('button', { name: 'Save or share' }).click();
  const dialog = page.getByRole('dialog', { name: 'Save or share' });
  await dialog.getByLabel('Name').fill('');
  await dialog.getByRole('button', { name: 'Save', exact: true }).click();
  await dialog.locator('input[aria-invalid=true]').waitFor();
  await dialog.getByLabel('Name').fill('Do they buy?');
  await dialog.getByRole('button', { name: 'Save', exact: true }).click();
  await dialog.getByText('Saved.').waitFor();
  assert.deepEqual(await accessibility(page), []);

  await on.open('/saved');
  await page.getByRole('link', { name: 'Do they buy?' }).click();
  await page.getByRole('cell', { name: 'conversion', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  const query = page.getByLabel('Query, as the API takes it');
  await query.fill('{"steps": 3}');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByRole('alert').getByText('query', { exact: false }).first().waitFor();
  assert.equal(await query.getAttribute('aria-invalid'), 'true');
  await query.fill('{"steps": ["click", "lead"], "date_range": "24h"}');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByRole('cell', { name: 'lead', exact: true }).waitFor();
  const { data } = await on.api('GET', '/v1/saved-queries');
  assert.deepEqual(data[0].query.steps, ['click', 'lead']);
  await on.holds('a saved query');
});

test('a saved overview opens with its own range and filters', async () => {
  await on.open('/?range=30d&device=desktop&tz=Asia%2FKolkata');
  await page.getByRole('button', { name: 'Save or share' }).click();
  const dialog = page.getByRole('dialog', { name: 'Save or share' });
  await dialog.getByLabel('Name').fill('Desktop, a month');
  await dialog.getByRole('button', { name: 'Save', exact: true }).click();
  await dialog.getByText('Saved.').waitFor();
  await on.open('/saved');
  await page.getByRole('link', { name: 'Desktop, a month' }).click();
  await page.getByRole('link', { name: 'Open the overview' }).click();
  await page.getByRole('group', { name: 'Filters' }).getByText('Desktop').waitFor();
  const asked = new URL(page.url()).searchParams;
  assert.deepEqual([asked.get('range'), asked.get('tz')], ['30d', 'Asia/Kolkata']);
  await page.getByRole('button', { name: 'Range: Last 30 days' }).waitFor();
});

test('a share link shows its answer without a key, and nothing once revoked', async () => {
  await on.open('/?range=24h');
  await page.getByRole('button', { name: 'Save or share' }).click();
  const dialog = page.getByRole('dialog', { name: 'Save or share' });
  await dialog.getByLabel('Name').fill('For the board');
  await dialog.getByRole('button', { name: 'Make a share link' }).click();
  const link = (await dialog.locator('[data-share]').textContent()).trim();
  assert.equal(new URL(link).origin, on.engine.admin);

  const stranger = await on.browser.newContext({ viewport: { width: 1280, height: 900 } });
  const opened = await openPage(stranger, on.engine.admin);
  await opened.page.goto(link);
  await opened.page.getByRole('heading', { name: 'For the board' }).waitFor();
  const totals = opened.page.getByRole('region', { name: 'Totals', exact: true });
  assert.equal((await totals.locator('tbody td').first().textContent()).trim(), String(VISITS));
  assert.equal(await opened.page.getByRole('navigation', { name: 'Main' }).count(), 0);
  assert.deepEqual(await accessibility(opened.page), []);
  await opened.page.setViewportSize({ width: 360, height: 800 });
  assert.ok((await tooWide(opened.page)) <= 0);

  await on.open('/saved');
  await region('Share links').getByRole('button', { name: 'Revoke For the board' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke the link' }).click();
  await region('Share links').getByText('None is open.').waitFor();
  await opened.page.reload();
  await opened.page.getByText('has expired or was revoked').waitFor();
  assert.deepEqual(opened.complaints, []);
  await stranger.close();
  await on.holds('saved queries');
});

test('an alert is refused where it does not fit, fires on the live stream, and is switched off', async () => {
  await on.open('/alerts');
  await page.getByText('Nothing is watched yet').waitFor();
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'New alert' }).click();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Too many clicks');
  await dialog.getByRole('combobox', { name: 'Fire when' }).selectOption('drop');
  await dialog.getByRole('textbox', { name: 'By at least, %' }).fill('300');
  await dialog.getByRole('button', { name: 'Create alert' }).click();
  await dialog.locator('input[name=percent][aria-invalid=true]').waitFor();
  await on.holds('alerts, refused');

  await dialog.getByRole('combobox', { name: 'Fire when' }).selectOption('threshold');
  await dialog.getByRole('combobox', { name: 'Side' }).selectOption('gt');
  await dialog.getByRole('textbox', { name: 'Threshold' }).fill(String(VISITS + 1));
  await dialog.getByRole('button', { name: 'Create alert' }).click();
  const row = region('Alerts').getByRole('row', { name: /Too many clicks/ });
  await row.getByText('fine').waitFor();
  for (let at = 0; at < 2; at++) await on.visit('watched');
  await row.getByText('firing').waitFor();
  await row.getByRole('button', { name: 'Edit' }).click();
  await dialog.getByRole('textbox', { name: 'Threshold' }).fill('1000');
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await row.getByText('above 1,000').waitFor();
  await row.getByRole('button', { name: 'Disable' }).click();
  await row.getByText('off', { exact: true }).waitFor();
  await on.holds('alerts');

  await row.getByRole('link', { name: 'Too many clicks' }).click();
  await region('History')
    .getByRole('row', { name: new RegExp(`firing.*${VISITS + 2}.*${VISITS + 1}`) })
    .waitFor();
  await on.holds('an alert');
  await page.getByRole('button', { name: 'Delete' }).click();
  await dialog.getByRole('button', { name: 'Delete the alert' }).click();
  await page.getByText('Nothing is watched yet').waitFor();
});

test('money and meters are watched in the units that people write', async () => {
  await on.open('/alerts');
  const dialog = page.getByRole('dialog');
  const made = async (name, fill) => {
    await page.getByRole('button', { name: 'New alert' }).click();
    await dialog.getByRole('textbox', { name: 'Name' }).fill(name);
    await fill();
    await dialog.getByRole('button', { name: 'Create alert' }).click();
    await region('Alerts').getByRole('row', { name }).waitFor();
    return (await on.api('GET', '/v1/alerts')).data.find((alert) => alert.name === name);
  };
  const money = await made('Poor day', async () => {
    await dialog.getByRole('combobox', { name: 'Watch' }).selectOption('revenue');
    await dialog.getByRole('textbox', { name: 'Threshold' }).fill('12.50');
    await dialog.getByRole('textbox', { name: 'Recovers at' }).fill('20');
    await dialog.getByRole('combobox', { name: 'Over', exact: true }).selectOption('86400');
  });
  assert.deepEqual([money.threshold, money.recover, money.window_seconds], [1_250, 2_000, 86_400]);
  assert.deepEqual(money.filters, ['is', 'currency', ['USD']]);
  const meter = await made('Tea is dear', async () => {
    await dialog.getByRole('combobox', { name: 'Watch' }).selectOption('value_last');
    await dialog.getByRole('textbox', { name: 'Which number' }).fill('property:price');
    await dialog.getByRole('combobox', { name: 'Side' }).selectOption('gt');
    await dialog.getByRole('textbox', { name: 'Threshold' }).fill('9.5');
  });
  assert.deepEqual(
    [meter.metric, meter.value_of, meter.threshold, meter.comparison],
    ['value_last', 'property:price', 9.5, 'gt'],
  );
  await region('Alerts').getByText('Last of price in 1 h above 9.5').waitFor();
  // A change of another kind leaves what it does not name: filters, and what it was over again at.
  await page.getByRole('button', { name: 'Edit Poor day' }).click();
  await dialog.getByRole('textbox', { name: 'Threshold' }).fill('15');
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await region('Alerts').getByText('below $15.00').waitFor();
  const changed = await on.api('GET', `/v1/alerts/${money.id}`);
  assert.deepEqual([changed.threshold, changed.recover, changed.filters], [1_500, 2_000, money.filters]);
});

test('health adds up, and says what was refused and why', async () => {
  await on.open('/health');
  const figure = async (name) => {
    const told = region('Clicks since the start').locator('div', {
      has: page.getByText(name, { exact: true }),
    });
    return Number((await told.locator('dd').last().textContent()).replace(/\D/g, ''));
  };
  await region('Followers').getByText('storing').waitFor();
  await eventually(async () => (await figure('answered')) === VISITS + 2, 'not every visit was answered');
  await region('Dead letters').getByText('None.').waitFor();
  await on.holds('health');
});

test('an incident is told of, stands on the status page, and is resolved there', async () => {
  await on.open('/health');
  const dialog = page.getByRole('dialog');
  const list = region('Incidents');
  const status = async () => (await fetch(`${on.engine.public}/status`)).text();
  await list.getByRole('button', { name: 'Tell of an incident' }).click();
  await dialog.getByRole('textbox', { name: 'In a few words' }).fill('Queries are slow');
  await dialog.getByRole('button', { name: 'Publish' }).click();
  await dialog.locator('textarea[name=text][aria-invalid=true]').waitFor();
  await dialog.getByRole('textbox', { name: 'What you say' }).fill('We look at it.');
  await dialog.getByRole('checkbox', { name: 'queries and dashboards' }).check();
  await dialog.getByRole('button', { name: 'Publish' }).click();
  const row = list.getByRole('row', { name: /Queries are slow.*investigating/ });
  await row.waitFor();
  assert.match(await status(), /Something is not working.*Queries are slow.*We look at it\./s);
  await on.holds('health with an incident');
  await list.getByRole('button', { name: 'Say more Queries are slow' }).click();
  await dialog.getByRole('textbox', { name: 'What you say' }).fill('A disk was full.');
  await dialog.getByRole('combobox', { name: 'How far it is' }).selectOption('resolved');
  await dialog.getByRole('button', { name: 'Publish' }).click();
  await list.getByRole('row', { name: /Queries are slow.*resolved/ }).waitFor();
  // The engine's own parts are looked at, too: on a busy machine one may be away for a moment.
  const told = /Everything works.*A disk was full\..*We look at it\./s;
  await eventually(async () => told.test(await status()), 'the status page does not say that it is over');
  await list.getByRole('button', { name: 'Details' }).click();
  await list.getByText('We look at it.').waitFor();
});

test('the audit log says who changed what', async () => {
  await on.open('/audit');
  const log = region('Audit log');
  await log.getByRole('link', { name: 'share revoked' }).first().waitFor();
  await log.getByRole('link', { name: 'link created' }).first().click();
  await page.waitForURL(/action=link_created/);
  await log.getByRole('link', { name: 'share revoked' }).waitFor({ state: 'detached' });
  await log.getByRole('link', { name: '/watched', exact: true }).waitFor();
  assert.equal(await log.locator('tbody tr').count(), 1);
  await on.holds('the audit log');
});

test('a workspace is changed, and another made with its first key', async () => {
  const dialog = page.getByRole('dialog');
  await on.open('/settings');
  await page.getByRole('button', { name: 'Edit the workspace' }).click();
  await dialog.getByRole('textbox', { name: 'Timezone' }).fill('Mars/Base');
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await dialog.locator('input[name=timezone][aria-invalid=true]').waitFor();
  await dialog.getByRole('textbox', { name: 'Timezone' }).fill('Europe/Berlin');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Main shop');
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await page.getByRole('contentinfo').getByText('Main shop').waitFor();
  await on.holds('settings');

  await on.open('/workspaces');
  await page.getByRole('button', { name: 'New workspace' }).click();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Second shop');
  await dialog.getByRole('textbox', { name: 'Currency' }).fill('EUR');
  await dialog.getByRole('button', { name: 'Create workspace' }).click();
  const key = (await dialog.locator('code').textContent()).trim();
  await dialog.getByRole('button', { name: 'Done' }).click();
  const answer = await fetch(`${on.engine.admin}/v1/workspace`, {
    headers: { Authorization: `Bearer ${key}` },
  });
  const { name, currency } = await answer.json();
  assert.deepEqual([name, currency], ['Second shop', 'EUR']);
  await page.getByRole('row', { name: /Second shop.*EUR/ }).waitFor();
  await on.holds('workspaces');
});

test('exchange rates are put in, refused where they are none, and emptied', async () => {
  const dialog = page.getByRole('dialog');
  const list = region('Exchange rates');
  await on.open('/settings?tab=rates');
  await list.getByText('/v1/fx-rates').waitFor();
  await list.getByRole('button', { name: 'Add rates' }).click();
  await dialog.getByRole('textbox', { name: 'Day' }).fill('2026-11-20');
  await dialog.getByRole('textbox', { name: 'costs in' }).fill('USD');
  await dialog.getByRole('textbox', { name: 'is', exact: true }).fill('-1');
  await dialog.getByRole('button', { name: 'Add rates' }).click();
  await dialog.locator('[name="rates[0].rate"][aria-invalid=true]').waitFor();
  await dialog.getByRole('textbox', { name: 'is', exact: true }).fill('1.0856');
  await dialog.getByRole('button', { name: 'Add rates' }).click();
  await list.getByRole('row', { name: /2026-11-20.*USD.*EUR.*1\.0856.*ECB/ }).waitFor();
  await on.holds('exchange rates');
  await list.getByRole('button', { name: 'Empty the table' }).click();
  await dialog.getByRole('button', { name: 'Empty the table' }).click();
  await list.getByText('No rates.').waitFor();
});

test('a person is erased, which the list says without saying whom', async () => {
  await on.api('POST', '/v1/conversions', {
    event: 'lead',
    customer_id: 'forget-me',
    customer: { email: 'ada@example.com' },
  });
  const dialog = page.getByRole('dialog');
  const list = region('Erasures');
  await on.open('/settings?tab=privacy');
  await list.getByText('Nobody was erased yet').waitFor();
  await list.getByRole('button', { name: 'Erase a person' }).click();
  await dialog.getByRole('textbox', { name: 'Customer id' }).fill('forget-me');
  await dialog.getByRole('textbox', { name: 'The same again' }).fill('forget-you');
  await dialog.getByRole('button', { name: 'Erase for good' }).click();
  await dialog.getByText('nobody was erased').waitFor();
  await dialog.getByRole('textbox', { name: 'The same again' }).fill('forget-me');
  await dialog.getByRole('button', { name: 'Erase for good' }).click();
  await list.getByRole('row', { name: /erased/ }).waitFor();
  assert.equal(await list.getByText('forget-me').count(), 0);
  const customer = await on.api('GET', '/v1/customers/forget-me');
  assert.ok(customer.erased_at && !JSON.stringify(customer).includes('ada@example.com'));
  await on.holds('privacy');
});

test('a domain gets a root, an answer where there is no link, and loses the latter', async () => {
  const dialog = page.getByRole('dialog');
  const list = region('Domains');
  await on.open('/settings?tab=domains');
  await list.getByRole('button', { name: 'Add a domain' }).click();
  await dialog.getByRole('textbox', { name: 'Host' }).fill('not a host');
  await dialog.getByRole('textbox', { name: 'Its root leads to' }).fill('https://shop.example/');
  await dialog.getByRole('button', { name: 'Add domain' }).click();
  await dialog.locator('input[name=domain][aria-invalid=true]').waitFor();
  await dialog.getByRole('textbox', { name: 'Host' }).fill('go.shop.example');
  await dialog.getByRole('textbox', { name: 'Where there is no link' }).fill('https://shop.example/lost');
  await dialog.getByRole('button', { name: 'Add domain' }).click();
  await list.getByRole('row', { name: /go\.shop\.example.*shop\.example\/lost/ }).waitFor();
  await on.holds('domains');
  const at = async (path) => {
    const headers = { Host: 'go.shop.example' };
    return new Promise((settle, fail) => {
      get(on.engine.public + path, { headers }, ({ headers: told }) => settle(told.location)).on(
        'error',
        fail,
      );
    });
  };
  assert.equal(await at('/'), 'https://shop.example/');
  assert.equal(await at('/nowhere'), 'https://shop.example/lost');
  await list.getByRole('button', { name: 'Edit go.shop.example' }).click();
  await dialog.getByRole('textbox', { name: 'Where there is no link' }).fill('');
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await list.getByRole('row', { name: /go\.shop\.example.*nothing of its own/ }).waitFor();
  assert.equal(await at('/nowhere'), undefined);
});

test('a host is blocked and let go', async () => {
  const dialog = page.getByRole('dialog');
  const list = region('Blocklist');
  await on.open('/settings?tab=blocklist');
  await list.getByRole('button', { name: 'Block a host' }).click();
  await dialog.getByRole('textbox', { name: 'Host' }).fill('evil.example');
  await dialog.getByRole('button', { name: 'Block', exact: true }).click();
  await list.getByRole('row', { name: /evil\.example/ }).waitFor();
  await list.getByRole('button', { name: 'Unblock evil.example' }).click();
  await list.getByText('Links may lead anywhere').waitFor();
});

test('the public status page is readable, small, and asks nobody', async () => {
  const context = await on.browser.newContext({ viewport: { width: 390, height: 800 } });
  const status = await openPage(context, on.engine.public);
  await status.page.goto(`${on.engine.public}/status`);
  await status.page.getByRole('heading', { name: 'Everything works' }).waitFor();
  assert.equal(await status.page.locator('.bars').count(), 3);
  assert.equal(await status.page.locator('.bars').first().locator('i').count(), 30);
  assert.ok((await tooWide(status.page)) <= 0);
  // Reading itself anew without a script is what this page is asked to do, and what this rule forbids.
  const found = (await accessibility(status.page)).filter((line) => !line.startsWith('meta-refresh'));
  assert.deepEqual(found, []);
  assert.deepEqual(status.complaints, []);
  await context.close();
});

test('the browser had nothing to complain about', () => {
  assert.deepEqual(on.complaints, []);
});
