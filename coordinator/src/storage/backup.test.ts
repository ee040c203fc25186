/** What the operator's guide says of backups, done with a coordinator that runs meanwhile; with PostgreSQL as well. */

import { cp, rm } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { routes, verifyAuditLines, type RoundView, type RunView } from '@fedlora/shared';
import { expect, it } from 'vitest';
import { backUp } from '../../../test/support/database.js';
import { untilRound, untilRun } from '../../../test/support/fake-federation.js';
import { startFakeNetwork, stopFakeNetwork } from '../../../test/support/fake-network.js';
import { listAll, operate, send } from '../../../test/support/requests.js';
import { runOfFour } from '../../../test/support/tiny-run.js';
import { startCoordinator } from '../start-coordinator.js';

it('a backup of the database, then of the folder, while a round is open, is enough to go on with the run', async () => {
  const overrides = { leaseMs: 2000 };
  const network = await startFakeNetwork(
    ['bank', 'clinic', 'council'],
    ({ organisations }) => {
      organisations[2].ignores = ({ phase, roundId }) => phase === 'training' && roundId.endsWith('-r2');
    },
    {},
    overrides,
  );
  const { admin, config, federation, folder } = network;
  let { coordinator } = network;
  const { id } = await operate<RunView>(coordinator.url, admin.token, 'POST', routes.runs, {
    ...runOfFour,
    deadlinesMs: { advertising: 20_000, sharing: 20_000, training: 60_000, checking: 20_000, unmasking: 20_000 },
  });
  await untilRound(coordinator.url, admin.token, id, ({ number, phase }) => number === 2 && phase === 'training');
  const putBack = await backUp(folder);
  await cp(folder, `${folder}-copy`, { recursive: true });

  // What happens later is lost with the machine.
  const [, , council] = federation.organisations;
  council.ignores = () => false;
  federation.disconnect();
  federation.organisations.forEach((organisation) => organisation.forget());
  await federation.connect(coordinator.url);
  const lost = await untilRun(coordinator.url, admin.token, id);
  expect(lost).toMatchObject({ status: 'completed', completedRounds: 3 });
  federation.disconnect();
  await coordinator.close();
  await rm(folder, { recursive: true });

  await cp(`${folder}-copy`, folder, { recursive: true });
  await rm(`${folder}-copy`, { recursive: true });
  await putBack();
  coordinator = await startCoordinator(config, overrides);
  // With PostgreSQL the copy has a lease of the coordinator that is lost, which has to run out.
  while (!(await send(coordinator.url, 'GET', '/readyz')).ok) await wait(100);
  federation.organisations.forEach((organisation) => organisation.forget());
  await federation.connect(coordinator.url);
  expect(await untilRun(coordinator.url, admin.token, id)).toMatchObject({ status: 'completed', completedRounds: 3 });
  const rounds = await listAll<RoundView>(coordinator.url, admin.token, routes.rounds(id));
  expect(rounds.map(({ number, phase }) => [number, phase])).toEqual([
    [4, 'done'],
    [3, 'done'],
    [2, 'aborted'],
    [1, 'done'],
  ]);
  const audit = await send(coordinator.url, 'GET', routes.auditExport, admin.token);
  expect(verifyAuditLines((await audit.text()).trim().split('\n')).sequence).toBeGreaterThan(0);
  await stopFakeNetwork({ ...network, coordinator });
});
