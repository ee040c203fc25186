/** The images of coordinator and client, as far as can be told without building them. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { validate } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { LONGEST_STOP_MS } from '../../client/src/daemon/daemon.js';
import { root } from './sources.js';

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** The instructions of a Dockerfile, continued lines joined, comments left out. */
function instructionsOf(path: string): Instruction[] {
  return readFileSync(join(root, path), 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name, rest] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
      return { name, rest };
    });
}

const images = ['client', 'coordinator'] as const;
type Image = (typeof images)[number];

const fileOf = (image: Image): string => `deploy/docker/${image}.Dockerfile`;
/** The instructions of the image that runs, the last of the file. */
function lastOf(image: Image): Instruction[] {
  const all = instructionsOf(fileOf(image));
  return all.slice(all.findLastIndex(({ name }) => name === 'FROM'));
}
const valuesOf = (instructions: readonly Instruction[], name: string): string[] =>
  instructions.filter((one) => one.name === name).map(({ rest }) => rest);
const ignoredBy = (image: Image): string[] =>
  readFileSync(join(root, `${fileOf(image)}.dockerignore`), 'utf8').split('\n');
const packageJson = (folder: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Record<string, unknown>;

describe.each(images)('the %s’s Dockerfile', (image) => {
  it('has nothing that a linter of Dockerfiles objects to', () => {
    const text = readFileSync(join(root, fileOf(image)), 'utf8');
    expect(validate(text)).toEqual([]);
  });

  it('begins with an image of an exact version, slim, of a Node that the packages take', () => {
    const { engines } = packageJson('.') as { engines: { node: string } };
    const [, least] = />=(\d+)\./.exec(engines.node) ?? [];
    const starts = valuesOf(instructionsOf(fileOf(image)), 'FROM');
    expect(starts.length).toBeGreaterThan(1);
    for (const start of starts) {
      const [, major] = /^node:(\d+)\.\d+\.\d+-[a-z]+-slim(?: AS \w+)?$/.exec(start) ?? [];
      expect(Number(major), start).toBeGreaterThanOrEqual(Number(least));
    }
  });

  it('runs as a user without a name on the host, and never as root', () => {
    const last = lastOf(image);
    const [user] = valuesOf(last, 'USER');
    expect(user).toMatch(/^[1-9]\d{3,}:[1-9]\d{3,}$/);
    const after = last.slice(last.findIndex(({ name }) => name === 'USER'));
    expect(after.map(({ name }) => name)).not.toContain('RUN');
    expect(after.map(({ name }) => name)).toEqual(expect.arrayContaining(['ENTRYPOINT', 'HEALTHCHECK', 'VOLUME']));
  });

  it('is built by scripts that exist', () => {
    for (const command of valuesOf(instructionsOf(fileOf(image)), 'RUN')) {
      for (const [, script] of command.matchAll(/node (\S+\.mjs)/g))
        expect(existsSync(join(root, script)), script).toBe(true);
      const { scripts } = packageJson('.') as { scripts: Record<string, string> };
      for (const [, script] of command.matchAll(/npm run (\S+)/g)) expect(Object.keys(scripts)).toContain(script);
    }
  });

  it('is sent no key, no checkout’s history and nothing that was built here', () => {
    expect(ignoredBy(image)).toEqual(expect.arrayContaining(['**/node_modules', '**/dist', '.git', '**/*.key']));
    expect(ignoredBy(image)).toEqual(ignoredBy('client'));
  });

  it('is stopped gently', () => {
    expect(valuesOf(lastOf(image), 'STOPSIGNAL')).toEqual(['SIGTERM']);
  });
});

describe('the client’s image', () => {
  it('has no sources in it', () => {
    expect(valuesOf(lastOf('client'), 'COPY')).toEqual(['--from=build /package/ /package/']);
  });

  it('is given time enough to stop, as its page says', () => {
    const page = readFileSync(join(root, 'deploy/docker/README.md'), 'utf8');
    const seconds = Number(/--stop-timeout (\d+)/.exec(page)?.[1]);
    expect(1000 * seconds).toBeGreaterThan(LONGEST_STOP_MS + 10_000);
  });
});

describe('the coordinator’s image', () => {
  const all = instructionsOf(fileOf('coordinator'));
  const copies = valuesOf(all, 'COPY').map((rest) => rest.split(' '));

  it('installs by the lock file, which names every workspace', () => {
    const manifests = copies.flatMap((words) => words.filter((word) => word.endsWith('/package.json')));
    const { workspaces } = packageJson('.') as { workspaces: string[] };
    expect(manifests).toEqual(workspaces.map((folder) => `${folder}/package.json`));
    const [install] = valuesOf(all, 'RUN').filter((command) => command.includes('npm ci'));
    const names = [...install.matchAll(/--workspace (\S+)/g)].map(([, name]) => name);
    const { dependencies } = packageJson('coordinator') as { dependencies: Record<string, string> };
    const own = Object.keys(dependencies).filter((name) => name.startsWith('@fedlora/'));
    expect(names.sort()).toEqual([...own, '@fedlora/coordinator'].sort());
  });

  it('has what was compiled of each of them, and the dashboard, and no sources', () => {
    const built = copies.flatMap(([from, path]) => (from === '--from=build' ? [path.replace('/src/', '')] : []));
    expect(built).toEqual([
      'LICENSE',
      'protocol/dist/',
      'shared/dist/',
      'coordinator/bin/',
      'coordinator/dist/',
      'coordinator/dashboard/dist/',
    ]);
  });

  it('listens on the port that it names, and asks itself there whether it is well', () => {
    const last = lastOf('coordinator');
    const port = /FEDLORA_PORT=(\d+)/.exec(valuesOf(last, 'ENV')[0])?.[1];
    expect(valuesOf(last, 'EXPOSE')).toEqual([port]);
    expect(valuesOf(last, 'HEALTHCHECK')[0]).toContain(`http://127.0.0.1:${port}/healthz`);
  });
});
