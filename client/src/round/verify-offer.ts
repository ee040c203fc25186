/**
 * Is this offer what it claims to be? Everything that can be checked about a round before the owner's policy is asked and before
 * any row is read. Signatures, roster and terms are the same in every round of a run and are checked once.
 *
 * Guarantee  of a verified round: the pinned coordinator key signed its terms; the pinned federation key certified every member,
 *            this organisation among them, and has revoked none of them; the terms keep every rule of the protocol; the base model on this disk is the one
 *            named; this session was not joined before.
 */

import { createHash } from 'node:crypto';
import {
  checkManifest,
  checkNoneRevoked,
  checkRoster,
  checkSupersedes,
  fromHex,
  leastThreshold,
  manifestHash,
  manifestMessage,
  parseCanonicalJson,
  ProtocolError,
  pureProvider,
  readRevocations,
  rosterHash,
  secaggTerms,
  sessionId,
  shareStddevInSteps,
  toHex,
  trainedFactor,
  type Manifest,
  type RevocationList,
  type Roster,
  type SecaggTerms,
  type TrainedFactor,
} from '@fedlora/protocol';
import { adaptedModules, expandTargetModules, FedloraError, type RoundOffer, type ShapeConfig } from '@fedlora/shared';
import type { Charge } from '../storage/ledger-chain.js';
import type { Pins } from '../storage/pins.js';
import { chargeOf } from './charge.js';

/** The terms of a run, checked. */
export interface VerifiedTerms {
  readonly manifest: Manifest;
  readonly manifestHash: string;
  readonly roster: Roster;
  readonly rosterHash: string;
  /** This organisation's index in the roster. */
  readonly me: number;
}

/** One round of it. */
export interface VerifiedRound extends VerifiedTerms {
  readonly roundId: string;
  readonly completedRounds: number;
  /** 40 hex digits. */
  readonly baseVersion: string;
  /** Hex. */
  readonly sid: string;
  readonly trained: TrainedFactor;
  /** Standard deviation of the noise that this participant adds to its rounded update, in steps. */
  readonly shareStddev: number;
  /** The revocation list that the offer came with, and its signed text: to be remembered before the round is joined. */
  readonly revocations: RevocationList | undefined;
  readonly revocationsText: string | undefined;
  /** What the round costs. */
  readonly charge: Charge;
  readonly secagg: SecaggTerms;
}

export interface OfferParts {
  readonly pins: Pick<Pins, 'coordinatorKey' | 'federationKey'>;
  /** This organisation's public key, 64 hex digits. */
  readonly identity: string;
  /** The base model on this machine; `undefined` where none is configured. */
  readonly base: { readonly digest: string; readonly config: ShapeConfig } | undefined;
  readonly hasJoined: (sid: string) => boolean;
  /** The newest revocation list that this organisation has seen. */
  readonly revocations: () => RevocationList | undefined;
  /** Whether the ledger has charges of this run under other terms. */
  readonly wasChargedOtherwise: (runId: string, manifestHash: string) => boolean;
}

const SID = /^[0-9a-f]{64}$/;
const VERSION = /^[0-9a-f]{40}$/;

export class OfferVerifier {
  /** The last terms that were accepted, by the hash of everything they were made from. */
  private known: { readonly key: string; readonly terms: VerifiedTerms } | undefined;

  constructor(private readonly parts: OfferParts) {}

  /** @throws FedloraError offer/... | base-model/... ProtocolError manifest/invalid | roster/invalid | secagg/threshold-too-low */
  verify(offer: RoundOffer): VerifiedRound {
    checkShape(offer);
    const terms = this.terms(offer);
    const { manifest } = terms;
    const revocations = this.revocations(offer);
    checkNoneRevoked(terms.roster, revocations);
    if (offer.runId !== manifest.runId)
      throw new FedloraError('offer/malformed', 'The offer and its terms name different runs.');
    if (offer.completedRounds >= manifest.rounds)
      throw new FedloraError('offer/malformed', 'The run has no rounds left by its own terms.');
    if (this.parts.wasChargedOtherwise(offer.runId, terms.manifestHash)) throw new FedloraError('offer/terms-changed');
    const sid = sessionId({
      manifestHash: fromHex(terms.manifestHash),
      rosterHash: fromHex(terms.rosterHash),
      runId: offer.runId,
      round: offer.number,
      baseVersion: offer.baseVersion,
      previousSid: fromHex(offer.previousSid),
    });
    if (this.parts.hasJoined(toHex(sid))) throw new FedloraError('offer/session-reused');
    const trained = trainedFactor(manifest, offer.completedRounds);
    return {
      ...terms,
      roundId: offer.roundId,
      completedRounds: offer.completedRounds,
      baseVersion: offer.baseVersion,
      revocations,
      revocationsText: offer.revocations,
      sid: toHex(sid),
      trained,
      shareStddev: shareStddevInSteps(manifest, trained),
      charge: chargeOf(manifest, terms.manifestHash, offer.roundId),
      secagg: secaggTerms(manifest, terms.roster, { sid, trained }),
    };
  }

  /** In every round, since a key may be revoked between two. */
  private revocations(offer: RoundOffer): RevocationList | undefined {
    const { pins, revocations: remembered } = this.parts;
    const offered =
      offer.revocations === undefined
        ? undefined
        : readRevocations(pureProvider, pins.federationKey, offer.revocations);
    checkSupersedes(remembered(), offered);
    return offered;
  }

  private terms(offer: RoundOffer): VerifiedTerms {
    const key = createHash('sha256')
      .update(JSON.stringify([offer.manifest, offer.manifestSignature, offer.roster]))
      .digest('hex');
    if (this.known?.key !== key) this.known = { key, terms: verifyTerms(offer, this.parts) };
    return this.known.terms;
  }
}

