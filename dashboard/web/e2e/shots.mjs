// Pictures of every page, light and dark, on a phone, a desk and a wide screen, of an engine with something in it;
// and of each whether it fits its window, without scrolling sideways at a desk, and what axe finds. `node e2e/shots.mjs [folder] [page…]` (make shots). Exit
// 1 where a page does not fit or has a violation. The sheets (`sheet-*.png`) show many pages at once, to be looked at
// first.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { accessibility, openPage, sideways } from './browser.mjs';
import { fill } from './filled.mjs';
import { openWorkspace } from './workspace.mjs';

const folder = resolve(process.argv[2] ?? 'shots');
/** Those alone, where any are named. */
const only = new Set(process.argv.slice(3));
const SECONDS_OF_DEMO = 40;
const WIDTHS = [390, 1280, 1920];
const THEMES = ['light', 'dark'];
const SETTLED_AFTER_MS = 700;
const SETTLED_WITHIN_MS = 15_000;
/** A page of many rows, or a sheet of many pages, on a busy machine. */
const PICTURE_WITHIN_MS = 120_000;
/** Pages of one sheet. */
const ON_A_SHEET = 12;
const repository = new URL('../../../', import.meta.url).pathname;
const loadtest = process.env.WEIR_LOADTEST ?? join(repository, 'target/debug/weir-loadtest');

mkdirSync(folder, { recursive: true });
const on = await openWorkspace({ WEIR_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' });
const wrong = [];
let shots = 0;
let load;
try {
  const options = ['--engine', on.engine.file, 'demo', '--rate', '20', '--seconds', '3600'];
  load = spawn(loadtest, options, { cwd: repository, stdio: 'ignore' });
  await new Promise((settle) => setTimeout(settle, SECONDS_OF_DEMO * 1_000));
  const things = await fill(on);
  await all(on.page, things.pages);

  const own = await on.browser.newContext({ viewport: { width: 1280, height: 900 } });
  const portal = (await openPage(own, on.engine.admin)).page;
  await portal.goto(on.engine.admin);
  if (only.size === 0) await shoot(portal, 'sign-in');
  await portal.getByLabel('Admin key').fill(things.portalKey);
  await portal.getByRole('button', { name: 'Sign in' }).click();
  await portal.getByRole('navigation', { name: 'Main' }).waitFor();
  await all(portal, things.portal);
  await visit(portal, 'status', `${on.engine.public}/status`);
  await visit(portal, 'shared', things.shared);
  await own.close();
  await sheets();
} finally {
  load?.kill('SIGKILL');
  await on.close();
}
console.log(`${shots} pictures in ${folder}`);
for (const line of [...wrong, ...on.complaints]) console.log(line);
assert.deepEqual([...wrong, ...on.complaints], []);

async function all(page, pages) {
  for (const [name, path] of Object.entries(pages)) await visit(page, name, on.engine.admin + path);
}

async function visit(page, name, address) {
  if (only.size > 0 && !only.has(name)) return;
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(address);
  await page.locator('h1').first().waitFor();
  // A page that moves may be busy again and again: then it is pictured as it is.
  const settled = () => !document.querySelector('[aria-label=Loading], [aria-busy=true]');
  await page.waitForFunction(settled, undefined, { timeout: SETTLED_WITHIN_MS }).catch(() => {});
  await shoot(page, name);
}

async function shoot(page, name) {
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width < 500 ? 844 : 1000 });
      await page.waitForTimeout(SETTLED_AFTER_MS);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0) wrong.push(`${name} at ${width} px is ${over} px too wide`);
      const cut = width < 500 ? [] : await sideways(page);
      wrong.push(...cut.map((what) => `${name} at ${width} px: ${what} scrolls sideways`));
      if (width !== 1920) {
        // The status page reads itself anew without a script: that is what it is for.
        const found = (await accessibility(page)).filter((line) => !line.startsWith('meta-refresh'));
        wrong.push(...found.map((line) => `${name} at ${width} px, ${theme}: ${line}`));
      }
      const path = join(folder, `${name}-${theme}-${width}.png`);
      await page.screenshot({ path, fullPage: true, timeout: PICTURE_WITHIN_MS });
      shots += 1;
    }
  }
}

/** Many pages beside one another: what is out of line is seen at a glance. */
async function sheets() {
  const { readdirSync } = await import('node:fs');
  const files = readdirSync(folder).filter((file) => /-(light|dark)-(390|1280|1920)\.png$/.test(file));
  const context = await on.browser.newContext({ viewport: { width: 1800, height: 1200 } });
  const page = await context.newPage();
  for (const theme of THEMES) {
    for (const width of WIDTHS) {
      const these = files.filter((file) => file.endsWith(`-${theme}-${width}.png`));
      for (let at = 0; at < these.length; at += ON_A_SHEET) {
        const cells = these.slice(at, at + ON_A_SHEET).map((file) => {
          const data = readFileSync(join(folder, file)).toString('base64');
          return `<figure><img src="data:image/png;base64,${data}"><figcaption>${file}</figcaption></figure>`;
        });
        const columns = width < 500 ? 6 : 4;
        // Whole pages, however long each is, one below the other in columns.
        const style = `body{margin:8px;columns:${columns};column-gap:8px;font:13px sans-serif;background:#888}
          figure{margin:0 0 8px;break-inside:avoid}img{width:100%;display:block}`;
        const html = join(folder, 'sheet.html');
        writeFileSync(html, `<!doctype html><style>${style}</style>${cells.join('')}`);
        await page.goto(`file://${html}`);
        await page.screenshot({
          path: join(folder, `sheet-${theme}-${width}-${at / ON_A_SHEET + 1}.png`),
          fullPage: true,
          timeout: PICTURE_WITHIN_MS,
        });
      }
    }
  }
  await context.close();
}
