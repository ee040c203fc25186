import { describe, expect, it } from 'vitest';
import { sources, withoutComments } from './sources.js';

/** What the compiler cannot see: rules as data. The arrows between packages are in `.dependency-cruiser.cjs`. */
const rules: readonly { in: string; except?: RegExp; never: RegExp; withComments?: boolean; why: string }[] = [
  { in: 'protocol/src', never: /\bMath\.random\b/, why: 'randomness is an argument' },
  { in: 'shared/src', never: /\bMath\.random\b/, why: 'randomness is an argument' },
  { in: 'protocol/src', never: /\bnew Date\b|\bDate\.now\b/, why: 'time is an argument' },
  { in: 'shared/src', never: /\bnew Date\b|\bDate\.now\b/, why: 'time is an argument' },
  {
    in: 'client/src',
    except: /connection\/backoff/,
    never: /\bMath\.random\b/,
    why: 'secrets need a real source; jitter has one place',
  },
  { in: 'coordinator/src', except: /dashboard/, never: /\bMath\.random\b/, why: 'tokens and seeds need a real source' },
  {
    in: 'client/src',
    never: /\bas (unknown as )?(ClippedUpdate|QuantizedUpdate|NoisedUpdate|MaskedUpdate)\b/,
    why: 'a stage of privacy is reached by its step, never by a cast',
  },
  {
    in: 'coordinator/src',
    never: /\bas (unknown as )?(ClippedUpdate|QuantizedUpdate|NoisedUpdate|MaskedUpdate|NoisySum)\b/,
    why: 'a stage of privacy is reached by its step, never by a cast',
  },
  {
    in: 'client/src',
    except: /src\/(config|main|cli\/context|engine\/onnx\/no-telemetry)/,
    never: /process\.env\b/,
    why: 'the environment is read in config only',
  },
  {
    in: 'coordinator/src',
    except: /src\/(config|main)|dashboard/,
    never: /process\.env\b/,
    why: 'the environment is read in config only',
  },
  {
    in: 'client/src',
    never: /catch\s*(\([^)]*\))?\s*\{\s*\}/,
    withComments: true,
    why: 'no empty catch: decide, or say why nothing is to be done',
  },
  {
    in: 'coordinator/src',
    never: /catch\s*(\([^)]*\))?\s*\{\s*\}/,
    withComments: true,
    why: 'no empty catch: decide, or say why nothing is to be done',
  },
];

describe('house rules for sources', () => {
  for (const rule of rules) {
    it(`${rule.in} never has ${rule.never.source.slice(0, 60)}: ${rule.why}`, () => {
      const offenders = sources(rule.in)
        .filter((source) => rule.except === undefined || !rule.except.test(source.path))
        .filter((source) => rule.never.test(rule.withComments ? source.text : withoutComments(source.text)))
        .map((source) => source.path);
      expect(offenders).toEqual([]);
    });
  }

  it('no file is named after nothing', () => {
    const vague = ['protocol/src', 'shared/src', 'client/src', 'coordinator/src', 'coordinator/dashboard/src', 'test']
      .flatMap((folder) => sources(folder, { tests: true }))
      .map((source) => source.path)
      .filter((path) => /(^|\/)(utils?|helpers?|common|misc|manager)(\.|\/)/.test(path));
    expect(vague).toEqual([]);
  });

  it('a test that mocks a module has a process of its own, as `vitest.config.ts` gives to *.isolated.test.ts', () => {
    const mocking = ['protocol/src', 'shared/src', 'client/src', 'coordinator/src', 'test/scenario', 'test/postgres']
      .flatMap((folder) => sources(folder, { tests: true }))
      .filter((source) => /\bvi\.(do)?[mM]ock\(/.test(withoutComments(source.text)))
      .map((source) => source.path);
    expect(mocking.length).toBeGreaterThan(0);
    expect(mocking.filter((path) => !path.endsWith('.isolated.test.ts'))).toEqual([]);
  });

  it('the packages have no barrels inside: only the public face is called index.ts', () => {
    const barrels = ['protocol/src', 'shared/src', 'client/src', 'coordinator/src']
      .flatMap((folder) => sources(folder))
      .map((source) => source.path)
      .filter((path) => path.endsWith('/index.ts'))
      .filter(
        (path) =>
          !/^(protocol|shared|client|coordinator)\/src\/index\.ts$/.test(path) && path !== 'protocol/src/node/index.ts',
      );
    expect(barrels).toEqual([]);
  });
});
