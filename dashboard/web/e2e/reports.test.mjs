// Reports, maps and what finds them, in headless Chromium against a real engine with a few visits and sales whose
// figures are known. The tests run in order and share one page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { eventually } from './browser.mjs';
import { openWorkspace } from './workspace.mjs';

const CLICKS = 12;
const SALES = 3;
/** Addresses of universities, which stay where they are: two of each country. */
const [PERTH, SYDNEY, SEATTLE, BOSTON] = ['130.95.1.1', '129.94.1.1', '128.95.1.1', '18.9.22.69'];
let on;
let page;

/** Every visitor comes without a cookie; who says nothing of where from is the same person all day. */
const visitors = (count) =>
  Array.from({ length: count }, (_, at) => ({ Cookie: `wv=e2e-visitor-${String(at).padStart(20, '0')}` }));

before(async () => {
  on = await openWorkspace({ WEIR_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' });
  page = on.page;
  await on.api('POST', '/v1/links', { destination: 'https://shop.example/', slug: 'plain', tags: ['e2e'] });
  await on.api('POST', '/v1/links', {
    destination: 'https://shop.example/',
    slug: 'split',
    variants: ['a', 'b'].map((name) => ({ name, destination: `https://shop.example/${name}`, weight: 50 })),
  });
  for (const [at, headers] of visitors(CLICKS).entries()) {
    const wclid = (await on.visit('plain', headers)).searchParams.get('wclid');
    await on.visit('split', headers);
    if (at < SALES) await on.sale(`R-${at}`, wclid, `customer-${at}`);
  }
  await on.api('POST', '/v1/conversions', {
    event: 'renewal',
    order_id: 'R-renewed',
    customer_id: 'customer-0',
    subscription_id: 'sub-0',
    amount: { amount: 1900, currency: 'USD' },
  });
});

after(async () => {
  await on?.close();
});

const report = (name) => page.getByRole('region', { name, exact: true });
/** The cells of the row that begins with `name`. */
const cells = async (name) =>
  (await page.getByRole('row', { name }).first().locator('td').allTextContents()).map((text) => text.trim());

test('a funnel is built step by step, lives in the address, and is saved as it is shown', async () => {
  await on.open('/reports/funnels?range=24h');
  await page.getByText('1. click').waitFor();
  assert.equal((await cells(/1\. click/))[1], String(CLICKS));
  assert.deepEqual((await cells(/2\. conversion/)).slice(1, 3), [String(SALES), '25%']);

  await page.getByRole('button', { name: 'Add a step' }).click();
  await page.getByLabel('Step 3', { exact: true }).fill('renewal');
  await page.getByLabel('Step 3', { exact: true }).press('Enter');
  await page.waitForURL(/steps=click%2Cconversion%2Crenewal/);
  await page.getByText('3. renewal').waitFor();
  await page.getByLabel('Within').selectOption('1h');
  await page.reload();
  await page.getByText('3. renewal').waitFor();
  assert.equal(await page.getByLabel('Within').inputValue(), '1h');

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save Funnels as CSV' }).click(),
  ]);
  const saved = readFileSync(await download.path(), 'utf8')
    .trim()
    .split('\r\n');
  assert.equal(saved.length, 4);
  assert.match(saved[1], /^1,click,12,/);
  await on.holds('funnels');
});

test('a step is held to a condition of its own, which lives in the address', async () => {
  await page.getByLabel('Condition of step 1').selectOption('device');
  await page.locator('input[aria-label="Device of step 1"][aria-invalid=true]').waitFor();
  await page.getByLabel('Device of step 1').fill('tv');
  await page.getByLabel('Device of step 1').press('Enter');
  await page.getByText('Nobody did the first step').waitFor();
  await page.getByLabel('Device of step 1').fill('desktop');
  await page.getByLabel('Device of step 1').press('Enter');
  await page.getByText('1. click, desktop').waitFor();
  await page.reload();
  await page.getByText('1. click, desktop').waitFor();
  assert.equal((await cells(/1\. click, desktop/))[1], String(CLICKS));
  await on.holds('a funnel with a condition');
  await page.getByLabel('Condition of step 1').selectOption('');
  await page.getByText('1. click', { exact: true }).waitFor();
});

