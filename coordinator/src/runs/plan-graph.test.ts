import { canBeCut, checkGraphStrength, checkGraphTerms, leastThreshold, type CohortBounds } from '@fedlora/protocol';
import { describe, expect, it } from 'vitest';
import { planGraph } from './plan-graph.js';

const boundsOf = (members: number, assumedColluders: number) => ({
  members,
  assumedColluders,
  threshold: leastThreshold(members, assumedColluders),
});

describe('the graph of a run', () => {
  it.each([
    [129, 1],
    [140, 3],
    [1000, 50],
    [4096, 100],
  ])('of %i organisations with %i colluders keeps every rule and cannot be cut', (members, colluders) => {
    const asked = boundsOf(members, colluders);
    const { graph, minimumContributors } = planGraph(asked);
    const bounds: CohortBounds = { ...asked, minContributors: minimumContributors };
    expect(() => checkGraphTerms(bounds, graph)).not.toThrow();
    expect(() => checkGraphStrength(bounds, graph)).not.toThrow();
    expect(canBeCut(bounds, graph)).toBe(false);
    expect(minimumContributors).toBeGreaterThanOrEqual(Math.ceil(0.9 * members));
  });

  it('has the fewest neighbours that do', () => {
    const asked = boundsOf(140, 3);
    const { graph, minimumContributors } = planGraph(asked);
    // 14 may drop out and 3 collude.
    expect({ graph, minimumContributors }).toEqual({
      graph: { neighbours: 18, threshold: 4, silent: 2 },
      minimumContributors: 126,
    });
    const fewer = { ...graph, neighbours: 16 };
    expect(() => checkGraphTerms({ ...asked, minContributors: minimumContributors }, fewer)).toThrowError(
      expect.objectContaining({ code: 'manifest/invalid' }),
    );
  });

  it('for fewer contributors than a graph that cannot be cut bears has pieces of that many', () => {
    const { graph, minimumContributors } = planGraph({ ...boundsOf(1000, 10), minimumContributors: 20 });
    expect(minimumContributors).toBe(20);
    expect(graph.threshold).toBeGreaterThanOrEqual(20);
    expect(canBeCut({ ...boundsOf(1000, 10), minContributors: 20 }, graph)).toBe(true);
  });

  it('that the operator gives is taken as it is, with as many contributors as it bears', () => {
    const graph = { neighbours: 30, threshold: 6, silent: 0 };
    expect(planGraph({ ...boundsOf(400, 5), graph })).toEqual({ graph, minimumContributors: 376 });
    expect(() => planGraph({ ...boundsOf(400, 5), graph: { ...graph, threshold: 2 } })).toThrowError(
      expect.objectContaining({ code: 'manifest/invalid' }),
    );
    expect(() => planGraph({ ...boundsOf(400, 5), graph, minimumContributors: 370 })).toThrowError(
      expect.objectContaining({ code: 'manifest/invalid' }),
    );
  });

  it('that does not exist is said so, with what to change', () => {
    expect(() => planGraph({ ...boundsOf(1000, 400), minimumContributors: 800 })).toThrowError(
      expect.objectContaining({ code: 'run/invalid-description' }),
    );
  });
});
