/**
 * Organisations without a training engine, for tests of a coordinator: real keys, sessions, sockets, uploads and the protocol's own
 * participant, with made-up updates. Each remembers the levels that it contributed, so that a test can add them up.
 */

import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  addDiscreteGaussian,
  addWholeNoise,
  certifyMember,
  clippedRecordSum,
  clipToL2Norm,
  createAdvertise,
  createMaskedInput,
  discreteGaussianSampler,
  fromHex,
  handleKeyList,
  handleRevealList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
  manifestHash,
  measuredUnit,
  metricCount,
  nextRevocations,
  PrivateSteps,
  privateStepsTerms,
  quantize,
  quantizeReleased,
  rosterHash,
  secaggTerms,
  sessionId,
  shareStddevInSteps,
  signRevocations,
  stepStddevInSteps,
  toHex,
  toRawUpdate,
  trainedFactor,
  unitBound,
  utf8,
  withMetrics,
  withoutNoise,
  wordsToBytes,
  type ClippedUpdate,
  type CryptoProvider,
  type Manifest,
  type NoisedUpdate,
  type ParticipantParts,
  type ParticipantState,
  type ReleasedNumbers,
  type RevocationList,
  type Roster,
  type SecaggTerms,
  type Step,
  type TrainedFactor,
} from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import {
  enrolmentMessage,
  leaveMessage,
  routes,
  sessionMessage,
  uploadHeaders,
  WIRE_VERSION,
  type ClientToServerEvents,
  type EnrolResponse,
  type Reply,
  type RequestPhase,
  type RoundOffer,
  type RoundRequest,
  type RoundView,
  type RunView,
  type ServerToClientEvents,
  type SessionStanding,
} from '@fedlora/shared';
import { io, type Socket } from 'socket.io-client';
import { json, listAll, operate, send } from './requests.js';

const BUSY_MS = 50;
/** Between two tries to find a coordinator that has gone. */
const RETURN_MS = 200;
/** What a client that stays connected tries again. */
const RETRIED: readonly string[] = ['database/unreachable', 'coordinator/blobs-unavailable', 'coordinator/standing-by'];

type ClientSocket = Socket<ServerToClientEvents, ClientToServerEvents>;

/** The operator, the federation's key, and its organisations. */
export class FakeFederation {
  private readonly seed = seededRandom('federation')(32);
  readonly organisations: FakeOrganisation[] = [];

  /** `crypto`: what the organisations use; with a hundred of them in one process, one that remembers signatures saves minutes. */
  constructor(private readonly crypto: CryptoProvider = nodeProvider) {}

  get federationKey(): string {
    return toHex(nodeProvider.ed25519.publicKey(this.seed));
  }

  /** Invites, enrols and certifies organisations of these names. */
  async enrol(url: string, apiToken: string, names: readonly string[]): Promise<void> {
    for (const name of names) {
      const organisation = this.organisation(name);
      const { token } = await operate<{ token: string }>(url, apiToken, 'POST', routes.invitations, { name });
      await organisation.enrol(url, token);
      const certificate = certifyMember(nodeProvider, this.seed, { name, identity: organisation.identity });
      await operate(url, apiToken, 'POST', routes.organisationCertificate(name), { certificate });
      this.organisations.push(organisation);
    }
  }

  /** A new organisation of this federation. */
  protected organisation(name: string): FakeOrganisation {
    return new FakeOrganisation(name, name, this.crypto);
  }

  /** The next list of revoked keys, signed. */
  revoke(before: RevocationList | undefined, ...identities: string[]): { list: RevocationList; text: string } {
    const list = nextRevocations(before, identities);
    return { list, text: signRevocations(nodeProvider, this.seed, list) };
  }

  /** The certificate of an organisation’s key. */
  certificateOf({ name, identity }: FakeOrganisation): string {
    return certifyMember(nodeProvider, this.seed, { name, identity });
  }

  async connect(url: string): Promise<void> {
    await Promise.all(this.organisations.map((organisation) => organisation.connect(url)));
  }

  /** As clients do: all of them come back whenever their connection breaks, until the signal. */
  async stay(url: string, signal: AbortSignal): Promise<void> {
    await Promise.all(this.organisations.map((organisation) => organisation.stay(url, signal)));
  }

