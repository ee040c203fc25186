import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { epsilonFor, stepsWithinBudget } from '@fedlora/protocol';
import { fedlora as run } from '../../../test/support/command-line.js';
import { createIdentity } from '../storage/identity.js';
import { Ledger } from '../storage/ledger.js';
import { writeConfig } from '../config/client-config.js';
import { homeAt, makeHome } from '../config/home.js';
import { writePolicy } from '../config/policy-file.js';

const fedlora = (...args: readonly string[]) => run(args);

const DELTA_1E5 = ['--delta', '1e-5'];

describe('fedlora privacy', () => {
  it('epsilon prints what the accountant gives, on one line', async () => {
    const { code, out } = await fedlora(
      'privacy',
      'epsilon',
      '--noise-multiplier',
      '1.1',
      '--sampling-rate',
      '0.01',
      '--steps',
      '1000',
      ...DELTA_1E5,
      '--accountant',
      'rdp',
      '--json',
    );
    expect(code).toBe(0);
    expect(out.split('\n')).toHaveLength(1);
    const { epsilon, order } = JSON.parse(out) as { epsilon: number; order: number };
    expect(epsilon).toBeGreaterThan(1.7);
    expect(epsilon).toBeLessThan(1.72);
    expect(order).toBeGreaterThan(1);
  });

  it('epsilon by the PLD accountant is tighter than by RDP', async () => {
    const setting = [
      '--noise-multiplier',
      '1.1',
      '--sampling-rate',
      '0.01',
      '--steps',
      '1000',
      '--delta',
      '1e-5',
      '--json',
    ];
    const { out } = await fedlora('privacy', 'epsilon', '--accountant', 'pld', ...setting);
    const { epsilon } = JSON.parse(out) as { epsilon: number };
    expect(epsilon).toBeGreaterThan(1.3);
    expect(epsilon).toBeLessThan(1.7);
  });

  it('calibrate gives the least noise that keeps epsilon', async () => {
    const { out } = await fedlora(
      'privacy',
      'calibrate',
      '--epsilon',
      '3',
      '--sampling-rate',
      '0.02',
      '--steps',
      '100',
      ...DELTA_1E5,
      '--json',
    );
    const { noiseMultiplier, epsilon } = JSON.parse(out) as { noiseMultiplier: number; epsilon: number };
    expect(epsilon).toBeLessThanOrEqual(3);
    expect(epsilon).toBeGreaterThan(2.99);
    const less = await fedlora(
      'privacy',
      'epsilon',
      '--noise-multiplier',
      String(noiseMultiplier * 0.999),
      '--sampling-rate',
      '0.02',
      '--steps',
      '100',
      ...DELTA_1E5,
      '--json',
    );
    expect((JSON.parse(less.out) as { epsilon: number }).epsilon).toBeGreaterThan(3);
  });

  it('calibrate by the PLD accountant needs less noise for the same promise', async () => {
    const setting = ['--epsilon', '3', '--sampling-rate', '0.02', '--steps', '100', ...DELTA_1E5, '--json'];
    const answer = async (accountant: string) =>
      JSON.parse((await fedlora('privacy', 'calibrate', '--accountant', accountant, ...setting)).out) as {
        noiseMultiplier: number;
        epsilon: number;
      };
    const [pld, rdp] = [await answer('pld'), await answer('rdp')];
    expect(pld.noiseMultiplier).toBeLessThan(rdp.noiseMultiplier);
    expect(pld.epsilon).toBeLessThanOrEqual(3);
    expect(pld.epsilon).toBeGreaterThan(2.99);
  });

  it.each(['rdp', 'pld'])('calibrate by %s gives the most steps for a noise multiplier', async (accountant) => {
    const common = ['--sampling-rate', '0.02', '--noise-multiplier', '1.5', '--accountant', accountant, '--json'];
    const { out } = await fedlora('privacy', 'calibrate', '--epsilon', '1', ...DELTA_1E5, ...common);
    const { steps, epsilon } = JSON.parse(out) as { steps: number; epsilon: number };
    expect(steps).toBeGreaterThan(10);
    expect(epsilon).toBeLessThanOrEqual(1);
    const oneMore = await fedlora('privacy', 'epsilon', '--steps', String(steps + 1), ...DELTA_1E5, ...common);
    expect((JSON.parse(oneMore.out) as { epsilon: number }).epsilon).toBeGreaterThan(1);
  });

  it('calibrate needs steps or noise, and not both', async () => {
    const neither = await fedlora('privacy', 'calibrate', '--epsilon', '3', ...DELTA_1E5);
    expect(neither.error).toContain('--steps');
    expect(neither.code).not.toBe(0);
    const both = ['--steps', '5', '--noise-multiplier', '1'];
    expect((await fedlora('privacy', 'calibrate', '--epsilon', '3', ...both, ...DELTA_1E5)).code).not.toBe(0);
  });

  it('shows the ledger with what is left, and verify finds a changed line', async () => {
    const home = homeAt(await mkdtemp(join(tmpdir(), 'fedlora-cli-')));
    await makeHome(home);
    const identity = await createIdentity(home.identity);
    await writeConfig(
      home.config,
      new Map([
        ['coordinator', 'http://127.0.0.1:1'],
        ['organisation', 'clinic'],
      ]),
    );
    await writePolicy(home.policy, new Map([['epsilonCap', 4]]));
    const ledger = await Ledger.open(home.ledger('default'), 'default', identity);
    for (const [roundId, unit, steps] of [
      ['r1', 'record', 1],
      ['r2', 'record-local', 5],
    ] as const) {
      await ledger.record(
        {
          runId: 'run',
          roundId,
          manifestHash: 'a'.repeat(64),
          unit,
          noiseMultiplier: 0.8,
          samplingRate: 0.02,
          steps,
          delta: 1e-5,
        },
        5,
      );
    }
    await ledger.close();

    const shown = await fedlora('privacy', '--home', home.directory, '--json');
    const report = JSON.parse(shown.out) as { entries: unknown[]; epsilon: number; roundsLeft: number; cap: number };
    expect(report.entries).toHaveLength(2);
    const step = { noiseMultiplier: 0.8, samplingRate: 0.02 };
    const spent = [{ ...step, steps: 6 }];
    expect(report.epsilon).toBeCloseTo(epsilonFor(spent, 1e-5).epsilon, 12);
    // Rounds like the last, of five steps each.
    const stepsLeft = stepsWithinBudget({ epsilon: 4, delta: 1e-5, spent, ...step });
    expect(report.roundsLeft).toBe(Math.floor(stepsLeft / 5));
    expect(report.roundsLeft).toBeGreaterThan(10);
    const printed = (await fedlora('privacy', '--home', home.directory)).out.split('\n');
    // Round by round, then what was spent, the cap, and what is left of it.
    expect(
      printed.filter((line) =>
        /^ {2}1970-01-01 00:00:00 {2}r(1 +0\.8000 +0\.02000 +1|2 +0\.8000 +0\.02000 +5) +\d/.test(line),
      ),
    ).toHaveLength(2);
    expect(printed.at(-3)).toBe(`spent  epsilon ${report.epsilon.toFixed(4)} at delta 0.00001`);
    expect(printed.at(-1)).toBe(
      `left   epsilon ${(4 - report.epsilon).toFixed(4)}: ${report.roundsLeft} more rounds like the last`,
    );
    expect((await fedlora('privacy', 'verify', '--home', home.directory)).code).toBe(0);

    const path = home.ledger('default');
    await writeFile(path, (await readFile(path, 'utf8')).replace('0.8', '8.8'));
    const tampered = await fedlora('privacy', 'verify', '--home', home.directory);
    expect(tampered.code).toBe(23);
    expect(tampered.error).toContain('[ledger/tampered]');
    expect(tampered.error).toContain('Line 1 of the privacy ledger was changed');
    expect(tampered.error).not.toMatch(/^ +at /m);
  });

  it('needs no home for the accountant and says what is missing otherwise', async () => {
    const nowhere = await fedlora('privacy', '--home', join(tmpdir(), 'there-is-nothing-here'));
    expect(nowhere.code).toBe(20);
    expect(nowhere.error).toContain('[client/not-enrolled]');
    const wrong = await fedlora('privacy', 'epsilon', '--noise-multiplier', '-1', '--steps', '1', ...DELTA_1E5);
    expect(wrong.code).toBe(2);
  });
});

