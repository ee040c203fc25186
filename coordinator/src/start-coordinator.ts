/** The composition root: reads the data folder, constructs every part, and starts to listen. */

import 'reflect-metadata';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { join } from 'node:path';
import type { Application } from 'express';
import type { Kysely } from 'kysely';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { nodeProvider } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import { ConvertedVersions } from './adapters/converted-versions.js';
import { OptimizerStore } from './adapters/optimizer-store.js';
import { VersionStore } from './adapters/version-store.js';
import { VersionsRepository } from './adapters/versions.repository.js';
import { ApiTokens } from './access/api-tokens.js';
import { Authenticator } from './access/authenticator.js';
import { IdentityProvider } from './access/identity-provider.js';
import { Lockout } from './access/lockout.js';
import { ProviderSignIn } from './access/provider-sign-in.js';
import { Admissions, type AdmissionsBounds } from './access/admission.js';
import { DEFAULT_RATES, RateLimits, type Rates } from './access/rate-limits.js';
import { SignIns } from './access/sign-ins.js';
import { UsersRepository } from './access/users.repository.js';
import { UserService } from './access/users.service.js';
import { AppModule, type Parts } from './app.module.js';
import { Idempotency } from './api/idempotency.js';
import { RoundSums } from './aggregation/round-sums.js';
import { SumWorkers } from './aggregation/sum-workers.js';
import { AuditLog } from './audit/audit-log.js';
import type { CoordinatorConfig } from './config/coordinator-config.js';
import { EnrolmentService } from './enrolment/enrolment.service.js';
import { Revocations } from './enrolment/revocations.js';
import { InvitationsRepository } from './enrolment/invitations.repository.js';
import { InvitationService } from './enrolment/invitations.service.js';
import { OrganisationsRepository } from './enrolment/organisations.repository.js';
import { StandingService } from './enrolment/standing.service.js';
import { Downloads } from './hub/downloads.js';
import { HubFiles } from './hub/hub-files.js';
import { HubService } from './hub/hub.service.js';
import { limitConnections } from './nest/connections.js';
import { proxyTest, setUpHttp } from './nest/http-shell.js';
import { relaying, relayUpgrades } from './nest/relaying.js';
import { bindRequestId, logOver, nestLoggerOver, openLog, requestLog } from './nest/pino-log.js';
import { ProblemFilter } from './nest/problem.filter.js';
import { SocketAdapter } from './nest/socket-adapter.js';
import { Announcements } from './observe/announcements.js';
import type { Log } from './observe/log.js';
import { Metrics } from './observe/metrics.js';
import { Readiness } from './observe/readiness.js';
import { OrganisationViews } from './observe/organisation-views.js';
import { TrackRecord } from './observe/track-record.js';
import { Views } from './observe/views.js';
import { ChannelsRepository } from './release/channels.repository.js';
import { ChannelViews } from './release/channel-views.js';
import { AuditFindingsRepository } from './release/audit-findings.repository.js';
import { ReleaseDescriptions } from './release/release-descriptions.js';
import { OutcomesRepository } from './outcomes/outcomes.repository.js';
import { OutcomesService } from './outcomes/outcomes.service.js';
import { MergeService } from './release/merge.service.js';
import { ReleaseService } from './release/release.service.js';
import { ReleaseViews } from './release/release-views.js';
import { TagsRepository } from './release/tags.repository.js';
import { AdapterMaker } from './rounds/adapter-maker.js';
import { Driving } from './rounds/driving.js';
import { RoundService } from './rounds/round.service.js';
import { RoundsRepository } from './rounds/rounds.repository.js';
import { PEER_PURPOSE, Peers } from './relay/peers.js';
import { Relay } from './relay/relay.js';
import { Budget } from './runs/budget.js';
import { RunService } from './runs/run.service.js';
import { RunsRepository } from './runs/runs.repository.js';
import { ScheduleService } from './schedule/schedule.service.js';
import { Presence } from './session/presence.js';
import { SessionService } from './session/session.service.js';
import { ContributionStore } from './storage/contribution-store.js';
import { DataFolder } from './storage/data-folder.js';
import { databaseOf, openDatabase, type Database, type Tables } from './storage/database.js';
import { writeAtomically } from './storage/durable-file.js';
import { DriverLease } from './storage/lease.js';
import { openCoordinatorKey, readCoordinatorKey, type CoordinatorKey } from './storage/keys.js';
import { openBlobs, type Blobs } from './storage/open-blobs.js';

/** A coordinator that answers. */
export interface RunningCoordinator {
  readonly url: string;
  /** With which the first administrator sets a password; as long as there is no administrator. */
  readonly setupToken?: string;
  /** Resolves when it has ended by itself, since another coordinator on its database drives the rounds: with why. */
  readonly lost: Promise<FedloraError>;
  /** Ends it; open rounds go on at the next start. `abruptly` lets nothing finish, as a power cut would: for tests. */
  close(options?: { readonly abruptly?: boolean }): Promise<void>;
}

