/** Every command of the documentation, in the order of its page, against a coordinator with organisations that take part. */

import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { certifyMember } from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import { routes, type OrganisationView, type RunTermsView, type RunView, type SigningKeyView } from '@fedlora/shared';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { draftRun } from '../../client/src/cli/run-draft.js';
import { consoleBlocks, type ConsoleBlock } from '../support/console-blocks.js';
import { DocsShell } from '../support/docs-shell.js';
import { freePort } from '../support/free-port.js';
import { measuredBase, measuredRun, ReleaseNetwork } from '../support/release-network.js';
import { listAll } from '../support/requests.js';

const root = resolve(import.meta.dirname, '..', '..');
const docs = join(root, 'deploy', 'docs');
const REPOSITORY = 'city/support';
const MEASURED = [2, 1.6, 1.2, 1].map((loss) => ({ loss, exact: 0.1 }));
/** A page's commands go on for seconds; on a busy machine for many. */
const LONGEST_MS = 100_000;

/** The pages with commands that a test can run. `test/architecture/documents.test.ts` reads the others, and the quick start has a test of its own. */
const pages = readdirSync(docs).filter((name) => name.endsWith('.md') && blocksOf(name).length > 0);

function blocksOf(page: string): readonly ConsoleBlock[] {
  return consoleBlocks(readFileSync(join(docs, page), 'utf8')).filter((block) => block.notRunBecause === undefined);
}

describe('the commands of the documentation', () => {
  const federationSeed = seededRandom('federation')(32);
  let network: ReleaseNetwork;
  /** Of the repository, the untrained first one at 0. */
  let versions: string[];
  let key: string;
  let folder: string;
  let shell: DocsShell;
  let operator: NodeJS.Timeout;

  beforeAll(async () => {
    network = await ReleaseNetwork.start(MEASURED);
    await network.complete(measuredRun(REPOSITORY, MEASURED.length));
    // Runs that the pages start wait for organisations, which have nothing to train with.
    network.federation.disconnect();
    versions = await network.versionsOf(REPOSITORY);
    ({ publicKey: key } = await network.operate<SigningKeyView>('GET', routes.signingKey));
    operator = setInterval(() => void certifyWhoever('school').catch(() => undefined), 200); // Until it is enrolled.
  });
  afterAll(async () => {
    clearInterval(operator);
    await network?.stop();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-documentation-'));
    await mkdir(join(folder, 'work'));
    await mkdir(join(folder, 'calls'));
    shell = new DocsShell(join(folder, 'work'), join(folder, 'calls'), {
      PATH: process.env['PATH'],
      HOME: folder,
      FEDLORA: root,
      FEDLORA_COORDINATOR: network.url,
      FEDLORA_API_TOKEN: network.token,
      KEY: key,
      VERSION: versions[2],
      OLDER: versions[1],
      NEWER: versions[4],
    });
  });
  afterEach(async () => {
    shell.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** What a page takes for granted, beside variables: files in its folder, and how the coordinator stands. */
  const prepare: Readonly<Record<string, () => Promise<void>>> = {
    'operator.md': async () => writeFederation(),
    'data-owner.md': async () => {
      await writeFederation();
      const { token } = await network.operate<{ token: string }>('POST', routes.invitations, { name: 'school' });
      await write('school.invitation', token);
      await write('rows.jsonl', rows(40));
      const base = join(root, 'deploy', 'demo', 'base');
      const draft = await draftRun({ title: 'A run', base, rounds: 3, rows: [400, 400, 400], epsilonCap: 2 });
      const { id } = await network.operate<RunView>('POST', routes.runs, draft);
      const { manifest } = await network.operate<RunTermsView>('GET', routes.runTerms(id));
      await network.operate('POST', routes.runStop(id));
      await write('manifest.json', JSON.stringify(manifest));
    },
    'downstream.md': async () => {
      const change = { version: versions[2], override: 'for the page' };
      await network.operate('PUT', routes.channel(REPOSITORY, 'stable'), change);
      await mkdir(join(folder, 'work', 'models', 'base'), { recursive: true });
      await write('models/base/config.json', JSON.stringify(measuredBase));
    },
  };

  it.each(pages)(
    'of %s do what it says',
    async (page) => {
      await prepare[page]?.();
      const port = String(await freePort());
      for (const { line, commands } of blocksOf(page)) {
        for (const command of commands) {
          const { code, output } = await shell.run(command.replaceAll('7400', port));
          expect(code, `deploy/docs/${page}:${line}: ${command}\n${output}`).toBe(0);
        }
      }
    },
    LONGEST_MS,
  );

  const write = (name: string, text: string): Promise<void> =>
    writeFile(join(folder, 'work', name), text, { mode: 0o600 });

  /** The federation's key, as `fedlora federation init` writes it. */
  async function writeFederation(): Promise<void> {
    await mkdir(join(folder, 'work', 'federation'));
    await write('federation/federation.key', `${Buffer.from(federationSeed).toString('hex')}\n`);
    await write('federation/federation.pub', `${network.federation.federationKey}\n`);
  }

  /** The operator of a page that is the owner's. */
  async function certifyWhoever(name: string): Promise<void> {
    const { url, token } = network;
    const found = (await listAll<OrganisationView>(url, token, routes.organisations)).find((one) => one.name === name);
    if (found?.status !== 'pending') return;
    const certificate = certifyMember(nodeProvider, federationSeed, { name, identity: found.identity });
    await network.operate('POST', routes.organisationCertificate(name), { certificate });
  }
});

function rows(count: number): string {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({ instruction: `What follows ${i}?`, output: `${i + 1}` }),
  )
    .join('\n')
    .concat('\n');
}
