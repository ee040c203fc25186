import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { checkManifest, type Manifest } from './manifest.js';

/** The terms with one field, named by its path, replaced or, for `undefined`, left out. */
function changed(path: string, value: unknown): Manifest {
  const manifest = structuredClone(aManifest({ rosterHash: '0'.repeat(64) }));
  const names = path.split('.');
  const last = names.pop()!;
  let holder = manifest as unknown as Record<string, unknown>;
  for (const name of names) holder = holder[name] as Record<string, unknown>;
  if (value === undefined) delete holder[last];
  else holder[last] = value;
  return manifest;
}

/** Every path of the terms that holds a value, and every part. */
function paths(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [prefix];
  const inner = Object.entries(value).flatMap(([name, one]) => paths(one, prefix === '' ? name : `${prefix}.${name}`));
  return prefix === '' ? inner : [prefix, ...inner];
}

const refused = expect.objectContaining({ code: 'manifest/invalid' });

describe('checkManifest', () => {
  it('accepts honest terms', () => {
    expect(() => checkManifest(aManifest(), 3)).not.toThrow();
    const none = { ...aManifest().privacy, unit: 'none', noiseMultiplier: 0, delta: 0 } as const;
    expect(() => checkManifest(aManifest({ privacy: none }), 3)).not.toThrow();
  });

  describe.each(paths(aManifest()))('attack: terms whose %s', (path) => {
    it.each([
      ['is missing', undefined],
      ['is null', null],
      ['is a text that reads as a number', '0.5'],
      ['is an object', {}],
      ['is a list', []],
      ['is a boolean', true],
      ['is a negative number', -1],
    ])('%s', (_name, value) => {
      // These are texts of free content.
      if (typeof value === 'string' && ['runId', 'title', 'base.name'].includes(path)) return;
      expect(() => checkManifest(changed(path, value), 3)).toThrowError(refused);
    });
  });

  it.each([
    ['privacy.unit', 'row'],
    ['adapter.rule', 'sum'],
    ['training.kind', 'epoch'],
    ['data.format', 'chat'],
    ['data.template', 'chat'],
    ['server.kind', 'lion'],
    ['runId', 'r'.repeat(81)],
    ['title', 't'.repeat(301)],
    ['adapter.targetModules', [7]],
    ['adapter.modules', [null]],
    ['training.samplingRate', 1.1],
    ['privacy.delta', 1],
    ['encoding.ringBits', 64],
  ])('attack: terms whose %s is %j', (path, value) => {
    expect(() => checkManifest(changed(path, value), 3)).toThrowError(refused);
  });

  it.each([NaN, -1, '0', undefined])('attack: no privacy and a delta of %s, which the ledger would hold', (delta) => {
    const none = { ...aManifest().privacy, unit: 'none', noiseMultiplier: 0, delta } as Manifest['privacy'];
    expect(() => checkManifest(aManifest({ privacy: none }), 3)).toThrowError(refused);
  });
});
