/** The composition root of a worker: a process that sums ranges of large updates for the coordinators of its configuration. */

import { FedloraError } from '@fedlora/shared';
import { SumWorker } from './aggregation/sum-worker.js';
import type { CoordinatorConfig } from './config/coordinator-config.js';
import { logOver, openLog } from './nest/pino-log.js';
import { ContributionStore } from './storage/contribution-store.js';
import { DataFolder } from './storage/data-folder.js';
import { openContributions } from './storage/open-blobs.js';

/** A worker that takes jobs. */
export interface RunningWorker {
  /** Ends it when the job that it does is done. */
  close(): Promise<void>;
}

/**
 * Starts a worker. It opens no database and no key: it reads contributions, and writes sums of them.
 *
 * @throws FedloraError config/invalid: there is no redisUrl | coordinator/blobs-unavailable
 */
export async function startWorker(config: CoordinatorConfig): Promise<RunningWorker> {
  const { redisUrl, federationKey } = config;
  if (redisUrl === undefined)
    throw new FedloraError('config/invalid', 'redisUrl is required for a worker: its coordinators leave jobs there.');
  const log = logOver(openLog(config.logLevel));
  const contributions = new ContributionStore(await openContributions(config, new DataFolder(config.dataFolder)));
  const worker = new SumWorker({ redisUrl, federationKey, contributions, log });
  return {
    close: async () => {
      await worker.close();
      log.info('worker.stopped');
    },
  };
}
