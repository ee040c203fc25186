/** Which plan fits into the memory that there is. */

import type { EnginePlan } from './engine-plan.js';
import type { MemoryPlan } from './memory-plan.js';

const MIB = 2 ** 20;

const FEWEST_LOGITS = 4 * MIB;

/** A plan with what it takes. */
export interface FittedPlan {
  readonly plan: EnginePlan;
  readonly memory: MemoryPlan;
  /** Whether it fits into the bytes that are available. */
  readonly fits: boolean;
  /** What the plan that was asked for would take. */
  readonly wantedBytes: number;
}

/**
 * The first plan that fits, of the one given and of others that take less memory and more time: fewer activations kept, then block
 * graphs, fewer rows and logits at a time, and tables in 16 bits. If none fits, the last.
 *
 * Guarantee  what `fixed` names stays as it is; the process itself, being there already, is not asked for.
 */
export function fitPlan(
  memoryOf: (plan: EnginePlan) => MemoryPlan,
  plan: EnginePlan,
  availableBytes: number,
  fixed: Partial<EnginePlan> = {},
): FittedPlan {
  const wantedBytes = memoryOf(plan).totalBytes;
  const fitted = (candidate: EnginePlan): FittedPlan => {
    const memory = memoryOf(candidate);
    return { plan: candidate, memory, fits: missingBytes(memory, availableBytes) === 0, wantedBytes };
  };
  let best = fitted(plan);
  for (const lower of lowerings) {
    // A way may have to go on before it helps: activations of one block less call for the graphs that compute them anew.
    for (let at = best; !best.fits;) {
      const change = lower(at.plan, at.memory, missingBytes(at.memory, availableBytes));
      if (change === undefined || Object.keys(change).some((part) => part in fixed)) break;
      at = fitted({ ...at.plan, ...change });
      if (at.memory.totalBytes < best.memory.totalBytes) best = at;
    }
  }
  return best;
}

/** Bytes that a plan needs beyond those available. */
export function missingBytes({ bytes, totalBytes }: MemoryPlan, availableBytes: number): number {
  return Math.max(0, totalBytes - bytes.process - availableBytes);
}

/** Ways to take less memory, in the order of what they cost: the next plan, or `undefined` if there is none of that way. */
const lowerings: readonly ((
  plan: EnginePlan,
  memory: MemoryPlan,
  missing: number,
) => Partial<EnginePlan> | undefined)[] = [
  (plan) => (plan.structure === 'whole' ? { structure: 'blocks', keptBytes: 0 } : undefined),
  // From what is kept, which may be less than might be.
  (_, { bytes: { kept } }, missing) => (kept > 0 ? { keptBytes: Math.max(0, kept - missing) } : undefined),
  ({ rows }) => (rows > 1 ? { rows: Math.floor(rows / 2) } : undefined),
  ({ logitsBytes }) => (logitsBytes > FEWEST_LOGITS ? { logitsBytes: Math.floor(logitsBytes / 2) } : undefined),
  ({ tables }) => (tables === 'f32' ? { tables: 'stored' } : undefined),
  ({ readyGraphs }) => (readyGraphs === 'all' ? { readyGraphs: 'last' } : undefined),
];
