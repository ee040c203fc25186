/** The answers of the API, field by field. */

import { aggregationRules, privacyUnits, type Cost } from '@fedlora/protocol';
import {
  channelMoveKinds,
  clientStates,
  differenceVerdicts,
  invitationStatuses,
  organisationStatuses,
  gateChecks,
  gateOutcomes,
  mergeMethods,
  outcomeKinds,
  permissions,
  roles,
  runStatuses,
  memoryKinds,
  warningSeverities,
  RunSchedule,
  type ApiTokenView,
  type AuditActor,
  type AuditEntry,
  type AuditFindingView,
  type AuditLine,
  type CalendarRound,
  type CalendarRun,
  type CalendarView,
  type CapForecast,
  type DeclaredBudget,
  type OrganisationForecast,
  type ChallengeResponse,
  type ClockReading,
  type EnrolResponse,
  type EpsilonPoint,
  type FieldProblem,
  type HealthWarning,
  type ChannelMoveView,
  type ChannelView,
  type ComparisonView,
  type EvaluationView,
  type GateCheck,
  type GateView,
  type MergeView,
  type InvitationResponse,
  type InvitationView,
  type MeView,
  type MemoryForecast,
  type MemoryPart,
  type MetricComparison,
  type MetricOutcomes,
  type ModuleDifference,
  type NewApiToken,
  type NoiseCurve,
  type NoiseForecast,
  type OrganisationDetails,
  type OrganisationKeyView,
  type OrganisationRound,
  type OrganisationView,
  type OutcomeComparisonView,
  type OutcomeDifference,
  type OutcomeEstimate,
  type OutcomeMetric,
  type OutcomeMetricsView,
  type OutcomesView,
  type Overview,
  type Page,
  type ParticipantView,
  type PlainObject,
  type PlannedRound,
  type PlanProblem,
  type ProviderRedirect,
  type RecoveryCodes,
  type ReleaseView,
  type RepositoryView,
  type RoundPhase,
  type RoundView,
  type RunForecast,
  type RunPlanView,
  type RunTermsView,
  type RunView,
  type SchedulePreview,
  type ScheduleView,
  type SessionResponse,
  type SetupLinkView,
  type SigningKeyView,
  type SignInView,
  type SignInWays,
  type SuspensionView,
  type TagView,
  type TotpOffer,
  type UserView,
  type VersionMark,
  type VersionView,
} from '@fedlora/shared';
import type { Problem } from '../nest/problem.js';
import { schemaOfClass } from './class-schema.js';
import {
  anyObject,
  boolean,
  integer,
  listOf,
  mapOf,
  number,
  objectOf,
  oneOf,
  orAbsent,
  orNull,
  text,
  time,
  type Schema,
} from './schema.js';

export function pageOf<Item>(name: string, item: Schema<Item>): Schema<Page<Item>> {
  return objectOf<Page<Item>>(name, {
    items: listOf(item),
    nextCursor: orNull(text({ description: 'The cursor of the next page; null after the last.' })),
  });
}

const hex = (digits: number): Schema<string> => text({ pattern: `^[0-9a-f]{${digits}}$` });
/** Every phase: one that is added does not compile until it is here. */
const phases = Object.keys({
  recruiting: true,
  advertising: true,
  revealing: true,
  sharing: true,
  training: true,
  checking: true,
  unmasking: true,
  applying: true,
  done: true,
  aborted: true,
} satisfies Record<RoundPhase, true>) as RoundPhase[];

const suspension = objectOf<SuspensionView>('Suspension', {
  since: time,
  reason: orNull(text({ description: 'In the operator’s words; the organisation is told, too.' })),
});

const clock = objectOf<ClockReading>('ClockReading', {
  skewMs: integer,
  uncertaintyMs: integer,
  measuredAt: time,
});

const healthWarning = objectOf<HealthWarning>('HealthWarning', {
  code: text(),
  severity: oneOf(warningSeverities),
  message: text(),
  remedy: text(),
});

const cost = objectOf<Cost>('Cost', {
  unit: oneOf(privacyUnits),
  noiseMultiplier: number,
  samplingRate: number,
  steps: integer,
});
const declaredBudget = objectOf<DeclaredBudget>('DeclaredBudget', {
  epsilonCap: number,
  maximumDelta: number,
  spent: listOf(cost),
  elsewhere: listOf(cost),
});

