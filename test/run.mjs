/**
 * `npm test`: makes the clone ready, installs what the tests need of the system where it can (root and apt), runs every test, and
 * ends with one line of counts. What could not run for want of something on this machine is listed by name, never left out silently.
 * Needed are Chromium, for the dashboard's tests, the Vulkan loader, since Chromium brings a GPU in software for the engine's tests, and
 * PostgreSQL, which the coordinator's tests start a server of their own of.
 *
 * Arguments are passed on to Vitest, such as `npm test -- --project unit` or `npm test -- accountant`.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkNode, ensureBuilt, ensureInstalled, root } from './setup.mjs';

checkNode();
ensureInstalled();
ensureBuilt();
installSystemPackages();

const reports = mkdtempSync(join(tmpdir(), 'fedlora-test-'));
const json = join(reports, 'report.json');
const vitest = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=dot',
    '--reporter=json',
    `--outputFile.json=${json}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: 'inherit' },
);

if (!existsSync(json)) {
  process.stderr.write('Vitest wrote no report.\n');
  process.exit(vitest.status || 1);
}
const report = JSON.parse(readFileSync(json, 'utf8'));
rmSync(reports, { recursive: true, force: true });

const names = { failed: [], skipped: [] };
for (const file of report.testResults) {
  // A file that fails before its first test has no tests to count, but is a failure all the same.
  if (file.status === 'failed' && file.assertionResults.length === 0)
    names.failed.push(`${relative(file.name)}: ${firstLine(file.message)}`);
  for (const test of file.assertionResults) {
    const name = `${relative(file.name)}: ${test.fullName}`;
    if (test.status === 'failed') names.failed.push(name);
    else if (test.status !== 'passed') names.skipped.push(name);
  }
}
const passed = report.numPassedTests;
for (const [what, list] of Object.entries(names)) {
  if (list.length > 0) process.stdout.write(`\n${what}:\n${list.map((name) => `  ${name}\n`).join('')}`);
}
const unhandled = vitest.status !== 0 && names.failed.length === 0;
if (unhandled) process.stdout.write('\nVitest failed outside of a test; see its output above.\n');
process.stdout.write(
  `\n${passed} passed, ${names.failed.length + (unhandled ? 1 : 0)} failed, ${names.skipped.length} skipped\n`,
);
process.exit(vitest.status === 0 && names.failed.length === 0 ? 0 : 1);

function relative(file) {
  return file.startsWith(root) ? file.slice(root.length + 1) : file;
}

function firstLine(text) {
  return String(text ?? '').split('\n')[0];
}

/** Debian's Chromium, Vulkan loader and PostgreSQL, when one is missing and this process may install it. Its absence skips tests by name. */
function installSystemPackages() {
  const hasVulkan = () => /libvulkan\.so\.1/.test(spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '');
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  if (existsSync('/usr/bin/chromium') && hasVulkan() && existsSync('/usr/lib/postgresql')) return;
  process.stdout.write('Installing Chromium, the Vulkan loader and PostgreSQL for the tests ...\n');
  const options = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: 300_000 };
  spawnSync('apt-get', ['update'], options);
  spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'chromium', 'libvulkan1', 'postgresql'], options);
}
