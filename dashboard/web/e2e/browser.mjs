// Chromium for the tests, and the page they share: it remembers every complaint of the browser (a script
// error, something that the content security policy refused, a request to another host), so that a test can
// say there were none.

import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
/** Pages are pictured only where someone wants to look at them. */
const screenshots = process.env.WEIR_SCREENSHOTS;
/** Generous: a machine that is busy with builds takes its time, and who waits in vain waits longer, no more. */
export const PATIENCE_MS = 120_000;
/** For what is looked at as it is then. */
const SETTLED_WITHIN_MS = 15_000;

function findChromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
  const folders = (process.env.PATH ?? '').split(delimiter);
  const paths = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = [process.env.WEIR_CHROMIUM, ...paths].find((path) => path && isExecutable(path));
  if (!found) throw new Error('no Chromium on the PATH: run scripts/ensure-chromium');
  return found;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export async function startBrowser(more = []) {
  return chromium.launch({
    executablePath: findChromium(),
    timeout: PATIENCE_MS,
    args: [
      '--no-sandbox',
      '--lang=en-US',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-dev-shm-usage',
      ...more,
    ],
  });
}

/** @returns {Promise<{page: import('playwright-core').Page, complaints: string[]}>} */
export async function openPage(context, origin) {
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() !== 'error') return;
    // A refused sign-in or a wrong form is answered with 4xx, which the browser notes; the tests look at
    // those answers.
    if (/Failed to load resource: the server responded with a status of 4\d\d/.test(text)) return;
    // The tests cut the live connection and stop the engine themselves, which may be in the midst of any request.
    // What a policy refuses (net::ERR_BLOCKED_…) is none of these.
    if (/WebSocket connection to|net::ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET|NETWORK)_/.test(text)) return;
    complaints.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && !/^(blob|about|data):/.test(request.url())) {
      complaints.push(`request to another host: ${request.url()}`);
    }
  });
  return { page, complaints };
}

/** How often a page with violations is looked at again. */
const LOOKS_AGAIN = 2;

/** By when a page that loads has loaded; one that moves may be busy again and again. */
export async function settled(page) {
  const done = () => !document.querySelector('[aria-label=Loading], [aria-busy=true], main .stale');
  await page.waitForFunction(done, undefined, { timeout: SETTLED_WITHIN_MS }).catch(() => {});
}

/** By how many pixels a page is wider than its window, once what follows the window's size has followed it. */
export async function tooWide(page) {
  const fits = () => document.documentElement.scrollWidth <= innerWidth;
  await page.waitForFunction(fits, undefined, { timeout: SETTLED_WITHIN_MS }).catch(() => {});
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

/**
 * The longest that anything on the page moves or may move, in milliseconds: by style or by script, elements and what
 * stands before and after them.
 */
export function longestMotion(page) {
  return page.evaluate(() => {
    const milliseconds = (text) =>
      text.split(',').map((each) => parseFloat(each) * (/ms/.test(each) ? 1 : 1_000));
    const may = [...document.querySelectorAll('*')].flatMap((element) =>
      [undefined, '::before', '::after'].flatMap((part) => {
        const { animationName, animationDuration, transitionDuration } = getComputedStyle(element, part);
        const animated = animationName === 'none' ? [] : milliseconds(animationDuration);
        return [...animated, ...milliseconds(transitionDuration)];
      }),
    );
    const does = document.getAnimations().map(({ effect }) => Number(effect.getTiming().duration));
    return Math.max(0, ...may, ...does);
  });
}

/**
 * On a desk's screen: what must be scrolled sideways to be seen whole, each with its width and what there is of it, once
 * what follows the window's size has followed it.
 */
export async function sideways(page) {
  const found = () =>
    [...document.querySelectorAll('.table-frame, nav')]
      // What is folded away is laid out when it is opened.
      .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth)
      .map((each) => `${each.ariaLabel ?? each.className} (${each.scrollWidth} in ${each.clientWidth} px)`);
  const until = Date.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const cut = await page.evaluate(found);
    if (cut.length === 0 || Date.now() > until) return cut;
    await page.waitForTimeout(100);
  }
}

/**
 * Violations, one per line, with their place. What is asked for anew is dimmed until it is there, and a range that ends
 * now asks anew each minute: only what is there at the last look is one.
 */
export async function accessibility(page) {
  let found = await violations(page);
  for (let again = 0; found.length > 0 && again < LOOKS_AGAIN; again++) {
    await settled(page);
    found = await violations(page);
  }
  return found;
}

/** The browser evaluates the source: no policy is loosened. */
async function violations(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ['violations'] }),
  );
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} at ${target.join(' ')}: ${failureSummary}`),
  );
}

export async function picture(page, name) {
  if (!screenshots) return;
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
}

/** Polls until `read` gives something true, or fails with what it gave last. */
export async function eventually(read, complaint) {
  const until = Date.now() + PATIENCE_MS;
  let last;
  do {
    last = await read();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 100));
  } while (Date.now() < until);
  throw new Error(`${complaint} (last: ${JSON.stringify(last)})`);
}
