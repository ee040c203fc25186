/**
 * The typed socket between client and coordinator, and the HTTP routes beside it.
 *
 * The socket carries control only; masked updates and adapters travel by HTTP, with their hash in a control message.
 * The coordinator asks (`round.request`), the client answers (`round.reply`); both survive a reconnect, since the coordinator
 * repeats the open request after every `session.hello` and the client repeats the same bytes.
 */

import type { Cost } from '@fedlora/protocol';
import type { WireError } from '../errors/fedlora-error.js';

/** Acknowledgement of every request. A handler never throws over the socket. */
export type Reply<Fields = object> =
  ({ readonly ok: true } & Fields) | { readonly ok: false; readonly error: WireError };

/** The phases in which the coordinator waits for participants. `revealing` is in rounds with a graph only (SPEC §10.3). */
export const requestPhases = ['advertising', 'revealing', 'sharing', 'training', 'checking', 'unmasking'] as const;
export type RequestPhase = (typeof requestPhases)[number];

/** The phases of one round, in order. */
export function phasesOfRound(hasGraph: boolean): readonly RequestPhase[] {
  return hasGraph ? requestPhases : requestPhases.filter((phase) => phase !== 'revealing');
}

/** What a client says of what it does; an enumeration, since no free number about its work may leave an organisation. */
export const clientStates = ['idle', 'training', 'waiting-for-cohort', 'unmasking', 'paused', 'draining'] as const;
export type ClientState = (typeof clientStates)[number];

/** The coordinator asks a participant to take part in a phase. */
export interface RoundRequest {
  readonly roundId: string;
  readonly phase: RequestPhase;
  /** Unix milliseconds by the coordinator's clock. */
  readonly deadlineAt: number;
  /** The coordinator's clock when it sent this, so that the client can tell what is left without trusting its own. */
  readonly sentAt: number;
  /** `advertising`: the offer. */
  readonly offer?: RoundOffer;
  /** Other phases: the protocol message(s) of that phase, SPEC §6. */
  readonly messages?: readonly Uint8Array[];
}

/** The terms of one round, as offered. */
export interface RoundOffer {
  readonly runId: string;
  readonly roundId: string;
  /** Counts attempts from 1; an aborted round keeps its number. */
  readonly number: number;
  /** Rounds of this run that ended well before this one. */
  readonly completedRounds: number;
  /** Canonical JSON of the manifest and the coordinator's signature over `manifestMessage`. */
  readonly manifest: string;
  readonly manifestSignature: string;
  readonly roster: string;
  /** The newest list of revoked keys, signed by the federation key; absent before the first. */
  readonly revocations?: string;
  /** 40 hex digits. */
  readonly baseVersion: string;
  /** 64 hex digits; zeros in the first round. */
  readonly previousSid: string;
}

export interface SessionHello {
  readonly wireVersion: number;
  readonly clientVersion: string;
  readonly state: ClientState;
  /** Kind of device, such as `cpu` or `webgpu`. */
  readonly device: string;
  /** Where the owner's policy says so (`declareBudget`). */
  readonly budget?: DeclaredBudget;
}

/** What an organisation lets be known of its budget: its policy's numbers, and the terms of the rounds that it was charged for. */
export interface DeclaredBudget {
  readonly epsilonCap: number;
  readonly maximumDelta: number;
  /** By kind of step, over all rounds that count for the data set, whoever asked for them; at most `MOST_DECLARED_COSTS`. */
  readonly spent: readonly Cost[];
  /** The same of the organisation's other data sets: it counts where whole organisations are protected. */
  readonly elsewhere: readonly Cost[];
}

/** A data set with more kinds of steps behind it declares nothing. */
export const MOST_DECLARED_COSTS = 256;

export interface RoundReply {
  readonly roundId: string;
  readonly phase: RequestPhase;
  readonly message: Uint8Array;
}

export interface RoundDecline {
  readonly roundId: string;
  /** A code of the error catalogue. */
  readonly code: string;
}

export type RoundOutcome =
  { readonly kind: 'done'; readonly version: string } | { readonly kind: 'aborted'; readonly cause: string };

/** Whether the organisation is offered rounds; said after every hello, and when it changes. */
export interface SessionStanding {
  readonly suspended: boolean;
  /** In the operator's words. */
  readonly reason: string | null;
}

export interface ServerToClientEvents {
  'session.standing': (standing: SessionStanding) => void;
  'round.request': (request: RoundRequest) => void;
  'round.ended': (ended: { readonly roundId: string; readonly runId: string; readonly outcome: RoundOutcome }) => void;
  'run.ended': (ended: { readonly runId: string; readonly cause: string }) => void;
}

export interface ClientToServerEvents {
  'session.hello': (hello: SessionHello, acknowledge: (reply: Reply) => void) => void;
  'session.state': (state: { readonly state: ClientState }, acknowledge: (reply: Reply) => void) => void;
  'round.reply': (reply: RoundReply, acknowledge: (reply: Reply) => void) => void;
  'round.decline': (decline: RoundDecline, acknowledge: (reply: Reply) => void) => void;
}

/** Events of the namespace `/live`, which the dashboard reads. Each carries the whole new value, so order does not matter. */
export interface LiveEvents {
  'organisation.changed': (value: import('../api/organisations.js').OrganisationView) => void;
  'run.changed': (value: import('../api/views.js').RunView) => void;
  'round.changed': (value: import('../api/views.js').RoundView) => void;
  'version.published': (value: import('../api/views.js').VersionView) => void;
  'version.changed': (value: import('../api/views.js').VersionView) => void;
  'repository.changed': (value: import('../api/release.js').RepositoryView) => void;
}

