/**
 * Every route of the HTTP API: who may use it, what it takes and what it answers. One guard reads this table, the OpenAPI document is
 * made of it, and the coordinator does not start with a route that is not in it, or with a row that has no route.
 */

import {
  AuditExportQuery,
  AuditQuery,
  CalendarQuery,
  CertificateRequest,
  ChallengeRequest,
  AuditFindingRequest,
  DeprecationRequest,
  EnrolRequest,
  InvitationRequest,
  InvitationsQuery,
  LeaveRequest,
  LinkRequest,
  MergeRequest,
  NewTokenRequest,
  NewUser,
  OrganisationsQuery,
  OutcomeMetricsRequest,
  OutcomesRequest,
  PageQuery,
  PasswordProof,
  PathsInfoRequest,
  PasswordRequest,
  PauseRequest,
  PromotionRequest,
  ProviderAnswer,
  RevocationRequest,
  RevocationsRequest,
  RunDescription,
  RunPlanRequest,
  RunSchedule,
  RunsQuery,
  SessionRequest,
  SetupRequest,
  SignInRequest,
  SuspensionRequest,
  TagRequest,
  TotpConfirmation,
  UserChange,
  type ErrorCode,
  type Permission,
} from '@fedlora/shared';
import * as hub from '../hub/hub-schemas.js';
import { listOf, text, type Shape } from './schema.js';
import * as views from './view-schemas.js';

export type RouteAccess =
  /** Anybody, signed in or not. `isCostly`: it tries secrets or hashes passwords, so each address gets few tries. */
  | { readonly kind: 'open'; readonly isCostly?: true }
  /** A client with a session. */
  | { readonly kind: 'client' }
  /** Whoever is signed in as a user, or holds an API token; `user`: signed in only. */
  | { readonly kind: 'operator' | 'user' }
  /** An operator with all of these permissions, and a client too where `client` says so. */
  | {
      readonly kind: 'permitted';
      readonly permissions: readonly Permission[];
      readonly scope: Scope;
      readonly client: boolean;
    };

/**
 * What somebody limited to certain runs gets: `{ run }` the runs of the scope only, by the parameter that names the run; `filtered`
 * an answer without the others, which the handler sees to; `federation` nothing.
 */
export type Scope = { readonly run: string } | 'filtered' | 'federation';

/** What a route answers when it does what it was asked. */
export interface Answer {
  readonly status: 200 | 201 | 204;
  readonly schema?: Shape;
  /** Default: JSON. */
  readonly contentType?: string;
}

export interface Route {
  readonly access: RouteAccess;
  readonly summary: string;
  readonly answer: Answer;
  readonly body?: new () => object;
  readonly query?: new () => object;
  /** What it refuses with, besides what every route of its kind may. */
  readonly errors?: readonly ErrorCode[];
  /** Takes an `Idempotency-Key`: the same request again gets the first answer again. */
  readonly isIdempotent?: true;
  /** Takes its body as a form too, as browsers and Python's clients send them. */
  readonly takesForms?: true;
  /** Takes a `Range`. */
  readonly hasRanges?: true;
  /** Takes an `If-Match`: changes only what was looked at. */
  readonly isConditional?: true;
}

/** Whether only the coordinator that drives the rounds can do it: changes, and what clients ask, whose sessions it has in memory. */
export function isDriversOnly(method: string, { access }: Route): boolean {
  return access.kind === 'client' || (method !== 'GET' && method !== 'HEAD');
}

const open: RouteAccess = { kind: 'open' };
const openAndCostly: RouteAccess = { kind: 'open', isCostly: true };
const client: RouteAccess = { kind: 'client' };
const operator: RouteAccess = { kind: 'operator' };
const user: RouteAccess = { kind: 'user' };
const may = (permission: Permission | readonly Permission[], scope: Scope, who?: 'or-client'): RouteAccess => ({
  kind: 'permitted',
  permissions: typeof permission === 'string' ? [permission] : permission,
  scope,
  client: who === 'or-client',
});

const ok = (schema: Shape): Answer => ({ status: 200, schema });
const created = (schema: Shape): Answer => ({ status: 201, schema });
const nothing: Answer = { status: 204 };
const bytes: Answer = { status: 200, contentType: 'application/octet-stream' };
const script: Answer = { status: 200, contentType: 'text/javascript', schema: text() };
const passwordErrors: readonly ErrorCode[] = ['access/wrong-credentials', 'access/locked', 'coordinator/busy'];