/** What is the same in every round of a run. */
function verifyTerms(offer: RoundOffer, parts: OfferParts): VerifiedTerms {
  const { pins, identity, base } = parts;
  const manifest = parse<Manifest>(offer.manifest);
  const signature = /^[0-9a-f]{128}$/.test(offer.manifestSignature)
    ? fromHex(offer.manifestSignature)
    : new Uint8Array(64);
  if (!pureProvider.ed25519.verify(signature, manifestMessage(manifest), fromHex(pins.coordinatorKey))) {
    throw new FedloraError('offer/bad-signature');
  }

  const roster = parse<Roster>(offer.roster);
  wellFormed('roster/invalid', () => checkRoster(pureProvider, pins.federationKey, roster));
  const hash = rosterHash(roster);
  if (hash !== manifest.rosterHash) throw new FedloraError('offer/roster-mismatch');
  const me = roster.members.findIndex((member) => member.identity === identity);
  if (me < 0) throw new FedloraError('offer/not-a-member');

  const members = roster.members.length;
  wellFormed('manifest/invalid', () => {
    if (manifest.aggregation.threshold < leastThreshold(members, manifest.privacy.assumedColluders)) {
      throw new ProtocolError('secagg/threshold-too-low', undefined, {
        threshold: manifest.aggregation.threshold,
        members,
      });
    }
    checkManifest(manifest, members);
  });

  if (base === undefined) {
    throw new FedloraError(
      'base-model/digest-mismatch',
      'No base model is configured on this machine; `base` in config.yaml names its folder.',
    );
  }
  if (manifest.base.digest !== base.digest) {
    throw new FedloraError(
      'base-model/digest-mismatch',
      `The run trains "${manifest.base.name}" with digest ${manifest.base.digest}; here is ${base.digest}.`,
    );
  }
  const expanded = expandTargetModules(manifest.adapter.targetModules);
  const modules = 'names' in expanded ? adaptedModules(base.config, expanded.names) : [];
  if (JSON.stringify(modules.map(shapeOf)) !== JSON.stringify(manifest.adapter.modules.map(shapeOf))) {
    throw new FedloraError('base-model/modules-mismatch');
  }
  return { manifest, manifestHash: manifestHash(manifest), roster, rosterHash: hash, me };
}

/** The smallest power of two that is at least `rows`: what accepting or declining may tell about their number. */
export function publicRows(rows: number): number {
  let bound = 1;
  while (bound < rows) bound *= 2;
  return bound;
}

/**
 * Checks that need the number of rows, which never leaves: made right after the data set was opened.
 *
 * Secrets    they use only `publicRows`, so that a coordinator that varies its terms learns the order of magnitude and no more.
 * @throws FedloraError offer/delta-too-large | offer/dataset-too-large
 */
export function checkDatasetSize(manifest: Manifest, rows: number): void {
  const { privacy, training } = manifest;
  const protectsRecords = privacy.unit === 'record' || privacy.unit === 'record-local';
  if (protectsRecords && !(privacy.delta < 1 / publicRows(rows))) {
    throw new FedloraError('offer/delta-too-large');
  }
  if (training.kind === 'local-steps') return;
  // So that declining never depends on which rows were sampled, passing the maximum must be practically impossible.
  const draws = training.kind === 'local-record-steps' ? training.steps : 1;
  const logTail = logTailOfBinomial(publicRows(rows), training.samplingRate, training.maximumRecords + 1);
  if (logTail + Math.log(draws) > Math.log(2) * -60) {
    throw new FedloraError('offer/dataset-too-large');
  }
}

/**
 * Chernoff's bound on ln P[X >= k] for X ~ Binomial(n, p): -n KL(k/n || p); 0 where k is not above the mean.
 *
 * Source     Hoeffding 1963, Theorem 1
 */
export function logTailOfBinomial(n: number, p: number, k: number): number {
  if (k > n) return -Infinity;
  const a = k / n;
  if (a <= p) return 0;
  const upper = a * Math.log(a / p);
  const lower = a === 1 ? 0 : (1 - a) * Math.log((1 - a) / (1 - p));
  return -n * (upper + lower);
}

function checkShape(offer: RoundOffer): void {
  const isText = [
    offer.runId,
    offer.roundId,
    offer.manifest,
    offer.manifestSignature,
    offer.roster,
    offer.baseVersion,
    offer.previousSid,
    offer.revocations ?? '',
  ].every((field) => typeof field === 'string');
  const counts = [offer.number, offer.completedRounds];
  if (
    !isText ||
    !counts.every((count) => Number.isInteger(count) && count >= 0 && count <= 0xffffffff) ||
    !SID.test(offer.previousSid) ||
    !VERSION.test(offer.baseVersion) ||
    offer.roundId.length === 0 ||
    offer.roundId.length > 80
  ) {
    throw new FedloraError('offer/malformed');
  }
}

/** Terms in the one encoding that their signature and hash are over: two readers of the text cannot see different terms. */
function parse<T>(text: string): T {
  try {
    const value = parseCanonicalJson(text);
    if (typeof value === 'object' && value !== null) return value as T;
  } catch (cause) {
    throw new FedloraError('offer/malformed', undefined, { cause });
  }
  throw new FedloraError('offer/malformed');
}

/** A checker that trips over a missing field has found malformed terms, not a bug. */
function wellFormed(code: 'manifest/invalid' | 'roster/invalid', check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof TypeError) throw new ProtocolError(code, 'A field is missing.', {}, { cause: error });
    throw error;
  }
}

function shapeOf({ name, inFeatures, outFeatures }: Manifest['adapter']['modules'][number]): [string, number, number] {
  return [name, inFeatures, outFeatures];
}
