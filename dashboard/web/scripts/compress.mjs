// Leaves a .br and a .gz beside every file of dist/ that gains by it. The engine only sends these files, so the
// slowest settings cost nothing but build time.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const LEAST_BYTES = 512;
const dist = new URL('../dist', import.meta.url).pathname;

for (const name of readdirSync(dist, { recursive: true })) {
  if (!/\.(html|js|css|svg|json|txt)$/.test(name)) continue;
  const path = join(dist, name);
  const bytes = readFileSync(path);
  if (bytes.length < LEAST_BYTES) continue;
  const brotli = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  });
  for (const [suffix, packed] of [
    ['br', brotli],
    ['gz', gzipSync(bytes, { level: 9 })],
  ]) {
    if (packed.length < bytes.length) writeFileSync(`${path}.${suffix}`, packed);
  }
}
