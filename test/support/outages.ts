/** Kills whoever drives in each phase of a round in turn, while real organisations train. */

import { phasesOfRound, type RequestPhase, type RoundView } from '@fedlora/shared';
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
 * coordinator takes over, and the organisation goes on. Until each phase had its turn.
 */
export async function killInEachPhase(network: Network, cluster: Cluster, runId: string): Promise<readonly Outage[]> {
  const frozen = network.options.organisations[0].name;
  const client = network.clients.get(frozen);
  const outages: Outage[] = [];
  try {
    for (const phase of phasesOfRound(false)) {
      while (outages.every((one) => one.phase !== phase)) {
        await untilPhase(network, runId, phase);
        client?.kill('SIGSTOP');
        // It may have answered before it froze: then the round waits in a later phase.
        const round = await untilOnlyAwaits(network, runId, frozen);
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

/** Resolves when a round of this run enters a phase. */
async function untilPhase(network: Network, runId: string, phase: RequestPhase): Promise<void> {
  await network.listen<void>((socket, resolve, reject) => {
    socket.on('round.changed', (round) => {
      if (round.runId === runId && round.phase === phase) resolve();
    });
    socket.on('run.changed', (run) => {
      if (run.id === runId && run.status !== 'running')
        reject(new Error(`The run ended (${run.status}) before a coordinator was killed in ${phase}.`));
    });
  });
}

/** Resolves with the round that waits for this organisation and no other. */
async function untilOnlyAwaits(network: Network, runId: string, name: string): Promise<RoundView> {
  let found: RoundView | undefined;
  await eventually(`a round waits for ${name} only`, async () => {
    const rounds = await network.rounds(runId);
    found = rounds.find(({ phase, participants }) => {
      const done: string | undefined = (answered as Partial<Record<string, string>>)[phase];
      const awaited = participants.filter(({ status }) => ![done, 'declined', 'dropped'].includes(status));
      return done !== undefined && awaited.map((one) => one.name).join() === name;
    });
    return found !== undefined;
  });
  return found as RoundView; // Safe: it was found.
}
