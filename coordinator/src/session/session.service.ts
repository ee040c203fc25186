/**
 * Sessions: a client signs a fresh nonce with its identity key and gets a bearer token for the socket and for bulk.
 *
 * Both live in memory only: after a restart clients sign in again, which they do by themselves.
 */

import { randomBytes } from 'node:crypto';
import { fromHex, utf8, type CryptoProvider } from '@fedlora/protocol';
import {
  FedloraError,
  sessionMessage,
  WIRE_VERSION,
  type ChallengeResponse,
  type ClockReading,
  type SessionRequest,
  type SessionResponse,
} from '@fedlora/shared';
import type { Admission } from '../access/admission.js';
import type { Organisation, OrganisationsRepository } from '../enrolment/organisations.repository.js';
import type { Revocations } from '../enrolment/revocations.js';
import { createToken, tokenHash } from '../storage/keys.js';

const CHALLENGE_MS = 60_000;
const SESSION_MS = 12 * 3600 * 1000;
/** Open challenges and sessions that are remembered; beyond, the oldest are forgotten. Bounds memory against strangers. */
const MOST_REMEMBERED = 10_000;
/** Sessions of one organisation: beyond, its oldest ends, so that nobody can push out the others'. */
const MOST_EACH = 8;

export interface SessionParts {
  readonly organisations: OrganisationsRepository;
  readonly revocations: Pick<Revocations, 'isRevoked'>;
  readonly crypto: CryptoProvider;
  readonly coordinatorKey: string;
  /** Of those whose signature is good. */
  readonly admission: Admission;
  /** How long a session lasts, in milliseconds; default twelve hours. */
  readonly lifetimeMs?: number;
  readonly now: () => number;
}

export class SessionService {
  /** By nonce. */
  private readonly challenges = new Map<string, { readonly identity: string; readonly issuedAt: number }>();
  /** By the token's hash. */
  private readonly sessions = new Map<
    string,
    { readonly name: string; readonly identity: string; readonly expiresAt: number }
  >();

  constructor(private readonly parts: SessionParts) {}

  /** A nonce for this identity, whether it is enrolled or not: that is told only to who can sign. */
  challenge(identity: string): ChallengeResponse {
    const nonce = randomBytes(32).toString('hex');
    remember(this.challenges, nonce, { identity, issuedAt: this.parts.now() });
    return { nonce };
  }

  /**
   * @throws FedloraError session/wire-version | session/challenge-spent | session/unknown-identity | session/pending |
   *         organisation/left | crypto/bad-signature | coordinator/busy
   */
  async open(request: SessionRequest): Promise<SessionResponse> {
    const { organisations, now } = this.parts;
    const arrivedAt = now();
    expectWireVersion(request.wireVersion);
    const { organisation, issuedAt } = await this.signerOf(request, sessionMessage);
    if (this.parts.revocations.isRevoked(request.identity)) throw new FedloraError('session/unknown-identity');
    if (organisation.left_at !== null) throw new FedloraError('organisation/left');
    if (organisation.certificate === null) throw new FedloraError('session/pending');
    const reading = request.sentAt == null ? null : clockBetween(issuedAt, request.sentAt, arrivedAt);
    await this.parts.admission.take(organisation.name, () => organisations.noteClock(organisation.name, reading));
    this.makeRoomFor(organisation.name);
    const token = createToken();
    const expiresAt = now() + (this.parts.lifetimeMs ?? SESSION_MS);
    remember(this.sessions, tokenHash(token), {
      name: organisation.name,
      identity: request.identity,
      expiresAt,
    });
    return { token, expiresAt };
  }

  /**
   * Whose key signed a fresh challenge, as `message` words it. The challenge is spent.
   *
   * @throws FedloraError session/challenge-spent | crypto/bad-signature | session/unknown-identity
   */
  async signerOf(
    { identity, nonce, signature }: Pick<SessionRequest, 'identity' | 'nonce' | 'signature'>,
    message: (identity: string, nonce: string, coordinatorKey: string) => string,
  ): Promise<{ readonly organisation: Organisation; readonly issuedAt: number }> {
    const { organisations, crypto, coordinatorKey, now } = this.parts;
    const challenge = this.challenges.get(nonce);
    this.challenges.delete(nonce);
    const isValid = challenge?.identity === identity && now() <= challenge.issuedAt + CHALLENGE_MS;
    if (!isValid) throw new FedloraError('session/challenge-spent');
    const statement = utf8(message(identity, nonce, coordinatorKey));
    if (!crypto.ed25519.verify(fromHex(signature), statement, fromHex(identity))) {
      throw new FedloraError('crypto/bad-signature', 'The challenge is not signed by the identity that asked for it.');
    }
    const organisation = await organisations.byIdentity(identity);
    if (organisation === undefined) throw new FedloraError('session/unknown-identity');
    return { organisation, issuedAt: challenge.issuedAt };
  }

  /** Drops what has expired, and the oldest of an organisation that has as many as it may. */
  private makeRoomFor(name: string): void {
    const own: string[] = [];
    for (const [key, session] of this.sessions) {
      if (session.expiresAt < this.parts.now()) this.sessions.delete(key);
      else if (session.name === name) own.push(key);
    }
    for (const key of own.slice(0, Math.max(0, own.length - MOST_EACH + 1))) this.sessions.delete(key);
  }

  /** The organisation whose session a token opened, if it is valid. */
  organisationOf(token: string): string | undefined {
    return this.sessionOf(token)?.name;
  }

  /** A valid session: whose it is and when it ends. */
  sessionOf(token: string): { readonly name: string; readonly expiresAt: number } | undefined {
    const session = this.sessions.get(tokenHash(token));
    if (session === undefined || session.expiresAt <= this.parts.now()) return undefined;
    return this.parts.revocations.isRevoked(session.identity) ? undefined : session;
  }

  /** Milliseconds until then, by the clock of sessions. */
  leftOf(expiresAt: number): number {
    return Math.max(0, expiresAt - this.parts.now());
  }

  /** Ends one session: its token opens nothing from now on. */
  end(token: string): void {
    this.sessions.delete(tokenHash(token));
  }

  /** Ends all sessions of an organisation. */
  endAllOf(name: string): void {
    for (const [key, session] of this.sessions) if (session.name === name) this.sessions.delete(key);
  }
}

/** Where a client's clock stood when it read `theirs`, at some instant from `from` to `to` of our clock. */
export function clockBetween(from: number, theirs: number, to: number): ClockReading {
  return {
    skewMs: Math.round(theirs - (from + to) / 2),
    uncertaintyMs: Math.ceil((to - from) / 2),
    measuredAt: to,
  };
}

/** @throws FedloraError session/wire-version */
export function expectWireVersion(wireVersion: number): void {
  if (wireVersion !== WIRE_VERSION) {
    throw new FedloraError(
      'session/wire-version',
      `This coordinator speaks wire version ${WIRE_VERSION}, the client ${wireVersion}.`,
    );
  }
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.set(key, value);
  if (map.size <= MOST_REMEMBERED) return;
  const [oldest] = map.keys();
  map.delete(oldest);
}
