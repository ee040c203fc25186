import { resolve } from 'node:path';
import swc from 'unplugin-swc';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { postgresPrograms } from './test/support/postgres-server.js';

const root = import.meta.dirname;

/** Tests run on the sources: `@fedlora/*` resolves to `src`, so that nothing needs building first. */
const alias = [
  { find: /^@fedlora\/protocol\/node$/, replacement: resolve(root, 'protocol/src/node/index.ts') },
  { find: /^@fedlora\/shared\/client$/, replacement: resolve(root, 'shared/src/api/client.ts') },
  { find: /^@fedlora\/shared\/registry$/, replacement: resolve(root, 'shared/src/api/registry.ts') },
  { find: /^@fedlora\/(protocol|shared|client|coordinator)$/, replacement: `${root}/$1/src/index.ts` },
];

/** Tests that leave the process other than it was: they mock modules, or measure what is not loaded yet. */
const isolated = '**/*.isolated.test.ts';

const project = (name: string, include: string[], testTimeout: number) => ({
  plugins: [swc.vite({ module: { type: 'es6' } })],
  resolve: { alias },
  oxc: false as const,
  test: {
    name,
    root,
    include,
    testTimeout,
    hookTimeout: testTimeout,
    // What is waited for comes late on a busy machine, and costs nothing where it comes at once.
    expect: { poll: { timeout: 30_000 } },
    pool: 'forks' as const,
  },
});

/**
 * Files that share a process, and so load the product once: loading it for each took a third of the processor time.
 */
function sharedProcess(name: string, include: string[], testTimeout: number) {
  const { test, ...rest } = project(name, include, testTimeout);
  return { ...rest, test: { ...test, exclude: [isolated, '**/node_modules/**'], isolate: false, restoreMocks: true } };
}

/** What is asked of the embedded database, asked of PostgreSQL as well, and what only PostgreSQL can do. */
function onPostgres() {
  if (postgresPrograms() === undefined) return project('postgres', ['test/postgres/absent.test.ts'], 60_000);
  const { test, ...rest } = sharedProcess(
    'postgres',
    [
      'coordinator/src/storage/{backup,migrations}.test.ts',
      'coordinator/src/api/conventions.test.ts',
      'coordinator/src/enrolment/{enrolment,leave}.test.ts',
      'coordinator/src/release/{release,merge}.test.ts',
      'coordinator/src/outcomes/outcomes.test.ts',
      'test/postgres/!(absent).test.ts',
    ],
    60_000,
  );
  return { ...rest, test: { ...test, globalSetup: 'test/support/postgres-setup.ts' } };
}

/** Whole networks first: the last file to begin should be a short one, beside which no core waits for a minute. */
class NetworksFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isNetwork = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith('.e2e.test.ts');
    return [...sorted.filter(isNetwork), ...sorted.filter((file) => !isNetwork(file))];
  }
}

export default defineConfig({
  test: {
    maxWorkers: 2,
    sequence: { sequencer: NetworksFirst },
    projects: [
      project('architecture', ['test/architecture/**/*.test.ts'], 60_000),
      sharedProcess(
        'unit',
        [
          '{protocol,shared,client,coordinator}/src/**/*.test.ts',
          'coordinator/dashboard/src/**/*.test.ts',
          'test/{bench,demo,study,support}/**/*.test.ts',
        ],
        60_000,
      ),
      onPostgres(),
      project('vectors', ['test/vectors/**/*.test.ts'], 120_000),
      // By `npm run test:nightly` with very many cases.
      project(
        'fuzz',
        ['test/fuzz/**/*.test.ts'],
        process.env['FEDLORA_FUZZ_CASES'] === undefined ? 120_000 : 3_600_000,
      ),
      sharedProcess('scenario', ['test/scenario/**/*.test.ts'], 120_000),
      project(
        'isolated',
        ['{protocol,shared,client,coordinator}/src/**/*.isolated.test.ts', 'test/scenario/*.isolated.test.ts'],
        120_000,
      ),
      project('conformance', ['test/conformance/**/*.test.ts'], 120_000),
      project('e2e', ['test/e2e/**/*.test.ts'], 600_000),
    ],
  },
});
