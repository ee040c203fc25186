/** The composition root: reads the data folder, constructs every part, and starts to listen. */

import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { nodeProvider } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import { OptimizerStore } from './adapters/optimizer-store.js';
import { VersionStore } from './adapters/version-store.js';
import { VersionsRepository } from './adapters/versions.repository.js';
import { ApiTokens } from './access/api-tokens.js';
import { Authenticator } from './access/authenticator.js';
import { IdentityProvider } from './access/identity-provider.js';
import { Lockout } from './access/lockout.js';
import { ProviderSignIn } from './access/provider-sign-in.js';
import { DEFAULT_RATES, RateLimits, type Rates } from './access/rate-limits.js';
import { SignIns } from './access/sign-ins.js';
import { UsersRepository } from './access/users.repository.js';
import { UserService } from './access/users.service.js';
import { AppModule, type Parts } from './app.module.js';
import { Idempotency } from './api/idempotency.js';
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
import { setUpHttp } from './nest/http-shell.js';
import { bindRequestId, logOver, nestLoggerOver, openLog, requestLog } from './nest/pino-log.js';
import { ProblemFilter } from './nest/problem.filter.js';
import { Announcements } from './observe/announcements.js';
import type { Log } from './observe/log.js';
import { Metrics } from './observe/metrics.js';
import { Readiness } from './observe/readiness.js';
import { OrganisationViews } from './observe/organisation-views.js';
import { TrackRecord } from './observe/track-record.js';
import { Views } from './observe/views.js';
import { ChannelsRepository } from './release/channels.repository.js';
import { ChannelViews } from './release/channel-views.js';
import { ReleaseDescriptions } from './release/release-descriptions.js';
import { ReleaseService } from './release/release.service.js';
import { ReleaseViews } from './release/release-views.js';
import { TagsRepository } from './release/tags.repository.js';
import { AdapterMaker } from './rounds/adapter-maker.js';
import { RoundService } from './rounds/round.service.js';
import { RoundsRepository } from './rounds/rounds.repository.js';
import { Budget } from './runs/budget.js';
import { RunService } from './runs/run.service.js';
import { RunsRepository } from './runs/runs.repository.js';
import { ScheduleService } from './schedule/schedule.service.js';
import { Presence } from './session/presence.js';
import { SessionService } from './session/session.service.js';
import { ContributionStore } from './storage/contribution-store.js';
import { DataFolder } from './storage/data-folder.js';
import { openDatabase, type Database, type Tables } from './storage/database.js';
import { writeAtomically } from './storage/durable-file.js';
import { openCoordinatorKey, type CoordinatorKey } from './storage/keys.js';

/** A coordinator that answers. */
export interface RunningCoordinator {
  readonly url: string;
  /** With which the first administrator sets a password; as long as there is no administrator. */
  readonly setupToken?: string;
  /** Ends it; open rounds go on at the next start. `abruptly` lets nothing finish, as a power cut would: for tests. */
  close(options?: { readonly abruptly?: boolean }): Promise<void>;
}

/** What tests set otherwise. */
export interface Overrides {
  readonly now?: () => number;
  readonly rates?: Rates;
  /** How long sessions of clients last. */
  readonly sessionMs?: number;
}

/** Starts a coordinator on its data folder. @throws FedloraError config/invalid | data-folder/locked | data-folder/foreign */
export async function startCoordinator(
  config: CoordinatorConfig,
  overrides: Overrides = {},
): Promise<RunningCoordinator> {
  const logger = openLog(config.logLevel);
  const log = logOver(logger);
  const folder = new DataFolder(config.dataFolder);
  await folder.prepare();
  const release = await folder.take();
  let db: Database | undefined;
  try {
    await rm(folder.address, { force: true });
    db = openDatabase(folder.database);
    const key = await openCoordinatorKey(folder.coordinatorKey);
    await expectSameFederation(db, config);
    await rm(join(config.dataFolder, 'operator-token'), { force: true }); // Of before there were users; it opens nothing.
    const stored = await readSetting(db, 'revocations');
    const parts = construct(config, folder, db, key, stored, log, overrides);
    const setupToken = await parts.users.firstAdminLink();

    const app = await NestFactory.create<NestExpressApplication>(AppModule.over(parts), {
      logger: nestLoggerOver(log),
      bodyParser: false,
      forceCloseConnections: true,
    });
    app.use(requestLog(logger));
    app.use(bindRequestId);
    setUpHttp(app, config.trustedProxies ?? []);
    app.useWebSocketAdapter(new IoAdapter(app));
    app.useGlobalFilters(new ProblemFilter(log, parts.metrics));
    parts.metrics.watch(app.getHttpServer());
    await app.init();
    await parts.trackRecord.load();
    await parts.runService.tidy();
    await parts.roundService.resume();
    await parts.runService.resume();
    await app.listen(config.port, config.host);

    const url = urlOf(config.host, app.getHttpServer());
    await writeAtomically(folder.address, `${JSON.stringify({ url, pid: process.pid })}\n`);
    log.info('coordinator.listening', { url, dataFolder: config.dataFolder, publicKey: key.publicKey });

    const database = db;
    let isClosed = false;
    return {
      url,
      ...(setupToken === undefined ? {} : { setupToken }),
      close: async ({ abruptly = false } = {}) => {
        if (isClosed) return;
        isClosed = true;
        parts.readiness.stop();
        parts.runService.close();
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
          await database.destroy();
        }
        await rm(folder.address, { force: true });
        release();
        log.info('coordinator.stopped');
      },
    };
  } catch (error) {
    await db?.destroy();
    release();
    throw error;
  }
}

function construct(
  config: CoordinatorConfig,
  folder: DataFolder,
  db: Database,
  key: CoordinatorKey,
  storedRevocations: string | undefined,
  log: Log,
  { now = Date.now, rates = DEFAULT_RATES, sessionMs }: Overrides,
): Parts {
  const crypto = nodeProvider;
  const { federationKey } = config;
  const announcements = new Announcements();
  const audit = new AuditLog(db, now);
  const organisations = new OrganisationsRepository(db);
  const invitations = new InvitationsRepository(db);
  const runs = new RunsRepository(db);
  const rounds = new RoundsRepository(db);
  const versions = new VersionsRepository(db);
  const versionStore = new VersionStore(folder.versions, key);
  const optimizerStore = new OptimizerStore(folder.optimizer);
  const contributions = new ContributionStore(folder.contributions);
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
  const sessions = new SessionService({
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
  const adapterMaker = new AdapterMaker({ ...common, contributions });
  const roundService = new RoundService({ ...common, contributions, adapterMaker });
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
  const descriptions = new ReleaseDescriptions({ versions, channelViews, tags, downloads, runs, rounds });
  const releaseViews = new ReleaseViews({ versions, versionStore, channelViews, descriptions, tags, downloads, runs });
  const hubFiles = new HubFiles(versionStore);
  const releaseService = new ReleaseService({
    versions,
    channels,
    channelViews,
    tags,
    releaseViews,
    audit,
    announcements,
    now,
  });
  const metrics = new Metrics({ ...common, views, roundService, programVersion: version });
  audit.onRecorded = (event) => {
    if (event === 'user.sign-in.refused') metrics.signInFailed();
  };
  const readiness = new Readiness(folder.root, () => runs.countByStatus());
  return {
    announcements,
    apiTokens,
    audit,
    authenticator,
    channelViews,
    downloads,
    enrolment,
    hub: new HubService({ releaseViews, versions, files: hubFiles }),
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
