/**
 * Proof of what leaves: a client records everything that it sends in real rounds, and this test knows every kind of message that may
 * be among it. A new kind fails here until somebody has thought about it.
 */

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeAdvertiseKeys,
  decodeConsistencySignature,
  decodeMaskedInput,
  decodeShareKeys,
  decodeUnmaskShares,
} from '@fedlora/protocol';
import {
  ChallengeRequest,
  RoundReplyMessage,
  SessionHelloMessage,
  SessionRequest,
  SessionStateMessage,
  routes,
  uploadHeaders,
  type OrganisationView,
  type RunForecast,
} from '@fedlora/shared';
import { TRAFFIC_INDEX, type TrafficLine } from '../../client/src/daemon/traffic-record.js';
import type { RoundEntry } from '../../client/src/storage/round-book.js';
import type { Network } from '../support/network.js';
import { listAll } from '../support/requests.js';
import { smallNetwork, smallRun } from './small-network.js';

const ROUNDS = 2;

/** Reads a message that a phase may be answered with, and nothing beside it: decoders consume every byte. */
const decoders = {
  advertising: decodeAdvertiseKeys,
  sharing: decodeShareKeys,
  training: decodeMaskedInput,
  checking: decodeConsistencySignature,
  unmasking: decodeUnmaskShares,
} as const;

/** Whether a value has the members of a message, each of its kind, and no others. */
function isA(kind: new () => object, value: unknown): boolean {
  const errors = validateSync(plainToInstance(kind, value), { whitelist: true, forbidNonWhitelisted: true });
  return errors.length === 0;
}

