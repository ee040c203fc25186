/** Kills whoever drives in each phase of a round in turn, while real organisations train. */

import { phasesOfRound, routes, type RequestPhase, type RoundView, type RunView } from '@fedlora/shared';
import type { Cluster } from './cluster.js';
import { eventually } from './eventually.js';
import type { Network } from './network.js';

/** A coordinator's end. */
export interface Outage {
  /** Its round was in this phase, answered by all but one. */
  readonly phase: RequestPhase;
  readonly roundId: string;
}

/** How a participant stands who has answered a phase. */
export const answered: Readonly<Record<RequestPhase, string>> = {
  advertising: 'advertised',
  revealing: 'revealed',
  sharing: 'shared',
  training: 'uploaded',
  checking: 'checked',
  unmasking: 'unmasked',
};

/**
 * One organisation is frozen (SIGSTOP) when a phase begins, so that the round waits for it; the driver is killed as `kill -9` does, the other
 * coordinator takes over, and the organisation goes on. Until each phase had its turn, or the run has ended.
 */
export async function killInEachPhase(network: Network, cluster: Cluster, runId: string): Promise<readonly Outage[]> {
  const frozen = network.options.organisations[0].name;
  const client = network.clients.get(frozen);
  const outages: Outage[] = [];
  try {
    for (const phase of phasesOfRound(false)) {
      while (outages.every((one) => one.phase !== phase)) {
        if (!(await isInPhase(network, runId, phase))) return outages;
        client?.kill('SIGSTOP');
        // It may have answered before it froze: then the round waits in a later phase.
        const round = await onlyAwaiting(network, runId, frozen);
        if (round === undefined) return outages;
        if (outages.every((one) => one.phase !== round.phase)) {
          await cluster.startAgain(await cluster.killDriver());
          outages.push({ phase: round.phase as RequestPhase, roundId: round.id }); // Safe: phases of requests have answers.
        }
        client?.kill('SIGCONT');
      }
    }
  } finally {
    client?.kill('SIGCONT');
  }
  return outages;
}

/** Resolves when a round of this run enters a phase; with `false` if the run ends without. */
function isInPhase(network: Network, runId: string, phase: RequestPhase): Promise<boolean> {
  return network.listen<boolean>((socket, resolve, reject) => {
    const look = (run: RunView): void => {
      if (run.id === runId && run.status !== 'running') resolve(false);
    };
    socket.on('connect', () => void network.get<RunView>(routes.run(runId)).then(look, reject));
    socket.on('run.changed', look);
    socket.on('round.changed', (round) => {
      if (round.runId === runId && round.phase === phase) resolve(true);
    });
  });
}

/** Resolves with the round that waits for this organisation and no other; with nothing if the run ends without. */
async function onlyAwaiting(network: Network, runId: string, name: string): Promise<RoundView | undefined> {
  let found: RoundView | undefined;
  await eventually(`a round waits for ${name} only`, async () => {
    const { status } = await network.get<RunView>(routes.run(runId));
    const rounds = await network.rounds(runId);
    found = rounds.find(({ phase, participants }) => {
      const done: string | undefined = (answered as Partial<Record<string, string>>)[phase];
      const awaited = participants.filter((one) => ![done, 'declined', 'dropped'].includes(one.status));
      return done !== undefined && awaited.map((one) => one.name).join() === name;
    });
    return found !== undefined || status !== 'running';
  });
  return found;
}