test('hours that stand out have a page, which says what it needs', async () => {
  await on.open('/reports/anomalies?range=24h');
  await report('Anomalies').getByText('No hour in this range stands out').waitFor();
  await page.getByLabel('Figure', { exact: true }).selectOption('visitors');
  await page.waitForURL(/metric=visitors/);
  await report('Anomalies').getByText('No hour in this range stands out').waitFor();
  await on.holds('anomalies');
  await on.open('/reports/funnels?range=24h&steps=click%2Cconversion%2Crenewal&window=1h');
});

test('an empty step is said at its field, a filter goes along to other reports', async () => {
  await page.getByLabel('Step 3', { exact: true }).fill('');
  await page.getByLabel('Step 3', { exact: true }).press('Enter');
  await page.locator('input[aria-invalid=true]').waitFor();
  await page.getByRole('button', { name: 'Remove step 3' }).click();
  await page.getByText('2. conversion').waitFor();

  await on.open('/?range=24h');
  await page.getByRole('region', { name: 'Links' }).getByRole('button', { name: '/split' }).click();
  await page.waitForURL(/link=lnk_/);
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Retention' }).click();
  await page.getByRole('group', { name: 'Filters' }).getByText('/split').waitFor();
  await page.getByLabel('By', { exact: true }).selectOption('day');
  await report('Retention').getByText('100%').first().waitFor();
  await on.holds('retention');
});

test('cohorts, lifetime value and segments know their customers', async () => {
  await on.open('/reports/cohorts?range=24h');
  await report('Cohorts').getByText('$55.33').waitFor();
  await page.getByLabel('Show').selectOption('net_revenue');
  await report('Cohorts').getByText('$166.00').waitFor();
  await report('Lifetime value').getByRole('row', { name: /plain/ }).waitFor();
  await on.holds('cohorts');

  await on.open('/reports/segments?range=24h');
  const segments = report('Customer segments');
  await segments.getByRole('row').nth(1).waitFor();
  const counts = await segments.locator('tbody tr td:nth-child(2)').allTextContents();
  assert.equal(
    counts.reduce((sum, text) => sum + Number(text), 0),
    SALES,
  );
  await segments.locator('tbody button').first().click();
  await report('Customers of the segment')
    .getByRole('link', { name: /^customer-\d+$/ })
    .first()
    .waitFor();
  await on.holds('segments');
});

test('a subscription shows its MRR', async () => {
  await on.open('/reports/subscriptions?range=30d');
  await eventually(
    async () => (await page.textContent('[data-kpi=mrr]'))?.trim() === '$19.00',
    'the MRR is not 19 dollars',
  );
  assert.equal((await page.textContent('[data-kpi=customers]'))?.trim(), '1');
  await on.holds('subscriptions');
});

test('an answer that takes its time says so, and can be stopped', async () => {
  const address = '**/v1/reports/subscriptions';
  const held = [];
  await page.route(address, (route) => held.push(route));
  await on.open('/reports/subscriptions?range=12mo');
  const stop = page.getByRole('button', { name: 'Stop', exact: true });
  await page.getByText('The engine works out the answer').waitFor();
  await page.getByRole('progressbar', { name: 'The engine works out the answer' }).waitFor();
  await on.holds('a report under way');
  await stop.click();
  await page.getByRole('alert').getByText('Stopped before there was an answer.').waitFor();
  assert.equal(await stop.count(), 0);
  assert.equal(held.length, 1);
  await page.unroute(address);
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('group', { name: 'Key figures' }).waitFor();
});

test('an experiment compares the arms of a split link', async () => {
  await on.open('/reports/experiments?range=24h');
  await page.getByRole('row', { name: /^a / }).getByText('control').waitFor();
  const [a, b] = [await cells(/^a /), await cells(/^b /)];
  assert.equal(Number(a[2]) + Number(b[2]), CLICKS);
  assert.equal(b[1], 'not sure yet');
  await page.getByText('may be looked at as often').waitFor();
  await on.holds('experiments');
});

