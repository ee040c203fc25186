/** Puts the daemon together from a home folder: the one place where its parts are constructed. */

import { getPriority, setPriority } from 'node:os';
import { nodeProvider, systemRandom } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import type { ClientConfig } from '../config/client-config.js';
import { readConfig } from '../config/client-config.js';
import { makeHome, type Home } from '../config/home.js';
import { isOpenAt } from '../config/hours.js';
import { readPolicy } from '../config/policy-file.js';
import { downloadVersion } from '../connection/download.js';
import { Http } from '../connection/http.js';
import { SignIn } from '../connection/sign-in.js';
import { uploadMasked } from '../connection/upload.js';
import { givenFormats } from '../data/row-formats.js';
import type { Engine, LoraConfig } from '../engine/engine.js';
import { computedRopeTypes } from '../engine/onnx/rope.js';
import { openEngine, type OpenedEngine } from '../engine/open-engine.js';
import type { BaseModel } from '../engine/weights/base-model.js';
import { openBaseModel } from '../engine/weights/hugging-face.js';
import type { QuantizeOptions, QuantizeReport } from '../engine/weights/nf4-store.js';
import { gpuLoad } from '../health/gpu-load.js';
import { AdapterSource, Workbench } from '../round/workbench.js';
import { declaredBudget } from '../round/declared-budget.js';
import { OfferVerifier } from '../round/verify-offer.js';
import { Account } from '../storage/account.js';
import { AdapterStore } from '../storage/adapters.js';
import { readDeparture } from '../storage/departure.js';
import { Decisions } from '../storage/decisions.js';
import { readIdentity } from '../storage/identity.js';
import { keyOfFile } from '../storage/key-file.js';
import { takeLock } from '../storage/lock.js';
import { OfferBook } from '../storage/offer-book.js';
import { readPins } from '../storage/pins.js';
import { RoundBook } from '../storage/round-book.js';
import { RosterMemory } from '../storage/roster-memory.js';
import { UsageBook } from '../storage/usage-book.js';
import { Daemon } from './daemon.js';
import { createLog, type Logger } from './log.js';
import { ResourceLimits } from './resource-limits.js';
import { openStatusPage } from './status-page.js';
import { recordTraffic } from './traffic-record.js';

export const CLIENT_VERSION = '0.1.0';

/** `independentExamples`: see `needsIndependentExamples` in `round/record-sum.ts`. */
export type OpenEngine = (
  base: BaseModel,
  lora: LoraConfig,
  config: ClientConfig,
  independentExamples: boolean,
  nf4: QuantizeOptions,
  onOpened: (opened: OpenedEngine) => void,
) => Promise<Engine>;

export interface StartOptions {
  readonly environment?: NodeJS.ProcessEnv;
  /** Default: to standard output, as configured. */
  readonly log?: Logger;
  /** Default: the configured engine on the configured device. */
  readonly openEngine?: OpenEngine;
  /** Folder for a record of everything that is sent. */
  readonly recordTraffic?: string;
}

export interface RunningDaemon {
  /** Finishes or leaves the round, then stops. */
  stop(): Promise<void>;
  /** Stops at once. */
  stopNow(): void;
  /** Resolves when everything is closed; rejects when the daemon failed. */
  readonly stopped: Promise<void>;
}