/** What tests set otherwise. */
export interface Overrides {
  readonly now?: () => number;
  readonly rates?: Rates;
  readonly admissions?: AdmissionsBounds;
  /** How long sessions of clients last. */
  readonly sessionMs?: number;
  /** How long the lease lasts with which one of several drives the rounds. */
  readonly leaseMs?: number;
  /** Words of a range that a worker sums, and how long the coordinator waits for one. */
  readonly sums?: { readonly rangeWords: number; readonly patienceMs: number };
}

/**
 * Connections that may wait to be accepted: as many as organisations may come back at the same moment, after a restart or a broken link.
 * With Node's 511 the system resets the others. Systems cap it at a setting of their own (Linux: `net.core.somaxconn`, 4096).
 */
const WAITING_CONNECTIONS = 4096;

/** Starts a coordinator on its data folder. @throws FedloraError config/invalid | data-folder/* | database/* | coordinator/blobs-unavailable */
export async function startCoordinator(
  config: CoordinatorConfig,
  overrides: Overrides = {},
): Promise<RunningCoordinator> {
  const logger = openLog(config.logLevel);
  const log = logOver(logger);
  const folder = new DataFolder(config.dataFolder);
  await folder.prepare();
  // Of several coordinators on one database the lease lets one drive, and they may share the folder.
  const release = config.databaseUrl === undefined ? await folder.take() : () => undefined;
  let db: Database | undefined;
  try {
    if (config.databaseUrl === undefined) await rm(folder.address, { force: true });
    db = await openDatabase(databaseOf(config, folder));
    const key = await coordinatorKeyOf(config, folder);
    await expectSameFederation(db, config);
    await rm(join(config.dataFolder, 'operator-token'), { force: true }); // Of before there were users; it opens nothing.
    const stored = await readSetting(db, 'revocations');
    if (config.databaseUrl !== undefined) await expectSameKey(db, key);
    const blobs = await openBlobs(config, folder);
    let lose: (reason: FedloraError) => void = () => undefined;
    const parts = construct(config, folder, blobs, db, key, stored, log, overrides, (reason) => lose(reason));

    const app = await NestFactory.create<NestExpressApplication>(AppModule.over(parts), {
      logger: nestLoggerOver(log),
      bodyParser: false,
      forceCloseConnections: true,
    });
    app.use(requestLog(logger));
    app.use(bindRequestId);
    app.use(relaying(parts));
    setUpHttp(app, config.trustedProxies ?? []);
    const isProxy = proxyTest(app);
    // What a peer passes on are connections of many, which it holds to these limits itself.
    limitConnections(app.getHttpServer(), (address) => isProxy(address) || parts.peers.isPeer(address));
    app.useWebSocketAdapter(new SocketAdapter(app));
    app.useGlobalFilters(new ProblemFilter(log, parts.metrics));
    parts.metrics.watch(app.getHttpServer());
    await app.init();
    relayUpgrades(app.getHttpServer(), app.getHttpAdapter().getInstance() as Application, parts);
    await parts.driving.begin();
    const setupToken = parts.driving.isDriving ? await parts.users.firstAdminLink() : undefined;
    await listen(app.getHttpServer(), config);

    const url = urlOf(config.host, app.getHttpServer());
    const address = `${JSON.stringify({ url, pid: process.pid })}\n`;
    await writeAtomically(folder.address, address);
    log.info('coordinator.listening', { url, dataFolder: config.dataFolder, publicKey: key.publicKey });

    const database = db;
    let isClosed = false;
    const close: RunningCoordinator['close'] = async ({ abruptly = false } = {}) => {
      if (isClosed) return;
      isClosed = true;
      parts.readiness.stop();
      parts.runService.close();
      await parts.driving.close({ abruptly });
      parts.relay.close();
      if (abruptly) {
        parts.roundService.abandon();
        // Nobody hears of what fails from here on.
        const server: Server = app.getHttpServer();
        server.closeAllConnections();
        await database.destroy();
        await app.close();
      } else {
        await app.close();
        await parts.roundService.close();
        await parts.driving.giveBack();
        await database.destroy();
      }
      // Another coordinator may have told its own since.
      if ((await readFile(folder.address, 'utf8').catch(() => '')) === address)
        await rm(folder.address, { force: true });
      release();
      log.info('coordinator.stopped');
    };
    const lost = new Promise<FedloraError>((resolve) => {
      lose = (reason) => void close({ abruptly: true }).finally(() => resolve(reason));
    });
    return { url, ...(setupToken === undefined ? {} : { setupToken }), lost, close };
  } catch (error) {
    await db?.destroy();
    release();
    throw error;
  }
}

