// A real engine for the browser tests: the built binary on free ports, with a data directory of its own
// that is gone afterwards. It can be restarted on the same addresses, as an operator restarts it.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from './browser.mjs';

const READY_WITHIN_MS = 180_000;
const STOP_WITHIN_MS = 180_000;
/** Characters of the engine's log that a failure shows. */
const LOG_SHOWN = 4_000;
export const repository = new URL('../../../', import.meta.url).pathname;
/** Settings of this shell that the engine may see: where files are, never addresses, keys or stores. */
const passedOn = ['WEIR_LIBCHDB', 'WEIR_GEOIP'];

export function binary() {
  const path = process.env.WEIR_BIN ?? join(repository, 'target/debug/weir');
  if (!existsSync(path)) throw new Error(`no engine at ${path}: build it, or set WEIR_BIN`);
  return resolve(path);
}

export function environment() {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('WEIR_') || passedOn.includes(name),
  );
  return Object.fromEntries(kept);
}

/** A process that was just killed may still write into it. */
export const removeFolder = (path) =>
  rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });

const withScheme = (address) => (/^https?:/.test(address) ? address.replace(/\/$/, '') : `http://${address}`);
const hostOf = (origin) => new URL(origin).host;

export class Engine {
  /** origins, `http://127.0.0.1:…` */
  public = '';
  admin = '';
  key = '';
  #data = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
  #child = null;
  #exited = null;
  #said = '';
  #settings = {};

  /** with further settings, such as WEIR_OUTBOUND_ALLOW_PRIVATE */
  static async start(settings = {}) {
    const engine = new Engine();
    engine.#settings = settings;
    try {
      await engine.#run('127.0.0.1:0', '127.0.0.1:0');
      await eventually(() => engine.#answers(), 'the engine answers no query');
    } catch (error) {
      await engine.remove();
      throw error;
    }
    return engine;
  }

  /** The engine is ready before its database is, and until then a page is told to try again (503). */
  async #answers() {
    const { status } = await fetch(`${this.admin}/v1/query`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${this.key}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ metrics: ['clicks'], date_range: '24h' }),
    });
    return status === 200;
  }

  /** The file that tells programs on this machine where the engine is. */
  get file() {
    return join(this.#data, 'engine.json');
  }

  /** Runs again what was stopped, on the addresses it had. */
  async again() {
    await this.#run(hostOf(this.public), hostOf(this.admin));
  }

  /** The one-time sign-in link that the engine prints at its start. */
  async signInLink() {
    const read = () => /https?:\/\/\S*?\/sign-in\?token=[\w.~%-]+/.exec(this.#said)?.[0];
    return eventually(read, 'the engine printed no sign-in link');
  }

  /** Asks it to stop as a service manager would; it must end with 0. */
  async stop() {
    if (!this.#child) return;
    this.#child.kill('SIGTERM');
    const { code, signal } = await this.#within(this.#exited, STOP_WITHIN_MS, 'the engine did not stop');
    this.#child = null;
    if (code !== 0) throw new Error(`the engine ended with ${code ?? signal}:\n${this.#tail()}`);
  }

  async remove() {
    try {
      await this.stop();
    } finally {
      this.#child?.kill('SIGKILL');
      removeFolder(this.#data);
    }
  }

  async #run(publicAddress, adminAddress) {
    const options = ['--data-dir', this.#data, '--public-addr', publicAddress, '--admin-addr', adminAddress];
    const child = spawn(binary(), ['serve', ...options], {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...environment(), ...this.#settings },
    });
    this.#child = child;
    this.#said = '';
    this.#exited = new Promise((settle) => {
      child.once('error', (error) => settle({ code: error.message }));
      child.once('exit', (code, signal) => settle({ code, signal }));
    });
    child.stderr.on('data', (bytes) => (this.#said += bytes));
    const ready = new Promise((settle) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.#said += `${line}\n`;
        if (!line.startsWith('{')) return;
        const addresses = JSON.parse(line);
        if (addresses.public && addresses.admin) settle(addresses);
      });
    });
    const early = this.#exited.then(({ code, signal }) => {
      throw new Error(`the engine ended with ${code ?? signal} before it was ready:\n${this.#tail()}`);
    });
    const addresses = await this.#within(
      Promise.race([ready, early]),
      READY_WITHIN_MS,
      'the engine is not ready',
    );
    early.catch(() => {});
    this.public = withScheme(addresses.public);
    this.admin = withScheme(addresses.admin);
    this.key = JSON.parse(readFileSync(join(this.#data, 'engine.json'), 'utf8')).operator_key;
  }

  async #within(promise, milliseconds, complaint) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => {
        this.#child?.kill('SIGKILL');
        reject(new Error(`${complaint} within ${milliseconds} ms:\n${this.#tail()}`));
      }, milliseconds);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #tail() {
    return this.#said.slice(-LOG_SHOWN);
  }
}
