// The overview, open for minutes under a thousand clicks a second: does the heap stay flat, does a frame take long?
// `node e2e/soak.mjs [minutes] [clicks per second]` (make soak-web). One line per sample; the last says what
// grew, and by how much in an hour. Exit 1 where the heap after collection grew by more than GROWTH_MAX between the second sample and the
// last, or the page fell behind the engine.
//
// Before each sample the browser's own trace of TRACED_MS tells how much processor time the longest task of the
// page's main thread took. Frames and tasks by the clock are late wherever the machine is busy with something
// else; that figure is the page's alone.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { openWorkspace } from './workspace.mjs';

const minutes = Number(process.argv[2] ?? 4);
const rate = Number(process.argv[3] ?? 1_000);
assert.ok(
  minutes > 0 && minutes <= 480 && rate > 0 && rate <= 5_000,
  'usage: soak.mjs [minutes] [clicks per second]',
);
/** One every two minutes, and never fewer than twelve. */
const SAMPLES = Math.max(12, Math.ceil(minutes / 2));
const BETWEEN_MS = (minutes * 60_000) / SAMPLES;
/** Buckets fill and strings of more digits come; beyond this something is kept that should not be. */
const GROWTH_MAX = 0.25;
/** A frame that comes this late was missed (20 a second). */
const LATE_FRAME_MS = 50;
/** How long the main thread is traced for a sample. */
const TRACED_MS = 10_000;
const repository = new URL('../../../', import.meta.url).pathname;
const loadtest = process.env.WEIR_LOADTEST ?? join(repository, 'target/debug/weir-loadtest');

const on = await openWorkspace();
let load;
let ended;
try {
  const { page } = on;
  await page.addInitScript((late) => {
    globalThis.seen = { tasks: [], frames: [] };
    new PerformanceObserver((list) =>
      globalThis.seen.tasks.push(...list.getEntries().map(({ duration }) => duration)),
    ).observe({ type: 'longtask', buffered: true });
    let last = performance.now();
    const frame = (now) => {
      if (now - last > late) globalThis.seen.frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }, LATE_FRAME_MS);
  // On a busy machine samples take longer than they should; it is stopped in the end.
  const seconds = Math.ceil(minutes * 120) + 300;
  const options = ['--engine', on.engine.file, 'demo', '--rate', String(rate), '--seconds', String(seconds)];
  load = spawn(loadtest, options, { cwd: repository, stdio: 'ignore' });
  ended = new Promise((settle) => load.once('exit', settle));
  let received = 0;
  page.on('websocket', (socket) => socket.on('framereceived', () => (received += 1)));
  await page.goto(`${on.engine.admin}/?range=24h`);
  await page.waitForSelector('[data-live=live]');

  const tools = await on.context.newCDPSession(page);
  // The thread's own processor time: what other programs of the machine take is not the page's.
  await tools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busy = async () => {
    const { metrics } = await tools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration').value;
  };
  console.log(
    '| minute | heap, MB | DOM nodes | listeners | clicks shown | messages | processor, % | tasks > 50 ms | longest, ms | frames > 50 ms | longest task, ms of processor |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|---|');
  const heaps = [];
  let spent = await busy();
  const began = Date.now();
  for (let sample = 0; sample <= SAMPLES; sample++) {
    const longestBusy = await traced(on.browser, page);
    await tools.send('HeapProfiler.collectGarbage');
    // The collection itself is a long task, and none of the page's.
    await page.waitForTimeout(250);
    const { usedSize } = await tools.send('Runtime.getHeapUsage');
    const { nodes, jsEventListeners } = await tools.send('Memory.getDOMCounters');
    const { clicks, tasks, frames } = await page.evaluate(() => {
      const figure = document.querySelector('[data-kpi=clicks]');
      return { clicks: figure?.textContent?.trim(), ...globalThis.seen };
    });
    heaps.push(usedSize);
    const now = await busy();
    const share = sample === 0 ? '–' : ((100_000 * (now - spent)) / BETWEEN_MS).toFixed(0);
    spent = now;
    const longest = tasks.length === 0 ? '–' : Math.round(Math.max(...tasks));
    const at = ((Date.now() - began) / 60_000).toFixed(1);
    console.log(
      `| ${at} | ${(usedSize / 2 ** 20).toFixed(1)} | ${nodes} | ${jsEventListeners} | ${clicks} | ${received} | ${share} | ${tasks.length} | ${longest} | ${frames.length} | ${longestBusy} |`,
    );
    await page.evaluate(() => Object.assign(globalThis.seen, { tasks: [], frames: [] }));
    if (sample < SAMPLES) {
      const next = began + (sample + 1) * BETWEEN_MS - TRACED_MS;
      await page.waitForTimeout(Math.max(0, next - Date.now()));
    }
  }
  load.kill('SIGTERM');
  await ended;
  const shown = async () => Number((await page.textContent('[data-kpi=clicks]')).replace(/\D/g, ''));
  const exact = async () => {
    const answer = await on.api('POST', '/v1/query', { metrics: ['clicks'], date_range: '24h' });
    return answer.rows[0][0];
  };
  const until = Date.now() + 30_000;
  while ((await shown()) !== (await exact()) && Date.now() < until) await page.waitForTimeout(250);
  assert.equal(await shown(), await exact(), 'the page does not show what the engine counted');
  const growth = heaps.at(-1) / heaps[1] - 1;
  console.log(
    `\n${await exact()} clicks, all shown; ${received} messages. From the second sample to the last the heap changed by ` +
      `${(growth * 100).toFixed(1)} %; by least squares by ${hourly(heaps.slice(1)).toFixed(2)} MB an hour.`,
  );
  assert.ok(growth <= GROWTH_MAX, 'the heap grows');
  assert.deepEqual(on.complaints, []);
} finally {
  load?.kill('SIGKILL');
  await on.close();
}

/** Megabytes an hour: the slope of the line that is nearest to the samples. */
function hourly(samples) {
  const middle = (samples.length - 1) / 2;
  const mean = samples.reduce((sum, bytes) => sum + bytes, 0) / samples.length;
  let along = 0;
  let square = 0;
  for (const [at, bytes] of samples.entries()) {
    along += (at - middle) * (bytes - mean);
    square += (at - middle) ** 2;
  }
  return (along / square / 2 ** 20) * (3_600_000 / BETWEEN_MS);
}

/** Processor time of the main thread's longest task within TRACED_MS, in milliseconds. */
async function traced(browser, page) {
  await browser.startTracing(page, { categories: ['toplevel', '__metadata'] });
  await page.waitForTimeout(TRACED_MS);
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  const threads = new Set(
    traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid}.${tid}`),
  );
  const spent = traceEvents
    .filter(({ pid, tid, tdur }) => tdur !== undefined && threads.has(`${pid}.${tid}`))
    .map(({ tdur }) => tdur / 1_000);
  return spent.length === 0 ? '–' : Math.max(...spent).toFixed(1);
}
