/** A data set that changes between rounds: rows that come, and another name. */

import { appendFile, cp, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Network } from '../support/network.js';
import { demoBase, smallNetwork, smallRun, until } from './small-network.js';

/** As models' own templates are: each message after its role, and the beginning of an answer when one is wanted. */
const CHAT_TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{{ message['role'] + ': ' + message['content'] + eos_token }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";

let network: Network;
beforeAll(async () => {
  network = await smallNetwork(3);
}, 120_000);
afterAll(async () => network?.stop());

interface Report {
  readonly dataset: string;
  readonly epsilon: number;
  readonly inheritedFrom: readonly string[];
  readonly entries: readonly { readonly dataset: string }[];
}

const report = async (): Promise<Report> =>
  JSON.parse((await network.fedlora(['privacy', '--home', network.home('clinic'), '--json'])).stdout) as Report;

/** How many records the clinic has had under a name: a fingerprint has 8 bytes. */
const recordsOf = async (dataset: string): Promise<number> =>
  (await stat(join(network.home('clinic'), 'ledger', `${dataset}.records`))).size / 8;

async function run(rounds: number, changes: object = {}): Promise<void> {
  const { id } = await network.startRun(await smallRun(rounds, changes));
  expect(await network.untilRunEnds(id)).toMatchObject({ status: 'completed', completedRounds: rounds });
}

describe('a data set', () => {
  it('takes part with the rows that came meanwhile, from the next round on', async () => {
    await run(1);
    const before = await recordsOf('default');
    expect(before).toBeGreaterThan(100);
    const file = join(network.options.directory, 'data', 'clinic.jsonl');
    const rows = Array.from({ length: 7 }, (_, i) => ({
      instruction: `A new question ${i}`,
      input: '',
      output: 'desk',
    }));
    await appendFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    await run(1);
    expect(await recordsOf('default')).toBe(before + rows.length);
  });

  it('that gets another name goes on with what its records have spent', async () => {
    const before = await report();
    expect(before).toMatchObject({ dataset: 'default', inheritedFrom: [] });
    await network.killClient('clinic');
    const config = join(network.home('clinic'), 'config.yaml');
    const text = await readFile(config, 'utf8');
    await writeFile(config, text.replace('name: "default"', 'name: "renamed"'));
    network.startClient('clinic');
    await network.untilAllConnected();
    await run(1);
    const after = await report();
    expect(after).toMatchObject({ dataset: 'renamed', inheritedFrom: ['default'] });
    expect(after.entries.map(({ dataset }) => dataset)).toEqual([
      ...before.entries.map(() => 'default'),
      ...after.entries.slice(before.entries.length).map(() => 'renamed'),
    ]);
    expect(after.entries.length).toBeGreaterThan(before.entries.length);
    expect(after.epsilon).toBeGreaterThan(before.epsilon);
    const { stdout } = await network.fedlora(['privacy', '--home', network.home('clinic')]);
    expect(stdout).toContain('Some of its records were in "default" before');
  });

  it('of texts takes part in a run of texts, and declines one of another format', async () => {
    await rewriteRows<{ instruction: string; output: string }>(({ instruction, output }) => ({
      text: `${instruction} ${output}`,
    }));
    await run(1, { data: { format: 'text', maximumLength: 128 } });
    const { id } = await network.startRun(await smallRun(1));
    await until(network, id, (round) => round.phase === 'aborted');
    const { stdout } = await network.fedlora(['rounds', '--home', network.home('bank'), '--json']);
    expect(stdout).toContain('data/other-format');
  });

  it('of chats takes part in a run that names the base model’s chat template, and not in one that names another', async () => {
    await rewriteRows<{ text: string }>(({ text }) => ({
      messages: [
        { role: 'user', content: text.slice(0, 40) },
        { role: 'assistant', content: text.slice(-20) },
      ],
    }));
    const base = join(network.options.directory, 'chat-base');
    await cp(demoBase, base, { recursive: true });
    const tokenizerConfig = join(base, 'tokenizer_config.json');
    const settings = JSON.parse(await readFile(tokenizerConfig, 'utf8')) as object;
    await writeFile(tokenizerConfig, JSON.stringify({ ...settings, chat_template: CHAT_TEMPLATE }));
    for (const { name } of network.options.organisations) {
      await network.killClient(name);
      network.startClient(name, [], { FEDLORA_BASE: base });
    }
    await network.untilAllConnected();
    const { stdout: digest } = await network.fedlora(['base', 'digest', '--chat-template', base]);
    const data = { format: 'messages', maximumLength: 128, chatTemplate: digest.trim().split(/\s+/)[0] };
    await run(1, { data });
    const { id } = await network.startRun(await smallRun(1, { data: { ...data, chatTemplate: 'a'.repeat(64) } }));
    await until(network, id, (round) => round.phase === 'aborted');
    const { stdout } = await network.fedlora(['rounds', '--home', network.home('bank'), '--json']);
    expect(stdout).toContain('base-model/chat-template-mismatch');
  });
});

/** Writes each organisation's rows anew. */
async function rewriteRows<Row>(change: (row: Row) => object): Promise<void> {
  for (const { data } of network.options.organisations) {
    const [file] = data;
    const rows = (await readFile(file, 'utf8')).trim().split('\n');
    const changed = rows.map((row) => change(JSON.parse(row) as Row));
    await writeFile(file, changed.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
}