const organisationFields = {
  name: text(),
  fingerprint: text({ description: 'Of the identity key, to compare by another channel.' }),
  identity: hex(64),
  status: oneOf(organisationStatuses),
  suspension: orNull(suspension),
  leftAt: orNull(time),
  enrolledAt: time,
  connected: boolean,
  state: oneOf([...clientStates, 'offline']),
  lastSeenAt: orNull(time),
  clientVersion: orNull(text()),
  device: orNull(text()),
  declaredBudget: orNull(declaredBudget),
  clock: orNull(clock),
  warnings: listOf(healthWarning),
};

export const organisation = objectOf<OrganisationView>('Organisation', organisationFields);

export const organisationDetails = objectOf<OrganisationDetails>('OrganisationDetails', {
  ...organisationFields,
  keys: listOf(
    objectOf<OrganisationKeyView>('OrganisationKey', {
      identity: hex(64),
      fingerprint: text(),
      enrolledAt: time,
      replacedAt: orNull(time),
      revoked: boolean,
    }),
  ),
  latestRounds: listOf(
    objectOf<OrganisationRound>('OrganisationRound', {
      roundId: text(),
      runId: text(),
      number: integer,
      endedAt: time,
      outcome: oneOf(['done', 'aborted']),
      failure: orNull(text({ description: 'Why it was out before the end; null: it stayed.' })),
    }),
  ),
});

export const invitation = objectOf<InvitationView>('Invitation', {
  id: text(),
  name: text(),
  status: oneOf(invitationStatuses),
  createdBy: orNull(text()),
  createdAt: time,
  expiresAt: time,
  endedAt: orNull(time),
});

export const run = objectOf<RunView>('Run', {
  id: text(),
  title: text(),
  status: oneOf(runStatuses),
  reason: orNull(text({ description: 'Why the run ended, is paused, or waits.' })),
  createdAt: time,
  endedAt: orNull(time),
  plannedRounds: integer,
  completedRounds: integer,
  abortedRounds: integer,
  unit: oneOf(privacyUnits),
  epsilon: orNull(number),
  projectedEpsilon: orNull(number),
  delta: number,
  l2Bound: number,
  heldOutFraction: orNull(number),
  clippingQuantile: orNull(number),
  members: listOf(text()),
  threshold: integer,
  baseName: text(),
  version: text(),
  repository: text({ description: 'Where its versions are published, owner/name.' }),
  bytesUpPerClient: integer,
  nextRoundAt: orNull(time),
});

export const runTerms = objectOf<RunTermsView>('RunTerms', {
  manifest: anyObject('The manifest, as it was signed.'),
  manifestHash: hex(64),
  signature: text(),
  members: listOf(objectOf<RunTermsView['members'][number]>('Member', { name: text(), identity: hex(64) })),
});

const planProblem = objectOf<PlanProblem>('PlanProblem', {
  field: orNull(text({ description: 'Path in the description; null if it is about no single field.' })),
  code: text({ description: 'Of the error that starting it would give; plan/ for advice.' }),
  message: text(),
  remedy: text(),
  severity: oneOf(['error', 'advice']),
});

const epsilonPoint = objectOf<EpsilonPoint>('EpsilonPoint', { rounds: integer, epsilon: orNull(number) });

const runForecast = objectOf<RunForecast>('RunForecast', {
  manifest: anyObject('The manifest, as it would be signed, but for the run id and what follows from it.'),
  members: listOf(text()),
  threshold: integer,
  minimumContributors: integer,
  dropoutsSurvived: integer,
  bytesUpPerRound: integer,
  bytesUpInAll: integer,
  epsilonCurve: listOf(epsilonPoint),
  otherNoise: listOf(objectOf<NoiseCurve>('NoiseCurve', { noiseMultiplier: number, curve: listOf(epsilonPoint) })),
  caps: listOf(
    objectOf<CapForecast>('CapForecast', {
      epsilon: number,
      rounds: orNull(integer),
      noiseMultiplier: orNull(number),
    }),
  ),
  organisations: listOf(
    objectOf<OrganisationForecast>('OrganisationForecast', {
      name: text(),
      epsilonCap: number,
      spentEpsilon: orNull(number),
      rounds: orNull(integer),
    }),
  ),
  noise: orNull(objectOf<NoiseForecast>('NoiseForecast', { perCoordinate: number, leastNoiseToSignal: number })),
  memory: objectOf<MemoryForecast>('MemoryForecast', {
    totalBytes: integer,
    leastBytes: integer,
    parts: listOf(objectOf<MemoryPart>('MemoryPart', { kind: oneOf(memoryKinds), title: text(), bytes: integer })),
    countsVocabulary: boolean,
    rowTokens: integer,
  }),
});

