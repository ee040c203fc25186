/**
 * The graph of a run with more than 128 organisations: who decides how many neighbours there are. The operator may; else it is the
 * fewest that protect every cohort which may turn up. Clients check the result by themselves (`checkManifest`), not this search.
 */

import {
  canBeCut,
  checkGraphStrength,
  checkGraphTerms,
  greatestThreshold,
  MAXIMUM_NEIGHBOURS,
  ProtocolError,
  type CohortBounds,
  type GraphTerms,
} from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';

/** Participants of a key list that may fall silent before they show their randomness, where the description does not say. */
const DEFAULT_SILENT = 2;

/** Fraction of the organisations that a round may lose at most, where the description does not say. */
const DEFAULT_LOSS = 0.1;

export interface GraphPlan {
  readonly graph: GraphTerms;
  readonly minimumContributors: number;
}

/** What is asked for; what is left out is found. */
export interface AskedGraph extends Omit<CohortBounds, 'minContributors'> {
  readonly minimumContributors?: number | undefined;
  readonly graph?: GraphTerms | undefined;
}

/**
 * Graph and least number of contributors that go together.
 *
 * Where the description leaves the latter open: nine tenths of the organisations, or more where a graph could otherwise be cut by the
 * dropouts that this allows. So every sum has that many contributors, and noise costs what it costs with everyone tied to everyone.
 * A description that asks for fewer gets a graph that can be cut: then pieces count, which are much smaller, and each adds more noise.
 *
 * @throws FedloraError run/invalid-description: no graph protects these organisations
 * @throws ProtocolError manifest/invalid: the graph that was asked for does not
 */
export function planGraph(asked: AskedGraph): GraphPlan {
  const { members, threshold, assumedColluders, graph } = asked;
  const mostNeighbours = graph?.neighbours ?? MAXIMUM_NEIGHBOURS;
  const loss = Math.min(Math.floor(members * DEFAULT_LOSS), mostNeighbours - 1 - assumedColluders);
  const minimumContributors = asked.minimumContributors ?? Math.max(threshold, members - Math.max(loss, 0));
  const bounds: CohortBounds = { members, threshold, assumedColluders, minContributors: minimumContributors };
  if (graph !== undefined) {
    checkGraphTerms(bounds, graph);
    checkGraphStrength(bounds, graph);
    return { graph, minimumContributors };
  }
  const found = fewestNeighbours(bounds);
  if (found !== undefined) return { graph: found, minimumContributors };
  throw new FedloraError(
    'run/invalid-description',
    `No graph of at most ${MAXIMUM_NEIGHBOURS} neighbours protects ${members} organisations with a threshold of ${threshold}, ${minimumContributors} contributors and ${assumedColluders} colluders. Raise minimumContributors, or lower it to at most what such a graph's pieces have, or assume fewer colluders.`,
    { details: { field: 'privacy.minimumContributors' } },
  );
}

/** The graph with the fewest neighbours, and of those the least threshold: it is the safest against dropouts. */
function fewestNeighbours(bounds: CohortBounds): GraphTerms | undefined {
  const most = Math.min(MAXIMUM_NEIGHBOURS, Math.max(bounds.threshold, bounds.minContributors) - 1);
  for (let neighbours = 2; neighbours <= most; neighbours += 2) {
    // Of a graph that can be cut, a piece has no more than the threshold.
    const least = canBeCut(bounds, { neighbours }) ? bounds.minContributors : 2;
    const greatest = reachable(bounds, neighbours);
    for (let threshold = least; threshold <= greatest; threshold += 1) {
      const graph = { neighbours, threshold, silent: DEFAULT_SILENT };
      if (protects(bounds, graph)) return graph;
    }
  }
  return undefined;
}

/** The greatest threshold at which a round still finishes, but for a chance of 2^-20, when as many drop out as may. */
function reachable({ members, threshold, minContributors }: CohortBounds, neighbours: number): number {
  const dropouts = members - Math.max(threshold, minContributors);
  const setting = { participants: members, colluders: 0, dropouts, lists: 'consistent' } as const;
  return Math.min(neighbours, greatestThreshold(setting, neighbours));
}

function protects(bounds: CohortBounds, graph: GraphTerms): boolean {
  try {
    checkGraphTerms(bounds, graph);
    checkGraphStrength(bounds, graph);
    return true;
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'manifest/invalid') return false;
    throw error;
  }
}