function construct(
  config: CoordinatorConfig,
  folder: DataFolder,
  blobs: Blobs,
  db: Database,
  key: CoordinatorKey,
  storedRevocations: string | undefined,
  log: Log,
  {
    now = Date.now,
    rates = DEFAULT_RATES,
    admissions: bounds,
    sessionMs,
    leaseMs = leaseMsOf(config),
    sums,
  }: Overrides,
  onLost: (reason: FedloraError) => void,
): Parts {
  const crypto = nodeProvider;
  const { federationKey } = config;
  const announcements = new Announcements();
  const audit = new AuditLog(db, now);
  const organisations = new OrganisationsRepository(db);
  const invitations = new InvitationsRepository(db);
  const lease = config.databaseUrl === undefined ? undefined : new DriverLease(db, leaseMs, config.peerUrl);
  const runs = new RunsRepository(db, lease);
  const rounds = new RoundsRepository(db, lease);
  const versions = new VersionsRepository(db);
  const auditFindings = new AuditFindingsRepository(db);
  const versionStore = new VersionStore(blobs.versions, key);
  const optimizerStore = new OptimizerStore(blobs.optimizer);
  const contributions = new ContributionStore(blobs.contributions);
  const budget = new Budget();
  const presence = new Presence(organisations, announcements, now);
  const revocations = new Revocations(
    {
      crypto,
      federationKey,
      store: (text, { epoch, revoked }, by) =>
        audit.recording(async (trx) => {
          await writeSetting(trx, 'revocations', text);
          return [{ event: 'federation.revoked', by, details: { epoch, keys: revoked.length } }, undefined] as const;
        }),
    },
    storedRevocations,
  );
  const admissions = new Admissions(bounds);
  const sessions = new SessionService({
    admission: admissions.signIns,
    organisations,
    revocations,
    crypto,
    coordinatorKey: key.publicKey,
    ...(sessionMs === undefined ? {} : { lifetimeMs: sessionMs }),
    now,
  });
  const signIns = new SignIns(db, now);
  const apiTokens = new ApiTokens(db, audit, now);
  const authenticator = new Authenticator(apiTokens, signIns, sessions);
  const lockout = new Lockout(db, now);
  const provider = config.oidc === undefined ? undefined : new IdentityProvider(config.oidc, now);
  const users = new UserService({
    users: new UsersRepository(db),
    signIns,
    lockout,
    audit,
    announcements,
    ...(provider === undefined ? {} : { issuer: provider.issuer }),
    now,
  });
  const providerSignIn = new ProviderSignIn(provider, users, audit);
  const rateLimits = new RateLimits(rates, now);
  const enrolment = new EnrolmentService({
    revocations,
    organisations,
    invitations,
    audit,
    crypto,
    federationKey,
    coordinatorKey: key.publicKey,
    announcements,
    log,
    now,
  });
  const common = {
    rounds,
    runs,
    versions,
    versionStore,
    optimizerStore,
    presence,
    budget,
    audit,
    announcements,
    crypto,
    revocations,
    log,
    now,
  };
  const { redisUrl } = config;
  const workers =
    redisUrl === undefined
      ? undefined
      : new SumWorkers({ redisUrl, federationKey, contributions, log, patienceMs: sums?.patienceMs });
  const roundSums = new RoundSums(contributions, workers, sums?.rangeWords);
  const adapterMaker = new AdapterMaker({ ...common, roundSums, auditFindings });
  const roundService = new RoundService({ ...common, contributions, adapterMaker, filesFolder: folder.root });
  const runService = new RunService({ ...common, roundService, organisations, key, federationKey });
  const schedules = new ScheduleService({ ...common, roundService, runService });
  const standing = new StandingService({
    ...common,
    organisations,
    sessions,
    rounds: roundService,
    runs: runService,
  });
  const version = programVersion();
  const trackRecord = new TrackRecord(roundService, announcements, log);
  const organisationViews = new OrganisationViews({
    organisations,
    revocations,
    presence,
    trackRecord,
    programVersion: version,
    now,
  });
  const views = new Views({
    organisations: organisationViews,
    runs,
    runService,
    roundService,
    versions,
    budget,
    programVersion: version,
    now,
  });
  const channels = new ChannelsRepository(db);
  const tags = new TagsRepository(db);
  const downloads = new Downloads(db, now);
  const channelViews = new ChannelViews({ versions, channels });
  const descriptions = new ReleaseDescriptions({
    versions,
    channelViews,
    tags,
    downloads,
    runs,
    rounds,
    auditFindings,
  });
  const releaseViews = new ReleaseViews({ versions, versionStore, channelViews, descriptions, tags, downloads, runs });
  const hubFiles = new HubFiles(versionStore);
  const releaseService = new ReleaseService({
    versions,
    channels,
    channelViews,
    tags,
    releaseViews,
    auditFindings,
    audit,
    announcements,
    now,
  });
  const outcomesService = new OutcomesService({
    outcomes: new OutcomesRepository(db),
    releaseViews,
    audit,
    announcements,
    now,
  });
  const mergeService = new MergeService({ versions, versionStore, runs, releaseViews, audit, announcements, now });
  const peers = new Peers(key.secretFor(PEER_PURPOSE), now);
  const relay = new Relay({ peers, ownUrl: config.peerUrl, log });
  const driving = new Driving({
    lease,
    follow: (holder) => relay.follow(holder),
    onDriving: () => relay.close(),
    takeUp: async () => {
      revocations.load(await readSetting(db, 'revocations'));
      await trackRecord.load();
      await runService.tidy();
      await roundService.resume();
      await runService.resume();
    },
    onLost,
    log,
  });
  const metrics = new Metrics({ ...common, views, roundService, driving, programVersion: version });
  audit.onRecorded = (event) => {
    if (event === 'user.sign-in.refused') metrics.signInFailed();
  };
  const readiness = new Readiness(
    folder.root,
    () => runs.countByStatus(),
    () => {
      if (driving.isDriving) return;
      if (relay.isOn && relay.way === undefined) throw relay.refusal();
      if (!relay.isOn) driving.expectDriving();
    },
    () => blobs.expectReachable(),
  );
  return {
    announcements,
    apiTokens,
    audit,
    authenticator,
    channelViews,
    downloads,
    driving,
    mergeService,
    outcomesService,
    peers,
    relay,
    enrolment,
    hub: new HubService({
      releaseViews,
      channelViews,
      tags,
      versions,
      files: hubFiles,
      converted: new ConvertedVersions(versionStore),
    }),
    hubFiles,
    idempotency: new Idempotency(db, now),
    invitations: new InvitationService({
      invitations,
      audit,
      federationKey,
      coordinatorKey: key.publicKey,
      log,
      now,
    }),
    log,
    metrics,
    organisationViews,
    presence,
    programVersion: version,
    publicKey: key.publicKey,
    providerSignIn,
    admissions,
    rateLimits,
    readiness,
    releaseService,
    releaseViews,
    roundService,
    runService,
    schedules,
    sessions,
    signIns,
    standing,
    trackRecord,
    users,
    versionStore,
    views,
  };
}

