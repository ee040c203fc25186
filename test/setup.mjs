/**
 * Makes a fresh clone ready: checks Node, installs what the lock file names, builds. Plain JavaScript without dependencies, since
 * it runs before anything is installed.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Prints cause and remedy, and ends the process. */
export function stop(cause, remedy) {
  process.stderr.write(`${cause}\n  what to do: ${remedy}\n`);
  process.exit(1);
}

export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    stop(
      `Fedlora needs Node.js 20.19 or later; this is ${process.versions.node}.`,
      'install a current Node.js (nodejs.org).',
    );
  }
}

/** Runs a command in the root; its output goes to this terminal, or to nowhere unless it fails. */
export function run(command, args, { quiet = false } = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    shell: process.platform === 'win32',
    encoding: 'utf8',
  });
  if (result.status !== 0) {
    if (quiet) process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
    stop(`"${command} ${args.join(' ')}" failed.`, 'read its output above.');
  }
}

/** Installs exactly what the lock file names, unless that is what is there. */
export function ensureInstalled() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const marker = join(root, 'node_modules', '.fedlora-lock');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === lock) return;
  const complete = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(complete) || statSync(complete).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs) {
    process.stdout.write('Installing the packages that the lock file names (once; a minute or two) ...\n');
    // package.json refuses every install script by name, which npm reads from version 11 on.
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { quiet: true });
  }
  writeFileSync(marker, lock);
}

/** Newest modification time below a folder, in milliseconds. */
function newest(folder) {
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) latest = Math.max(latest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
  }
  return latest;
}

/** Compiles the packages (incrementally), gathers the documentation, and builds the dashboard (when its sources are newer). */
export function ensureBuilt() {
  run(process.execPath, ['node_modules/typescript-native/bin/tsc', '-b']);
  run(process.execPath, ['coordinator/scripts/gather-documentation.mjs']);
  const dashboard = join(root, 'coordinator', 'dashboard');
  const page = join(dashboard, 'dist', 'index.html');
  const sources = Math.max(newest(join(dashboard, 'src')), newest(join(root, 'shared', 'src', 'api')));
  if (existsSync(page) && statSync(page).mtimeMs > sources) return;
  run('npm', ['--workspace', '@fedlora/dashboard', 'run', 'build', '--', '--logLevel', 'error'], { quiet: true });
}

/** Removes everything that building made. */
export function clean() {
  for (const folder of ['protocol', 'shared', 'client', 'coordinator', 'coordinator/dashboard', 'test']) {
    rmSync(join(root, folder, 'dist'), { recursive: true, force: true });
  }
}
