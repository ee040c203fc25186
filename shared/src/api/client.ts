/**
 * The operators' API as a typed client: the one that the dashboard and `fedlora admin` use. It knows routes and shapes; how a request
 * is sent is the caller's, so that it runs in a browser and in Node alike.
 *
 * An entry of its own (`@fedlora/shared/client`), without the validators that the rest of `shared` brings along.
 */

import type { NewTokenRequest, NewUser, SignInRequest, UserChange } from '../messages/access.js';
import type { InvitationRequest, InvitationResponse, PauseRequest, SuspensionRequest } from '../messages/operator.js';
import type {
  AuditExportQuery,
  AuditQuery,
  CalendarQuery,
  InvitationsQuery,
  OrganisationsQuery,
  PageQuery,
  RunsQuery,
} from '../messages/query.js';
import type {
  AuditFindingRequest,
  DeprecationRequest,
  MergeRequest,
  PromotionRequest,
  RevocationRequest,
  TagRequest,
} from '../messages/release.js';
import type { OutcomeMetricsRequest, OutcomesRequest } from '../messages/outcomes.js';
import type { RunDescription, RunPlanRequest } from '../run/description.js';
import type { RunSchedule } from '../run/schedule.js';
import { routes } from '../wire/session.js';
import {
  CSRF_HEADER,
  type ApiTokenView,
  type MeView,
  type NewApiToken,
  type ProviderRedirect,
  type RecoveryCodes,
  type SetupLinkView,
  type SignInView,
  type SignInWays,
  type TotpOffer,
  type UserView,
} from './access.js';
import type { AuditLine } from './audit.js';
import type { InvitationView, OrganisationDetails, OrganisationView } from './organisations.js';
import type { OutcomeComparisonView, OutcomeMetricsView, OutcomesView } from './outcomes.js';
import type { CalendarView, SchedulePreview, ScheduleView } from './schedule.js';
import type {
  FieldProblem,
  Overview,
  Page,
  RoundView,
  RunPlanView,
  RunTermsView,
  RunView,
  VersionView,
} from './views.js';
import type {
  ChannelMoveView,
  ChannelView,
  ComparisonView,
  ReleaseView,
  RepositoryView,
  SigningKeyView,
  TagView,
} from './release.js';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the root of the coordinator, query included. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body?: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly text: string;
  /** Lower-case names. */
  readonly header: (name: string) => string | null;
}

/** Sends one request. Rejects only if there is no answer. */
export type ApiSend = (request: ApiRequest) => Promise<ApiAnswer>;

/** The coordinator's answer when it refuses: problem details (RFC 9457) with a code of the catalogue. */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    /** `undefined` if the answer is none of ours, such as a proxy's page. */
    readonly code: string | undefined,
    detail: string,
    readonly remedy: string | undefined,
    /** When another try may help; from the answer. */
    readonly retryAfterSeconds: number | undefined,
    /** What is wrong with single fields of what was asked. */
    readonly fields: readonly FieldProblem[] = [],
  ) {
    super(detail);
    this.name = 'ApiProblem';
  }
}

/** A value with the tag that a change of it may name, so that only what was looked at is changed. */
export interface Tagged<Value> {
  readonly value: Value;
  /** For `ifMatch`; `undefined` if the answer had none. */
  readonly tag: string | undefined;
}

/** What goes with a single change. */
export interface ChangeOptions {
  /** The tag of the value that was looked at: the change is refused if it is another by now. */
  readonly ifMatch?: string;
  /** The same key again gives the first answer again, and changes nothing: for tries after a lost answer. */
  readonly idempotencyKey?: string;
}

/** A value with its entity tag, for the `ifMatch` of a change. */
export interface Tagged<Value> {
  readonly value: Value;
  readonly tag: string | undefined;
}

export class OperatorApi {
  /** Of the sign-in; `signIn` and `me` set it. API tokens need none. */
  csrfToken: string | null = null;

  constructor(private readonly send: ApiSend) {}

  // Who asks.

  setUp(token: string, password: string): Promise<void> {
    return this.change('POST', routes.setup, { token, password });
  }

  async signIn(credentials: SignInRequest): Promise<MeView> {
    return this.remember(await this.change<MeView>('POST', routes.signIn, credentials));
  }

  signInWays(): Promise<SignInWays> {
    return this.read(routes.signIn);
  }

  /** Where to send the browser, which comes back with an answer for `finishProviderSignIn`. */
  beginProviderSignIn(): Promise<ProviderRedirect> {
    return this.change('POST', routes.providerSignIn);
  }

