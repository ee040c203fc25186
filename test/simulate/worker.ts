/** A process in which a part of the simulation's clients live. */

import { nodeProvider } from '@fedlora/protocol/node';
import { remembering } from '../support/remembering.js';
import { ShapedLinks, type LinkProfile } from '../support/shaped-link.js';
import { Observations, reasonOf, SimulatedFederation } from './simulated-organisation.js';
import type { WorkerAnswer, WorkerReport, WorkerRequest } from './worker-messages.js';

const KIB_PER_MIB = 1024;
const LANES = 8;

const observations = new Observations();
let federation: SimulatedFederation | undefined;
let links: ShapedLinks | undefined;
let coordinator = '';

async function perform(request: WorkerRequest): Promise<WorkerReport | undefined> {
  switch (request.kind) {
    case 'enrol':
      coordinator = request.url;
      federation = new SimulatedFederation(remembering(nodeProvider), observations, request.dropout);
      await enrolAll(federation, request.token, request.names);
      return undefined;
    case 'connect':
      await federation?.connect(await addressOver(request.link));
      return undefined;
    case 'report':
      return report();
    case 'end':
      federation?.disconnect();
      await links?.stop();
      process.disconnect();
      return undefined;
    default:
      return request satisfies never;
  }
}

/** Several at a time: the coordinator stores each before it answers. */
async function enrolAll(members: SimulatedFederation, token: string, names: readonly string[]): Promise<void> {
  const lanes = Array.from({ length: LANES }, (_, lane) => names.filter((_name, i) => i % LANES === lane));
  await Promise.all(lanes.map((lane) => members.enrol(coordinator, token, lane)));
}

async function addressOver(link: LinkProfile | undefined): Promise<string> {
  if (link === undefined) return coordinator;
  links = await ShapedLinks.start(Number(new URL(coordinator).port), link);
  return links.url;
}

function report(): WorkerReport {
  const { waits, failures, levels } = observations;
  const { user, system } = process.cpuUsage();
  const { maxRSS } = process.resourceUsage();
  return { waits, failures, levels, cpuSeconds: (user + system) / 1e6, peakMiB: maxRSS / KIB_PER_MIB };
}

function answer(message: WorkerAnswer): void {
  if (process.connected) process.send?.(message);
}

process.on('message', (request: WorkerRequest) => {
  perform(request).then(
    (result) => answer({ kind: 'done', ...(result === undefined ? {} : { report: result }) }),
    (error: unknown) => answer({ kind: 'failed', message: reasonOf(error) }),
  );
});
// A client that cannot go on is silent from then on; the others do not notice.
process.on('unhandledRejection', (error) => observations.failed(reasonOf(error)));
process.on('disconnect', () => process.exit(0));