/** Starts a daemon. @throws FedloraError client/not-enrolled | home/locked | config/... | ledger/tampered | ... */
export async function startDaemon(home: Home, options: StartOptions = {}): Promise<RunningDaemon> {
  const environment = options.environment ?? {};
  const { config } = await readConfig(home.config, environment);
  const { terms: policy } = await readPolicy(home.policy);
  const { canaries } = config.dataset;
  if (canaries !== undefined && policy.canaries !== 'allowed') throw new FedloraError('policy/canaries-not-allowed');
  const pins = await readPins(home.pins);
  if ((await readDeparture(home.left)) !== undefined) throw new FedloraError('client/left');
  const identity = await readIdentity(home.identity);
  if (pins.organisation !== config.organisation) {
    throw new FedloraError('config/invalid', `This folder is enrolled as "${pins.organisation}".`, {
      where: 'organisation',
    });
  }
  await makeHome(home);
  const log = options.log ?? (await createLog(config.logLevel, { organisation: config.organisation }));

  const lock = await takeLock(home.lock);
  const closers: (() => Promise<void>)[] = [() => lock.release()];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.reverse()) await close();
  };
  try {
    const recordKey = await keyOfFile(home.recordKey, 'ledger/bad-record-key');
    const ledger = await Account.open({
      paths: home,
      dataset: config.dataset.name,
      identity,
      federationKey: pins.federationKey,
      recordKey,
      unrelated: policy.unrelatedDatasets,
      onInherited: (datasets) => log.warn({ datasets: datasets.join(',') }, 'ledger.records.recognised'),
    });
    closers.push(() => ledger.close());
    if (ledger.repaired) log.warn('ledger.torn-line.removed');
    const decisions = await Decisions.open(home.decisions);
    closers.push(() => decisions.close());
    const roundBook = await RoundBook.open(home.rounds);
    closers.push(() => roundBook.close());
    const offers = new OfferBook(home.offers);
    const rosterMemory = await RosterMemory.open(home.roster, pins.federationKey);

    const base =
      config.base === undefined ? undefined : await openBaseModel(config.base, { ropeTypes: computedRopeTypes });
    /** What is configured, until an engine is open: `auto` may become another. */
    let device: string = config.engine.device;
    const workbench = new Workbench({
      files: [...config.dataset.files, ...(canaries === undefined ? [] : [canaries])],
      readExamples: async (files, terms) => {
        const { readExamples } = await import('../round/read-examples.js');
        const dataset = { files, format: givenFormats[config.dataset.format], canaries };
        return readExamples(dataset, requireBase(base).directory, terms, recordKey);
      },
      openEngine: (lora, independentExamples) =>
        (options.openEngine ?? openConfiguredEngine)(
          requireBase(base),
          lora,
          config,
          independentExamples,
          { cacheFolder: home.quantized, onFinished: (report) => logQuantization(report, log) },
          (opened) => {
            log.info(opened, 'engine.opened');
            if (opened.device === device) return;
            device = opened.device;
            daemon.announceDevice();
          },
        ),
    });
    closers.push(() => workbench.close());

    const usage = await UsageBook.open(home.usage);
    closers.push(() => usage.close());
    const limits = new ResourceLimits({
      terms: { ...config.limits, gpuHoursPerPeriod: policy.gpuHoursPerPeriod, periodDays: policy.periodDays },
      usage,
      residentBytes: () => process.memoryUsage.rss(),
      gpuLoad: () => gpuLoad(environment),
      log,
      now: () => Date.now(),
      elapsed: () => performance.now(),
    });
    stepBack(config.limits.nice, log);

    const onOutgoing =
      options.recordTraffic === undefined ? undefined : recordTraffic(options.recordTraffic, () => Date.now());
    const http = new Http(config.coordinator, onOutgoing);
    const signIn = new SignIn(http, identity, pins.coordinatorKey);
    const store = new AdapterStore(home.adapters, pins.coordinatorKey, config.keepVersions);
    const { coordinatorKey } = pins;
    const random = systemRandom();
    const daemon = new Daemon({
      organisation: config.organisation,
      coordinator: config.coordinator,
      clientVersion: CLIENT_VERSION,
      device: () => device,
      declaredBudget: () => (policy.declareBudget ? declaredBudget(policy, ledger) : undefined),
      session: { url: config.coordinator, signIn, onOutgoing },
      verifier: new OfferVerifier({
        pins,
        identity: identity.publicKey,
        base,
        hasJoined: (sid) => decisions.hasJoined(sid),
        revocations: () => rosterMemory.revocations,
        wasChargedOtherwise: (runId, hash) =>
          ledger.entries.some((entry) => entry.runId === runId && entry.manifestHash !== hash),
      }),
      rosterMemory,
      round: {
        policy,
        isApproved: (manifestHash) => offers.isApproved(manifestHash),
        ledger,
        decisions,
        adapters: new AdapterSource(store, (id, signal) =>
          downloadVersion(id, { http, signIn, coordinatorKey, signal }),
        ),
        workbench,
        secagg: { crypto: nodeProvider, random, sign: (message) => identity.sign(message) },
        random,
        tokensPerBatch: config.engine.tokensPerBatch,
        upload: (roundId, masked, signal) => uploadMasked(roundId, masked, { http, signIn, signal }),
        now: () => Date.now(),
      },
      log,
      roundBook,
      statusPath: home.status,
      pausedPath: home.paused,
      leftPath: home.left,
      limits,
      releaseMemory: () => workbench.close(),
      isOpen: () => isOpenAt(policy.hours, Date.now()),
      rememberOffer: ({ manifest, charge }) => offers.remember(manifest, charge.manifestHash, Date.now()),
    });
    const { statusPage } = config;
    if (statusPage !== undefined) {
      try {
        const page = await openStatusPage(statusPage, () => daemon.status());
        closers.push(() => page.close());
        log.info(
          { at: statusPage.kind === 'unix' ? 'unix' : `${statusPage.host}:${statusPage.port}` },
          'status-page.opened',
        );
      } catch (error) {
        // It is for people: rounds do not wait for it.
        log.warn({ reason: FedloraError.from(error).summary }, 'status-page.failed');
      }
    }
    return {
      stop: () => daemon.stop(),
      stopNow: () => daemon.stopNow(),
      stopped: daemon.run().finally(closeAll),
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Lets others have the processor first. Only ever further back: going forward is for root. */
function stepBack(nice: number, log: Logger): void {
  try {
    if (nice > getPriority()) setPriority(nice);
  } catch (error) {
    log.warn({ reason: String(error) }, 'priority.not-set');
  }
}

function requireBase(base: BaseModel | undefined): BaseModel {
  if (base === undefined)
    throw new FedloraError('base-model/not-found', 'No base model is configured: `base` in config.yaml.');
  return base;
}

function logQuantization({ cacheError, ...facts }: QuantizeReport, log: Logger): void {
  log.info(facts, 'base-model.quantized');
  if (facts.cache === 'failed') log.warn({ cause: String(cacheError) }, 'base-model.not-cached');
}

function openConfiguredEngine(
  base: BaseModel,
  lora: LoraConfig,
  { engine: { name: engine, device, threads } }: ClientConfig,
  independentExamples: boolean,
  nf4: QuantizeOptions,
  onOpened: (opened: OpenedEngine) => void,
): Promise<Engine> {
  const options = { base, lora, quantization: 'nf4', engine, device, independentExamples, nf4, onOpened } as const;
  return openEngine({ ...options, ...(threads === 0 ? {} : { threads }) });
}
