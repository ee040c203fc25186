/** Asks on the command line; see README.md. Node.js 22.18 or later runs it as it is. */

import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Registry } from '@fedlora/shared/registry';
import { Answerer } from './answerer.ts';

const WATCH_MS = 15_000;
const REPORT_MS = 300_000;

const text = { type: 'string' } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: text,
    'token-file': text,
    key: text,
    repository: text,
    channel: text,
    server: text,
    base: text,
    to: text,
  },
});
const given = (name: keyof typeof values): string => {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is missing; README.md has an example.`);
  return value;
};

const answerer = new Answerer({
  registry: new Registry({
    url: given('url'),
    token: (await readFile(given('token-file'), 'utf8')).trim(),
    coordinatorKey: given('key'),
    fetch,
  }),
  repository: given('repository'),
  channel: values.channel ?? 'stable',
  server: given('server'),
  baseModel: given('base'),
  folder: given('to'),
  documents: await Promise.all(positionals.map((file) => readFile(file, 'utf8'))),
});
const tell = (error: unknown): void => console.error(String(error));
void answerer.follow(() => setTimeout(WATCH_MS), tell);
setInterval(() => void answerer.report().catch(tell), REPORT_MS).unref();

const terminal = createInterface({ input: process.stdin, output: process.stdout });
for (;;) {
  const answer = await answerer.answer(await terminal.question('\nQuestion: '));
  console.log(`${answer.text}\n(${answer.version?.slice(0, 12) ?? 'base model'}, ${answer.sources.length} passages)`);
  answerer.note(answer, (await terminal.question('Was that helpful? (y/n) ')).startsWith('y'));
}
