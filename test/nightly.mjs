/**
 * `npm run test:nightly`: what `npm test` does a few times, very many times: 100,000 hostile inputs for each decoder, the
 * statistical tests of hiding, 50 rounds over a faulty network, 200 rounds of one coordinator that is killed again and again, and every
 * model on every engine, with a seed that is new in every run. Besides, the packed client is installed from the registry.
 *
 * The seed and the number of cases are printed; a failure is repeated with `FEDLORA_FUZZ_SEED=... npm run test:nightly`.
 * Arguments are passed on to Vitest, such as `npm run test:nightly -- -t ledger`.
 */

import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { checkNode, ensureBuilt, ensureInstalled, root } from './setup.mjs';

checkNode();
ensureInstalled();
ensureBuilt();

const environment = {
  ...process.env,
  FEDLORA_FUZZ_CASES: process.env.FEDLORA_FUZZ_CASES ?? '100000',
  FEDLORA_EVERY_CASE: '1',
  FEDLORA_INSTALL_PACKAGE: '1',
  FEDLORA_FAULTY_ROUNDS: process.env.FEDLORA_FAULTY_ROUNDS ?? '50',
  FEDLORA_SOAK_ROUNDS: process.env.FEDLORA_SOAK_ROUNDS ?? '200',
  FEDLORA_FUZZ_SEED: process.env.FEDLORA_FUZZ_SEED ?? String(randomInt(2 ** 31)),
};
const { FEDLORA_FUZZ_CASES: cases, FEDLORA_FUZZ_SEED: seed } = environment;
process.stdout.write(`FEDLORA_FUZZ_SEED=${seed} FEDLORA_FUZZ_CASES=${cases}\n`);

const vitest = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    'test/fuzz/',
    'secagg-hiding',
    'conformance',
    'faulty-network',
    'soak',
    'package.e2e',
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: 'inherit', env: environment },
);
process.exit(vitest.status ?? 1);