  disconnect(): void {
    for (const organisation of this.organisations) organisation.disconnect();
  }
}

interface RoundMemory {
  readonly manifest: Manifest;
  readonly terms: SecaggTerms;
  readonly trained: TrainedFactor;
  readonly advertisement: Uint8Array;
  state: ParticipantState;
  upload?: { readonly bytes: Uint8Array; readonly message: Uint8Array };
}

export class FakeOrganisation {
  private readonly seed: Uint8Array;
  private readonly parts: ParticipantParts;
  private readonly rounds = new Map<string, RoundMemory>();
  private socket: ClientSocket | undefined;
  private session = '';
  private coordinatorKey = '';
  private url = '';
  /** Levels that it added to each round, noise included. */
  readonly contributed = new Map<string, Int32Array>();
  /** Replies to `round.reply`, in order. */
  readonly replies: Reply[] = [];
  readonly ended: string[] = [];
  /** Requests that it leaves unanswered. */
  ignores: (request: RoundRequest) => boolean = () => false;
  /** What it tells beside its update, where the terms ask for it; without, its whole vector is made up. */
  numbers: ReleasedNumbers | undefined;
  /** How far its clock is ahead. */
  clockSkewMs = 0;
  /** What the coordinator said of its standing, in order. */
  readonly standings: SessionStanding[] = [];
  /** Bytes of one piece of an upload. */
  pieceBytes = 1000;
  /** Sent with every request, and when the socket connects. */
  headers: Readonly<Record<string, string>> = {};

  constructor(
    readonly name: string,
    keyName = name,
    crypto: CryptoProvider = nodeProvider,
  ) {
    this.seed = seededRandom(`organisation/${keyName}`)(32);
    this.parts = {
      crypto,
      random: seededRandom(`random/${name}/${process.hrtime.bigint()}`),
      sign: (message) => nodeProvider.ed25519.sign(this.seed, message),
    };
  }

  get identity(): string {
    return toHex(nodeProvider.ed25519.publicKey(this.seed));
  }

  sign(text: string): string {
    return toHex(this.parts.sign(utf8(text)));
  }

  async enrol(url: string, token: string): Promise<EnrolResponse> {
    const { name, identity } = this;
    const signature = this.sign(enrolmentMessage(name, identity, token));
    const answer = await json<EnrolResponse>(await this.post(url, routes.enrol, { token, name, identity, signature }));
    this.coordinatorKey = answer.coordinatorKey;
    return answer;
  }

  /** Signs in; returns the session's token. */
  async signIn(url: string): Promise<string> {
    return (await json<{ token: string }>(await this.askForSession(url))).token;
  }

  /** Asks for a session; returns the answer as it came. */
  async askForSession(url: string): Promise<Response> {
    const { identity } = this;
    const { nonce } = await json<{ nonce: string }>(await this.post(url, routes.challenge, { identity }));
    const signature = this.sign(sessionMessage(identity, nonce, this.coordinatorKey));
    const body = { identity, nonce, signature, wireVersion: WIRE_VERSION, sentAt: Date.now() + this.clockSkewMs };
    return this.post(url, routes.session, body);
  }

  /** Asks to leave; returns the answer as it came. */
  async leave(url: string): Promise<Response> {
    const { identity } = this;
    const { nonce } = await json<{ nonce: string }>(await this.post(url, routes.challenge, { identity }));
    const signature = this.sign(leaveMessage(identity, nonce, this.coordinatorKey));
    return this.post(url, routes.leave, { identity, nonce, signature });
  }

  private post(url: string, path: string, body: object): Promise<Response> {
    return send(url, 'POST', path, undefined, body, this.headers);
  }