test('attribution adds up in every model', async () => {
  await on.open('/reports/attribution?range=24h&by=link');
  const total = page.getByRole('row', { name: /^Total/ });
  await total.waitFor();
  assert.deepEqual((await total.locator('td').allTextContents()).slice(1), Array(7).fill(String(SALES + 1)));
  await report('Ways to a conversion').getByText('/plain').first().waitFor();
  await page.getByLabel('Show').selectOption('revenue');
  await total.getByText('$166.00').first().waitFor();
  await on.holds('attribution');
});

test('the map counts live, shades, and filters by a click in the table', async () => {
  await on.open('/map?range=24h');
  await page.locator('svg path[d]').nth(120).waitFor({ state: 'attached' });
  const places = report('Places');
  const shown = async () =>
    Number((await places.locator('tbody td:nth-child(2)').first().textContent()) ?? 0);
  await eventually(async () => (await shown()) === 2 * CLICKS, 'the clicks are not there');
  await on.visit('plain');
  await eventually(async () => (await shown()) === 2 * CLICKS + 1, 'the click did not arrive');
  await page.getByRole('button', { name: 'Heat map' }).click();
  await page.getByLabel('Shade by').selectOption('revenue');
  await page.waitForURL(/map=heat.*show=revenue/);
  await page.getByLabel('Places by').selectOption('city');
  await places.getByRole('columnheader', { name: 'Visitors' }).waitFor();
  const [saved] = await Promise.all([
    page.waitForEvent('download'),
    places.getByRole('button', { name: 'Save Places as CSV' }).click(),
  ]);
  assert.match(
    readFileSync(await saved.path(), 'utf8'),
    /^\S*city\S*,clicks,visitors/,
    'what the table shows',
  );
  await on.holds('map');
});

test('a click is a ring in its own city, and not in the middle of its country', async () => {
  await on.open('/map?range=24h');
  await page.locator('svg path[d]').nth(120).waitFor({ state: 'attached' });
  // A ring is there for a second and a half: where each was is kept.
  await page.evaluate(() => {
    globalThis.rings = [];
    new MutationObserver(() => {
      for (const ring of document.querySelectorAll('g:has(> .ring)')) {
        const at = ring.getAttribute('transform').match(/translate\(([-\d.]+) ([-\d.]+)\)/);
        globalThis.rings.push([Number(at[1]), Number(at[2])]);
      }
    }).observe(document.querySelector('.map svg'), { childList: true, subtree: true });
  });
  const ring = async (address) => {
    // None is left of the visit before.
    await page.waitForFunction(() => !document.querySelector('.ring'));
    await page.evaluate(() => (globalThis.rings.length = 0));
    await on.visit('plain', { 'X-Forwarded-For': address });
    return eventually(() => page.evaluate(() => globalThis.rings.at(-1)), `no ring of ${address}`);
  };
  const [perth, sydney] = [await ring(PERTH), await ring(SYDNEY)];
  const [seattle, boston] = [await ring(SEATTLE), await ring(BOSTON)];
  // Of 960 units around the earth the two coasts are more than 100 apart.
  assert.ok(sydney[0] - perth[0] > 80, `Perth at ${perth}, Sydney at ${sydney}`);
  assert.ok(boston[0] - seattle[0] > 80, `Seattle at ${seattle}, Boston at ${boston}`);
  assert.ok(boston[1] < perth[1], 'north is up');
});

test('a page heat map says what would fill it, then shows where people click', async () => {
  const site = await on.api('POST', '/v1/sites', { name: 'Shop', origins: ['https://shop.example'] });
  await on.open('/pages?range=24h&path=/pricing');
  await page.getByText('No element was clicked on this page').waitFor();
  const answer = await fetch(`${on.engine.public}/collect`, {
    method: 'POST',
    headers: { Origin: 'https://shop.example', 'Content-Type': 'text/plain' },
    body: JSON.stringify({
      site: site.id,
      events: [
        {
          type: 'click',
          url: 'https://shop.example/pricing',
          view: 1,
          x: 640,
          y: 100,
          page_width: 1280,
          selector: 'a',
        },
      ],
    }),
  });
  assert.equal(answer.status, 202, await answer.text());
  await page.getByRole('button', { name: 'Run again' }).click();
  await page.getByText('/pricing · 1 click', { exact: true }).waitFor();
  await on.holds('page heat map');
});

