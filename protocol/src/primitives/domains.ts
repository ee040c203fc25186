/**
 * Every domain-separation tag of the protocol, in one list, so that no two uses can share one.
 *
 * A tag is the first length-prefixed part of whatever is hashed or signed, and the first part of a key derivation's `info`.
 * Changing the meaning of anything under a tag means changing the tag.
 */

export const domains = {
  /** Hash of the manifest, and what the coordinator signs (SPEC §13.2). */
  manifest: 'fedlora/v1/manifest',
  /** Signature of the federation key over a member's name and identity (SPEC §14.2). */
  memberCertificate: 'fedlora/v1/member-certificate',
  /** Signature of the federation key over a revocation list (SPEC §15.2). */
  revocations: 'fedlora/v1/revocations',
  /** Hash of the roster (SPEC §14.4). */
  roster: 'fedlora/v1/roster',
  /** Hash that people compare (SPEC §14.5). */
  fingerprint: 'fedlora/v1/fingerprint',

  /** Hash: the session id (SPEC §4). */
  session: 'fedlora/v1/secagg/session',
  /** Signature over AdvertiseKeys (SPEC §6.1). */
  advertiseKeys: 'fedlora/v1/secagg/advertise-keys',
  /** Hash: commitment to a participant's randomness for the graph (SPEC §10.2). */
  graphCommitment: 'fedlora/v1/secagg/graph-commitment',
  /** Signature over RevealRandomness (SPEC §10.3). */
  revealRandomness: 'fedlora/v1/secagg/reveal-randomness',
  /** Hash of the KeyList and the RevealList together (SPEC §10.4). */
  graphCohort: 'fedlora/v1/secagg/graph-cohort',
  /** Hash: the seed of the circle (SPEC §10.4). */
  graphSeed: 'fedlora/v1/secagg/graph-seed',
  /** Hash: a participant's rank on the circle (SPEC §10.4). */
  graphPosition: 'fedlora/v1/secagg/graph-position',
  /** Hash of the KeyList (SPEC §6.2). */
  keyList: 'fedlora/v1/secagg/key-list',
  /** Signature over ShareKeys (SPEC §6.3). */
  shareKeys: 'fedlora/v1/secagg/share-keys',
  /** Hash of one entry of ShareKeys (SPEC §6.3). */
  shareEntry: 'fedlora/v1/secagg/share-entry',
  /** Hash: commitment to one share (SPEC §5.4). */
  shareCommitment: 'fedlora/v1/secagg/share-commitment',
  /** Hash: commitment to a self-mask seed (SPEC §5.4). */
  seedCommitment: 'fedlora/v1/secagg/seed-commitment',
  /** Key derivation: sealing shares in one direction (SPEC §5.2). */
  sealShares: 'fedlora/v1/secagg/seal-shares',
  /** Key derivation: the mask between two participants (SPEC §5.3). */
  pairwiseMask: 'fedlora/v1/secagg/pairwise-mask',
  /** Key derivation: a participant's own mask (SPEC §5.3). */
  selfMask: 'fedlora/v1/secagg/self-mask',
  /** Signature over MaskedInput (SPEC §6.5). */
  maskedInput: 'fedlora/v1/secagg/masked-input',
  /** Hash of the key list, the sharers and the survivors together (SPEC §6.6). */
  survivors: 'fedlora/v1/secagg/survivors',
  /** Signature over that hash (SPEC §6.7). */
  consistency: 'fedlora/v1/secagg/consistency',
  /** Signature over UnmaskShares (SPEC §6.9). */
  unmaskShares: 'fedlora/v1/secagg/unmask-shares',
} as const;

export type Domain = (typeof domains)[keyof typeof domains];
