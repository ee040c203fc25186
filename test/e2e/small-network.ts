/** A network small enough for tests: the demo's base model, few rows, few rounds, no waiting for absent organisations. */

import { mkdtemp, mkdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { RoundView, RunView } from '@fedlora/shared';
import { generateDemoData } from '../demo/organisations.js';
import { Network, writeRows } from '../support/network.js';

export const root = resolve(import.meta.dirname, '..', '..');
export const demoBase = join(root, 'deploy', 'demo', 'base');

/** Starts a network of `organisations` with 300 rows each. */
export async function smallNetwork(
  organisations: number,
  coordinatorEnvironment: NodeJS.ProcessEnv = {},
): Promise<Network> {
  const directory = await mkdtemp(join(tmpdir(), 'fedlora-e2e-'));
  const data = await generateDemoData(join(root, 'deploy', 'demo', 'phrases.json'), {
    organisations,
    rowsPerOrganisation: 300,
    testRows: 20,
    seed: 3,
  });
  await mkdir(join(directory, 'data'));
  const setups = [];
  for (const [name, rows] of data.training) {
    const file = join(directory, 'data', `${name}.jsonl`);
    await writeRows(file, rows);
    setups.push({ name, data: [file] });
  }
  for (const [name, rows] of data.tests) await writeRows(join(directory, 'data', `test.${name}.jsonl`), rows);
  const network = new Network({
    directory,
    root,
    base: demoBase,
    organisations: setups,
    epsilonCap: 1000,
    logLevel: 'debug',
    coordinatorEnvironment,
  });
  try {
    await network.start();
  } catch (error) {
    await network.stop();
    throw error;
  }
  return network;
}

/** A run description for the small network. */
export async function smallRun(rounds: number, changes: object = {}): Promise<object> {
  const { openBaseModel } = await import('@fedlora/client');
  const base = await openBaseModel(demoBase);
  const description = JSON.parse(await readFile(join(root, 'deploy', 'demo', 'run.json'), 'utf8')) as Record<
    string,
    object
  >;
  const { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads } = base.config;
  return {
    ...description,
    rounds,
    base: {
      name: 'fedlora-demo-base',
      digest: base.digest,
      shape: { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads },
    },
    training: { kind: 'record-step', samplingRate: 0.1, expectedRecords: 90, maximumRecords: 150 },
    // Long enough for a busy machine: what a killed client costs is waited for once.
    deadlinesMs: { advertising: 10_000, sharing: 10_000, training: 15_000, checking: 10_000, unmasking: 10_000 },
    ...changes,
  };
}

/** Resolves with the first state of a run and round that `wanted` accepts. */
export async function until(
  network: Network,
  runId: string,
  wanted: (round: RoundView, run: RunView | undefined) => boolean,
  timeoutMs = 60_000,
): Promise<RoundView> {
  let run: RunView | undefined;
  return network.listen<RoundView>((socket, resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('The awaited state did not come in time.')), timeoutMs);
    const look = (round: RoundView): void => {
      if (round.runId !== runId || !wanted(round, run)) return;
      clearTimeout(timer);
      resolve(round);
    };
    socket.on('run.changed', (value) => {
      if (value.id === runId) run = value;
    });
    socket.on('round.changed', look);
    socket.on('connect', () => {
      network.rounds(runId).then((rounds) => rounds.forEach(look), reject);
    });
  });
}

/** How a participant of a round stands. */
export function statusOf(round: RoundView, name: string): string | undefined {
  return round.participants.find((one) => one.name === name)?.status;
}
