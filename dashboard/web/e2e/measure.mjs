// What a person's browser pays for each page: requests, bytes over the wire, first paint, long tasks. A table in
// Markdown on stdout. `node e2e/measure.mjs` (make measure-web); WEIR_BIN names another engine, such as a
// release build.

import { openWorkspace } from './workspace.mjs';

const SETTLED_AFTER_MS = 2_500;
const VISITS = 200;
const EXTRA = ['/docs'];

const on = await openWorkspace();
try {
  await on.api('POST', '/v1/links', { destination: 'https://shop.example/', slug: 'measured' });
  for (let at = 0; at < VISITS; at++) {
    const wclid = (await on.visit('measured')).searchParams.get('wclid');
    if (at % 10 === 0) await on.sale(`M-${at}`, wclid, `customer-${at % 7}`);
  }
  const paths = await on.page.evaluate(() =>
    [...document.querySelectorAll('nav[aria-label=Main] a')].map((link) => new URL(link.href).pathname),
  );
  console.log('| page | requests | KB over the wire | first paint, ms | long tasks | longest, ms |');
  console.log('|---|---|---|---|---|---|');
  for (const path of [...paths, ...EXTRA]) console.log(await measured(path));
} finally {
  await on.close();
}

/** A first visit: nothing cached but the session. */
async function measured(path) {
  const context = await on.browser.newContext({ viewport: { width: 1280, height: 900 } });
  try {
    await context.addCookies(await on.context.cookies());
    const page = await context.newPage();
    await page.addInitScript(() => {
      globalThis.longTasks = [];
      new PerformanceObserver((list) =>
        globalThis.longTasks.push(...list.getEntries().map(({ duration }) => duration)),
      ).observe({ type: 'longtask', buffered: true });
    });
    const wire = await context.newCDPSession(page);
    await wire.send('Network.enable');
    let requests = 0;
    let bytes = 0;
    wire.on('Network.requestWillBeSent', () => (requests += 1));
    wire.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
    await page.goto(on.engine.admin + path);
    await page.locator('h1').first().waitFor();
    await page.waitForTimeout(SETTLED_AFTER_MS);
    const { paint, tasks } = await page.evaluate(() => ({
      paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN,
      tasks: globalThis.longTasks,
    }));
    const longest = tasks.length === 0 ? '–' : Math.round(Math.max(...tasks));
    return `| ${path} | ${requests} | ${(bytes / 1024).toFixed(0)} | ${Math.round(paint)} | ${tasks.length} | ${longest} |`;
  } finally {
    await context.close();
  }
}