describe('fedlora federation', () => {
  it('makes a key that only its owner reads, and certificates that verify under it', async () => {
    const folder = join(await mkdtemp(join(tmpdir(), 'fedlora-federation-')), 'offline');
    const { out: key } = await fedlora('federation', 'init', '--out', folder);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect((await stat(join(folder, 'federation.key'))).mode & 0o777).toBe(0o600);
    const identity = 'ab'.repeat(32);
    const { out: certificate } = await fedlora(
      'federation',
      'sign',
      '--key',
      join(folder, 'federation.key'),
      '--name',
      'clinic',
      '--identity',
      identity,
    );
    const { isCertified } = await import('@fedlora/protocol');
    const { nodeProvider } = await import('@fedlora/protocol/node');
    expect(isCertified(nodeProvider, key, { name: 'clinic', identity, certificate })).toBe(true);
    expect((await fedlora('federation', 'init', '--out', folder)).error).toContain('[identity/exists]');
  });

  it('revokes and replaces keys in a list whose epoch grows, and refuses a list that is not its own', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-federation-'));
    const { out: key } = await fedlora('federation', 'init', '--out', folder);
    const [file, list] = [join(folder, 'federation.key'), join(folder, 'revoked.json')];
    const { isCertified, readRevocations } = await import('@fedlora/protocol');
    const { nodeProvider } = await import('@fedlora/protocol/node');
    const read = async () => readRevocations(nodeProvider, key, await readFile(list, 'utf8'));
    const [first, old, next] = ['ab', 'cd', 'ef'].map((pair) => pair.repeat(32));

    const revoked = await fedlora('federation', 'revoke', '--key', file, '--list', list, '--identity', first);
    expect(revoked.out).toContain('epoch 1');
    const replace = ['--key', file, '--list', list, '--name', 'clinic', '--old', old];
    const rotated = await fedlora('federation', 'rotate', ...replace, '--identity', next);
    expect(isCertified(nodeProvider, key, { name: 'clinic', identity: next, certificate: rotated.out })).toBe(true);
    expect(await read()).toEqual({ version: 1, epoch: 2, revoked: [first, old] });

    const same = await fedlora('federation', 'rotate', ...replace, '--identity', old);
    expect(same.error).toContain('[config/invalid]');
    await writeFile(list, (await readFile(list, 'utf8')).replace('cd', 'ce'));
    const changed = await fedlora('federation', 'revoke', '--key', file, '--list', list, '--identity', next);
    expect(changed.error).toContain('[roster/revocations-invalid]');
    expect(changed.code).not.toBe(0);
  });
});

describe('fedlora', () => {
  it.each([
    'enrol',
    'run',
    'status',
    'privacy',
    'policy',
    'rounds',
    'config',
    'data',
    'train',
    'eval',
    'generate',
    'base',
    'federation',
    'doctor',
    'identity',
    'pause',
    'resume',
  ])('%s explains itself', async (command) => {
    const { code, out } = await fedlora(command, '--help');
    expect(code).toBe(0);
    expect(out).toContain('Usage: fedlora');
  });

  it('refuses an unknown command with the exit code for a wrong command line', async () => {
    expect((await fedlora('trian')).code).toBe(2);
  });
});
