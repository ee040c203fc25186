import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoBase, root } from './small-network.js';

/** `FEDLORA_INSTALL_PACKAGE=1`: from the registry too, as `npm install --global` does. By `npm run test:nightly`. */
const installs = process.env['FEDLORA_INSTALL_PACKAGE'] === '1';

describe('the packed client', () => {
  let folder: string;
  let tarball: string;
  let program: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-package-'));
    tarball = execFileSync(process.execPath, [join(root, 'client', 'scripts', 'pack.mjs'), folder])
      .toString('utf8')
      .trim();
    await mkdir(join(folder, 'lib'));
    execFileSync('tar', ['-xzf', tarball, '-C', join(folder, 'lib')]);
    // What the registry would give lies above, so that only what is in the tarball is found in it.
    await symlink(join(root, 'node_modules'), join(folder, 'lib', 'node_modules'));
    program = join(folder, 'lib', 'package', 'bin', 'fedlora.mjs');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const run = (...args: string[]): string =>
    execFileSync(process.execPath, [program, ...args], {
      cwd: folder,
      env: { ...process.env, FEDLORA_HOME: join(folder, 'home') },
    }).toString('utf8');

  it('is whole: it makes keys, counts epsilon and runs a model', () => {
    expect(run('identity', 'next')).toMatch(/fingerprint {2}[0-9a-f ]+/);
    expect(run('privacy', 'epsilon', '--noise-multiplier', '1.1', '--steps', '10', '--delta', '1e-5')).toContain(
      'epsilon',
    );
    expect(
      run('generate', '--base', demoBase, '--instruction', 'Hello', '--max-new-tokens', '2', '--device', 'cpu'),
    ).not.toBe('');
  });

  it('has our own packages inside, and asks the registry for none of them', async () => {
    const {
      dependencies,
      bundleDependencies,
      private: isPrivate,
    } = JSON.parse(await readFile(join(folder, 'lib', 'package', 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
      bundleDependencies: string[];
      private?: boolean;
    };
    const ours = Object.keys(dependencies).filter((name) => name.startsWith('@fedlora/'));
    expect(ours.sort()).toEqual([...bundleDependencies].sort());
    expect(isPrivate).toBeUndefined();
    for (const name of ours) {
      const inside = JSON.parse(
        await readFile(join(folder, 'lib', 'package', 'node_modules', name, 'package.json'), 'utf8'),
      ) as { dependencies?: object };
      expect(inside.dependencies).toBeUndefined();
    }
  });

  it('brings the runbook that its errors name', async () => {
    const page = await readFile(join(folder, 'lib', 'package', 'deploy', 'runbook', 'client.md'), 'utf8');
    expect(page).toContain('## client/not-enrolled');
  });

  if (installs) {
    it('is installed from the registry into an empty prefix, and starts', () => {
      const prefix = join(folder, 'prefix');
      execFileSync('npm', ['install', '--global', '--prefix', prefix, '--ignore-scripts', '--omit=optional', tarball], {
        cwd: folder,
        stdio: 'ignore',
      });
      const installed = execFileSync(join(prefix, 'bin', 'fedlora'), ['--version'], { cwd: folder }).toString('utf8');
      expect(installed).toMatch(/^\d+\.\d+\.\d+\n$/);
    });
  }
});