  /** Signs in, connects, says hello and answers from then on. */
  async connect(url: string): Promise<void> {
    this.url = url;
    this.session = await this.signIn(url);
    const socket: ClientSocket = io(url, {
      auth: { token: this.session },
      transports: ['websocket'],
      reconnection: false,
      extraHeaders: { ...this.headers },
    });
    this.socket = socket;
    socket.on('round.request', (request) => {
      if (this.ignores(request)) return;
      this.answer(request).catch((error: unknown) => {
        // `fetch` has no other error of this class: the coordinator has gone, and asks again when it is back.
        const hasGone = error instanceof TypeError && error.message === 'fetch failed';
        if (socket.connected && !hasGone) throw error;
      });
    });
    socket.on('round.ended', ({ roundId }) => this.ended.push(roundId));
    socket.on('session.standing', (standing) => this.standings.push(standing));
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('connect_error', reject));
    await socket.emitWithAck('session.hello', {
      wireVersion: WIRE_VERSION,
      clientVersion: '0',
      state: 'idle',
      device: 'fake',
    });
  }

  /** Connects, and again whenever the connection breaks or a try fails, until the signal. */
  async stay(url: string, signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.disconnect(), { once: true });
    while (!signal.aborted) {
      try {
        await this.connect(url);
        await this.untilDisconnected();
      } catch {
        // Whoever watches the rounds sees whether it came back.
        this.disconnect();
      }
      await wait(RETURN_MS);
    }
  }

  disconnect(): void {
    this.socket?.disconnect();
  }

  /** Resolves with the reason when the socket is closed. */
  untilDisconnected(): Promise<string> {
    if (this.socket?.connected !== true) return Promise.resolve('not connected');
    return new Promise((resolve) => this.socket?.once('disconnect', resolve));
  }

  /** As a restarted process: connected again, with nothing remembered. */
  forget(): void {
    this.rounds.clear();
  }

  async reply(roundId: string, phase: RequestPhase, message: Uint8Array): Promise<Reply> {
    if (this.socket === undefined) throw new Error('not connected');
    const { socket } = this;
    const reply = await socket.emitWithAck('round.reply', { roundId, phase, message });
    this.replies.push(reply);
    // The same connection goes on, so nobody asks again: the coordinator waits for its database, or for another's taking over.
    if (!reply.ok && RETRIED.includes(reply.error.code) && socket.connected) {
      await wait(RETURN_MS);
      return this.reply(roundId, phase, message);
    }
    return reply;
  }

  async decline(roundId: string, code: string): Promise<void> {
    await this.socket?.emitWithAck('round.decline', { roundId, code });
  }

  protected async answer(request: RoundRequest): Promise<void> {
    const { roundId, phase } = request;
    if (phase === 'advertising' && !this.rounds.has(roundId)) this.begin(request);
    const memory = this.rounds.get(roundId);
    if (memory === undefined) return this.decline(roundId, 'round/forgotten');
    const [message] = (request.messages ?? []).map((bytes) => Uint8Array.from(bytes));
    switch (phase) {
      case 'advertising':
        return void (await this.reply(roundId, phase, memory.advertisement));
      case 'revealing':
        return this.step(roundId, phase, memory, handleKeyList(this.parts, memory.state, message));
      case 'sharing': {
        const handle = memory.terms.graph === undefined ? handleKeyList : handleRevealList;
        return this.step(roundId, phase, memory, handle(this.parts, memory.state, message));
      }
      case 'training':
        return this.contribute(roundId, memory, message);
      case 'checking':
        return this.step(roundId, phase, memory, handleSurvivorList(this.parts, memory.state, message));
      case 'unmasking':
        return this.step(roundId, phase, memory, handleSurvivorProof(this.parts, memory.state, message));
      default:
        return phase satisfies never;
    }
  }

  private async step(roundId: string, phase: RequestPhase, memory: RoundMemory, step: Step): Promise<void> {
    memory.state = step.state;
    await this.reply(roundId, phase, step.message);
  }

  private begin({ offer, roundId }: RoundRequest): void {
    if (offer === undefined) throw new Error('no offer');
    const { manifest, roster, trained, terms } = termsOf(offer);
    const me = roster.members.findIndex((member) => member.name === this.name);
    const { state, message } = createAdvertise(this.parts, terms, me);
    this.rounds.set(roundId, { manifest, terms, trained, advertisement: message, state });
  }

  private async contribute(roundId: string, memory: RoundMemory, delivery: Uint8Array): Promise<void> {
    const { manifest, terms, trained } = memory;
    if (memory.upload === undefined) {
      memory.state = handleShareDelivery(this.parts, memory.state, delivery).state;
      const noised = this.noisedUpdate(roundId, manifest, terms.length, trained);
      this.contributed.set(roundId, noised.levels);
      const step = createMaskedInput(this.parts, memory.state, noised);
      memory.state = step.state;
      memory.upload = { bytes: wordsToBytes(step.masked.words), message: step.message };
    }
    const { bytes, message } = memory.upload;
    await this.upload(roundId, bytes);
    const reply = await this.reply(roundId, 'training', message);
    // All of it is there: nobody asks for the bytes again.
    if (reply.ok) memory.upload = { bytes: new Uint8Array(0), message };
  }

  /** Of made-up values, on the way that the unit of the run has. */
  private noisedUpdate(roundId: string, manifest: Manifest, length: number, trained: TrainedFactor): NoisedUpdate {
    const { training, encoding, metrics, privacy } = manifest;
    const { random } = this.parts;
    const clipped = this.clippedUpdate(roundId, manifest, length);
    if (training.kind !== 'local-record-steps') {
      const quantized = quantize(clipped, encoding.stepsPerUnit);
      const stddev = shareStddevInSteps(manifest, trained);
      return stddev === 0 ? withoutNoise(quantized) : addDiscreteGaussian(quantized, stddev, random);
    }
    const start = new Float32Array(length - metricCount(metrics));
    const steps = new PrivateSteps(start, metricCount(metrics), privateStepsTerms(manifest, training));
    const sampler = discreteGaussianSampler(stepStddevInSteps(manifest, trained));
    for (let step = 0; step < training.steps; step += 1) {
      const quantized = quantize(clipped, training.stepsPerUnit);
      steps.take(addWholeNoise(quantized, privacy.noiseMultiplier, sampler, random), (parameters, gradient) =>
        gradient.forEach((value, i) => (parameters[i] -= training.learningRate * value)),
      );
    }
    return quantizeReleased(steps.release(), encoding.stepsPerUnit);
  }

  /** What it would have learned: any values, of any length. */
  protected madeUp(roundId: string, length: number): Float64Array {
    const seed = createHash('sha256')
      .update(this.name + roundId)
      .digest()[0];
    return Float64Array.from({ length }, (_, i) => Math.sin(i + seed));
  }

  /** Made up, within the bound; with its numbers in their places where it has some. */
  private clippedUpdate(roundId: string, manifest: Manifest, length: number): ClippedUpdate {
    const { metrics, privacy, training } = manifest;
    const { numbers } = this;
    const values = this.madeUp(roundId, numbers === undefined ? length : length - metricCount(metrics));
    const clipped = clipToL2Norm(toRawUpdate(values), privacy.l2Bound);
    if (numbers === undefined && training.kind !== 'local-record-steps') return clipped;
    if (numbers === undefined) return clippedRecordSum(clipped.values, 1, unitBound(manifest));
    const whole = withMetrics(clipped.values, numbers, metrics, measuredUnit(manifest));
    return training.kind !== 'local-steps'
      ? clippedRecordSum(whole, training.maximumRecords, unitBound(manifest))
      : clipToL2Norm(toRawUpdate(whole), unitBound(manifest));
  }

  /**
   * HEAD, then PATCH piece by piece. While a piece is on its way, as when it is asked twice at once, where it is told that it asks too
   * often, and where a proxy has nobody to ask, it waits and asks again.
   */
  async upload(roundId: string, bytes: Uint8Array): Promise<void> {
    const head = await this.head(roundId);
    if (isLater(head.status)) return this.uploadLater(roundId, bytes, head);
    // Of a coordinator before this one, which a reconnection has replaced meanwhile: it asks for the bytes itself.
    if (head.status === 401) throw new Error('The session has ended.');
    let offset = Number(head.headers.get(uploadHeaders.offset));
    while (head.ok && offset < bytes.length) {
      const response = await this.patch(
        roundId,
        offset,
        bytes.subarray(offset, offset + this.pieceBytes),
        bytes.length,
      );
      if (response.status === 410 || response.status === 403) return; // The round went on without this organisation.
      if (response.status === 409 || isLater(response.status)) return this.uploadLater(roundId, bytes, response);
      if (!response.ok) throw new Error(await response.text());
      offset = Number(response.headers.get(uploadHeaders.offset));
    }
  }

  private async uploadLater(roundId: string, bytes: Uint8Array, refusal: Response): Promise<void> {
    const seconds = refusal.headers.get('retry-after');
    await wait(seconds === null ? BUSY_MS : 1_000 * Number(seconds));
    return this.upload(roundId, bytes);
  }

  patch(roundId: string, offset: number, piece: Uint8Array, length: number): Promise<Response> {
    return this.patchFrom(piece, roundId, offset, length);
  }

  /** Sends a piece that may come bit by bit. */
  protected patchFrom(
    body: Uint8Array | AsyncIterable<Uint8Array>,
    roundId: string,
    offset: number,
    length: number,
  ): Promise<Response> {
    return fetch(this.url + routes.contribution(roundId), {
      method: 'PATCH',
      // Node's `fetch` takes both; of what it sends bit by bit it demands to be told.
      body: body as NonNullable<RequestInit['body']>,
      ...(body instanceof Uint8Array ? {} : { duplex: 'half' }),
      headers: {
        ...this.headers,
        authorization: `Bearer ${this.session}`,
        'content-type': 'application/offset+octet-stream',
        [uploadHeaders.offset]: String(offset),
        [uploadHeaders.length]: String(length),
      },
    });
  }

  head(roundId: string): Promise<Response> {
    return send(this.url, 'HEAD', routes.contribution(roundId), this.session, undefined, this.headers);
  }
}

