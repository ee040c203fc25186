import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { root } from './small-network.js';

const storage = pathToFileURL(join(root, 'client', 'dist', 'storage')).href;

/** Charges one round after the other, and says each only when `record` has returned. */
const PROGRAM = `
const [path, key, first] = process.argv.slice(1);
const { Ledger } = await import('${storage}/ledger.js');
const { readIdentity } = await import('${storage}/identity.js');
const ledger = await Ledger.open(path, 'default', await readIdentity(key));
for (let round = Number(first); ; round += 1) {
  await ledger.record({ runId: 'run', roundId: 'r' + round, manifestHash: 'a'.repeat(64), unit: 'record',
    noiseMultiplier: 0.8, samplingRate: 0.02, steps: 1, delta: 1e-5 }, round);
  process.stdout.write('r' + round + '\\n');
}`;

/** Runs the program until it has said `count` rounds, and kills it in the middle of whatever it then does. */
async function killedAfter(args: readonly string[], count: number, delayMs: number): Promise<string[]> {
  const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  let errors = '';
  child.stderr?.on('data', (piece: Buffer) => (errors += piece.toString()));
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (piece: Buffer) => {
      text += piece.toString();
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      said.push(...lines);
      if (said.length >= count) setTimeout(() => child.kill('SIGKILL'), delayMs);
    });
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  expect(errors).toBe('');
  expect(child.signalCode).toBe('SIGKILL');
  return said;
}

describe('a client that is killed while it charges rounds', () => {
  it('has lost no charge that it went on from, and goes on with a whole ledger, time after time', async () => {
    const { createIdentity, readLedger } = await import('@fedlora/client');
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    const [path, key] = [join(folder, 'default.jsonl'), join(folder, 'identity.key')];
    const identity = await createIdentity(key);
    const said: string[] = [];
    for (let time = 0; time < 8; time += 1) {
      said.push(...(await killedAfter([path, key, String(100 * (time + 1))], 1 + (time % 3), time % 4)));
    }
    // What is torn is the last entry, which nobody went on from; opening it once more repairs it.
    const { Ledger } = await import('@fedlora/client');
    await (await Ledger.open(path, 'default', identity)).close();
    const { charges } = readLedger(await readFile(path, 'utf8'), identity);
    const recorded = charges.map(({ roundId }) => roundId);
    expect(said.length).toBeGreaterThanOrEqual(8);
    expect(said.filter((round) => !recorded.includes(round))).toEqual([]);
    expect(new Set(recorded).size).toBe(recorded.length);
    expect(charges.map(({ sequence }) => sequence)).toEqual(charges.map((_, index) => index + 1));
  });
});
