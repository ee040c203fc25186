/**
 * Answers questions from documents with a base model and the adapter that a channel has, which it swaps while it serves: questions
 * that are under way end with the version that they began with.
 *
 * The server is vLLM, or whatever speaks its API: `/v1/chat/completions`, `/v1/load_lora_adapter`, `/v1/unload_lora_adapter`.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Registry } from '@fedlora/shared/registry';

export interface AnswererOptions {
  readonly registry: Registry;
  readonly repository: string;
  readonly channel: string;
  /** Address of the server. */
  readonly server: string;
  /** What the server calls the base model, which answers while the channel has no version. */
  readonly baseModel: string;
  /** Where adapters are put; the server must see it under the same path. */
  readonly folder: string;
  readonly documents: readonly string[];
}

export interface Answer {
  readonly text: string;
  /** Of the adapter that gave it; `null`: the base model alone. */
  readonly version: string | null;
  readonly sources: readonly string[];
}

interface Loaded {
  readonly version: string;
  /** What the server calls it. */
  readonly model: string;
  /** Questions that are under way. */
  open: number;
}

const PASSAGES = 3;

export class Answerer {
  private current: Loaded | null = null;
  private readonly retired = new Set<Loaded>();
  /** Answers that were accepted or not, since the last report. */
  private readonly outcomes = new Map<string, { count: number; sum: number }>();

  constructor(private readonly options: AnswererOptions) {}

  /** Follows the channel until `pause` rejects. A version is answered with once it is checked and loaded, and not before. */
  async follow(pause: () => Promise<unknown>, onTrouble: (error: unknown) => void): Promise<never> {
    const { registry, repository, channel } = this.options;
    for await (const version of registry.watch(repository, channel, { pause, onTrouble })) {
      try {
        await this.swap(version === null ? null : await this.load(version));
      } catch (error) {
        onTrouble(error);
      }
    }
    throw new Error('A watch has no end of its own.');
  }

  async answer(question: string): Promise<Answer> {
    const loaded = this.current;
    const sources = bestPassages(question, this.options.documents);
    if (loaded !== null) loaded.open++;
    try {
      const text = await this.complete(loaded?.model ?? this.options.baseModel, question, sources);
      return { text, version: loaded?.version ?? null, sources };
    } finally {
      if (loaded !== null) {
        loaded.open--;
        await this.unloadRetired();
      }
    }
  }

  /** Notes whether the asker took an answer: a number, and nothing of what was said. */
  note({ version }: Answer, isAccepted: boolean): void {
    if (version === null) return;
    const before = this.outcomes.get(version) ?? { count: 0, sum: 0 };
    this.outcomes.set(version, { count: before.count + 1, sum: before.sum + (isAccepted ? 1 : 0) });
  }

  /** Reports what was noted since the last time, as the metric `accepted`. */
  async report(): Promise<void> {
    for (const [version, { count, sum }] of this.outcomes) {
      this.outcomes.delete(version);
      await this.options.registry.report(version, [{ metric: 'accepted', count, sum }], randomUUID());
    }
  }

  private async load(version: string): Promise<Loaded> {
    const { files } = await this.options.registry.download(version);
    const folder = resolve(this.options.folder, version);
    const incoming = `${folder}.incoming`;
    await rm(incoming, { recursive: true, force: true });
    await mkdir(incoming, { recursive: true });
    for (const [name, content] of files) await writeFile(join(incoming, name), content);
    await rm(folder, { recursive: true, force: true });
    await rename(incoming, folder);
    const model = `adapter-${version.slice(0, 12)}`;
    await this.post('/v1/load_lora_adapter', { lora_name: model, lora_path: folder });
    return { version, model, open: 0 };
  }

  private async swap(next: Loaded | null): Promise<void> {
    if (this.current !== null) this.retired.add(this.current);
    this.current = next;
    await this.unloadRetired();
  }

  private async unloadRetired(): Promise<void> {
    for (const loaded of this.retired) {
      if (loaded.open > 0) continue;
      this.retired.delete(loaded);
      await this.post('/v1/unload_lora_adapter', { lora_name: loaded.model });
    }
  }

  private async complete(model: string, question: string, sources: readonly string[]): Promise<string> {
    const system = `Answer from these passages only. If they do not say, say so.\n\n${sources.join('\n\n')}`;
    const messages = [
      { role: 'system', content: system },
      { role: 'user', content: question },
    ];
    const answer = (await this.post('/v1/chat/completions', { model, messages, temperature: 0 })) as {
      readonly choices: readonly { readonly message: { readonly content: string } }[];
    };
    return answer.choices[0].message.content;
  }

  private async post(path: string, body: object): Promise<unknown> {
    const response = await fetch(`${this.options.server}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 500)}`);
    return text.startsWith('{') ? JSON.parse(text) : undefined;
  }
}

/** Those that share the most words with the question. A stand-in for the search that a real service has. */
function bestPassages(question: string, documents: readonly string[]): string[] {
  const words = (text: string): Set<string> => new Set(text.toLowerCase().match(/\p{L}{4,}/gu));
  const asked = words(question);
  return documents
    .map((text) => ({ text, shared: [...words(text)].filter((word) => asked.has(word)).length }))
    .filter(({ shared }) => shared > 0)
    .sort((a, b) => b.shared - a.shared)
    .slice(0, PASSAGES)
    .map(({ text }) => text);
}
