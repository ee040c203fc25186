import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The page is served from the root, at any address, under `default-src 'self'`: nothing may be inlined as a script or a data URL. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/',
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    // Which files a page needs, for the test that weighs the first load.
    manifest: 'manifest.json',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2023',
  },
});