  async finishProviderSignIn(query: string): Promise<MeView> {
    return this.remember(await this.change<MeView>('POST', routes.providerAnswer, { query }));
  }

  signOut(): Promise<void> {
    return this.change('DELETE', routes.signIn);
  }

  async me(): Promise<MeView> {
    return this.remember(await this.read<MeView>(routes.me));
  }

  changePassword(password: string, newPassword: string): Promise<void> {
    return this.change('PUT', routes.myPassword, { password, newPassword });
  }

  offerSecondFactor(password: string): Promise<TotpOffer> {
    return this.change('POST', routes.myTotp, { password });
  }

  confirmSecondFactor(code: string): Promise<RecoveryCodes> {
    return this.change('POST', routes.myTotpConfirmation, { code });
  }

  removeSecondFactor(password: string): Promise<void> {
    return this.change('POST', routes.myTotpRemoval, { password });
  }

  signIns(query: Query<PageQuery> = {}): Promise<Page<SignInView>> {
    return this.read(routes.mySignIns, query);
  }

  endSignIn(id: string): Promise<void> {
    return this.change('DELETE', routes.mySignIn(id));
  }

  // What there is.

  overview(): Promise<Overview> {
    return this.read(routes.overview);
  }

  organisations(query: Query<OrganisationsQuery> = {}): Promise<Page<OrganisationView>> {
    return this.read(routes.organisations, query);
  }

  organisation(name: string): Promise<OrganisationDetails> {
    return this.read(routes.organisation(name));
  }

  /** It is offered no rounds until it is reinstated, and is told so; open rounds go on without it. */
  suspend(name: string, request: SuspensionRequest = {}): Promise<OrganisationDetails> {
    return this.change('POST', routes.organisationSuspend(name), request);
  }

  reinstate(name: string): Promise<OrganisationDetails> {
    return this.change('POST', routes.organisationReinstate(name));
  }

  invitations(query: Query<InvitationsQuery> = {}): Promise<Page<InvitationView>> {
    return this.read(routes.invitations, query);
  }

  withdrawInvitation(id: string): Promise<void> {
    return this.change('DELETE', routes.invitation(id));
  }

  invite(request: InvitationRequest, options?: ChangeOptions): Promise<InvitationResponse> {
    return this.change('POST', routes.invitations, request, options);
  }

  certify(name: string, certificate: string): Promise<void> {
    return this.change('POST', routes.organisationCertificate(name), { certificate });
  }

  endSessions(name: string): Promise<void> {
    return this.change('DELETE', routes.organisationSessions(name));
  }

  revoke(revocations: string): Promise<void> {
    return this.change('PUT', routes.revocations, { revocations });
  }

  runs(query: Query<RunsQuery> = {}): Promise<Page<RunView>> {
    return this.read(routes.runs, query);
  }

  run(id: string): Promise<RunView> {
    return this.read(routes.run(id));
  }

  runTerms(id: string): Promise<RunTermsView> {
    return this.read(routes.runTerms(id));
  }

  rounds(runId: string, query: Query<PageQuery> = {}): Promise<Page<RoundView>> {
    return this.read(routes.rounds(runId), query);
  }

  /** What a description would become, and what is wrong with it; starts nothing. */
  planRun(request: RunPlanRequest): Promise<RunPlanView> {
    return this.change('POST', routes.runPlan, request);
  }

  startRun(description: RunDescription, options?: ChangeOptions): Promise<RunView> {
    return this.change('POST', routes.runs, description, options);
  }

  /** Starts no further round; with `abortRound`, ends the open one too. */
  pauseRun(id: string, request: PauseRequest = {}): Promise<RunView> {
    return this.change('POST', routes.runPause(id), request);
  }

  resumeRun(id: string): Promise<RunView> {
    return this.change('POST', routes.runResume(id));
  }

  stopRun(id: string): Promise<RunView> {
    return this.change('POST', routes.runStop(id));
  }

  async schedule(runId: string): Promise<Tagged<ScheduleView>> {
    const answer = await this.ask('GET', routes.runSchedule(runId), {});
    return { value: valueOf<ScheduleView>(answer), tag: answer.header('etag') ?? undefined };
  }

  /** Replaces the whole schedule; one without any part takes it away. */
  setSchedule(runId: string, schedule: RunSchedule, options?: ChangeOptions): Promise<ScheduleView> {
    return this.change('PUT', routes.runSchedule(runId), schedule, options);
  }

  /** What is wrong with a schedule for this run, and when its next rounds would be; changes nothing. */
  previewSchedule(runId: string, schedule: RunSchedule): Promise<SchedulePreview> {
    return this.change('POST', routes.runSchedulePreview(runId), schedule);
  }

