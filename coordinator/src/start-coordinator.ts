/** The composition root: reads the data folder, constructs every part, and starts to listen. */

import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { nodeProvider } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import { OptimizerStore } from './adapters/optimizer-store.js';
import { VersionStore } from './adapters/version-store.js';
import { VersionsRepository } from './adapters/versions.repository.js';
import { AppModule, type Parts } from './app.module.js';
import type { CoordinatorConfig } from './config/coordinator-config.js';
import { EnrolmentService } from './enrolment/enrolment.service.js';
import { Revocations } from './enrolment/revocations.js';
import { OrganisationsRepository } from './enrolment/organisations.repository.js';
import { setUpHttp } from './nest/http-shell.js';
import { logOver, nestLoggerOver, openLog, requestLog } from './nest/pino-log.js';
import { ProblemFilter } from './nest/problem.filter.js';
import { Announcements } from './observe/announcements.js';
import type { Log } from './observe/log.js';
import { Metrics } from './observe/metrics.js';
import { Views } from './observe/views.js';
import { AdapterMaker } from './rounds/adapter-maker.js';
import { RoundService } from './rounds/round.service.js';
import { RoundsRepository } from './rounds/rounds.repository.js';
import { Budget } from './runs/budget.js';
import { RunService } from './runs/run.service.js';
import { RunsRepository } from './runs/runs.repository.js';
import { Access } from './session/access.js';
import { Presence } from './session/presence.js';
import { SessionService } from './session/session.service.js';
import { AuditRepository } from './storage/audit.repository.js';
import { ContributionStore } from './storage/contribution-store.js';
import { DataFolder } from './storage/data-folder.js';
import { openDatabase, type Database } from './storage/database.js';
import { writeAtomically } from './storage/durable-file.js';
import { createToken, openCoordinatorKey, tokenHash, type CoordinatorKey } from './storage/keys.js';

/** A coordinator that answers. */
export interface RunningCoordinator {
  readonly url: string;
  /** At the first start on a folder only: afterwards only its hash and the file `operator-token` are there. */
  readonly operatorToken?: string;
  /** Ends it; open rounds go on at the next start. `abruptly` lets nothing finish, as a power cut would: for tests. */
  close(options?: { readonly abruptly?: boolean }): Promise<void>;
}

/** Starts a coordinator on its data folder. @throws FedloraError config/invalid | data-folder/locked | data-folder/foreign */
export async function startCoordinator(config: CoordinatorConfig): Promise<RunningCoordinator> {
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
    const { operatorTokenHash, operatorToken } = await openOperatorToken(db, folder);
    const stored = await readSetting(db, 'revocations');
    const parts = construct(config, folder, db, key, operatorTokenHash, stored, log);

    const app = await NestFactory.create<NestExpressApplication>(AppModule.over(parts), {
      logger: nestLoggerOver(log),
      bodyParser: false,
      forceCloseConnections: true,
    });
    app.use(requestLog(logger));
    setUpHttp(app);
    app.useWebSocketAdapter(new IoAdapter(app));
    app.useGlobalFilters(new ProblemFilter(log));
    await app.init();
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
      ...(operatorToken === undefined ? {} : { operatorToken }),
      close: async ({ abruptly = false } = {}) => {
        if (isClosed) return;
        isClosed = true;
        parts.runService.close();
        if (abruptly) {
          parts.roundService.abandon();
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
  operatorTokenHash: string,
  storedRevocations: string | undefined,
  log: Log,
): Parts {
  const now = Date.now;
  // A large cohort has thousands of signatures a round. What OpenSSL accepts the clients' noble-curves accept, too.
  const crypto = nodeProvider;
  const { federationKey } = config;
  const announcements = new Announcements();
  const audit = new AuditRepository(db, now);
  const organisations = new OrganisationsRepository(db);
  const runs = new RunsRepository(db);
  const rounds = new RoundsRepository(db);
  const versions = new VersionsRepository(db);
  const versionStore = new VersionStore(folder.versions, key);
  const optimizerStore = new OptimizerStore(folder.optimizer);
  const contributions = new ContributionStore(folder.contributions);
  const budget = new Budget();
  const presence = new Presence(organisations, announcements, now);
  const revocations = new Revocations(
    { crypto, federationKey, store: (text) => writeSetting(db, 'revocations', text) },
    storedRevocations,
  );
  const sessions = new SessionService({ organisations, revocations, crypto, coordinatorKey: key.publicKey, now });
  const access = new Access(operatorTokenHash, sessions);
  const enrolment = new EnrolmentService({
    revocations,
    presence,
    organisations,
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
  const views = new Views({
    organisations,
    presence,
    runs,
    runService,
    roundService,
    versions,
    budget,
    programVersion: programVersion(),
    now,
  });
  const metrics = new Metrics(views, presence, announcements, log);
  return {
    access,
    announcements,
    enrolment,
    log,
    metrics,
    presence,
    roundService,
    runService,
    sessions,
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

async function openOperatorToken(
  db: Database,
  folder: DataFolder,
): Promise<{ readonly operatorTokenHash: string; readonly operatorToken?: string }> {
  const stored = await readSetting(db, 'operatorTokenHash');
  if (stored !== undefined) return { operatorTokenHash: stored };
  const operatorToken = createToken();
  const operatorTokenHash = tokenHash(operatorToken);
  // File first: a crash between the two leaves a file that the next start replaces.
  await writeAtomically(folder.operatorToken, `${operatorToken}\n`, 0o600);
  await writeSetting(db, 'operatorTokenHash', operatorTokenHash);
  return { operatorTokenHash, operatorToken };
}

async function readSetting(db: Database, key: string): Promise<string | undefined> {
  return (await db.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst())?.value;
}

async function writeSetting(db: Database, key: string, value: string): Promise<void> {
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
