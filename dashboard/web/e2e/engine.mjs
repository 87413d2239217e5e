// A real engine for the browser tests: the built binary on free ports with a data directory of its own, or the one that
// WEIR_ADMIN, WEIR_PUBLIC and WEIR_KEY name.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const READY_WITHIN_MS = 180_000;
const STOP_WITHIN_MS = 60_000;
const repository = new URL('../../../', import.meta.url).pathname;

function withScheme(address) {
  return /^https?:\/\//.test(address) ? address.replace(/\/$/, '') : `http://${address}`;
}

function binary() {
  const candidates = [
    process.env.WEIR_BINARY,
    join(repository, 'target/release/weir'),
    join(repository, 'target/debug/weir'),
  ];
  const found = candidates.find((path) => path && existsSync(path));
  if (!found) throw new Error('no weir binary: run `make build`, or set WEIR_BINARY');
  return found;
}

function libchdb() {
  if (process.env.WEIR_LIBCHDB) return process.env.WEIR_LIBCHDB;
  const folder = join(repository, '.weir');
  const name = existsSync(folder)
    ? readdirSync(folder, { recursive: true }).find((path) => path.endsWith('libchdb.so'))
    : undefined;
  return name ? join(folder, name) : undefined;
}

/** @returns {Promise<{public: string, admin: string, key: string, stop: () => Promise<void>}>} */
export async function startEngine() {
  const { WEIR_ADMIN, WEIR_PUBLIC, WEIR_KEY } = process.env;
  if (WEIR_ADMIN && WEIR_PUBLIC && WEIR_KEY) {
    return {
      admin: withScheme(WEIR_ADMIN),
      public: withScheme(WEIR_PUBLIC),
      key: WEIR_KEY,
      stop: async () => {},
    };
  }
  const data = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
  const key = `weir_${randomBytes(24).toString('hex')}`;
  const library = libchdb();
  const child = spawn(binary(), ['serve'], {
    cwd: data,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      WEIR_DATA_DIR: data,
      WEIR_PUBLIC_ADDR: '127.0.0.1:0',
      WEIR_ADMIN_ADDR: '127.0.0.1:0',
      WEIR_ADMIN_KEY: key,
      ...(library ? { WEIR_LIBCHDB: library } : {}),
    },
  });
  const said = [];
  child.stderr.on('data', (bytes) => said.push(bytes.toString()));
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));

  const stop = async () => {
    child.kill('SIGTERM');
    const { code, signal } = await within(exited, STOP_WITHIN_MS, 'the engine did not stop', () =>
      child.kill('SIGKILL'),
    );
    rmSync(data, { recursive: true, force: true });
    if (code !== 0) {
      throw new Error(`the engine ended with ${code ?? signal}:\n${said.join('').slice(-4000)}`);
    }
  };

  const ready = new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const addresses = JSON.parse(line);
      if (addresses.public && addresses.admin) resolve(addresses);
    });
  });
  const early = exited.then(({ code, signal }) => {
    throw new Error(
      `the engine ended with ${code ?? signal} before it was ready:\n${said.join('').slice(-4000)}`,
    );
  });
  try {
    const addresses = await within(Promise.race([ready, early]), READY_WITHIN_MS, 'the engine is not ready');
    early.catch(() => {});
    return { admin: withScheme(addresses.admin), public: withScheme(addresses.public), key, stop };
  } catch (error) {
    child.kill('SIGKILL');
    rmSync(data, { recursive: true, force: true });
    throw error;
  }
}

async function within(promise, milliseconds, complaint, giveUp = () => {}) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      giveUp();
      reject(new Error(`${complaint} within ${milliseconds} ms`));
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
