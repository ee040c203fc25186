/** What a coordinator can cut out of a Harary graph, against what the terms say it can (SPEC §10.6). */

import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { ProtocolError } from '../errors.js';
import { checkManifest, secaggTerms, serverDivisor, shareStddevInSteps, type Manifest } from '../manifest/manifest.js';
import { seededRandom } from '../node/index.js';
import { hararyGraph, type Graph } from './graph.js';
import {
  canBeCut,
  checkGraphStrength,
  checkGraphTerms,
  leastPiece,
  leastRemaining,
  shareThreshold,
  type CohortBounds,
} from './session.js';

const everyone = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** The pieces into which a graph falls when only `present` are left. */
function piecesOf(graph: Graph, present: ReadonlySet<number>): Set<number>[] {
  const left = new Set(present);
  const pieces: Set<number>[] = [];
  for (const start of present) {
    if (!left.delete(start)) continue;
    const piece = new Set([start]);
    for (const member of piece) {
      for (const near of graph.holdersOf(member)) if (left.delete(near)) piece.add(near);
    }
    pieces.push(piece);
  }
  return pieces;
}

/** The circle in its order, from the graph alone: whoever shares all but one holder stands beside. */
function circleOf(graph: Graph, neighbours: number): number[] {
  const circle = [graph.participants[0]];
  for (let at = circle[0]; circle.length < graph.participants.length; circle.push(at)) {
    const mine = new Set(graph.holdersOf(at));
    const beside = [...mine].filter(
      (one) => one !== at && graph.holdersOf(one).filter((holder) => mine.has(holder)).length === neighbours,
    );
    at = beside.find((one) => one !== circle.at(-2) && !circle.includes(one))!;
  }
  return circle;
}

/** A random choice of `count` out of `list`. */
function someOf(list: readonly number[], count: number, seed: string): number[] {
  const keys = new Uint32Array(seededRandom(seed)(4 * list.length).buffer);
  return list
    .map((member, i) => ({ member, key: keys[i] }))
    .sort((a, b) => a.key - b.key)
    .slice(0, count)
    .map(({ member }) => member);
}

const NEIGHBOURS = 8;
const MEMBERS = 40;

describe('a circle of 40 with 8 neighbours each', () => {
  const graph = hararyGraph(seededRandom('circle')(32), everyone(MEMBERS), NEIGHBOURS);
  const circle = circleOf(graph, NEIGHBOURS);

  it('stays in one piece without any 7 of them, wherever they stand', () => {
    expect(circle).toHaveLength(MEMBERS);
    const without = (missing: readonly number[]): number =>
      piecesOf(graph, new Set(everyone(MEMBERS).filter((member) => !missing.includes(member)))).length;
    for (let i = 0; i < 300; i++) expect(without(someOf(everyone(MEMBERS), NEIGHBOURS - 1, `missing/${i}`))).toBe(1);
    // The worst places: two gaps, one of four and one of three.
    for (let place = 4; place < MEMBERS - 3; place++) {
      expect(without([...circle.slice(0, 4), ...circle.slice(place, place + 3)])).toBe(1);
    }
  });

  it('falls into two without 8 of them in two gaps: the rule for cutting has no slack', () => {
    const missing = new Set([...circle.slice(0, 4), ...circle.slice(14, 18)]);
    const present = new Set(everyone(MEMBERS).filter((member) => !missing.has(member)));
    expect(piecesOf(graph, present).map((piece) => piece.size)).toEqual(expect.arrayContaining([10, 22]));
    const bounds = { members: MEMBERS, threshold: 33, minContributors: 33, assumedColluders: 0 };
    expect(canBeCut(bounds, { neighbours: 8 })).toBe(false);
    expect(canBeCut({ ...bounds, threshold: 32, minContributors: 32 }, { neighbours: 8 })).toBe(true);
    expect(canBeCut({ ...bounds, assumedColluders: 1 }, { neighbours: 8 })).toBe(true);
  });

  it('gives nobody a piece of fewer than t’ whose masks can be recovered, colluders of any choice included', () => {
    const shares = 5;
    let recoverable = 0;
    let least = MEMBERS;
    for (let i = 0; i < 2000; i++) {
      const colluders = new Set(someOf(everyone(MEMBERS), 2, `colluders/${i}`));
      // Contiguous gaps, as a coordinator that cuts chooses them, with others anywhere.
      const from = i % 30;
      const gaps = [...circle.slice(0, 4), ...circle.slice(from + 5, from + 9)];
      const gone = new Set([...gaps, ...someOf(everyone(MEMBERS), i % 8, `gone/${i}`)]);
      const honest = new Set(everyone(MEMBERS).filter((member) => !gone.has(member) && !colluders.has(member)));
      for (const piece of piecesOf(graph, honest)) {
        for (const member of piece) {
          const answering = graph.holdersOf(member).filter((holder) => honest.has(holder) || colluders.has(holder));
          if (answering.length < shares) continue;
          recoverable += 1;
          least = Math.min(least, piece.size + colluders.size);
        }
      }
    }
    expect(recoverable).toBeGreaterThan(10_000);
    expect(least).toBeGreaterThanOrEqual(shares);
    expect(least).toBeLessThanOrEqual(shares + 2);
  });
});