export const runPlan = objectOf<RunPlanView>('RunPlan', {
  problems: listOf(planProblem),
  plan: orNull(runForecast),
});

const participant = objectOf<ParticipantView>('Participant', {
  name: text(),
  status: oneOf([
    'waiting',
    'advertised',
    'revealed',
    'shared',
    'uploaded',
    'checked',
    'unmasked',
    'declined',
    'dropped',
  ]),
  reason: orNull(text()),
  receivedBytes: orNull(integer),
});

export const round = objectOf<RoundView>('Round', {
  id: text(),
  runId: text(),
  number: integer,
  phase: oneOf(phases),
  phases: listOf(oneOf(phases)),
  cause: orNull(text()),
  startedAt: time,
  scheduledFor: orNull(time),
  endedAt: orNull(time),
  deadlineAt: orNull(time),
  phaseDurationsMs: mapOf(number),
  participants: listOf(participant),
  contributionBytes: orNull(integer),
  baseVersion: text(),
  version: orNull(text()),
  meanLoss: orNull(number),
  epsilon: orNull(number),
  noiseToSignal: orNull(number),
  fractionWithin: orNull(number),
  suggestedL2Bound: orNull(number),
  heldOutLoss: orNull(number),
  heldOutAccuracy: orNull(number),
});

/** As it is sent: an answer leaves out what was not given. */
const runSchedule: Schema<RunSchedule> = { json: schemaOfClass(RunSchedule) };

export const schedule = objectOf<ScheduleView>('Schedule', {
  runId: text(),
  schedule: orNull(runSchedule),
  changedAt: orNull(time),
});

const planned = { at: time, startsAt: orNull(time) };

export const schedulePreview = objectOf<SchedulePreview>('SchedulePreview', {
  problems: listOf(planProblem),
  next: listOf(objectOf<PlannedRound>('PlannedRound', planned)),
});

export const calendar = objectOf<CalendarView>('Calendar', {
  from: time,
  to: time,
  runs: listOf(
    objectOf<CalendarRun>('CalendarRun', {
      id: text(),
      title: text(),
      status: oneOf(runStatuses),
      timeZone: orNull(text()),
    }),
  ),
  rounds: listOf(
    objectOf<CalendarRound>('CalendarRound', {
      id: text(),
      runId: text(),
      number: integer,
      phase: oneOf(phases),
      cause: orNull(text()),
      startedAt: time,
      endedAt: orNull(time),
      scheduledFor: orNull(time),
    }),
  ),
  planned: listOf(objectOf<CalendarView['planned'][number]>('CalendarPlan', { runId: text(), ...planned })),
  windows: listOf(
    objectOf<CalendarView['windows'][number]>('CalendarWindow', { runId: text(), from: time, until: time }),
  ),
  isCut: boolean,
});

const versionMark = objectOf<VersionMark>('VersionMark', { at: time, reason: text() });
const ofVersion = {
  id: hex(40),
  runId: text(),
  repository: text(),
  parent: orNull(text()),
  roundId: orNull(text()),
  number: integer,
  createdAt: time,
  epsilon: orNull(number),
  bytes: integer,
  revoked: orNull(versionMark),
  deprecated: orNull(versionMark),
  merge: orNull(
    objectOf<MergeView>('Merge', {
      method: oneOf(mergeMethods),
      rank: integer,
      parents: listOf(objectOf<MergeView['parents'][number]>('MergeParent', { version: hex(40), weight: number })),
      unit: oneOf(privacyUnits),
      delta: orNull(number),
      runs: listOf(text()),
    }),
  ),
};
export const version = objectOf<VersionView>('Version', ofVersion);

const evaluation = objectOf<EvaluationView>('Evaluation', {
  loss: number,
  accuracy: number,
  roundId: text(),
  roundNumber: integer,
});

