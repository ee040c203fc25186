import { resolve } from 'node:path';
import swc from 'unplugin-swc';
import { defineConfig } from 'vitest/config';

const root = import.meta.dirname;

/** Tests run on the sources: `@fedlora/*` resolves to `src`, so that nothing needs building first. */
const alias = [
  { find: /^@fedlora\/protocol\/node$/, replacement: resolve(root, 'protocol/src/node/index.ts') },
  { find: /^@fedlora\/shared\/client$/, replacement: resolve(root, 'shared/src/api/client.ts') },
  { find: /^@fedlora\/(protocol|shared|client|coordinator)$/, replacement: `${root}/$1/src/index.ts` },
];

const project = (name: string, include: string[], testTimeout: number) => ({
  plugins: [swc.vite({ module: { type: 'es6' } })],
  resolve: { alias },
  oxc: false as const,
  test: { name, root, include, testTimeout, hookTimeout: testTimeout, pool: 'forks' as const },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project('architecture', ['test/architecture/**/*.test.ts'], 60_000),
      project(
        'unit',
        [
          '{protocol,shared,client,coordinator}/src/**/*.test.ts',
          'coordinator/dashboard/src/**/*.test.ts',
          'test/demo/**/*.test.ts',
        ],
        60_000,
      ),
      project('vectors', ['test/vectors/**/*.test.ts'], 120_000),
      // By `npm run test:nightly` with very many cases.
      project(
        'fuzz',
        ['test/fuzz/**/*.test.ts'],
        process.env['FEDLORA_FUZZ_CASES'] === undefined ? 120_000 : 3_600_000,
      ),
      project('scenario', ['test/scenario/**/*.test.ts'], 120_000),
      project('conformance', ['test/conformance/**/*.test.ts'], 120_000),
      project('e2e', ['test/e2e/**/*.test.ts'], 600_000),
    ],
  },
});
