// Every page of the app with something on it: fits every window from a small phone's to a 4K screen, in either
// direction of writing; axe finds nothing in either theme; nothing moves for those who ask for less motion. Headless
// Chromium against a real engine.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import {
  accessibility,
  eventually,
  longestMotion,
  openPage,
  settled,
  sideways,
  tooWide,
} from './browser.mjs';
import { fill } from './filled.mjs';
import { openWorkspace } from './workspace.mjs';

/** Longer than the blink of an eye that the style sheet leaves for those who want no motion. */
const MOTION_MS = 10;
/** Pixels, from which nothing is scrolled sideways. */
const DESK = 1280;
/** An address of a university's, which stays where it is. */
const SEATTLE = '128.95.1.1';
let on;
let things;

before(async () => {
  on = await openWorkspace({ WEIR_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' });
  things = await fill(on);
});

after(async () => {
  await on?.close();
});

async function open(page, address) {
  await page.goto(address);
  await page.locator('h1').first().waitFor();
  await settled(page);
  // What can be opened is part of the page.
  await page.evaluate(() => document.querySelectorAll('form details').forEach((each) => (each.open = true)));
}

async function holds(page, name, address) {
  const wrong = [];
  const fits = async (width, how = '') => {
    await page.setViewportSize({ width, height: width < 500 ? 844 : 1000 });
    const over = await tooWide(page);
    if (over > 0) wrong.push(`${name} at ${width} px${how} is ${over} px too wide`);
    // A phone has no room for every column; a desk has.
    const cut = width < DESK ? [] : await sideways(page);
    wrong.push(...cut.map((what) => `${name} at ${width} px${how}: ${what} scrolls sideways`));
  };
  const violates = async (theme) => {
    // The status page reads itself anew each minute without a script: that is what it is for, and not to happen in
    // the midst of a look at it.
    if (name === 'status') await page.reload();
    const found = (await accessibility(page)).filter((line) => !line.startsWith('meta-refresh'));
    wrong.push(...found.map((line) => `${name}, ${theme}: ${line}`));
  };
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  await open(page, address);
  const still = await longestMotion(page);
  if (still > MOTION_MS) wrong.push(`${name}: something moves for ${still} ms`);
  await fits(3840);
  await fits(1280);
  await fits(360);
  await violates('light');
  await page.evaluate(() => (document.documentElement.dir = 'rtl'));
  await fits(360, ', from right to left,');
  await fits(1280, ', from right to left,');
  await page.evaluate(() => (document.documentElement.dir = ''));
  await page.emulateMedia({ colorScheme: 'dark' });
  await violates('dark');
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
  return wrong;
}

async function all(page, pages) {
  const wrong = [];
  for (const [name, path] of Object.entries(pages)) {
    wrong.push(...(await holds(page, name, path.startsWith('http') ? path : on.engine.admin + path)));
  }
  assert.deepEqual(wrong, []);
}

const source = readFileSync(new URL('../src/places.ts', import.meta.url), 'utf8');
const paths = [...source.matchAll(/path: '([^']+)'/g)].map(([, path]) => path);

test('no page of the app is missing here', () => {
  assert.ok(paths.length > 40, 'the places are read from their list');
  const asked = [...Object.values(things.pages), ...Object.values(things.portal)];
  const shown = asked.map((path) => path.replace(/\?.*/, ''));
  const pattern = (path) => new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`);
  const missing = paths.filter((path) => !shown.some((each) => pattern(path).test(each)));
  assert.deepEqual(missing, []);
});

test('a page of what is not there says so, and what it is a page of', async () => {
  const { page } = on;
  for (const path of new Set(paths.filter((each) => each.includes(':id')))) {
    await on.open(path.replace(':id', 'nothing_0000000000000'));
    await page.locator('main [role=alert]').first().waitFor();
    assert.ok((await page.locator('main h1').textContent()).trim().length > 2, path);
  }
});

test('a page whose thing is still asked for shows where it will stand', async () => {
  const { page } = on;
  const asked = /\/v1\/.*nothing_/;
  await page.route(asked, () => {});
  for (const path of new Set(paths.filter((each) => each.includes(':id')))) {
    await on.open(path.replace(':id', 'nothing_0000000000000'));
    await page
      .locator('main [aria-label=Loading]')
      .first()
      .waitFor({ timeout: 10_000 })
      .catch(() => {
        assert.fail(`${path} shows nothing`);
      });
  }
  await page.unroute(asked);
  // Which links have variants is asked for before anything can be said of them.
  await page.route('**/v1/links?*', () => {});
  await on.open('/reports/experiments?range=24h');
  await page.locator('main section[aria-busy=true]').waitFor();
  assert.doesNotMatch(await page.locator('main').textContent(), /Nobody|No link/);
  await page.unroute('**/v1/links?*');
});

test('the operator’s pages fit, in either direction and theme, without a violation', async () => {
  await all(on.page, things.pages);
});

test('the portal’s pages, a shared answer, the status page, the sign-in and the API’s reference do, too', async () => {
  const own = await on.browser.newContext({ viewport: { width: 1280, height: 900 } });
  const { page, complaints } = await openPage(own, on.engine.admin);
  await all(page, { 'sign-in': '/', shared: things.shared, docs: '/docs' });
  await page.goto(on.engine.admin);
  await page.getByLabel('Admin key').fill(things.portalKey);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
  await all(page, things.portal);
  assert.deepEqual(complaints, []);
  await all(page, { status: `${on.engine.public}/status` });
  await own.close();
});

test('nothing moves for those who ask for less motion, even where something happens', async () => {
  const { page } = on;
  /** While a click is a ring on the map. */
  const ofRing = async () => {
    await on.open('/map?range=24h');
    await page.locator('svg path[d]').nth(120).waitFor({ state: 'attached' });
    return eventually(async () => {
      await on.visit('split-test', { 'X-Forwarded-For': SEATTLE });
      const there = await page.evaluate(() => document.querySelector('.ring') !== null);
      // Of something that moves for 0 ms, 0 would be taken for none.
      return there && (await longestMotion(page)) + Number.MIN_VALUE;
    }, 'no ring');
  };
  /** While an answer takes its time. */
  const ofWork = async () => {
    await page.route('**/v1/reports/funnel', () => {});
    await on.open('/reports/funnels?range=24h');
    const stop = page.getByRole('button', { name: 'Stop', exact: true });
    await stop.waitFor();
    const longest = await longestMotion(page);
    await stop.click();
    await page.unroute('**/v1/reports/funnel');
    return longest;
  };
  for (const [what, longest] of Object.entries({ ring: ofRing, work: ofWork })) {
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    assert.ok((await longest()) > MOTION_MS, `${what}: it moves where motion is welcome`);
    await page.emulateMedia({ reducedMotion: 'reduce' });
    const still = await longest();
    assert.ok(still <= MOTION_MS, `${what}: something moves for ${still} ms`);
  }
  await page.emulateMedia({ reducedMotion: 'no-preference' });
});

test('the browser had nothing to complain about', () => {
  assert.deepEqual(on.complaints, []);
});
