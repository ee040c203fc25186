/** The coordinator's TLS certificate is replaced, and its key is not the pinned one: two things that must not be confused. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Network } from '../support/network.js';
import { authority, TlsFront } from '../support/tls-front.js';
import { smallNetwork, smallRun } from './small-network.js';

let network: Network;
let front: TlsFront;
beforeAll(async () => {
  network = await smallNetwork(3);
  front = await TlsFront.start(Number(new URL(network.url).port), 'first');
  await network.killClient('clinic');
  await edit('config.yaml', (text) => text.replace(network.url, front.url));
  network.startClient('clinic', [], { NODE_EXTRA_CA_CERTS: authority });
  await network.untilAllConnected();
}, 120_000);
afterAll(async () => {
  await network?.stop();
  await front?.stop();
});

async function edit(file: string, change: (text: string) => string): Promise<void> {
  const path = join(network.home('clinic'), file);
  const before = await readFile(path, 'utf8');
  expect(change(before)).not.toBe(before);
  await writeFile(path, change(before));
}

interface Status {
  readonly connected: boolean;
  readonly why: string;
}

/** The first status of the clinic that is of this kind. */
async function status(connected: boolean): Promise<Status> {
  for (const endsAt = Date.now() + 30_000; Date.now() < endsAt; await wait(100)) {
    const { stdout } = await network.fedlora(['status', '--home', network.home('clinic'), '--json']);
    const shown = JSON.parse(stdout) as Status;
    if (shown.connected === connected && (connected || shown.why.includes(front.url))) return shown;
  }
  throw new Error(`The clinic was never ${connected ? 'connected' : 'cut off with a cause'}.`);
}

async function takesPart(): Promise<void> {
  const { id } = await network.startRun(await smallRun(1));
  expect(await network.untilRunEnds(id)).toMatchObject({ status: 'completed', completedRounds: 1 });
  const [{ participants }] = await network.rounds(id);
  expect(participants.map(({ name }) => name)).toContain('clinic');
}

describe('a coordinator whose certificate', () => {
  it('is replaced by one of the same authority, with another key, goes on as if nothing had been', async () => {
    await takesPart();
    await front.present('renewed');
    await network.untilAllConnected();
    await takesPart();
  });

  it('is replaced by one of an authority that this machine does not trust, is not spoken to, and the status says why', async () => {
    await front.present('foreign');
    const { why } = await status(false);
    expect(why).toContain(`The certificate of ${front.url} is not trusted`);
    await front.present('renewed');
    expect((await status(true)).connected).toBe(true);
    await network.untilAllConnected();
    await takesPart();
  });

  it('is right, but whose own key is not the pinned one, is not signed in to, whatever the certificate says', async () => {
    await network.killClient('clinic');
    const pin = /"coordinatorKey": ?"([0-9a-f]{64})"/;
    let key = '';
    await edit('pins.json', (text) => {
      key = pin.exec(text)?.[1] ?? '';
      return text.replace(key, 'ab'.repeat(32));
    });
    network.startClient('clinic', [], { NODE_EXTRA_CA_CERTS: authority });
    await wait(3000);
    const { organisations } = await network.overview();
    expect(organisations.find(({ name }) => name === 'clinic')).toMatchObject({ connected: false });
    await network.killClient('clinic');
    await edit('pins.json', (text) => text.replace('ab'.repeat(32), key));
    network.startClient('clinic', [], { NODE_EXTRA_CA_CERTS: authority });
    await network.untilAllConnected();
    await takesPart();
  });
});
