/** A coordinator in this process, with organisations that have no engine: they are enrolled, certified and connected. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoordinatorConfig } from '../../coordinator/src/config/coordinator-config.js';
import { startCoordinator, type Overrides, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { databaseSetting } from './database.js';
import { FakeFederation } from './fake-federation.js';
import { becomeFirstAdmin, type FirstAdmin } from './first-admin.js';

export interface FakeNetwork {
  readonly coordinator: RunningCoordinator;
  readonly federation: FakeFederation;
  readonly admin: FirstAdmin;
  /** The coordinator's data folder. */
  readonly folder: string;
  /** With which the coordinator was started. */
  readonly config: CoordinatorConfig;
}

/** `prepare`: changes the organisations before they connect. `settings`: those of the coordinator that are not the tests' usual ones. */
export async function startFakeNetwork(
  names: readonly string[],
  prepare: (federation: FakeFederation) => void = () => undefined,
  settings: Partial<CoordinatorConfig> = {},
  overrides: Overrides = {},
): Promise<FakeNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'fedlora-fake-network-'));
  const federation = new FakeFederation();
  const { federationKey } = federation;
  const config: CoordinatorConfig = {
    ...(await databaseSetting(folder)),
    dataFolder: folder,
    host: '127.0.0.1',
    port: 0,
    logLevel: 'silent',
    federationKey,
    ...settings,
  };
  const coordinator = await startCoordinator(config, overrides);
  const admin = await becomeFirstAdmin(coordinator.url, coordinator.setupToken ?? '');
  await federation.enrol(coordinator.url, admin.token, names);
  prepare(federation);
  await federation.connect(coordinator.url);
  return { coordinator, federation, admin, folder, config };
}

export async function stopFakeNetwork({
  coordinator,
  federation,
  folder,
}: Pick<FakeNetwork, 'coordinator' | 'federation' | 'folder'>): Promise<void> {
  federation.disconnect();
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
}
