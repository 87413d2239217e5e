// The snippet in headless Chromium: a shop of static pages on a port of its own loads weir.js from a real engine, a
// visitor comes by a short link, and what the engine's queries say is what the visitor did. Each test has a
// browser context of its own and tells its events apart by the page's path.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { eventually, PATIENCE_MS, startBrowser } from './browser.mjs';
import { Engine } from './engine.mjs';

const DESKTOP =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) ' +
  'Chrome/142.0.0.0 Safari/537.36';
/** Room for a page that scrolls. */
const HEIGHT = 3_000;

let engine;
let browser;
let shop;
let origin;
let site;

before(async () => {
  engine = await Engine.start();
  // For the whole browser: a context's own user agent is not on beacons that are sent as a page goes.
  browser = await startBrowser([`--user-agent=${DESKTOP}`]);
  shop = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://shop');
    if (pathname === '/favicon.ico') return response.writeHead(204).end();
    const attributes = searchParams.get('attributes') ?? '';
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(`<!doctype html><html lang="en"><head><title>Shop ${pathname}</title>
      <script>window.weir = window.weir || function () { (weir.q = weir.q || []).push(arguments) };</script>
      <script defer src="${engine.public}/weir.js" data-site="${site.id}" ${attributes}></script></head>
      <body style="margin:0;height:${HEIGHT}px">
      <form data-weir-wclid action="/thanks"><button id="buy" type="button" style="border:0">Buy</button></form>
      <a id="out" href="http://127.0.0.1:9/partner?secret=1" onclick="event.preventDefault()">Partner</a>
      <p><span>first</span><span>second</span></p></body></html>`);
  });
  await new Promise((resolve) => shop.listen(0, '127.0.0.1', resolve));
  // Another host than the engine's, so that the two share no cookies.
  origin = `http://localhost:${shop.address().port}`;
  site = await api('POST', '/v1/sites', { name: 'Shop', origins: [origin] });
});

after(async () => {
  await browser?.close();
  shop?.closeAllConnections();
  await new Promise((resolve) => (shop ? shop.close(resolve) : resolve()));
  await engine?.remove();
});

async function api(method, path, body) {
  const answer = await fetch(engine.admin + path, {
    method,
    headers: { Authorization: `Bearer ${engine.key}`, 'Content-Type': 'application/json' },
    body: body ? JSON.stringify(body) : undefined,
  });
  assert.ok(answer.ok, `${method} ${path} answered ${answer.status}: ${await answer.clone().text()}`);
  return answer.json();
}

/** The counts of `events` by a dimension, as `{ name: count }`. */
async function counts(dimension, filters) {
  const query = { metrics: ['events'], dimensions: [dimension], date_range: '7d', filters };
  const { rows } = await api('POST', '/v1/query', query);
  return Object.fromEntries(rows);
}

/** A page whose every event sent is remembered; `prepare` runs in it before any script. */
async function visitor(prepare) {
  const context = await browser.newContext({ viewport: { width: 1_000, height: 600 } });
  context.setDefaultTimeout(PATIENCE_MS);
  const sent = [];
  const errors = [];
  await context.exposeFunction('remember', (body) => sent.push(...JSON.parse(body).events));
  await context.addInitScript(() => {
    const own = navigator.sendBeacon.bind(navigator);
    navigator.sendBeacon = (url, body) => {
      globalThis.remember(body);
      return own(url, body);
    };
  });
  if (prepare) await context.addInitScript(prepare);
  const page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  const kinds = () => sent.map(({ type, name }) => name ?? type);
  const until = (test, complaint) => eventually(() => test(kinds()), `${complaint}: ${kinds()}`);
  return { context, page, sent, errors, kinds, until };
}

/** A page on its own path, so that its events are told apart. */
const at = (path, attributes = '') =>
  `${origin}${path}?attributes=${encodeURIComponent(attributes)}&utm_term=${path.slice(1)}`;
const here = (path) => ['is', 'utm_term', [path.slice(1)]];