test('the palette finds pages, links and actions; keys choose ranges and what to compare with', async () => {
  await on.open('/?range=24h');
  await page.keyboard.press('Control+k');
  const find = page.getByRole('combobox', { name: 'Find a page' });
  await find.fill('seg');
  await page.getByRole('option', { name: /Customer segments/ }).waitFor();
  await on.holds('palette');
  await find.fill('plain');
  await page.getByRole('option', { name: /\/plain/ }).click();
  await page.getByRole('heading', { name: '/plain' }).waitFor();

  await on.open('/');
  await page.keyboard.press('f');
  await page.waitForURL(/range=30d/);
  await page.keyboard.press('x');
  await page.waitForURL(/compare=year/);
  await page.keyboard.press('c');
  // The menu opens with the days that are shown.
  await eventually(() => page.getByLabel('From').inputValue(), 'the menu has no dates');
  await page.getByLabel('From').fill('2026-11-01');
  await page.getByLabel('To', { exact: true }).fill('2026-11-07');
  await page.getByRole('button', { name: 'Show these days' }).click();
  await page.waitForURL(/range=2026-11-01\.\.2026-11-07/);
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).getByText('Month to date').waitFor();
  await on.holds('keys');
});

test('a currency and a timezone are chosen, and kept in the address', async () => {
  const amount = { amount: 2_500, currency: 'EUR' };
  await on.api('POST', '/v1/conversions', { event: 'sale', order_id: 'R-euro', amount });
  await on.open('/?range=24h');
  const [currency, zone] = ['Currency', 'Timezone'].map((name) => page.getByLabel(name, { exact: true }));
  await currency.selectOption('EUR');
  await page.waitForURL(/currency=EUR/);
  // Whoever looks for theirs is offered every timezone.
  await zone.focus();
  await zone.selectOption('Asia/Tokyo');
  await page.waitForURL(/tz=Asia%2FTokyo/);
  await page.reload();
  const revenue = async () => (await page.textContent('[data-kpi=revenue]'))?.trim();
  await eventually(async () => (await revenue()) === '€25.00', 'the revenue is not what was sold in euros');
  assert.deepEqual([await currency.inputValue(), await zone.inputValue()], ['EUR', 'Asia/Tokyo']);
});

test('the navigation shows where one is, also in a low window', async () => {
  await page.setViewportSize({ width: 1280, height: 420 });
  await on.open('/settings');
  const lit = page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Settings' });
  await eventually(async () => {
    const box = await lit.boundingBox();
    return box && box.y >= 52 && box.y + box.height <= 420;
  }, 'the lit entry is out of sight');
  await page.setViewportSize({ width: 1280, height: 900 });
});

test('the navigation folds, and is a drawer on a narrow window', async () => {
  await on.open('/links');
  const main = page.getByRole('navigation', { name: 'Main' });
  await main.getByRole('button', { name: 'Reports' }).click();
  await main.getByRole('link', { name: 'Funnels' }).waitFor({ state: 'detached' });
  await page.reload();
  await main.getByRole('link', { name: 'Overview' }).waitFor();
  assert.equal(await main.getByRole('link', { name: 'Funnels' }).count(), 0);
  await main.getByRole('button', { name: 'Reports' }).click();

  await page.setViewportSize({ width: 390, height: 800 });
  await page.getByRole('button', { name: 'Open the navigation' }).click();
  await page
    .getByRole('dialog', { name: 'Navigation' })
    .getByRole('link', { name: 'Map', exact: true })
    .click();
  await page.getByRole('heading', { name: 'Map' }).waitFor();
  assert.equal(await page.getByRole('dialog', { name: 'Navigation' }).isVisible(), false);
});

test('the browser had nothing to complain about', () => {
  assert.deepEqual(on.complaints, []);
});