  calendar(query: Query<CalendarQuery>): Promise<CalendarView> {
    return this.read(routes.calendar, query);
  }

  version(id: string): Promise<VersionView> {
    return this.read(routes.version(id));
  }

  // What is released of it.

  signingKey(): Promise<SigningKeyView> {
    return this.read(routes.signingKey);
  }

  repositories(query: Query<PageQuery> = {}): Promise<Page<RepositoryView>> {
    return this.read(routes.repositories, query);
  }

  /** `name` is `owner/name`. */
  repository(name: string): Promise<RepositoryView> {
    return this.read(routes.repository(name));
  }

  releases(repository: string, query: Query<PageQuery> = {}): Promise<Page<ReleaseView>> {
    return this.read(routes.releases(repository), query);
  }

  release(version: string): Promise<ReleaseView> {
    return this.read(routes.release(version));
  }

  /** From a version back to the first of its run. */
  lineage(version: string, query: Query<PageQuery> = {}): Promise<Page<ReleaseView>> {
    return this.read(routes.lineage(version), query);
  }

  compare(left: string, right: string): Promise<ComparisonView> {
    return this.read(routes.comparison(left, right));
  }

  /** A channel with its tag, for `ifMatch` of what moves it. */
  async channel(
    repository: string,
    name: string,
  ): Promise<{ readonly channel: ChannelView; readonly tag: string | null }> {
    const answer = await this.ask('GET', routes.channel(repository, name), {});
    return { channel: valueOf<ChannelView>(answer), tag: answer.header('etag') };
  }

  channelMoves(repository: string, name: string, query: Query<PageQuery> = {}): Promise<Page<ChannelMoveView>> {
    return this.read(routes.channelMoves(repository, name), query);
  }

  promote(
    repository: string,
    channel: string,
    request: PromotionRequest,
    options?: ChangeOptions,
  ): Promise<ChannelView> {
    return this.change('PUT', routes.channel(repository, channel), request, options);
  }

  rollBack(repository: string, channel: string, options?: ChangeOptions): Promise<ChannelView> {
    return this.change('POST', routes.channelRollback(repository, channel), undefined, options);
  }

  removeChannel(repository: string, channel: string, options?: ChangeOptions): Promise<void> {
    return this.change('DELETE', routes.channel(repository, channel), undefined, options);
  }

  /** Merges versions into a new one of the first one's repository. */
  mergeVersions(repository: string, request: MergeRequest, options?: ChangeOptions): Promise<ReleaseView> {
    return this.change('POST', routes.merges(repository), request, options);
  }

  /** What may be reported of versions in use. */
  outcomeMetrics(repository: string): Promise<OutcomeMetricsView> {
    return this.read(routes.outcomeMetrics(repository));
  }

  /** Replaces them. */
  declareOutcomeMetrics(repository: string, request: OutcomeMetricsRequest): Promise<OutcomeMetricsView> {
    return this.change('PUT', routes.outcomeMetrics(repository), request);
  }

  /** Adds what came of using a version since the last report: numbers only. With one key for a report, trying again adds nothing. */
  reportOutcomes(version: string, request: OutcomesRequest, options?: ChangeOptions): Promise<void> {
    return this.change('POST', routes.outcomes(version), request, options);
  }

  /** Notes what an owner's audit found; the same again changes nothing. */
  reportAudit(version: string, request: AuditFindingRequest, options?: ChangeOptions): Promise<ReleaseView> {
    return this.change('POST', routes.audits(version), request, options);
  }

  outcomes(version: string): Promise<OutcomesView> {
    return this.read(routes.outcomes(version));
  }

  compareOutcomes(left: string, right: string): Promise<OutcomeComparisonView> {
    return this.read(routes.outcomeComparison(left, right));
  }

  /** Names a version for good. */
  tagVersion(repository: string, tag: string, request: TagRequest): Promise<TagView> {
    return this.change('PUT', routes.tag(repository, tag), request);
  }

  removeTag(repository: string, tag: string): Promise<void> {
    return this.change('DELETE', routes.tag(repository, tag));
  }

  /** For good. */
  revokeVersion(id: string, request: RevocationRequest, options?: ChangeOptions): Promise<ReleaseView> {
    return this.change('POST', routes.revocation(id), request, options);
  }

  deprecateVersion(id: string, request: DeprecationRequest): Promise<ReleaseView> {
    return this.change('PUT', routes.deprecation(id), request);
  }

  undeprecateVersion(id: string): Promise<ReleaseView> {
    return this.change('DELETE', routes.deprecation(id));
  }

  // Who may do what, and what was done.

