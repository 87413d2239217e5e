import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// The engine serves what stands in dist/ under `default-src 'self'`, so nothing may be inlined: no data:
// images, no module-preload polyfill script, and no style or script text in the pages.
export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { input: { index: 'index.html', docs: 'docs.html' } },
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
