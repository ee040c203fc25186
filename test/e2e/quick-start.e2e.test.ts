/** The quick start, as it stands in the documentation, by a shell: a document that no longer works fails here. */

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.js';
import { root } from './small-network.js';

/** The page promises ten minutes, installation and reading included. */
const LONGEST_MS = 300_000;

/** The shell's blocks of the page, in order. */
async function blocks(): Promise<string[]> {
  const text = await readFile(join(root, 'deploy', 'docs', 'quick-start.md'), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block]) => block);
}

describe('the quick start', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-quick-start-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('leads from a built repository to a completed run', async () => {
    const [install, ...steps] = await blocks();
    expect(install).toContain('npm install && npm run build');
    const port = await freePort();
    const script = [
      'set -e',
      `cd '${root}'`,
      // Built by whoever runs the tests; and not inside the repository.
      install
        .replace('npm install && npm run build\n', '')
        .replace('mkdir first-round && cd first-round', `cd '${folder}'`),
      `trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT`,
      ...steps.slice(0, -1).map((block) => block.replaceAll('7400', String(port))),
      `until fedlora admin runs list | grep -q '"status": "completed"'; do sleep 1; done`,
      steps.at(-1),
    ].join('\n');
    const { code, out } = await bash(script, { FEDLORA_PORT: String(port) });
    expect(code, out).toBe(0);
    expect(out).toContain('Enrolled as clinic');
    expect(out).toMatch(/state +idle/);
    expect(out).toMatch(/epsilon/);
    expect(out).toContain('counted');
  });

  async function bash(script: string, env: NodeJS.ProcessEnv): Promise<{ code: number | null; out: string }> {
    // A group of its own, so that nothing that it started stays behind when it waits in vain.
    const child = spawn('bash', ['-c', script], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), LONGEST_MS);
    let out = '';
    child.stdout.on('data', (piece: Buffer) => (out += piece.toString('utf8')));
    child.stderr.on('data', (piece: Buffer) => (out += piece.toString('utf8')));
    child.stdin.end('correct horse battery staple\n');
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    return { code, out };
  }
});
