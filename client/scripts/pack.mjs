/**
 * Packs the client as one tarball that `npm install --global` takes on a machine without this repository: the compiled program, with our
 * own packages inside, since they are in no registry, and the runbook. Everything else comes from the registry at installation.
 *
 *   node client/scripts/pack.mjs [FOLDER]        FOLDER: where the tarball goes; default: the present one
 */

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..', '..');
const destination = resolve(process.argv[2] ?? '.');
const staging = mkdtempSync(join(tmpdir(), 'fedlora-pack-'));
/** What of a compiled package runs: no sources, no maps, no records of the compiler. */
const isProgram = (path) => !/\.(map|tsbuildinfo|d\.ts)$/.test(path);
const packageOf = (name) => JSON.parse(readFileSync(join(root, name, 'package.json'), 'utf8'));

try {
  const own = ['protocol', 'shared'];
  const client = packageOf('client');
  const dependencies = {};
  for (const name of own) {
    const { dependencies: theirs, ...manifest } = packageOf(name);
    const inside = join(staging, 'node_modules', '@fedlora', name);
    cpSync(join(root, name, 'dist'), join(inside, 'dist'), { recursive: true, filter: isProgram });
    // What they ask for is asked for outside: npm takes it for part of the bundle otherwise, and installs empty folders.
    writeFileSync(join(inside, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    Object.assign(dependencies, theirs);
  }
  Object.assign(dependencies, client.dependencies, {
    '@fedlora/protocol': client.version,
    '@fedlora/shared': client.version,
  });
  for (const folder of ['bin', 'README.md'])
    cpSync(join(root, 'client', folder), join(staging, folder), { recursive: true });
  cpSync(join(root, 'client', 'dist'), join(staging, 'dist'), { recursive: true, filter: isProgram });
  cpSync(join(root, 'deploy', 'runbook'), join(staging, 'deploy', 'runbook'), { recursive: true });
  cpSync(join(root, 'LICENSE'), join(staging, 'LICENSE'));
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const packed = {
    ...client,
    private: undefined,
    engines,
    dependencies,
    bundleDependencies: own.map((name) => `@fedlora/${name}`),
  };
  writeFileSync(join(staging, 'package.json'), `${JSON.stringify(packed, null, 2)}\n`);
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const options = { cwd: staging, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] };
  const [{ filename }] = JSON.parse(
    execFileSync(npm, ['pack', '--json', '--ignore-scripts', '--pack-destination', destination], options),
  );
  process.stdout.write(`${join(destination, filename)}\n`);
} finally {
  rmSync(staging, { recursive: true, force: true });
}
