/**
 * Per-example clipping in the graph: each example's gradient is scaled to a norm of at most `l2Bound`, then they are summed.
 *
 * Source     Abadi et al. 2016, arXiv:1607.00133 (flat clipping over all trained parameters).
 * Guarantee  The gradient of each example, as stored in f32, times its factor, has an L2 norm <= l2Bound in exact arithmetic:
 *            `roundedDownBound` lowers the bound by what f32 sums of squares may err.
 * Rounding of the sum itself: at most SUMMED_IN_F32 examples are added in f32, and their sums in f64, as the budget of
 * protocol's ARITHMETIC_SLACK asks.
 */

import { factorsOf, gradientWidth, type Factor, type GradientMap, type GraphContext, linearNames } from './spec.js';
import type { Value } from './graph.js';

/** Examples whose clipped gradients are added in f32 before f64 takes over. */
export const SUMMED_IN_F32 = 8;

/** Half the distance from 1 to the next f32: the largest relative error of one rounding. */
const F32_ROUNDING = 2 ** -24;

/**
 * Roundings beside those of the sums, for the least precise device. WGSL ("Accuracy of Concrete Floating Point Expressions") has sqrt as the
 * reciprocal of an inverseSqrt of 2 ULP, and division at 2.5 ULP; an ULP is at most two roundings. So: root 4 + 5, division 5, and
 * one each for the square, the addition before the division, the product with the gradient and the bound itself.
 */
const OTHER_ROUNDINGS = 9 + 5 + 4;

/**
 * The bound that the graph clips to, so that rounding cannot carry a norm over `l2Bound`.
 *
 * A sum of n squares, all of one sign, errs by at most n roundings relative to itself whatever the order; its root by half of that.
 * We sum rows of at most `longestRow` values, then `rowCount` of their sums. For the demo's adapter this costs 2e-5 of the bound.
 */
export function roundedDownBound(l2Bound: number, longestRow: number, rowCount: number): number {
  const lowered = l2Bound * (1 - (longestRow + rowCount + OTHER_ROUNDINGS) * F32_ROUNDING);
  return Math.max(0, lowered - Math.abs(lowered) * 2 * F32_ROUNDING); // and once more, for its own rounding to f32
}

/** Shapes     gradients [B, r, n] each -> sum of their squares [B] */
export function squaredNorms(context: GraphContext, gradients: readonly Value[]): Value {
  const { graph } = context;
  const rows = gradients.map((gradient) => graph.op('ReduceSumSquare', [gradient], { axes: [2], keepdims: 0 })); // [B, r]
  return graph.sum(graph.concat(rows, 1), 1); // [B]
}

/**
 * Shapes     squares [B], bound [1], groups [groups, B] -> norms [B], factors [groups, B] = groups * min(1, bound / norm)
 * Edge cases norm 0 -> factor 1 | bound infinite -> factor 1
 */
export function clipFactors(
  context: GraphContext,
  squares: Value,
  bound: Value,
  groups: Value,
): { readonly norms: Value; readonly factors: Value } {
  const { graph } = context;
  const norms = graph.op('Sqrt', [squares]);
  const ratio = graph.op('Div', [bound, graph.add(norms, graph.scalar(1e-30))]);
  const factors = graph.op('Min', [graph.scalar(1), ratio]); // [B]
  return { norms, factors: graph.multiply(groups, factors) };
}

/**
 * Which example goes into which sum: 1 at [g, b] where b is one of the SUMMED_IN_F32 examples of group g, else 0.
 *
 * A product with 0 adds 0, exactly, so that one matrix product makes all groups' sums.
 */
export function groupMatrix(examples: number): { readonly groups: number; readonly matrix: Float32Array } {
  const groups = Math.ceil(examples / SUMMED_IN_F32);
  const matrix = new Float32Array(groups * examples);
  for (let example = 0; example < examples; example++)
    matrix[Math.floor(example / SUMMED_IN_F32) * examples + example] = 1;
  return { groups, matrix };
}

/**
 * Sums a module's gradient over the examples of each group, each times its factor, and lays it out row-major.
 *
 * Shapes     gradient [B, r, n], factors [groups, B] -> [groups, r n] for A and R, [groups, n r] for B (kept transposed)
 */
function clippedSum(
  context: GraphContext,
  gradient: Value,
  { factor, width }: GradientEntry,
  factors: Value | undefined,
): Value {
  const { graph, spec } = context;
  const flat = graph.reshape(gradient, [0, -1]); // [B, r n]
  const sum = factors === undefined ? flat : graph.matmul(factors, flat); // [groups, r n]
  if (factor !== 'B') return sum;
  return graph.reshape(graph.transpose(graph.reshape(sum, [0, spec.rank, width]), [0, 2, 1]), [0, -1]);
}

/** A gradient of one block, in layout order. */
export interface GradientEntry {
  readonly name: string;
  readonly factor: Factor;
  /** Length of its rows: in for A, out for B, r for R. */
  readonly width: number;
}

/** The trained factors of one block in layout order: by module, A before B. */
export function gradientEntries(context: GraphContext): GradientEntry[] {
  const { spec, gradients } = context;
  return linearNames
    .filter((name) => spec.adapted.includes(name))
    .flatMap((name) =>
      // Safe: asked of graphs with backward only.
      factorsOf(gradients!.trained).map((factor) => ({
        name: `${name}.${factor}`,
        factor,
        width: gradientWidth(spec, name, factor),
      })),
    );
}

/** The sums of one block's gradients: [groups, P / blocks] in layout order. */
export function clippedSums(
  context: GraphContext,
  prefix: string,
  gradients: GradientMap,
  factors: Value | undefined,
): Value {
  // Safe: backward has made a gradient for each entry.
  const parts = gradientEntries(context).map((entry) =>
    clippedSum(context, gradients.get(`${prefix}${entry.name}`)!, entry, factors),
  );
  return context.graph.concat(parts, 1);
}