  users(query: Query<PageQuery> = {}): Promise<Page<UserView>> {
    return this.read(routes.users, query);
  }

  user(id: string): Promise<UserView> {
    return this.read(routes.user(id));
  }

  /** For a change: `changeUser(id, change, { ifMatch: tag })`. */
  async taggedUser(id: string): Promise<Tagged<UserView>> {
    const answer = await this.ask('GET', routes.user(id), {});
    return { value: valueOf(answer), tag: answer.header('etag') ?? undefined };
  }

  createUser(request: NewUser, options?: ChangeOptions): Promise<SetupLinkView> {
    return this.change('POST', routes.users, request, options);
  }

  changeUser(id: string, change: UserChange, options?: ChangeOptions): Promise<UserView> {
    return this.change('PATCH', routes.user(id), change, options);
  }

  linkUser(id: string, removeSecondFactor: boolean): Promise<SetupLinkView> {
    return this.change('POST', routes.userLink(id), { removeSecondFactor });
  }

  endSignInsOf(id: string): Promise<void> {
    return this.change('DELETE', routes.userSignIns(id));
  }

  tokens(query: Query<PageQuery> = {}): Promise<Page<ApiTokenView>> {
    return this.read(routes.tokens, query);
  }

  createToken(request: NewTokenRequest, options?: ChangeOptions): Promise<NewApiToken> {
    return this.change('POST', routes.tokens, request, options);
  }

  revokeToken(id: string): Promise<void> {
    return this.change('DELETE', routes.token(id));
  }

  audit(query: Query<AuditQuery> = {}): Promise<Page<AuditLine>> {
    return this.read(routes.audit, query);
  }

  /** JSON lines, oldest first: what `verifyAuditLines` checks. */
  async auditExport(query: Query<AuditExportQuery> = {}): Promise<string> {
    return (await this.ask('GET', withQuery(routes.auditExport, query), {})).text;
  }

  private remember(me: MeView): MeView {
    this.csrfToken = me.csrfToken;
    return me;
  }

  private async read<Answer>(path: string, query: object = {}): Promise<Answer> {
    return valueOf<Answer>(await this.ask('GET', withQuery(path, query), {}));
  }

  private async change<Answer>(
    method: Exclude<ApiRequest['method'], 'GET'>,
    path: string,
    body?: object,
    { ifMatch, idempotencyKey }: ChangeOptions = {},
  ): Promise<Answer> {
    const headers = {
      ...(this.csrfToken === null ? {} : { [CSRF_HEADER]: this.csrfToken }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    };
    return valueOf<Answer>(await this.ask(method, path, headers, body));
  }

  /** @throws ApiProblem */
  private async ask(
    method: ApiRequest['method'],
    path: string,
    headers: Readonly<Record<string, string>>,
    body?: object,
  ): Promise<ApiAnswer> {
    const answer = await this.send({
      method,
      path,
      headers: {
        accept: 'application/json',
        ...headers,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw problemOf(answer);
  }
}

/** Every item of a list, page after page. */
export async function everyItem<Item>(page: (cursor?: { cursor: string }) => Promise<Page<Item>>): Promise<Item[]> {
  const items: Item[] = [];
  for (let at: { cursor: string } | undefined; ;) {
    const { items: more, nextCursor } = await page(at);
    items.push(...more);
    if (nextCursor === null) return items;
    at = { cursor: nextCursor };
  }
}

/** A query without what was not given. */
type Query<Fields> = { readonly [Name in keyof Fields]?: Fields[Name] | undefined };

function withQuery(path: string, query: object): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  if (given.length === 0) return path;
  return `${path}?${given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&')}`;
}

function valueOf<Answer>({ text }: ApiAnswer): Answer {
  // Safe: it is the answer of the route whose type this is; no content is `void`.
  return (text === '' ? undefined : JSON.parse(text)) as Answer;
}

/** The refusal that an answer is. */
export function problemOf({ status, text, header }: ApiAnswer): ApiProblem {
  let said: { code?: unknown; detail?: unknown; remedy?: unknown; fields?: unknown } = {};
  try {
    said = (JSON.parse(text) ?? {}) as typeof said;
  } catch {
    // Not JSON: a proxy's page, most likely. The status says enough.
  }
  const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const seconds = Number(header('retry-after') ?? '');
  return new ApiProblem(
    status,
    textOf(said.code),
    textOf(said.detail) ?? `The coordinator answered with status ${status}.`,
    textOf(said.remedy),
    Number.isFinite(seconds) && seconds > 0 ? seconds : undefined,
    Array.isArray(said.fields) ? (said.fields as FieldProblem[]) : [],
  );
}