const gate = objectOf<GateView>('Gate', {
  outcome: oneOf(gateOutcomes),
  reference: orNull(hex(40)),
  checks: listOf(
    objectOf<GateCheck>('GateCheck', { name: oneOf(gateChecks), outcome: oneOf(gateOutcomes), reason: text() }),
  ),
});

const outcomeMetric = objectOf<OutcomeMetric>('OutcomeMetric', {
  name: text(),
  kind: oneOf(outcomeKinds),
  minimum: number,
  maximum: number,
});
export const outcomeMetricList = objectOf<OutcomeMetricsView>('OutcomeMetrics', { metrics: listOf(outcomeMetric) });
const outcomeEstimate = orNull(
  objectOf<OutcomeEstimate>('OutcomeEstimate', { count: integer, estimate: number, low: number, high: number }),
);
const outcomeDifference = objectOf<OutcomeDifference>('OutcomeDifference', {
  verdict: oneOf(differenceVerdicts),
  estimate: orNull(number),
  low: orNull(number),
  high: orNull(number),
  p: orNull(number),
});
export const outcomes = objectOf<OutcomesView>('Outcomes', {
  version: hex(40),
  recentHours: integer,
  beforeDays: integer,
  isDrifting: boolean,
  metrics: listOf(
    objectOf<MetricOutcomes>('MetricOutcomes', {
      metric: outcomeMetric,
      all: outcomeEstimate,
      recent: outcomeEstimate,
      before: outcomeEstimate,
      drift: outcomeDifference,
    }),
  ),
});
export const outcomeComparison = objectOf<OutcomeComparisonView>('OutcomeComparison', {
  left: hex(40),
  right: hex(40),
  hours: integer,
  metrics: listOf(
    objectOf<MetricComparison>('MetricComparison', {
      metric: outcomeMetric,
      left: outcomeEstimate,
      right: outcomeEstimate,
      difference: outcomeDifference,
    }),
  ),
});

const auditFinding = objectOf<AuditFindingView>('AuditFinding', {
  seal: hex(64),
  canaries: integer,
  guesses: integer,
  right: integer,
  epsilonLowerBound: number,
  epsilonPromised: orNull(number),
  at: time,
});

export const release = objectOf<ReleaseView>('Release', {
  ...ofVersion,
  channels: listOf(text()),
  tags: listOf(text()),
  runTitle: text(),
  baseName: text(),
  rule: oneOf(aggregationRules),
  unit: oneOf(privacyUnits),
  delta: orNull(number),
  organisations: listOf(text()),
  roundNumber: orNull(integer),
  manifestHash: hex(64),
  rosterHash: hex(64),
  evaluation: orNull(evaluation),
  audits: listOf(auditFinding),
  gate,
  downloads: integer,
});

export const comparison = objectOf<ComparisonView>('Comparison', {
  left: release,
  right: release,
  commonAncestor: orNull(hex(40)),
  modules: orNull(
    listOf(
      objectOf<ModuleDifference>('ModuleDifference', {
        name: text(),
        left: number,
        right: number,
        difference: number,
      }),
    ),
  ),
});

export const channel = objectOf<ChannelView>('Channel', {
  name: text(),
  version: orNull(hex(40)),
  previous: orNull(hex(40)),
  isAutomatic: boolean,
  changedAt: orNull(time),
});

export const channelMove = objectOf<ChannelMoveView>('ChannelMove', {
  sequence: integer,
  kind: oneOf(channelMoveKinds),
  at: time,
  by: text(),
  before: orNull(hex(40)),
  after: orNull(hex(40)),
  gate: orNull(oneOf(gateOutcomes)),
  reason: orNull(text()),
});

export const tag = objectOf<TagView>('Tag', { name: text(), version: hex(40), createdAt: time, createdBy: text() });

export const signingKey = objectOf<SigningKeyView>('SigningKey', { publicKey: hex(64), fingerprint: text() });

export const repository = objectOf<RepositoryView>('Repository', {
  name: text(),
  baseName: text(),
  runs: listOf(text()),
  versions: integer,
  downloads: integer,
  channels: listOf(channel),
  tags: listOf(tag),
});

export const overview = objectOf<Overview>('Overview', {
  organisations: listOf(organisation),
  runs: listOf(run),
  rounds: listOf(round),
  version: text(),
  serverTime: time,
});

