/** A coordinator with organisations that have no engine, for tests of what is released: they say what they measured of each version. */

import { routes, type ReleaseView, type RunView } from '@fedlora/shared';
import type { RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { untilRun, type FakeFederation } from './fake-federation.js';
import { startFakeNetwork, stopFakeNetwork } from './fake-network.js';
import type { FirstAdmin } from './first-admin.js';
import { listAll, operate } from './requests.js';
import { tinyBase } from './tiny-run.js';

/** Loss in nats per answer token, and fraction of exact answers. */
export interface Measured {
  readonly loss: number;
  readonly exact: number;
}

export class ReleaseNetwork {
  private constructor(
    readonly coordinator: RunningCoordinator,
    readonly federation: FakeFederation,
    readonly admin: FirstAdmin,
    /** The coordinator's data folder. */
    readonly folder: string,
  ) {}

  /** `measured`: of the version that each round of a run starts from. */
  static async start(measured: readonly Measured[]): Promise<ReleaseNetwork> {
    const { coordinator, federation, admin, folder } = await startFakeNetwork(
      ['bank', 'clinic', 'council'],
      (fakes) => {
        for (const organisation of fakes.organisations)
          organisation.ignores = ({ offer }) => {
            if (offer !== undefined) organisation.numbers = { losses: [1], heldOut: [measured[offer.completedRounds]] };
            return false;
          };
      },
    );
    return new ReleaseNetwork(coordinator, federation, admin, folder);
  }

  get url(): string {
    return this.coordinator.url;
  }

  /** Of an API token that may do everything. */
  get token(): string {
    return this.admin.token;
  }

  operate<Value>(method: string, path: string, body?: object): Promise<Value> {
    return operate<Value>(this.url, this.token, method, path, body);
  }

  /** Starts a run and waits for its end. */
  async complete(description: object): Promise<RunView> {
    const { id } = await this.operate<RunView>('POST', routes.runs, description);
    return untilRun(this.url, this.token, id);
  }

  /** Ids of the versions of a repository, the untrained first one at 0. */
  async versionsOf(repository: string): Promise<string[]> {
    const all = await listAll<ReleaseView>(this.url, this.token, routes.releases(repository));
    return all.map(({ id }) => id).reverse();
  }

  async stop(): Promise<void> {
    await stopFakeNetwork(this);
  }
}

/** The `config.json` that the base model of `measuredRun` would have. */
export const measuredBase = {
  model_type: 'llama',
  ...tinyBase.shape,
  vocab_size: 64,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
};

/** A run of so many rounds that publishes into a repository, and measures what it makes. */
export function measuredRun(repository: string, rounds: number): object {
  return {
    title: 'Support adapter',
    repository,
    rounds,
    base: tinyBase,
    adapter: { rule: 'ffa-svd', r: 4, lora_alpha: 8, target_modules: ['q_proj', 'up_proj'], rebaseEvery: 0 },
    data: { format: 'alpaca', maximumLength: 64 },
    privacy: { unit: 'none', l2Bound: 1, noiseMultiplier: 0, delta: 0, assumedColluders: 1 },
    training: { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
    metrics: { evaluation: { fraction: 0.2 } },
    server: { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 },
  };
}