test('a visit by a short link is told from landing to leaving', async () => {
  const link = await api('POST', '/v1/links', { slug: 'shop', destination: at('/landing') });
  const { context, page, sent, errors, kinds, until } = await visitor();
  await page.goto(`${engine.public}/${link.slug}`);
  const token = new URL(page.url()).searchParams.get('wclid');
  assert.match(token, /^[\w-]{60,100}$/);
  assert.equal(await page.evaluate(() => globalThis.weir.wclid()), token);
  assert.equal(await page.inputValue('form [name=wclid]'), token);
  const cookie = (await context.cookies(origin)).find(({ name }) => name === 'wclid');
  assert.deepEqual([cookie?.value, cookie?.sameSite], [token, 'Lax']);
  await until((seen) => seen.includes('pageview'), 'no page view was sent');

  await page.click('#buy', { position: { x: 5, y: 7 } });
  await page.mouse.wheel(0, HEIGHT);
  await page.waitForFunction(
    () => globalThis.scrollY + globalThis.innerHeight >= document.body.scrollHeight - 1,
  );
  await page.evaluate(() =>
    globalThis.weir('event', 'signup', { value: 9.99, currency: 'EUR', plan: 'pro' }),
  );
  await page.evaluate(() => globalThis.scrollTo(0, 0));
  await page.click('#out');
  await page.click('p span:nth-of-type(2)');
  // A new address is a new page, a new fragment is not.
  await page.evaluate(() => history.pushState({}, '', '/second?utm_term=landing'));
  await page.evaluate(() => history.pushState({}, '', '/second?utm_term=landing#part'));
  await page.goBack();
  await page.goBack();
  await until((seen) => seen.filter((kind) => kind === 'pageview').length === 3, 'three pages were shown');
  await until((seen) => seen.includes('engagement'), 'no engagement was sent');
  // What waits when the page goes is sent as it goes; the test sees it in the engine only.
  await page.click('#buy');
  await page.goto('about:blank');
  assert.deepEqual(errors, []);

  const views = sent.filter(({ type }) => type === 'pageview');
  assert.equal(new Set(views.map(({ view }) => view)).size, 3, 'each showing has a number of its own');
  assert.equal(views[0].title, 'Shop /landing');
  assert.match(views[1].url, /\/second\?/);
  assert.match(views[1].referrer, /\/landing\?/);
  const [bought, left, spanned] = sent.filter(({ type }) => type === 'click');
  assert.equal(bought.selector, 'button#buy');
  assert.deepEqual([Math.round(bought.element_x), Math.round(bought.element_y)], [5, 7]);
  assert.ok(bought.x >= 5 && bought.y >= 7 && bought.page_height >= HEIGHT, JSON.stringify(bought));
  assert.deepEqual([left.selector, left.href], ['a#out', 'http://127.0.0.1:9/partner']);
  assert.equal(spanned.selector, 'p>span:nth-of-type(2)');
  const engagement = sent.find(({ type }) => type === 'engagement');
  assert.equal(engagement.view, views[0].view);
  assert.ok(engagement.engaged_ms > 0 && engagement.engaged_ms < 600_000, JSON.stringify(engagement));
  assert.ok(engagement.scroll >= 95, JSON.stringify(engagement));

  // What the engine counts is what the visitor did, and the link that brought them has it.
  const expected = { pageview: 3, click: 4, signup: 1 };
  const counted = () => counts('event', here('/landing'));
  await eventually(async () => isDeepStrictEqual(await counted(), expected), 'not counted').catch(async () =>
    assert.deepEqual(await counted(), expected, `sent: ${kinds()}`),
  );
  assert.deepEqual(await counts('link', here('/landing')), { [link.id]: 8 });
  assert.deepEqual(await counts('property:plan', ['is', 'event', ['signup']]), { pro: 1 });
  await context.close();
});