function repositoryPath(repository: string): string {
  const [owner = '', ...name] = repository.split('/');
  return `${encodeURIComponent(owner)}/${encodeURIComponent(name.join('/'))}`;
}

/** HTTP routes, in one place for both programs. */
export const routes = {
  enrol: '/api/v1/enrol',
  challenge: '/api/v1/session/challenge',
  session: '/api/v1/session',
  leave: '/api/v1/leave',
  /** HEAD: how much is there; PATCH: append at `Upload-Offset`. */
  contribution: (roundId: string) => `/api/v1/rounds/${encodeURIComponent(roundId)}/contribution`,
  version: (versionId: string) => `/api/v1/versions/${encodeURIComponent(versionId)}`,
  versionFile: (versionId: string, file: string) =>
    `/api/v1/versions/${encodeURIComponent(versionId)}/files/${encodeURIComponent(file)}`,
  release: (versionId: string) => `/api/v1/versions/${encodeURIComponent(versionId)}/release`,
  lineage: (versionId: string) => `/api/v1/versions/${encodeURIComponent(versionId)}/lineage`,
  comparison: (left: string, right: string) =>
    `/api/v1/versions/${encodeURIComponent(left)}/comparison/${encodeURIComponent(right)}`,
  revocation: (versionId: string) => `/api/v1/versions/${encodeURIComponent(versionId)}/revocation`,
  deprecation: (versionId: string) => `/api/v1/versions/${encodeURIComponent(versionId)}/deprecation`,
  audits: (versionId: string) => `/api/v1/versions/${encodeURIComponent(versionId)}/audits`,
  signingKey: '/api/v1/signing-key',
  repositories: '/api/v1/repositories',
  /** `repository` is `owner/name`: two parts of the address. */
  repository: (repository: string) => `/api/v1/repositories/${repositoryPath(repository)}`,
  releases: (repository: string) => `/api/v1/repositories/${repositoryPath(repository)}/versions`,
  outcomeMetrics: (repository: string) => `/api/v1/repositories/${repositoryPath(repository)}/outcome-metrics`,
  outcomes: (versionId: string) => `/api/v1/versions/${encodeURIComponent(versionId)}/outcomes`,
  outcomeComparison: (left: string, right: string) =>
    `/api/v1/versions/${encodeURIComponent(left)}/outcomes/${encodeURIComponent(right)}`,
  merges: (repository: string) => `/api/v1/repositories/${repositoryPath(repository)}/merges`,
  channel: (repository: string, channel: string) =>
    `/api/v1/repositories/${repositoryPath(repository)}/channels/${encodeURIComponent(channel)}`,
  tag: (repository: string, tag: string) =>
    `/api/v1/repositories/${repositoryPath(repository)}/tags/${encodeURIComponent(tag)}`,
  channelMoves: (repository: string, channel: string) =>
    `/api/v1/repositories/${repositoryPath(repository)}/channels/${encodeURIComponent(channel)}/moves`,
  channelRollback: (repository: string, channel: string) =>
    `/api/v1/repositories/${repositoryPath(repository)}/channels/${encodeURIComponent(channel)}/rollback`,
  overview: '/api/v1/overview',
  organisations: '/api/v1/organisations',
  organisation: (name: string) => `/api/v1/organisations/${encodeURIComponent(name)}`,
  organisationCertificate: (name: string) => `/api/v1/organisations/${encodeURIComponent(name)}/certificate`,
  organisationSuspend: (name: string) => `/api/v1/organisations/${encodeURIComponent(name)}/suspend`,
  organisationReinstate: (name: string) => `/api/v1/organisations/${encodeURIComponent(name)}/reinstate`,
  organisationSessions: (name: string) => `/api/v1/organisations/${encodeURIComponent(name)}/sessions`,
  revocations: '/api/v1/revocations',
  invitations: '/api/v1/invitations',
  invitation: (id: string) => `/api/v1/invitations/${encodeURIComponent(id)}`,
  runs: '/api/v1/runs',
  runPlan: '/api/v1/runs/plan',
  run: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}`,
  runPause: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}/pause`,
  runResume: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}/resume`,
  runStop: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}/stop`,
  runSchedule: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}/schedule`,
  runSchedulePreview: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}/schedule/preview`,
  calendar: '/api/v1/calendar',
  runTerms: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}/terms`,
  rounds: (runId: string) => `/api/v1/runs/${encodeURIComponent(runId)}/rounds`,
  setup: '/api/v1/setup',
  signIn: '/api/v1/sign-in',
  providerSignIn: '/api/v1/sign-in/provider',
  providerAnswer: '/api/v1/sign-in/provider/answer',
  me: '/api/v1/me',
  myPassword: '/api/v1/me/password',
  myTotp: '/api/v1/me/totp',
  myTotpConfirmation: '/api/v1/me/totp/confirmation',
  myTotpRemoval: '/api/v1/me/totp/removal',
  mySignIns: '/api/v1/me/sign-ins',
  mySignIn: (id: string) => `/api/v1/me/sign-ins/${encodeURIComponent(id)}`,
  users: '/api/v1/users',
  user: (id: string) => `/api/v1/users/${encodeURIComponent(id)}`,
  userLink: (id: string) => `/api/v1/users/${encodeURIComponent(id)}/link`,
  userSignIns: (id: string) => `/api/v1/users/${encodeURIComponent(id)}/sign-ins`,
  tokens: '/api/v1/tokens',
  token: (id: string) => `/api/v1/tokens/${encodeURIComponent(id)}`,
  audit: '/api/v1/audit',
  auditExport: '/api/v1/audit/export',
} as const;

/** Headers of the resumable upload. */
export const uploadHeaders = {
  offset: 'upload-offset',
  length: 'upload-length',
} as const;