describe('everything that a client sends in two rounds', () => {
  let network: Network;
  let folder: string;
  let lines: readonly TrafficLine[];
  let book: readonly RoundEntry[];
  let length: number;
  const bodyOf = async ({ file }: TrafficLine): Promise<Buffer> =>
    file === null ? Buffer.alloc(0) : readFile(join(folder, file));
  /** Arguments of an event, byte arrays as such again. */
  const eventOf = async (line: TrafficLine): Promise<Record<string, unknown>> => {
    const [first] = JSON.parse((await bodyOf(line)).toString('utf8'), (_key, value: unknown) => {
      const { base64 } = (value ?? {}) as { base64?: string };
      return base64 === undefined ? value : new Uint8Array(Buffer.from(base64, 'base64'));
    }) as Record<string, unknown>[];
    return first;
  };
  let declared: Record<string, number | undefined>;
  let plan: RunForecast | null;
  /** Steps that each organisation lets be known to be spent. */
  const stepsDeclared = async (): Promise<Record<string, number | undefined>> =>
    Object.fromEntries(
      (await listAll<OrganisationView>(network.url, network.token, routes.organisations)).map(
        ({ name, declaredBudget }) => [name, declaredBudget?.spent.reduce((sum, { steps }) => sum + steps, 0)],
      ),
    );
  const named = (pattern: RegExp) => lines.filter(({ name }) => pattern.test(name));

  beforeAll(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'fedlora-traffic-')), 'record');
    network = await smallNetwork(3);
    await network.killClient('clinic');
    const policy = join(network.home('clinic'), 'policy.yaml');
    await writeFile(policy, (await readFile(policy, 'utf8')).replace('declareBudget: false', 'declareBudget: true'));
    network.startClient('clinic', ['--record-traffic', folder]);
    await network.untilAllConnected();
    const run = await network.startRun(await smallRun(ROUNDS));
    const ended = await network.untilRunEnds(run.id);
    expect(ended).toMatchObject({ status: 'completed', abortedRounds: 0 });
    length = ended.bytesUpPerClient / ROUNDS / 4;
    const { stdout } = await network.fedlora(['rounds', '--home', network.home('clinic'), '--json']);
    book = JSON.parse(stdout) as RoundEntry[];
    // The client tells it when its part of the round is over.
    do declared = await stepsDeclared();
    while (declared.clinic !== ROUNDS);
    ({ plan } = await network.plan(await smallRun(ROUNDS)));
    await network.stop();
    lines = (await readFile(join(folder, TRAFFIC_INDEX), 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as TrafficLine);
  });
  afterAll(async () => {
    await network.stop();
    await rm(join(folder, '..'), { recursive: true });
  });

  it('is of kinds that are known: sign-in, hello, state, replies to phases, masked words, and requests without a body', () => {
    const known = [
      /^POST \/api\/v1\/session(\/challenge)?$/,
      /^GET \/api\/v1\/versions\/[0-9a-f]{40}(\/files\/[A-Za-z_.]+)?$/,
      /^(HEAD|PATCH) \/api\/v1\/rounds\/[A-Za-z0-9-]+\/contribution$/,
      /^session\.(hello|state)$/,
      /^round\.reply$/,
    ];
    expect(lines.filter(({ name }) => !known.some((pattern) => pattern.test(name)))).toEqual([]);
    for (const { name, file } of named(/^(GET|HEAD) /)) expect(file, name).toBeNull();
    expect(new Set(lines.map(({ channel }) => channel))).toEqual(new Set(['http', 'socket']));
  });

  it('has on record what was sent, byte for byte, and no token', async () => {
    const token = /Bearer|authorization|"token"/i;
    for (const line of lines) {
      const body = await bodyOf(line);
      expect(createHash('sha256').update(body).digest('hex')).toBe(line.sha256);
      expect(JSON.stringify(line)).not.toMatch(token);
      if (line.channel === 'socket') expect(body.toString('utf8')).not.toMatch(token);
    }
    expect((await readdir(folder)).length).toBe(lines.filter(({ file }) => file !== null).length + 1);
  });

  it('has in its control messages the members of the schema and no others', async () => {
    for (const line of named(/^POST .*challenge$/))
      expect(isA(ChallengeRequest, JSON.parse((await bodyOf(line)).toString('utf8')))).toBe(true);
    for (const line of named(/^POST .*session$/))
      expect(isA(SessionRequest, JSON.parse((await bodyOf(line)).toString('utf8')))).toBe(true);
    for (const line of named(/^session.hello$/)) expect(isA(SessionHelloMessage, await eventOf(line))).toBe(true);
    for (const line of named(/^session.state$/)) expect(isA(SessionStateMessage, await eventOf(line))).toBe(true);
    expect(isA(SessionStateMessage, { state: 'idle', rows: 300 }), 'or the check is none').toBe(false);
  });

  it('says what is spent where the owner lets that be known, and only there: the plan of another run counts it', async () => {
    const hellos = await Promise.all(named(/^session.hello$/).map(eventOf));
    expect(hellos.at(0)).toMatchObject({ budget: { spent: [] } });
    expect(hellos.at(-1)).toMatchObject({ budget: { spent: [{ unit: 'record', steps: ROUNDS }] } });
    expect(Object.values(declared).filter((steps) => steps !== undefined)).toEqual([ROUNDS]);
    expect(plan?.organisations).toMatchObject([{ name: 'clinic' }]);
    expect(plan?.organisations[0].spentEpsilon).toBeCloseTo(plan?.epsilonCurve[ROUNDS].epsilon ?? NaN, 8);
  });

  it('answers each phase once a round, with the keys, sealed shares, receipt, signature and shares that SPEC §6 defines', async () => {
    const replies = await Promise.all(named(/^round.reply$/).map(eventOf));
    expect(replies.every((reply) => isA(RoundReplyMessage, reply))).toBe(true);
    expect(replies.map(({ phase }) => phase)).toEqual(Array(ROUNDS).fill(Object.keys(decoders)).flat());
    for (const { phase, message } of replies) decoders[phase as keyof typeof decoders](message as Uint8Array);
  });

  it('has masked words that are uniform: each byte of a word, from word to word and from round to round', async () => {
    const rounds = new Map<string, Buffer[]>();
    for (const line of named(/^PATCH/)) {
      expect(Object.keys(line.headers).sort()).toEqual(
        ['content-type', uploadHeaders.length, uploadHeaders.offset].sort(),
      );
      rounds.set(line.name, [...(rounds.get(line.name) ?? []), await bodyOf(line)]);
    }
    const vectors = [...rounds.values()].map((pieces) => Buffer.concat(pieces));
    expect(vectors.map((vector) => vector.length)).toEqual(Array(ROUNDS).fill(4 * length));
    const words = vectors.map((bytes) => Array.from({ length }, (_, i) => bytes.readUInt32LE(4 * i)));
    const [first, second] = words;
    const sequences = {
      'the first round': first,
      'the second round': second,
      'one round against the other': first.map((word, i) => (word - second[i]) >>> 0),
      'a word against the next': first.slice(1).map((word, i) => (word - first[i]) >>> 0),
    };
    // Rounding and noise leave levels of some thousand steps: unmasked, the highest byte would be 0 or 255.
    for (const [name, sequence] of Object.entries(sequences)) {
      for (const shift of [0, 8, 16, 24]) {
        const counts = new Array<number>(256).fill(0);
        for (const word of sequence) counts[(word >>> shift) & 255]++;
        const expected = sequence.length / 256;
        const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
        // 255 degrees of freedom, approximately Gaussian: seven standard deviations, below 1e-9 for all sixteen together.
        expect(Math.abs(chiSquared - 255) / Math.sqrt(2 * 255), `${name}, byte ${shift / 8}`).toBeLessThan(7);
      }
    }
  });

  it('has no text of any row in it', async () => {
    const rows = (await readFile(join(network.options.directory, 'data', 'clinic.jsonl'), 'utf8')).trim().split('\n');
    const texts = rows
      .flatMap((row) => Object.values(JSON.parse(row) as Record<string, string>))
      .filter((text) => text.length > 8);
    expect(texts.length).toBeGreaterThan(300);
    const all = Buffer.concat(await Promise.all(lines.map(bodyOf))).toString('latin1');
    expect(texts.filter((text) => all.includes(text))).toEqual([]);
  });

  it('is what `fedlora rounds` tells the owner: the same bytes and hashes', async () => {
    expect(book).toHaveLength(ROUNDS);
    const sentHashes = new Set(
      (await Promise.all(named(/^round.reply$/).map(eventOf))).map(({ message }) =>
        createHash('sha256')
          .update(message as Uint8Array)
          .digest('hex'),
      ),
    );
    for (const { roundId, ending, sent } of book) {
      expect(ending).toBe('counted');
      expect(sent.map(({ what }) => what).sort()).toEqual([...Object.keys(decoders), 'masked update'].sort());
      for (const { what, sha256 } of sent.filter(({ what }) => what !== 'masked update'))
        expect(sentHashes.has(sha256), what).toBe(true);
      const pieces = await Promise.all(named(new RegExp(`^PATCH .*/${roundId}/`)).map(bodyOf));
      const update = sent.find(({ what }) => what === 'masked update');
      expect(createHash('sha256').update(Buffer.concat(pieces)).digest('hex')).toBe(update?.sha256);
    }
  });
});
