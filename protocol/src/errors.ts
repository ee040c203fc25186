/**
 * What can go wrong in the protocol, and who is to blame for it.
 *
 * An error answers three questions: whose fault, may I retry, what should a human do. The first two are in this catalogue;
 * the third is in `deploy/runbook`, one page per code. `@fedlora/shared` joins this catalogue with its own.
 */

/** Whose fault an error is. `us` is a bug: the operation stops loudly and is never retried. */
export type Blame = 'peer' | 'coordinator' | 'operator' | 'owner' | 'environment' | 'us';

/** What is known about an error code without its instance. */
export interface ErrorEntry {
  readonly blame: Blame;
  /** `never`: the same input fails again. `later`: another time may work. `next-round`: this round is lost, the next may work. */
  readonly retry: 'never' | 'later' | 'next-round';
  readonly meaning: string;
  readonly remedy: string;
}

export const protocolErrorCatalogue = {
  'codec/malformed': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A message does not follow its byte format.',
    remedy: 'Check that both sides run compatible versions; if they do, treat the sender as hostile.',
  },
  'codec/too-long': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A length in a message is over its limit.',
    remedy: 'Check that both sides run compatible versions; if they do, treat the sender as hostile.',
  },
  'codec/trailing-bytes': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A message has bytes after its end.',
    remedy: 'Check that both sides run compatible versions; if they do, treat the sender as hostile.',
  },
  'crypto/bad-signature': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A signature does not verify under the key it should.',
    remedy: 'Compare the key fingerprints in the roster with the organisation by another channel.',
  },
  'crypto/low-order-point': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A public key gives an all-zero shared secret.',
    remedy: 'Treat the sender as hostile; remove it from the roster.',
  },
  'crypto/cannot-open': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A sealed message does not open: it was altered, misrouted or sealed for another round.',
    remedy: 'The round goes on without its sender when enough others remain; look at the coordinator if it repeats.',
  },
  'crypto/malformed-key': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A key, seed, nonce or signature has a wrong length or form.',
    remedy: 'Check that both sides run compatible versions; if they do, treat the sender as hostile.',
  },
  'secret/wiped': {
    blame: 'us',
    retry: 'never',
    meaning: 'A one-time secret was used after it had been wiped.',
    remedy: 'Report this as a bug; nothing was sent.',
  },
  'manifest/invalid': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The terms of the run contradict each other or break a rule of the protocol.',
    remedy: 'Change the run description as the message says and start a new run.',
  },
  'roster/invalid': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The roster is malformed, names a member twice, or is not the one the manifest names.',
    remedy: 'Ask the operator for the current roster; do not accept one that cannot be explained.',
  },
  'roster/revocations-invalid': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The list of revoked keys is malformed or not signed by the federation key.',
    remedy: 'Give the coordinator the file that `fedlora federation revoke` wrote, unchanged.',
  },
  'roster/revocations-outdated': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The coordinator serves a list of revoked keys that is older than one seen before, or contradicts it.',
    remedy: 'Give the coordinator the newest list; treat it as hostile if it has it already.',
  },
  'roster/revoked-member': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The roster of the run names a key that the federation has revoked.',
    remedy: 'Start a new run: its roster has only the members that remain.',
  },
  'secagg/threshold-too-low': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The threshold would let a lying coordinator learn one participant’s update.',
    remedy: 'Use a threshold over (participants + colluders) / 2.',
  },
  'secagg/cohort-too-small': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'Fewer participants are left than the threshold or the least number of contributors.',
    remedy: 'Wait for more organisations to be online.',
  },
  'secagg/not-in-roster': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'A message comes from somebody the roster does not name.',
    remedy: 'Treat the coordinator as hostile until it is explained.',
  },
  'secagg/duplicate': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'A participant or a key appears twice in one round.',
    remedy: 'Treat the coordinator as hostile until it is explained.',
  },
  'secagg/wrong-session': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'A message belongs to another round, another base adapter or another manifest.',
    remedy: 'Treat the coordinator as hostile if it repeats.',
  },
  'secagg/wrong-phase': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'A request arrived in a phase in which it may not be answered, or for the second time with other content.',
    remedy: 'Treat the coordinator as hostile if it repeats.',
  },
  'secagg/left-out': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'The round goes on without this participant: its message came too late or was refused.',
    remedy: 'The next round may work; if it repeats, look at the connection and at the deadlines of the run.',
  },
  'secagg/key-lists-differ': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'Participants of one round were shown different lists of keys.',
    remedy: 'Treat the coordinator as hostile: it may be splitting the cohort.',
  },
  'secagg/survivors-differ': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'The survivors that participants signed are not the survivors this participant saw.',
    remedy: 'Treat the coordinator as hostile: it may be showing different lists to different participants.',
  },
  'secagg/wrong-reveal': {
    blame: 'peer',
    retry: 'next-round',
    meaning: 'Randomness that was shown for the graph is not what its sender had committed to.',
    remedy: 'The named participant is at fault; suspend it if it repeats.',
  },
  'secagg/wrong-share': {
    blame: 'peer',
    retry: 'next-round',
    meaning: 'A key share does not match the commitment its dealer signed.',
    remedy: 'The named participant is at fault; suspend it if it repeats.',
  },
  'secagg/too-few-shares': {
    blame: 'peer',
    retry: 'next-round',
    meaning: 'Fewer valid key shares arrived than the threshold, so the sum stays hidden.',
    remedy: 'The next round may work; see which participants went away.',
  },
  'sharing/invalid': {
    blame: 'us',
    retry: 'never',
    meaning: 'Secret sharing was asked for something impossible, such as a threshold over the number of shares.',
    remedy: 'Report this as a bug.',
  },
  'update/not-finite': {
    blame: 'environment',
    retry: 'next-round',
    meaning: 'A value of the update is not a finite number: the local training diverged.',
    remedy: 'Lower the learning rate, or look for damaged rows with `fedlora data check`.',
  },
  'update/over-bound': {
    blame: 'us',
    retry: 'never',
    meaning: 'A clipped or rounded update is longer than its bound.',
    remedy: 'Report this as a bug; nothing was sent.',
  },
  'update/wrong-length': {
    blame: 'us',
    retry: 'never',
    meaning: 'A vector has another length than the layout of the run.',
    remedy: 'Report this as a bug; nothing was sent.',
  },
  'privacy/invalid-parameter': {
    blame: 'operator',
    retry: 'never',
    meaning: 'A privacy parameter is outside its range.',
    remedy: 'Correct the parameter that the message names.',
  },
  'privacy/not-reachable': {
    blame: 'operator',
    retry: 'never',
    meaning: 'No noise within the search range reaches the privacy that was asked for.',
    remedy: 'Ask for a larger epsilon, fewer rounds or a lower sampling rate.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ProtocolErrorCode = keyof typeof protocolErrorCatalogue;

/** Plain values that may be logged and sent: never secrets, rows, norms of one update. */
export type SafeDetails = Readonly<Record<string, string | number | boolean | readonly number[]>>;

/** The only error that `protocol` throws. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;
  readonly details: SafeDetails;

  constructor(code: ProtocolErrorCode, message?: string, details: SafeDetails = {}, options?: { cause?: unknown }) {
    super(message ?? protocolErrorCatalogue[code].meaning, options);
    this.name = 'ProtocolError';
    this.code = code;
    this.details = details;
  }
}