describe('terms with a graph', () => {
  const bounds: CohortBounds = { members: 140, threshold: 100, minContributors: 126, assumedColluders: 3 };
  const graph = { neighbours: 18, threshold: 4, silent: 2 };
  const refusal = (act: () => void): unknown => {
    try {
      act();
    } catch (error) {
      if (error instanceof ProtocolError && error.code === 'manifest/invalid') return error.details.field;
      throw error;
    }
    return undefined;
  };

  it('let m be the least of any sum: all that stay where nothing can be cut, a piece where it can', () => {
    expect(leastRemaining(bounds)).toBe(126);
    expect(leastPiece(bounds, undefined)).toBe(126);
    // 14 dropouts and 3 colluders against 18 neighbours.
    expect(leastPiece(bounds, graph)).toBe(126);
    expect(leastPiece({ ...bounds, minContributors: 125 }, graph)).toBe(4);
    expect(leastPiece({ ...bounds, assumedColluders: 4 }, graph)).toBe(4);
    expect(shareThreshold({ ...bounds, sid: new Uint8Array(32), members: [], length: 1, graph })).toBe(4);
  });

  it('are refused, by field, where they break a rule', () => {
    const check = (changes: Partial<CohortBounds>, other: Partial<typeof graph> = {}): unknown =>
      refusal(() => checkGraphTerms({ ...bounds, ...changes }, { ...graph, ...other }));
    expect(check({})).toBeUndefined();
    expect(check({ members: 128 })).toBe('aggregation.graph');
    expect(check({}, { neighbours: 19 })).toBe('aggregation.graph.neighbours');
    expect(check({}, { neighbours: 126 })).toBe('aggregation.graph.neighbours');
    expect(check({ members: 1000, minContributors: 900 }, { neighbours: 322 })).toBe('aggregation.graph.neighbours');
    expect(check({}, { threshold: 19 })).toBe('aggregation.graph.threshold');
    expect(check({}, { threshold: 1 })).toBe('aggregation.graph.threshold');
    expect(check({}, { silent: 5 })).toBe('aggregation.graph.silent');
    expect(check({ minContributors: 125 })).toBe('privacy.minimumContributors');
    expect(check({ minContributors: 5 }, { neighbours: 40, threshold: 5 })).toBeUndefined();
    expect(check({ minContributors: 6 }, { neighbours: 40, threshold: 5 })).toBe('privacy.minimumContributors');
  });

  it('are refused where they do not protect every cohort that may turn up, not only the whole roster', () => {
    expect(refusal(() => checkGraphStrength(bounds, graph))).toBeUndefined();
    expect(refusal(() => checkGraphStrength(bounds, { ...graph, threshold: 3 }))).toBe('aggregation.graph');
    // Of 1000 with 50 colluders 37 shares would do; of the 900 that may be left they do not.
    const large = { members: 1000, threshold: 526, minContributors: 900, assumedColluders: 50 };
    const shares = (threshold: number) => ({ neighbours: 152, threshold, silent: 2 });
    const whole = { ...large, minContributors: 1000 };
    expect(refusal(() => checkGraphStrength(whole, shares(37)))).toBeUndefined();
    expect(refusal(() => checkGraphStrength(large, shares(37)))).toBe('aggregation.graph');
    expect(refusal(() => checkGraphStrength(large, shares(39)))).toBeUndefined();
  });

  const deadlinesMs = { ...aManifest().aggregation.deadlinesMs, revealing: 5000 };
  const large = (changes: Partial<Manifest> = {}): Manifest => {
    const base = aManifest();
    const privacy = { ...base.privacy, assumedColluders: 3, minimumContributors: 126 };
    return aManifest({ privacy, aggregation: { threshold: 100, graph, deadlinesMs }, ...changes });
  };

  it('are part of the manifest exactly above 128 members, with a time for showing randomness', () => {
    const field = (manifest: Manifest, members = 140): unknown => refusal(() => checkManifest(manifest, members));
    expect(field(large())).toBeUndefined();
    expect(field(large({ aggregation: { threshold: 100, deadlinesMs } }))).toBe('aggregation.graph');
    expect(field(large(), 128)).toBe('aggregation.graph');
    const { revealing: _, ...without } = deadlinesMs;
    expect(field(large({ aggregation: { threshold: 100, graph, deadlinesMs: without } }))).toBe(
      'aggregation.deadlinesMs.revealing',
    );
    expect(refusal(() => checkManifest(aManifest({ aggregation: { threshold: 3, deadlinesMs } }), 3))).toBe(
      'aggregation.deadlinesMs.revealing',
    );
    for (const bent of [null, [], 7, {}, { ...graph, silent: '1' }, { ...graph, neighbours: null }]) {
      const aggregation = { threshold: 100, graph: bent as unknown as typeof graph, deadlinesMs };
      expect(String(field(large({ aggregation })))).toMatch(/^aggregation\.graph/);
    }
  });

  it('split the noise over the least piece that they allow: a graph that can be cut costs wider shares', () => {
    const uncut = large();
    const privacy = { ...uncut.privacy, minimumContributors: 20 };
    const cut = large({
      privacy,
      aggregation: { threshold: 100, graph: { neighbours: 40, threshold: 20, silent: 1 }, deadlinesMs },
    });
    expect(refusal(() => checkManifest(cut, 140))).toBeUndefined();
    const one = { ...privacy, minimumContributors: 21 };
    expect(refusal(() => checkManifest({ ...cut, privacy: one }, 140))).toBe('privacy.minimumContributors');
    expect(shareStddevInSteps(cut, 'B') / shareStddevInSteps(uncut, 'B')).toBeCloseTo(Math.sqrt(123 / 17), 12);
  });

  it('divide a sum of updates by what a round has at least, not by the size of a piece', () => {
    const training = { kind: 'local-steps', steps: 1, batchSize: 1, learningRate: 1, maximumGradientNorm: 1 } as const;
    const privacy = { ...large().privacy, unit: 'client', minimumContributors: 20 } as const;
    const aggregation = { threshold: 100, graph: { neighbours: 40, threshold: 20, silent: 1 }, deadlinesMs };
    expect(serverDivisor(large({ training, privacy, aggregation }))).toBe(100);
    expect(serverDivisor(large({ training, privacy: { ...privacy, minimumContributors: 126 } }))).toBe(126);
  });

  it('reach secure aggregation as they stand in the manifest', () => {
    const roster = { version: 1, members: [{ name: 'a', identity: 'ab'.repeat(32), certificate: '' }] } as const;
    const terms = secaggTerms(large(), roster, { sid: new Uint8Array(32), trained: 'B' });
    expect(terms).toMatchObject({ threshold: 100, minContributors: 126, assumedColluders: 3, graph });
    expect(terms.members).toEqual([{ index: 0, identity: new Uint8Array(32).fill(0xab) }]);
    expect('graph' in secaggTerms(aManifest(), roster, { sid: new Uint8Array(32), trained: 'B' })).toBe(false);
  });
});