/** 429 of the coordinator; the others of a proxy in front, or of a coordinator whose database is away. */
function isLater(status: number): boolean {
  return [429, 502, 503, 504].includes(status);
}

interface OfferTerms extends Pick<RoundMemory, 'manifest' | 'trained' | 'terms'> {
  readonly roster: Roster;
}

/** All organisations of a process get the same offer, and a large roster takes long to hash. */
let lastOffer: { readonly offer: RoundOffer; readonly terms: OfferTerms } | undefined;

function termsOf(offer: RoundOffer): OfferTerms {
  if (lastOffer !== undefined && isDeepStrictEqual(lastOffer.offer, offer)) return lastOffer.terms;
  const manifest = JSON.parse(offer.manifest) as Manifest;
  const roster = JSON.parse(offer.roster) as Roster;
  const trained = trainedFactor(manifest, offer.completedRounds);
  const sid = sessionId({
    manifestHash: fromHex(manifestHash(manifest)),
    rosterHash: fromHex(rosterHash(roster)),
    runId: offer.runId,
    round: offer.number,
    baseVersion: offer.baseVersion,
    previousSid: fromHex(offer.previousSid),
  });
  const terms = { manifest, roster, trained, terms: secaggTerms(manifest, roster, { sid, trained }) };
  lastOffer = { offer, terms };
  return terms;
}

