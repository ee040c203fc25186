/**
 * The way of an update, from the owner's rows to a masked vector: read this first. Each line is one stage; each name is one file.
 *
 * What the coordinator sees: keys and sealed shares (secagg.ts), masked words (upload.ts), and at the end one kind of share about
 * each participant. What costs privacy: the one line `ledger.record`, before a row is learned from, so that no outcome of training
 * is free of charge. What happens if this machine stops: before it, nothing was spent; after it, the charge stays, and the round
 * goes on without us if enough others remain.
 *
 * Legend     P = trained parameters, d = P + metrics
 */

import {
  sha256,
  toHex,
  usingOnce,
  type MaskedUpdate,
  type ParticipantParts,
  type RandomSource,
} from '@fedlora/protocol';
import { phasesOfRound, type FedloraErrorCode } from '@fedlora/shared';
import type { Account } from '../storage/account.js';
import type { Decisions } from '../storage/decisions.js';
import type { Conversation } from './conversation.js';
import type { AdapterSource, Workbench } from './workbench.js';
import { learn } from './learn.js';
import { makePrivate } from './make-private.js';
import { refuse, type PolicyTerms } from './policy.js';
import { outlook } from './outlook.js';
import { needsIndependentExamples } from './record-sum.js';
import { SecaggSeat } from './secagg.js';
import { checkDatasetSize, type VerifiedRound } from './verify-offer.js';

/** What a round works with. */
export interface Parts {
  readonly policy: PolicyTerms;
  /** Whether the owner has approved the manifest of this hash. */
  readonly isApproved: (manifestHash: string) => Promise<boolean>;
  readonly ledger: Pick<Account, 'entries' | 'elsewhere' | 'record' | 'recognise'>;
  readonly decisions: Decisions;
  readonly adapters: AdapterSource;
  readonly workbench: Workbench;
  readonly secagg: ParticipantParts;
  readonly random: RandomSource;
  /** Tokens, padding included, in one call of the engine. */
  readonly tokensPerBatch: number;
  /** Sends masked words, and takes nothing else. */
  readonly upload: (roundId: string, masked: MaskedUpdate, signal: AbortSignal) => Promise<number>;
  /** Told what is going on: for the state, the status file and the log. Facts only: nothing about rows, losses or norms. */
  readonly observe: (stage: Stage, facts?: Readonly<Record<string, string | number>>) => void;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** What a client is doing in a round, in order. */
export type Stage = 'joined' | 'shared' | 'training' | 'recorded' | 'uploaded' | 'checked' | 'unmasked';

/** How a round ended for this organisation. */
export type Contribution =
  | { readonly kind: 'counted'; readonly version: string }
  | { readonly kind: 'declined'; readonly reason: FedloraErrorCode }
  | { readonly kind: 'aborted'; readonly cause: string };

export async function contribute(round: VerifiedRound, talk: Conversation, parts: Parts): Promise<Contribution> {
  const { manifest } = round;
  const hasGraph = round.secagg.graph !== undefined;
  talk.follow(phasesOfRound(hasGraph), Math.max(...Object.values(manifest.aggregation.deadlinesMs)));

  // Before any data is read: would the owner of this machine accept these terms?
  const isApproved = await parts.isApproved(round.charge.manifestHash);
  const refusal = (): FedloraErrorCode | undefined =>
    refuse(parts.policy, manifest, {
      ...outlook(parts.ledger, round.charge, parts.policy.periodDays, parts.now()),
      isApproved,
    });
  const reason = refusal();
  if (reason !== undefined) return { kind: 'declined', reason };

  // Get ready. Each session is joined once, whatever restarts happen: on disk before the first message.
  const base = await parts.adapters.load(round, talk.signal); //              A [r, in], B [out, r] of each module
  const examples = await parts.workbench.examples(manifest); //               one row's tokens each
  checkDatasetSize(manifest, examples.length);
  // Records that were here before under another name of their data set have spent what they spent: then it is asked again.
  if (await parts.ledger.recognise(examples, parts.now())) {
    const second = refusal();
    if (second !== undefined) return { kind: 'declined', reason: second };
  }
  await parts.decisions.join(round.sid, round.roundId, parts.now());

  const seat = new SecaggSeat(parts.secagg, round.secagg, round.me);
  try {
    // Meet the cohort: fresh signed keys, in a large one the randomness of its graph, then sealed shares of this round's secrets.
    talk.answer('advertising', seat.advertise());
    parts.observe('joined');
    if (hasGraph) talk.answer('revealing', seat.reveal(await talk.asked('revealing')));
    talk.answer('sharing', seat.share(await talk.asked('sharing')));
    parts.observe('shared');
    const faulty = seat.receive(await talk.asked('training'));
    parts.observe('training', faulty.length === 0 ? {} : { faultyDealers: faulty.join(',') });

    // Learn, and bound what any one protected unit can change.                                    shape  type
    const independentExamples = needsIndependentExamples(manifest);
    const engine = await parts.workbench.engine(manifest.adapter, base, { independentExamples });
    talk.signal.throwIfAborted();
    await parts.ledger.record(round.charge, parts.now()); // on disk before a row is used
    parts.observe('recorded');
    const learned = await parts.workbench.working(() => learn(engine, examples, round, parts, talk.signal)); // [d] f64

    // Make private: round, then integer noise. What a stage was made from is overwritten when the stage is there.
    const noised = usingOnce(learned.values, () => makePrivate(learned, round, parts.random)); //  [d]    i32 steps

    // Hide in the crowd.
    const { masked, receipt } = usingOnce(noised.levels, () => seat.mask(noised)); //              [d]    u32 mod 2^32
    const bytes = await parts.upload(round.roundId, masked, talk.signal);
    talk.answer('training', receipt);
    parts.observe('uploaded', { bytes });
    talk.answer('checking', seat.sign(await talk.asked('checking')));
    parts.observe('checked');

    // Uncover the sum: decided once, on disk before it is said.
    const proof = await talk.asked('unmasking');
    const shares = seat.unmask(proof);
    await parts.decisions.unmask(round.sid, round.roundId, toHex(sha256(proof)), parts.now());
    talk.answer('unmasking', shares);
    parts.observe('unmasked');

    const ending = await talk.ended();
    return ending.kind === 'done'
      ? { kind: 'counted', version: ending.version }
      : { kind: 'aborted', cause: ending.cause };
  } finally {
    seat.leave();
  }
}
