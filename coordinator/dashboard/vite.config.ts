import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The page is served under `default-src 'self'`: nothing may be inlined as a script or a data URL. */
export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2023',
  },
});
