// Fails the build when what a browser loads from dist/ weighs more than the budget, gzip, all pages and
// chunks together. What draws maps, and the atlas, is listed apart: it is loaded when a map is first shown.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';

const BUDGET_BYTES = 150 * 1024;
/** The map's code (d3-geo, topojson-client and our own) and the shapes of countries. */
const MAPS = /^assets\/(map|countries-110m)-/;
const dist = new URL('../dist', import.meta.url).pathname;

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? files(path) : [path];
  });
}

const sized = files(dist)
  .filter((path) => !/\.(br|gz)$/.test(path))
  .map((path) => ({ name: relative(dist, path), bytes: readFileSync(path) }))
  .map(({ name, bytes }) => ({ name, raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length }))
  .sort((a, b) => b.gzip - a.gzip);
const apart = sized.filter(({ name }) => MAPS.test(name));
const counted = sized.filter(({ name }) => !MAPS.test(name));
const sum = (files) => files.reduce((all, file) => all + file.gzip, 0);
const total = sum(counted);
const line = (file) =>
  console.log(`${String(file.gzip).padStart(8)} gzip ${String(file.raw).padStart(8)} raw  ${file.name}`);

counted.forEach(line);
console.log(`${String(total).padStart(8)} gzip of ${BUDGET_BYTES} allowed; maps apart:`);
apart.forEach(line);
if (total > BUDGET_BYTES) {
  console.error(`the web app is ${total - BUDGET_BYTES} bytes over its budget`);
  process.exit(1);
}