export const enrolled = objectOf<EnrolResponse>('Enrolled', {
  name: text(),
  coordinatorKey: hex(64),
  status: oneOf(['pending', 'active']),
});

export const challenge = objectOf<ChallengeResponse>('Challenge', { nonce: hex(64) });

export const session = objectOf<SessionResponse>('Session', { token: text(), expiresAt: time });

export const newInvitation = objectOf<InvitationResponse>('NewInvitation', {
  id: text(),
  token: text({ description: 'Shown once.' }),
  expiresAt: time,
  coordinatorKey: hex(64),
  federationKey: hex(64),
});

export const user = objectOf<UserView>('User', {
  id: text(),
  name: text(),
  role: oneOf(roles),
  runs: orNull(listOf(text())),
  disabled: boolean,
  hasPassword: boolean,
  hasSecondFactor: boolean,
  fromProvider: boolean,
  createdAt: time,
  lastSignInAt: orNull(time),
});

export const setupLink = objectOf<SetupLinkView>('SetupLink', {
  user,
  token: text({ description: 'Shown once. Behind the coordinator’s address: /#setup=TOKEN.' }),
  expiresAt: time,
});

export const signInWays = objectOf<SignInWays>('SignInWays', {
  provider: orNull(text({ description: 'What the identity provider is called; null without one.' })),
});

export const providerRedirect = objectOf<ProviderRedirect>('ProviderRedirect', {
  url: text({ description: 'Where the browser goes next.' }),
});

export const me = objectOf<MeView>('Me', {
  kind: oneOf(['user', 'token']),
  id: text(),
  name: text(),
  permissions: listOf(oneOf(permissions)),
  runs: orNull(listOf(text())),
  csrfToken: orNull(text({ description: 'Goes into the header x-csrf-token of every change; API tokens need none.' })),
  hasPassword: boolean,
  hasSecondFactor: boolean,
});

export const signIn = objectOf<SignInView>('SignIn', {
  id: text(),
  createdAt: time,
  usedAt: time,
  address: text(),
  agent: text(),
  current: boolean,
});

const token = {
  id: text(),
  name: text(),
  permissions: listOf(oneOf(permissions)),
  runs: orNull(listOf(text())),
  createdBy: text(),
  createdAt: time,
  expiresAt: time,
  lastUsedAt: orNull(time),
};
export const apiToken = objectOf<ApiTokenView>('ApiToken', token);
export const newApiToken = objectOf<NewApiToken>('NewApiToken', {
  ...token,
  token: text({ description: 'Shown once.' }),
});

export const totpOffer = objectOf<TotpOffer>('TotpOffer', { secret: text(), uri: text() });

export const recoveryCodes = objectOf<RecoveryCodes>('RecoveryCodes', { recoveryCodes: listOf(text()) });

const actor = objectOf<AuditActor>('AuditActor', {
  kind: oneOf(['user', 'token', 'client', 'anonymous', 'system', 'unrecorded']),
  id: orAbsent(text()),
  name: orAbsent(text()),
});

const auditEntry = objectOf<AuditEntry>('AuditEntry', {
  sequence: integer,
  previous: hex(64),
  at: time,
  event: text(),
  actor,
  address: orNull(text()),
  requestId: orNull(text()),
  details: anyObject<PlainObject>('What it was about.'),
  before: orNull(anyObject<PlainObject>('What changed, as it was.')),
  after: orNull(anyObject<PlainObject>('What changed, as it is.')),
});

export const auditLine = objectOf<AuditLine>('AuditLine', { entry: auditEntry, hash: hex(64) });

export const health = objectOf<{ readonly status: 'ok' }>('Health', { status: oneOf(['ok']) });

const fieldProblem = objectOf<FieldProblem>('FieldProblem', { field: text(), message: text() });

/** Of every refusal. `code` is one of the catalogue. */
export const problem = objectOf<Omit<Problem, 'code'> & { readonly code: string }>('Problem', {
  type: text(),
  title: text(),
  status: integer,
  code: text(),
  detail: text(),
  retry: text({ enum: ['never', 'later', 'next-round'] }),
  remedy: text(),
  requestId: text({ description: 'Under which logs and the audit log know the request.' }),
  fields: orAbsent(listOf(fieldProblem)),
});