/** Resolves with the run when it has ended, as the live namespace tells. */
export function untilRun(
  url: string,
  token: string,
  runId: string,
  wanted: (run: RunView) => boolean = (run) => run.status !== 'running',
): Promise<RunView> {
  return live(url, token, (socket, resolve, reject) => {
    const look = (run: RunView): void => {
      if (run.id === runId && wanted(run)) resolve(run);
    };
    socket.on('run.changed', look);
    socket.on('connect', () => void operate<RunView>(url, token, 'GET', routes.run(runId)).then(look, reject));
  });
}

/** Resolves with the first state of a round of the run that is wanted. */
export function untilRound(
  url: string,
  token: string,
  runId: string,
  wanted: (round: RoundView) => boolean,
): Promise<RoundView> {
  return live(url, token, (socket, resolve, reject) => {
    const look = (round: RoundView): void => {
      if (round.runId === runId && wanted(round)) resolve(round);
    };
    socket.on('round.changed', look);
    socket.on(
      'connect',
      () => void listAll<RoundView>(url, token, routes.rounds(runId)).then((all) => all.forEach(look), reject),
    );
  });
}

async function live<Value>(
  url: string,
  token: string,
  listen: (socket: Socket, resolve: (value: Value) => void, reject: (error: unknown) => void) => void,
): Promise<Value> {
  const socket = io(`${url}/live`, { auth: { token }, transports: ['websocket'] });
  try {
    return await new Promise<Value>((resolve, reject) => {
      socket.on('connect_error', reject);
      listen(socket, resolve, reject);
    });
  } finally {
    socket.disconnect();
  }
}
