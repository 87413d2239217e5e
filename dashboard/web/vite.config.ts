import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// Few chunks: small files cost a header each and compress badly (a tenth of the whole). `base` draws the first
// page; all others are one chunk that is asked for when it is first needed, and then every page is there at
// once. What the API page loads too stays out of `base`: it must not run the app. Maps are apart, with the
// atlas.
const chunks = [
  { name: 'svelte', test: /node_modules\/(svelte|esm-env|clsx)\// },
  { name: 'shared', test: /src\/(parts\/(Mark|Problem|Copy)|state\/theme|styles)/ },
  {
    name: 'base',
    test: /src\/(state|format|live|range|api|parts\/(?!link\/|Qr)|pages\/(Overview|SignIn)|[A-Za-z]+\.)/,
  },
  { name: 'pages', test: /src\/(?!docs|maps\/(Map|World|atlas))/ },
  { name: 'map', test: /node_modules\/(d3-|topojson|internmap)|src\/maps\// },
];

// The engine serves what stands in dist/ under `default-src 'self'`, so nothing may be inlined: no data:
// images, no module-preload polyfill script, and no style or script text in the pages.
export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      input: { index: 'index.html', docs: 'docs.html' },
      output: { codeSplitting: { groups: chunks } },
    },
  },
  server: {
    proxy: {
      '/v1': { target: process.env.WEIR_ADMIN ?? 'http://127.0.0.1:8081', ws: true },
      '/openapi.json': process.env.WEIR_ADMIN ?? 'http://127.0.0.1:8081',
      '/sign-in': process.env.WEIR_ADMIN ?? 'http://127.0.0.1:8081',
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