function coordinatorKeyOf({ coordinatorKeyFile }: CoordinatorConfig, folder: DataFolder): Promise<CoordinatorKey> {
  return coordinatorKeyFile === undefined
    ? openCoordinatorKey(folder.coordinatorKey)
    : readCoordinatorKey(coordinatorKeyFile);
}

/** `undefined`: the usual one. */
function leaseMsOf({ leaseSeconds }: CoordinatorConfig): number | undefined {
  return leaseSeconds === undefined ? undefined : leaseSeconds * 1000;
}

/** A data folder's organisations are certified by one federation key: another one would make all of them strangers. */
async function expectSameFederation(db: Database, config: CoordinatorConfig): Promise<void> {
  const stored = await readSetting(db, 'federationKey');
  if (stored === undefined) await writeSetting(db, 'federationKey', config.federationKey);
  else if (stored !== config.federationKey) {
    throw new FedloraError('data-folder/foreign', 'The data folder belongs to another federation key.', {
      where: config.dataFolder,
    });
  }
}

/** Coordinators on one database are one to organisations and readers, who know their key. */
async function expectSameKey(db: Database, { publicKey }: CoordinatorKey): Promise<void> {
  const stored = await readSetting(db, 'coordinatorKey');
  if (stored === undefined) await writeSetting(db, 'coordinatorKey', publicKey);
  else if (stored !== publicKey)
    throw new FedloraError(
      'data-folder/foreign',
      'The database belongs to a coordinator of another key: coordinator.key must be the same.',
    );
}

async function readSetting(db: Database, key: string): Promise<string | undefined> {
  return (await db.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst())?.value;
}

async function writeSetting(db: Kysely<Tables>, key: string, value: string): Promise<void> {
  await db
    .insertInto('settings')
    .values({ key, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
    .execute();
}

function urlOf(host: string, server: Server): string {
  // Safe: the server listens on a TCP port.
  const { port } = server.address() as AddressInfo;
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}

function programVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}

/** Nest's own `listen` takes no backlog. */
async function listen(server: Server, { host, port }: Pick<CoordinatorConfig, 'host' | 'port'>): Promise<void> {
  server.listen({ host, port, backlog: WAITING_CONNECTIONS });
  await once(server, 'listening'); // Rejects with the reason if it cannot.
}
