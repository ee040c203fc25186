import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fedlora, type Printed } from '../../../test/support/command-line.js';

const fixtures = resolve(import.meta.dirname, '../../../test/fixtures');
const model = (name: string): string => join(fixtures, 'gguf', name);

let directory: string;
let out: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-export-'));
  out = join(directory, 'adapter.gguf');
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const exported = (base: string, ...more: readonly string[]): Promise<Printed> =>
  fedlora(['adapter', 'export', join(fixtures, 'gguf-lora/llama'), '--base', base, '--out', out, ...more]);

describe('fedlora adapter export', () => {
  it('writes the same file whether the base model is a folder or the GGUF file that is served', async () => {
    expect(await exported(model('llama'), '--unsigned')).toMatchObject({ code: 0, error: '' });
    const fromFolder = await readFile(out);
    expect(await exported(join(model('llama'), 'model.gguf'), '--unsigned')).toMatchObject({ code: 0, error: '' });
    expect((await readFile(out)).equals(fromFolder)).toBe(true);
  });

  it('needs of the base model neither weights nor tokenizer', async () => {
    await cp(join(model('llama'), 'config.json'), join(directory, 'config.json'));
    await cp(join(model('llama'), 'model.gguf'), join(directory, 'alone.gguf'));
    expect((await exported(directory, '--unsigned')).code).toBe(0);
    expect((await exported(join(directory, 'alone.gguf'), '--unsigned')).code).toBe(0);
  });

  it('exports nothing that nobody signed, unless it is told to', async () => {
    const { code, error } = await exported(model('llama'), '--key', 'ab'.repeat(32));
    expect(code).toBe(21);
    expect(error).toContain('adapter/not-authentic');
    await expect(readFile(out)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('names the architectures that it knows when asked for another', async () => {
    const config = JSON.parse(await readFile(join(model('llama'), 'config.json'), 'utf8')) as object;
    await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, model_type: 'phi3' }));
    const { code, error } = await exported(directory, '--unsigned');
    expect(code).toBe(21);
    expect(error).toMatch(/phi3.*llama, mistral, qwen2, qwen3, gemma2, gemma3_text/);
  });

  it('refuses the base model of another adapter', async () => {
    const { code, error } = await exported(model('gemma3'), '--unsigned');
    expect(code).toBe(21);
    expect(error).toContain('[adapter/');
  });
});
