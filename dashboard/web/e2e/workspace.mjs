// What the tests of pages share: an engine with something in it, a signed-in browser, and the questions that
// every page is asked.

import assert from 'node:assert/strict';
import { accessibility, openPage, settled, startBrowser, tooWide } from './browser.mjs';
import { Engine } from './engine.mjs';

export const DESKTOP =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) ' +
  'Chrome/142.0.0.0 Safari/537.36';

/** An engine, with further settings, and a page that is signed in with its first key. */
export async function openWorkspace(settings = {}) {
  const engine = await Engine.start(settings);
  let browser;
  async function close() {
    await browser?.close();
    await engine.remove();
  }
  try {
    browser = await startBrowser();
    return { ...(await signedIn(engine, browser)), close };
  } catch (error) {
    // Who is not let in must not leave an engine behind, for which the test's process would wait.
    await close();
    throw error;
  }
}

async function signedIn(engine, browser) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    colorScheme: 'light',
    acceptDownloads: true,
  });
  const { page, complaints } = await openPage(context, engine.admin);
  await page.goto(engine.admin);
  await page.getByLabel('Admin key').fill(engine.key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();

  async function api(method, path, body) {
    const answer = await fetch(engine.admin + path, {
      method,
      headers: { Authorization: `Bearer ${engine.key}`, 'Content-Type': 'application/json' },
      body: body ? JSON.stringify(body) : undefined,
    });
    assert.ok(answer.ok, `${method} ${path} answered ${answer.status}: ${await answer.clone().text()}`);
    const text = await answer.text();
    return text === '' ? null : JSON.parse(text);
  }

  /** A click, as a visitor with a browser of their own makes it; @returns the destination */
  async function visit(slug, headers = {}) {
    const answer = await fetch(`${engine.public}/${slug}`, {
      redirect: 'manual',
      headers: { 'User-Agent': DESKTOP, ...headers },
    });
    assert.equal(answer.status, 302);
    return new URL(answer.headers.get('location'));
  }

  const sale = (order, wclid, customer, amount = 4900) =>
    api('POST', '/v1/conversions', {
      event: 'sale',
      order_id: order,
      wclid,
      customer_id: customer,
      amount: { amount, currency: 'USD' },
    });

  async function open(path) {
    await page.goto(engine.admin + path);
    await page.locator('main h1').first().waitFor();
  }

  /** Fits narrow and wide windows, has no violation in either theme. */
  async function holds(name) {
    await settled(page);
    for (const [width, colorScheme] of [
      [360, 'light'],
      [1280, 'dark'],
      [1280, 'light'],
    ]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      const over = await tooWide(page);
      assert.ok(over <= 0, `${name} at ${width} px is ${over} px too wide`);
      assert.deepEqual(await accessibility(page), [], `${name} at ${width} px, ${colorScheme}`);
    }
  }

  return { engine, browser, context, page, complaints, api, visit, sale, open, holds };
}