const hubErrors: readonly ErrorCode[] = [
  'repository/unknown',
  'version/no-revision',
  'version/unknown',
  'version/revoked',
];

export const routeTable: Readonly<Record<string, Route>> = {
  // Clients of organisations.
  'POST /api/v1/enrol': {
    access: open,
    summary: 'Enrols the holder of an invitation',
    body: EnrolRequest,
    answer: created(views.enrolled),
    errors: [
      'enrol/token-unknown',
      'enrol/token-spent',
      'enrol/token-withdrawn',
      'enrol/token-expired',
      'enrol/wrong-name',
      'enrol/name-taken',
      'crypto/bad-signature',
    ],
  },
  'POST /api/v1/session/challenge': {
    access: open,
    summary: 'A nonce for a client to sign',
    body: ChallengeRequest,
    answer: ok(views.challenge),
  },
  'POST /api/v1/session': {
    access: open,
    summary: 'Opens a client’s session',
    body: SessionRequest,
    answer: created(views.session),
    errors: [
      'session/wire-version',
      'session/challenge-spent',
      'session/unknown-identity',
      'session/pending',
      'organisation/left',
      'crypto/bad-signature',
      'coordinator/busy',
    ],
  },
  'POST /api/v1/leave': {
    access: open,
    summary: 'An organisation leaves: it is in no further round; signed with its identity key over a challenge',
    body: LeaveRequest,
    answer: nothing,
    errors: ['session/challenge-spent', 'session/unknown-identity', 'crypto/bad-signature'],
  },
  'DELETE /api/v1/session': { access: client, summary: 'Ends the client’s session', answer: nothing },
  'HEAD /api/v1/rounds/:id/contribution': {
    access: client,
    summary: 'How much of a contribution is stored',
    answer: { status: 200 },
    errors: ['round/unknown', 'round/over', 'round/not-a-participant', 'round/wrong-phase'],
  },
  'PATCH /api/v1/rounds/:id/contribution': {
    access: client,
    summary: 'Appends a piece of a contribution',
    answer: nothing,
    errors: [
      'request/invalid',
      'request/too-large',
      'round/unknown',
      'round/over',
      'round/not-a-participant',
      'round/wrong-phase',
      'upload/wrong-offset',
      'upload/wrong-length',
      'upload/busy',
      'coordinator/busy',
    ],
  },

  // Organisations.
  'GET /api/v1/overview': {
    access: may(['organisations.read', 'runs.read'], 'filtered'),
    summary: 'Everything that a first look needs',
    answer: ok(views.overview),
  },
  'GET /api/v1/organisations': {
    access: may('organisations.read', 'filtered'),
    summary: 'Organisations, by name',
    query: OrganisationsQuery,
    answer: ok(views.pageOf('OrganisationPage', views.organisation)),
  },
  'GET /api/v1/organisations/:name': {
    access: may('organisations.read', 'filtered'),
    summary: 'An organisation, with its keys and how its latest rounds went',
    answer: ok(views.organisationDetails),
    errors: ['enrol/unknown-organisation'],
  },
  'GET /api/v1/invitations': {
    access: may('organisations.read', 'federation'),
    summary: 'Invitations, newest first; their tokens are not kept',
    query: InvitationsQuery,
    answer: ok(views.pageOf('InvitationPage', views.invitation)),
  },
  'DELETE /api/v1/invitations/:id': {
    access: may('organisations.manage', 'federation'),
    summary: 'Withdraws an invitation that nobody has used',
    answer: nothing,
    errors: ['enrol/unknown-invitation', 'enrol/invitation-ended'],
  },
  'POST /api/v1/invitations': {
    access: may('organisations.manage', 'federation'),
    summary: 'Invites an organisation: a token for one of this name, once',
    body: InvitationRequest,
    answer: created(views.newInvitation),
    isIdempotent: true,
  },
  'POST /api/v1/organisations/:name/certificate': {
    access: may('organisations.manage', 'federation'),
    summary: 'Brings the federation key’s certificate of an organisation',
    body: CertificateRequest,
    answer: nothing,
    errors: ['enrol/unknown-organisation', 'crypto/bad-signature'],
  },
  'POST /api/v1/organisations/:name/suspend': {
    access: may('organisations.manage', 'federation'),
    summary: 'Keeps an organisation out of rounds: it stays connected and is told; open rounds go on without it',
    body: SuspensionRequest,
    answer: ok(views.organisationDetails),
    errors: ['enrol/unknown-organisation'],
  },
  'POST /api/v1/organisations/:name/reinstate': {
    access: may('organisations.manage', 'federation'),
    summary: 'Lets a suspended organisation take part again',
    answer: ok(views.organisationDetails),
    errors: ['enrol/unknown-organisation', 'organisation/not-suspended'],
  },
  'DELETE /api/v1/organisations/:name/sessions': {
    access: may('organisations.manage', 'federation'),
    summary: 'Ends an organisation’s sessions and its connection',
    answer: nothing,
    errors: ['enrol/unknown-organisation'],
  },
  'PUT /api/v1/revocations': {
    access: may('organisations.manage', 'federation'),
    summary: 'Takes the next list of revoked keys, signed by the federation key',
    body: RevocationsRequest,
    answer: nothing,
    errors: ['roster/revocations-invalid', 'roster/revocations-outdated'],
  },

  // Runs and what they make.
  'POST /api/v1/runs': {
    access: may('runs.manage', 'federation'),
    summary: 'Starts a run',
    body: RunDescription,
    answer: created(views.run),
    errors: ['run/invalid-description', 'manifest/invalid'],
    isIdempotent: true,
  },
  'POST /api/v1/runs/plan': {
    access: may('runs.manage', 'federation'),
    summary: 'What a run would become, and what is wrong with its description; starts nothing',
    body: RunPlanRequest,
    answer: ok(views.runPlan),
  },
  'GET /api/v1/runs': {
    access: may('runs.read', 'filtered'),
    summary: 'Runs, newest first',
    query: RunsQuery,
    answer: ok(views.pageOf('RunPage', views.run)),
  },
  'GET /api/v1/runs/:id': {
    access: may('runs.read', { run: 'id' }),
    summary: 'A run',
    answer: ok(views.run),
    errors: ['run/unknown'],
  },
  'GET /api/v1/runs/:id/terms': {
    access: may('runs.read', { run: 'id' }),
    summary: 'The signed terms of a run, and who may take part',
    answer: ok(views.runTerms),
    errors: ['run/unknown'],
  },
  'GET /api/v1/runs/:id/rounds': {
    access: may('runs.read', { run: 'id' }),
    summary: 'Rounds of a run, newest first',
    query: PageQuery,
    answer: ok(views.pageOf('RoundPage', views.round)),
    errors: ['run/unknown'],
  },
  'POST /api/v1/runs/:id/pause': {
    access: may('runs.manage', { run: 'id' }),
    summary: 'Pauses a run: its open round finishes, unless abortRound, and no other starts',
    body: PauseRequest,
    answer: ok(views.run),
    errors: ['run/unknown', 'run/not-running'],
  },
  'POST /api/v1/runs/:id/resume': {
    access: may('runs.manage', { run: 'id' }),
    summary: 'Lets a paused run go on',
    answer: ok(views.run),
    errors: ['run/unknown', 'run/not-paused'],
  },
  'POST /api/v1/runs/:id/stop': {
    access: may('runs.manage', { run: 'id' }),
    summary: 'Stops a run; its newest version stays',
    answer: ok(views.run),
    errors: ['run/unknown', 'run/not-running'],
  },
  'GET /api/v1/runs/:id/schedule': {
    access: may('runs.read', { run: 'id' }),
    summary: 'When rounds of a run start, and what ends it',
    answer: ok(views.schedule),
    errors: ['run/unknown'],
  },
  'PUT /api/v1/runs/:id/schedule': {
    access: may('runs.manage', { run: 'id' }),
    summary: 'Replaces the schedule of a run that has not ended; one without parts takes it away',
    body: RunSchedule,
    answer: ok(views.schedule),
    errors: ['run/unknown', 'run/not-running', 'schedule/invalid'],
    isConditional: true,
  },
  'POST /api/v1/runs/:id/schedule/preview': {
    access: may('runs.manage', { run: 'id' }),
    summary: 'What is wrong with a schedule for a run, and its next five times; changes nothing',
    body: RunSchedule,
    answer: ok(views.schedulePreview),
    errors: ['run/unknown'],
  },
  'GET /api/v1/calendar': {
    access: may('runs.read', 'filtered'),
    summary: 'Rounds, planned rounds and maintenance windows of at most 100 days',
    query: CalendarQuery,
    answer: ok(views.calendar),
  },
  'GET /api/v1/versions/:id': {
    access: may('versions.read', 'filtered', 'or-client'),
    summary: 'An adapter version',
    answer: ok(views.version),
    errors: ['version/unknown'],
  },
  'GET /api/v1/versions/:id/files/:file': {
    access: may('versions.read', 'filtered', 'or-client'),
    summary: 'A file of an adapter version',
    answer: bytes,
    errors: ['version/unknown', 'version/revoked'],
  },

  'GET /api/v1/versions/:id/release': {
    access: may('versions.read', 'filtered'),
    summary: 'An adapter version with its channels, its evaluation and the release gate',
    answer: ok(views.release),
    errors: ['version/unknown'],
  },
  'GET /api/v1/versions/:id/lineage': {
    access: may('versions.read', 'filtered'),
    summary: 'A version and those that it comes from, back to the first of its run',
    query: PageQuery,
    answer: ok(views.pageOf('ReleasePage', views.release)),
    errors: ['version/unknown'],
  },
  'GET /api/v1/versions/:id/comparison/:other': {
    access: may('versions.read', 'filtered'),
    summary: 'Two versions side by side, and how far their updates are apart in each module',
    answer: ok(views.comparison),
    errors: ['version/unknown'],
  },
  'GET /api/v1/versions/:id/outcomes': {
    access: may('versions.read', 'filtered'),
    summary: 'What came of using a version, with intervals, and whether it drifts',
    answer: ok(views.outcomes),
    errors: ['version/unknown'],
  },
  'POST /api/v1/versions/:id/outcomes': {
    access: may('outcomes.write', 'filtered'),
    summary: 'Adds outcomes of using a version: counts and sums of declared metrics, and nothing else',
    body: OutcomesRequest,
    answer: nothing,
    errors: ['version/unknown', 'outcomes/unknown-metric', 'outcomes/impossible'],
    isIdempotent: true,
  },
  'GET /api/v1/versions/:id/outcomes/:other': {
    access: may('versions.read', 'filtered'),
    summary: 'What came of using two versions at the same time',
    answer: ok(views.outcomeComparison),
    errors: ['version/unknown'],
  },
  'POST /api/v1/versions/:id/audits': {
    access: may('outcomes.write', 'filtered'),
    summary: 'Notes what an audit with canaries found out about a version: counts of guesses, and nothing else',
    body: AuditFindingRequest,
    answer: ok(views.release),
    errors: ['version/unknown', 'version/impossible-audit', 'version/audited-otherwise'],
    isIdempotent: true,
  },
  'POST /api/v1/versions/:id/revocation': {
    access: may('versions.manage', 'filtered'),
    summary: 'Revokes a version, for good: its files are gone, and each channel that has it falls back',
    body: RevocationRequest,
    answer: ok(views.release),
    errors: ['version/unknown'],
    isIdempotent: true,
  },
  'PUT /api/v1/versions/:id/deprecation': {
    access: may('versions.manage', 'filtered'),
    summary: 'Advises against a version',
    body: DeprecationRequest,
    answer: ok(views.release),
    errors: ['version/unknown'],
  },
  'DELETE /api/v1/versions/:id/deprecation': {
    access: may('versions.manage', 'filtered'),
    summary: 'Takes the advice against a version back',
    answer: ok(views.release),
    errors: ['version/unknown'],
  },
  'GET /api/v1/signing-key': {
    access: may('versions.read', 'filtered'),
    summary: 'The key that versions are signed with, for `fedlora adapter verify`',
    answer: ok(views.signingKey),
  },
  'GET /api/v1/repositories': {
    access: may('versions.read', 'filtered'),
    summary: 'Adapter repositories with their channels, by name',
    query: PageQuery,
    answer: ok(views.pageOf('RepositoryPage', views.repository)),
  },
  'GET /api/v1/repositories/:owner/:name': {
    access: may('versions.read', 'filtered'),
    summary: 'An adapter repository',
    answer: ok(views.repository),
    errors: ['repository/unknown'],
  },
  'GET /api/v1/repositories/:owner/:name/versions': {
    access: may('versions.read', 'filtered'),
    summary: 'Versions of a repository, newest first',
    query: PageQuery,
    answer: ok(views.pageOf('ReleasePage', views.release)),
    errors: ['repository/unknown'],
  },
  'GET /api/v1/repositories/:owner/:name/outcome-metrics': {
    access: may('versions.read', 'filtered'),
    summary: 'What may be reported of versions in use',
    answer: ok(views.outcomeMetricList),
    errors: ['repository/unknown'],
  },
  'PUT /api/v1/repositories/:owner/:name/outcome-metrics': {
    access: may('versions.manage', 'filtered'),
    summary: 'Declares what may be reported of versions in use: proportions, and scores within bounds',
    body: OutcomeMetricsRequest,
    answer: ok(views.outcomeMetricList),
    errors: ['repository/unknown', 'outcomes/invalid-metric', 'outcomes/metric-fixed'],
  },
  'POST /api/v1/repositories/:owner/:name/merges': {
    access: may('versions.manage', 'filtered'),
    summary: 'Merges versions of one base model into a new one, signed like every other',
    body: MergeRequest,
    answer: created(views.release),
    errors: ['repository/unknown', 'version/unknown', 'version/revoked', 'adapter/not-mergeable'],
    isIdempotent: true,
  },
  'GET /api/v1/repositories/:owner/:name/channels/:channel': {
    access: may('versions.read', 'filtered'),
    summary: 'Which version a channel has',
    answer: ok(views.channel),
    errors: ['repository/unknown', 'channel/unknown'],
  },
  'GET /api/v1/repositories/:owner/:name/channels/:channel/moves': {
    access: may('versions.read', 'filtered'),
    summary: 'What was done with a channel, newest first',
    query: PageQuery,
    answer: ok(views.pageOf('ChannelMovePage', views.channelMove)),
    errors: ['repository/unknown', 'channel/unknown'],
  },
  'PUT /api/v1/repositories/:owner/:name/channels/:channel': {
    access: may('versions.manage', 'filtered'),
    summary: 'Promotes a version to a channel; past a gate that it does not pass with override only',
    body: PromotionRequest,
    answer: ok(views.channel),
    errors: ['repository/unknown', 'version/unknown', 'version/revoked', 'channel/fixed', 'channel/gate'],
    isConditional: true,
  },
  'POST /api/v1/repositories/:owner/:name/channels/:channel/rollback': {
    access: may('versions.manage', 'filtered'),
    summary: 'Gives a channel the version back that it had before',
    answer: ok(views.channel),
    errors: ['repository/unknown', 'channel/unknown', 'channel/no-previous'],
    isIdempotent: true,
    isConditional: true,
  },
  'DELETE /api/v1/repositories/:owner/:name/channels/:channel': {
    access: may('versions.manage', 'filtered'),
    summary: 'Ends a channel other than candidate and stable; its history stays',
    answer: nothing,
    errors: ['repository/unknown', 'channel/unknown', 'channel/fixed'],
    isConditional: true,
  },

  'PUT /api/v1/repositories/:owner/:name/tags/:tag': {
    access: may('versions.manage', 'filtered'),
    summary: 'Names a version for good',
    body: TagRequest,
    answer: ok(views.tag),
    errors: ['repository/unknown', 'version/unknown', 'version/revoked', 'tag/invalid', 'tag/taken'],
  },
  'DELETE /api/v1/repositories/:owner/:name/tags/:tag': {
    access: may('versions.manage', 'filtered'),
    summary: 'Takes a tag away',
    answer: nothing,
    errors: ['repository/unknown', 'tag/unknown'],
  },

  // The Hugging Face Hub's API, for the tools that downstream services have.
  'GET /api/whoami-v2': { access: operator, summary: 'Hub: who asks', answer: ok(hub.hubUser) },
  'GET /api/models': {
    access: may('versions.read', 'filtered'),
    summary:
      'Hub: repositories at their main version, of an author, with search in the name and filter by tag, sorted by id, downloads, lastModified or createdAt; the header Link leads to the next page',
    answer: ok(listOf(hub.hubModel)),
    errors: ['request/invalid'],
  },
  'GET /api/models/:owner/:name': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: a repository at its main version; with blobs=true, sizes and hashes of its files',
    answer: ok(hub.hubModel),
    errors: hubErrors,
  },
  'GET /api/models/:owner/:name/revision/:revision': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: a repository at a channel, a version or main',
    answer: ok(hub.hubModel),
    errors: hubErrors,
  },
  'GET /api/models/:owner/:name/refs': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: channels as branches, and tags',
    answer: ok(hub.hubRefs),
    errors: ['repository/unknown'],
  },
  'GET /api/models/:owner/:name/tree/:revision': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: the files of a version; the header Link leads to the next page',
    answer: ok(listOf(hub.hubEntry)),
    errors: hubErrors,
  },
  'GET /api/models/:owner/:name/tree/:revision/*folder': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: the files of a folder, of which versions have none',
    answer: ok(listOf(hub.hubEntry)),
    errors: [...hubErrors, 'version/no-file'],
  },
  'POST /api/models/:owner/:name/paths-info/:revision': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: those of some paths that a version has',
    body: PathsInfoRequest,
    answer: ok(listOf(hub.hubEntry)),
    errors: hubErrors,
    takesForms: true,
  },
  'GET /:owner/:name/resolve/:revision/*file': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: a file of a version',
    answer: bytes,
    errors: [...hubErrors, 'version/no-file'],
    hasRanges: true,
  },
  'GET /:owner/:name/raw/:revision/*file': {
    access: may('versions.read', 'filtered'),
    summary: 'Hub: a file of a version as git has it; of weights, the text that stands for them',
    answer: { status: 200, contentType: 'text/plain', schema: text() },
    errors: [...hubErrors, 'version/no-file'],
    hasRanges: true,
  },

  // Users, what they are known by, and what was done.
  'POST /api/v1/setup': {
    access: openAndCostly,
    summary: 'Sets the password of a set-up link’s holder',
    body: SetupRequest,
    answer: nothing,
    errors: ['access/link-spent', 'access/weak-password'],
  },
  'POST /api/v1/sign-in': {
    access: openAndCostly,
    summary: 'Signs a user in: sets a cookie',
    body: SignInRequest,
    answer: ok(views.me),
    errors: ['access/second-factor-required', ...passwordErrors],
  },
  'GET /api/v1/sign-in': { access: open, summary: 'How users can sign in', answer: ok(views.signInWays) },
  'POST /api/v1/sign-in/provider': {
    access: openAndCostly,
    summary: 'Begins a sign-in with the identity provider: sets a cookie for it',
    answer: ok(views.providerRedirect),
    errors: ['access/no-provider', 'access/provider-unreachable'],
  },
  'POST /api/v1/sign-in/provider/answer': {
    access: openAndCostly,
    summary: 'Signs a user in with the identity provider’s answer: sets a cookie',
    body: ProviderAnswer,
    answer: ok(views.me),
    errors: [
      'access/no-provider',
      'access/provider-unreachable',
      'access/provider-refused',
      'access/provider-answer',
      'access/sign-in-spent',
      'access/no-role',
      'access/user-disabled',
      'access/name-taken',
    ],
  },
  'DELETE /api/v1/sign-in': {
    access: user,
    summary: 'Signs the user out',
    answer: nothing,
    errors: ['access/unknown-sign-in'],
  },
  'GET /api/v1/me': { access: operator, summary: 'Who asks', answer: ok(views.me) },
  'PUT /api/v1/me/password': {
    access: user,
    summary: 'Changes the password; ends the other sign-ins',
    body: PasswordRequest,
    answer: nothing,
    errors: ['access/weak-password', ...passwordErrors],
  },
  'POST /api/v1/me/totp': {
    access: user,
    summary: 'Offers a second factor',
    body: PasswordProof,
    answer: ok(views.totpOffer),
    errors: ['access/second-factor-state', ...passwordErrors],
  },
  'POST /api/v1/me/totp/confirmation': {
    access: user,
    summary: 'Confirms the second factor with a code of it; gives recovery codes',
    body: TotpConfirmation,
    answer: ok(views.recoveryCodes),
    errors: ['access/second-factor-state', ...passwordErrors],
  },
  'POST /api/v1/me/totp/removal': {
    access: user,
    summary: 'Takes the second factor away',
    body: PasswordProof,
    answer: nothing,
    errors: ['access/second-factor-state', ...passwordErrors],
  },
  'GET /api/v1/me/sign-ins': {
    access: user,
    summary: 'Where the user is signed in, newest first',
    query: PageQuery,
    answer: ok(views.pageOf('SignInPage', views.signIn)),
  },
  'DELETE /api/v1/me/sign-ins/:id': {
    access: user,
    summary: 'Ends a sign-in of the user',
    answer: nothing,
    errors: ['access/unknown-sign-in'],
  },
  'GET /api/v1/users': {
    access: may('users.manage', 'federation'),
    summary: 'Users, by name',
    query: PageQuery,
    answer: ok(views.pageOf('UserPage', views.user)),
  },
  'POST /api/v1/users': {
    access: may('users.manage', 'federation'),
    summary: 'Makes a user; the answer has the link with which the user sets a password',
    body: NewUser,
    answer: created(views.setupLink),
    errors: ['access/name-taken'],
    isIdempotent: true,
  },
  'GET /api/v1/users/:id': {
    access: may('users.manage', 'federation'),
    summary: 'A user',
    answer: ok(views.user),
    errors: ['access/unknown-user'],
  },
  'PATCH /api/v1/users/:id': {
    access: may('users.manage', 'federation'),
    summary: 'Changes role, scope, or whether the user is disabled',
    body: UserChange,
    answer: ok(views.user),
    errors: ['access/unknown-user', 'access/last-admin', 'access/provider-user'],
    isConditional: true,
  },
  'POST /api/v1/users/:id/link': {
    access: may('users.manage', 'federation'),
    summary: 'A fresh set-up link for a user',
    body: LinkRequest,
    answer: created(views.setupLink),
    errors: ['access/unknown-user', 'access/provider-user'],
    isIdempotent: true,
  },
  'DELETE /api/v1/users/:id/sign-ins': {
    access: may('users.manage', 'federation'),
    summary: 'Signs a user out everywhere',
    answer: nothing,
    errors: ['access/unknown-user'],
  },
  'GET /api/v1/tokens': {
    access: may('tokens.manage', 'federation'),
    summary: 'API tokens, newest first: one’s own, or everybody’s for administrators',
    query: PageQuery,
    answer: ok(views.pageOf('ApiTokenPage', views.apiToken)),
  },
  'POST /api/v1/tokens': {
    access: may('tokens.manage', 'federation'),
    summary: 'Makes an API token; the answer shows it, once',
    body: NewTokenRequest,
    answer: created(views.newApiToken),
    errors: ['access/beyond-own-rights'],
    isIdempotent: true,
  },
  'DELETE /api/v1/tokens/:id': {
    access: may('tokens.manage', 'federation'),
    summary: 'Revokes an API token',
    answer: nothing,
    errors: ['access/unknown-token'],
  },
  'GET /api/v1/audit': {
    access: may('audit.read', 'federation'),
    summary: 'What was done and refused, newest first',
    query: AuditQuery,
    answer: ok(views.pageOf('AuditPage', views.auditLine)),
  },
  'GET /api/v1/audit/export': {
    access: may('audit.read', 'federation'),
    summary: 'The audit log as JSON lines, oldest first, which `fedlora admin audit verify` checks',
    query: AuditExportQuery,
    answer: { status: 200, contentType: 'application/jsonl', schema: text() },
  },

  // The API itself, supervisors and monitoring.
  'GET /api/v1/docs': {
    access: open,
    summary: 'A page that shows the document',
    answer: { status: 200, contentType: 'text/html', schema: text() },
  },
  'GET /api/v1/docs/start.js': { access: open, summary: 'Starts the page’s viewer', answer: script },
  'GET /api/v1/docs/viewer.js': { access: open, summary: 'The page’s viewer', answer: script },
  'GET /api/v1/docs/viewer.css': {
    access: open,
    summary: 'How the viewer looks',
    answer: { status: 200, contentType: 'text/css', schema: text() },
  },
  'GET /api/v1/openapi.json': { access: open, summary: 'This document', answer: { status: 200 } },
  'GET /healthz': { access: open, summary: 'The process answers', answer: ok(views.health) },
  'GET /readyz': {
    access: open,
    summary: 'It is not shutting down, its database answers, and its data folder can be written to',
    answer: ok(views.health),
    errors: ['coordinator/not-ready', 'coordinator/standing-by'],
  },
  'GET /metrics': {
    access: open,
    summary: 'Numbers for Prometheus',
    answer: { status: 200, contentType: 'text/plain', schema: text() },
  },
};
