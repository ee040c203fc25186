/** What SECURITY.md says of packages that others publish. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { judge } from '../audit.mjs';
import { root } from './sources.js';

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

const read = (file: string): unknown => JSON.parse(readFileSync(join(root, file), 'utf8'));
const { packages } = read('package-lock.json') as { packages: Record<string, Locked> };
const { allowScripts, scripts } = read('package.json') as {
  allowScripts: Record<string, boolean>;
  scripts: Record<string, string>;
};
/** Packages of others, by where they are installed. */
const foreign = Object.entries(packages).filter(([at, { link }]) => at.includes('node_modules/') && link !== true);

describe('packages of others', () => {
  it('every package is fixed by its digest, and none from a place of its own', () => {
    expect(foreign.length).toBeGreaterThan(300);
    const loose = foreign.filter(
      ([, { integrity, resolved }]) =>
        integrity?.startsWith('sha512-') !== true || (resolved !== undefined && !resolved.startsWith('https://')),
    );
    expect(loose.map(([at]) => at)).toEqual([]);
  });

  it('no install script runs: each is named and refused, and the set-up refuses all', () => {
    const withScripts = foreign.filter(([, { hasInstallScript }]) => hasInstallScript === true);
    const names = withScripts.map(([at]) => at.split('node_modules/').at(-1) ?? '');
    expect(names.filter((name) => allowScripts[name] !== false)).toEqual([]);
    expect(Object.values(allowScripts)).not.toContain(true);
    expect(readFileSync(join(root, 'test/setup.mjs'), 'utf8')).toContain("'--ignore-scripts'");
  });
});

describe('npm run sbom', () => {
  it('lists every package of the lock file, in its version', () => {
    const [program, ...words] = scripts['sbom'].split(' ');
    const { stdout } = spawnSync(program, words, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
    const { bomFormat, components } = JSON.parse(stdout) as {
      bomFormat: string;
      components: readonly { readonly name: string; readonly version: string }[];
    };
    expect(bomFormat).toBe('CycloneDX');
    const listed = new Set(components.map(({ name, version }) => `${name}@${version}`));
    const locked = foreign.map(([at, { version }]) => `${at.split('node_modules/').at(-1)}@${version}`);
    expect(locked.filter((one) => !listed.has(one))).toEqual([]);
  });
});

describe('npm run audit', () => {
  const advisory = (severity: string): string =>
    JSON.stringify({
      auditReportVersion: 2,
      vulnerabilities: { a: { name: 'a', severity, range: '<2', via: [{ title: 'It leaks' }, 'b'] } },
    });

  it.each([
    ['critical', true],
    ['high', true],
    ['moderate', false],
    ['low', false],
  ])('names an advisory that is %s, and fails: %s', (severity, failing) => {
    expect(judge(advisory(severity))).toEqual({
      checked: true,
      failing,
      lines: [`${severity}: a <2: It leaks; by b`, 'npm audit: 1 packages with advisories.'],
    });
  });

  it.each([
    ['a registry that has no such service', '{"message":"405 Method Not Allowed"}', '405 Method Not Allowed'],
    ['no network', '{"error":{"code":"EAI_AGAIN","summary":"getaddrinfo EAI_AGAIN"}}', 'getaddrinfo EAI_AGAIN'],
    ['an answer that did not come in time', '', 'no answer in time'],
  ])('says that nothing was checked, and fails nothing, with %s', (_case, output, why) => {
    expect(judge(output)).toEqual({
      checked: false,
      failing: false,
      lines: [`npm audit: nothing was checked (${why}).`],
    });
  });

  it('is asked by `npm run verify`', () => {
    expect(scripts['verify']).toBe('node test/verify.mjs');
    expect(readFileSync(join(root, 'test', 'verify.mjs'), 'utf8')).toMatch(/^const checks = .*'audit'/m);
  });
});
