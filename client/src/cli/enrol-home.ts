/** Enrolment as a whole: key, coordinator's answer, pins, settings, policy. */

import { fingerprint } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { makeHome, type Home } from '../config/home.js';
import { readConfig, writeConfig } from '../config/client-config.js';
import { writePolicy } from '../config/policy-file.js';
import { enrol } from '../connection/enrol.js';
import { Http } from '../connection/http.js';
import { forgetDeparture, readDeparture } from '../storage/departure.js';
import { createIdentity, readIdentity, type Identity } from '../storage/identity.js';
import { readPins, writePins } from '../storage/pins.js';
import { existsSync } from 'node:fs';

export interface Enrolment {
  readonly home: Home;
  readonly url: string;
  readonly name: string;
  readonly federationKey: string;
  readonly coordinatorKey: string | undefined;
  readonly token: () => Promise<string>;
  readonly base: string | undefined;
  readonly data: readonly string[];
  readonly dataset: string | undefined;
  readonly threads: number | undefined;
}

export interface Enrolled {
  readonly identity: string;
  readonly fingerprint: string;
  readonly coordinatorFingerprint: string;
  readonly federationFingerprint: string;
  readonly baseDigest: string | undefined;
}

/** Enrols; a failed attempt can be repeated and keeps its key. @throws FedloraError client/already-enrolled | connection/... */
export async function enrolHome(enrolment: Enrolment): Promise<Enrolled> {
  const { home, name, federationKey } = enrolment;
  const url = enrolment.url.replace(/\/+$/, '');
  if (existsSync(home.pins)) {
    await readPins(home.pins);
    // Whoever has left may come back; whoever only means to is still enrolled.
    if ((await readDeparture(home.left))?.isTold !== true) throw new FedloraError('client/already-enrolled');
  }
  await makeHome(home);
  await writeHomeSettings({ ...enrolment, url }); // First, so that a wrong setting costs no invitation.
  const { config } = await readConfig(home.config, {});
  const baseDigest = config.base === undefined ? undefined : await digestOf(config.base);

  const identity = await identityIn(home);
  const answer = await enrol(new Http(url), identity, name, await enrolment.token());
  if (enrolment.coordinatorKey !== undefined && enrolment.coordinatorKey !== answer.coordinatorKey) {
    throw new FedloraError('enrol/key-differs');
  }
  if (!existsSync(home.policy)) {
    await writePolicy(home.policy, new Map([['allowedBases', baseDigest === undefined ? [] : [baseDigest]]]));
  }
  await writePins(home.pins, {
    organisation: name,
    coordinatorKey: answer.coordinatorKey,
    federationKey,
    enrolledAt: Date.now(),
  });
  await forgetDeparture(home.left);
  return {
    identity: identity.publicKey,
    fingerprint: fingerprint(identity.publicKey),
    coordinatorFingerprint: fingerprint(answer.coordinatorKey),
    federationFingerprint: fingerprint(federationKey),
    baseDigest,
  };
}

async function writeHomeSettings(enrolment: Enrolment): Promise<void> {
  const values = new Map<string, unknown>([
    ['coordinator', enrolment.url],
    ['organisation', enrolment.name],
    ['base', enrolment.base],
    ['dataset.name', enrolment.dataset],
    ['dataset.files', enrolment.data.length === 0 ? undefined : enrolment.data],
    ['engine.threads', enrolment.threads],
  ]);
  const given = [...values].filter(([, value]) => value !== undefined);
  await writeConfig(enrolment.home.config, new Map([...(await settingsBefore(enrolment.home)), ...given]));
}

/** What the config of whoever comes back said. */
async function settingsBefore({ left, config }: Home): Promise<readonly [string, unknown][]> {
  if (!existsSync(left)) return [];
  const { sources } = await readConfig(config, {});
  return [...sources].flatMap(([key, { value, source }]) => (source === 'file' ? [[key, value]] : []));
}

/** The key of an enrolment that failed half-way, or a new one. */
async function identityIn(home: Home): Promise<Identity> {
  return existsSync(home.identity) ? readIdentity(home.identity) : createIdentity(home.identity);
}

async function digestOf(directory: string): Promise<string> {
  const { baseModelDigest } = await import('../engine/weights/digest.js');
  return baseModelDigest(directory);
}