test('the token stays with the site, without cookies too', async () => {
  const token = 'T'.repeat(62);
  for (const prepare of [
    undefined,
    () => Object.defineProperty(Document.prototype, 'cookie', { get: () => '', set: () => {} }),
  ]) {
    const { context, page } = await visitor(prepare);
    await page.goto(`${at('/kept')}&wclid=${token}`);
    await page.goto(at('/kept'));
    assert.equal(await page.evaluate(() => globalThis.weir.wclid()), token);
    assert.equal(await page.inputValue('form [name=wclid]'), token);
    await context.close();
  }
  // Neither cookies nor storage: the page that was landed on knows it, and nothing breaks.
  const { context, page, errors, until } = await visitor(() => {
    Object.defineProperty(Document.prototype, 'cookie', { get: () => '', set: () => {} });
    Object.defineProperty(globalThis, 'localStorage', {
      get: () => {
        throw new DOMException('denied', 'SecurityError');
      },
    });
  });
  await page.goto(`${at('/kept')}&wclid=${token}`);
  assert.equal(await page.evaluate(() => globalThis.weir.wclid()), token);
  await until((seen) => seen.includes('pageview'), 'no page view was sent');
  assert.deepEqual(errors, []);
  await context.close();
});

/** What of a visitor a browser would still have. */
const traces = (page) =>
  page.evaluate(() => [document.cookie, Object.keys(localStorage), globalThis.weir.wclid()]);

test('Do Not Track and Global Privacy Control are honoured', async () => {
  for (const prepare of [
    () => Object.defineProperty(navigator, 'doNotTrack', { get: () => '1' }),
    () => Object.defineProperty(navigator, 'globalPrivacyControl', { get: () => true }),
  ]) {
    const { context, page, kinds } = await visitor(prepare);
    await page.goto(`${at('/private')}&wclid=${'P'.repeat(62)}`);
    await page.click('#buy');
    await page.evaluate(() => globalThis.weir('event', 'signup'));
    await page.evaluate(() => globalThis.weir('consent', true));
    // The page that was landed on may hand the token to its own form; nothing is stored.
    assert.deepEqual(await traces(page), ['', [], 'P'.repeat(62)]);
    await page.goto('about:blank');
    assert.deepEqual(kinds(), []);
    await context.close();
  }
  assert.deepEqual(await counts('event', here('/private')), {});
});

test('a required consent is waited for, and its withdrawal forgets', async () => {
  const { context, page, kinds, until } = await visitor();
  await page.goto(`${at('/consent', 'data-consent="required"')}&wclid=${'C'.repeat(62)}`);
  await page.click('#buy');
  await page.evaluate(() => globalThis.weir('event', 'early'));
  assert.deepEqual(await traces(page), ['', [], 'C'.repeat(62)]);
  await page.evaluate(() => globalThis.weir('consent', true));
  await page.evaluate(() => globalThis.weir('event', 'agreed'));
  await until((seen) => seen.includes('agreed'), 'nothing was sent after the consent');
  assert.deepEqual(kinds(), ['pageview', 'agreed']);
  assert.equal((await traces(page))[0], `wclid=${'C'.repeat(62)}`);
  await page.evaluate(() => globalThis.weir('consent', false));
  await page.evaluate(() => globalThis.weir('event', 'late'));
  assert.deepEqual((await traces(page)).slice(0, 2), ['', []]);
  await page.goto('about:blank');
  assert.deepEqual(kinds(), ['pageview', 'agreed']);
  await context.close();
});

test('without beacons events go by fetch, and early calls are not lost', async () => {
  const { context, page } = await visitor(() => {
    navigator.sendBeacon = undefined;
    globalThis.weir = function () {
      (globalThis.weir.q = globalThis.weir.q || []).push(arguments);
    };
    globalThis.weir('event', 'early', { plan: 'stub' });
  });
  await page.goto(at('/fetched'));
  const seen = () => counts('event', here('/fetched'));
  const expected = { early: 1, pageview: 1 };
  await eventually(async () => isDeepStrictEqual(await seen(), expected), 'the early event was not counted');
  await context.close();
});

test('a page of another origin is not counted', async () => {
  const { context, page, until } = await visitor();
  await page.goto(at('/foreign').replace('localhost', '127.0.0.1'));
  await until((seen) => seen.includes('pageview'), 'the script does not know that it is foreign');
  const refused = async () => {
    const metrics = await fetch(`${engine.admin}/metrics`, {
      headers: { Authorization: `Bearer ${engine.key}` },
    });
    return /weir_collect_refused_total\{reason="foreign_origin"\} [1-9]/.test(await metrics.text());
  };
  await eventually(refused, 'the refusal was not counted');
  assert.deepEqual(await counts('event', here('/foreign')), {});
  await context.close();
});
