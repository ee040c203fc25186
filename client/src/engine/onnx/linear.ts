/**
 * Linear layers with LoRA: y = x W^T + s (x A^T) B^T, for several layers that read the same x. Where a factor R stands between B and
 * A, forward has B R for B.
 *
 * Source     Hu et al. 2021, arXiv:2106.09685; Dettmers et al. 2023, arXiv:2305.14314. W is frozen, NF4 or f32.
 * Layers of one input stand together because their A are multiplied as one matrix: with r = 8, one layer alone would leave most of
 * the processor's vector lanes idle.
 */

import type { LinearName } from '@fedlora/shared';
import { architectureOf } from '../weights/architecture.js';
import type { Value } from './graph.js';
import type { Rows } from './rows.js';
import { factorsOf, gradientWidth, shapeOf, type GradientMap, type GraphContext } from './spec.js';

/** What backward needs of forward. */
export interface LinearCache {
  readonly prefix: string;
  readonly names: readonly LinearName[];
  /** [R, in] */
  readonly x: Value;
  /** x A^T [R, r] of each adapted layer. */
  readonly xA: ReadonlyMap<LinearName, Value>;
  /** With dropout, what each adapted layer has in the place of x [R, in], and by what it was multiplied. */
  readonly dropped: ReadonlyMap<LinearName, { readonly x: Value; readonly factors: Value }>;
}

/** Block length of NF4, in values. */
const NF4_BLOCK = 64;

/** `quant_type` of MatMulBnb4 for NF4 (0 is FP4). */
const NF4_TYPE = 1;

/**
 * Shapes     x [R, in] -> y [R, out] for each name; `residual` [R, out] is added to y, for a single name
 */
export function linearForward(
  context: GraphContext,
  prefix: string,
  names: readonly LinearName[],
  x: Value,
  residual?: Value,
): { readonly y: Value[]; readonly cache: LinearCache } {
  const { graph, spec } = context;
  const adapted = names.filter((name) => spec.adapted.includes(name));
  const xA = new Map<LinearName, Value>();
  const dropped = droppedInputs(context, prefix, adapted, x);
  for (const [name, input] of dropped) {
    xA.set(name, graph.gemm(input.x, stackedA(context, prefix, [name]), undefined, { transB: true })); // [R, r]
  }
  if (adapted.length > xA.size) {
    const stacked = graph.gemm(x, stackedA(context, prefix, adapted), undefined, { transB: true }); // [R, n r] = [R, in] x [in, n r]
    const sizes = adapted.map(() => spec.rank);
    graph.split(stacked, 1, sizes).forEach((part, i) => xA.set(adapted[i], part));
  }
  const y = names.map((name) => {
    const base = baseForward(context, prefix, name, x, residual);
    if (spec.weights === 'merged' || !xA.has(name)) return base;
    return graph.gemm(xA.get(name)!, factorB(context, prefix, name), base, { transB: true, alpha: spec.loraScaling }); // [R, out]
  });
  return { y, cache: { prefix, names, x, xA, dropped } };
}

/**
 * Shapes     dy [R, out] of each name -> dx [R, in], plus `sum` [R, in] where given
 * Puts the gradients of the trained factors into `gradients`.
 */
export function linearBackward(
  context: GraphContext,
  cache: LinearCache,
  dy: readonly Value[],
  rows: Rows,
  gradients: GradientMap,
  sum?: Value,
): Value {
  const { graph, spec } = context;
  const { prefix, names, x, xA, dropped } = cache;
  const adapted = names.filter((name) => xA.has(name));
  const dyOf = (name: LinearName): Value => dy[names.indexOf(name)];

  // Safe: graphs with backward have gradients.
  const { trained } = context.gradients!;
  // dXA [R, r] = s [R, out] x [out, r]; with R between frozen factors = dXAR [R, r] x [r, r], dXAR being that of x A^T R^T
  const dXAR =
    trained === 'R' ? adapted.map((name) => timesScaledB(context, dyOf(name), frozenB(context, prefix, name))) : [];
  const dXA = adapted.map((name, i) =>
    trained === 'R'
      ? graph.matmul(dXAR[i], factorR(context, prefix, name))
      : timesScaledB(context, dyOf(name), factorB(context, prefix, name)),
  );
  adapted.forEach((name, i) => {
    for (const factor of factorsOf(trained)) {
      const width = gradientWidth(spec, name, factor);
      // A: [B, r, in] = [B, T, r]^T x [B, T, in];  B, transposed: [B, r, out] = s [B, T, r]^T x [B, T, out];
      // R: [B, r, r] = [B, T, r]^T x [B, T, r], so that no gradient of B R is made
      const gradient = {
        A: () => outerProduct(context, rows, dXA[i], dropped.get(name)?.x ?? x, width, 1),
        B: () => outerProduct(context, rows, xA.get(name)!, dyOf(name), width, spec.loraScaling),
        R: () => outerProduct(context, rows, dXAR[i], xA.get(name)!, width, 1),
      }[factor]();
      gradients.set(`${prefix}${name}.${factor}`, gradient);
    }
  });

  let dx = sum;
  for (const name of names) dx = graph.gemm(dyOf(name), denseWeight(context, prefix, name), dx); // [R, in] = [R, out] x [out, in]
  adapted.forEach((name, i) => {
    const input = dropped.get(name);
    if (input === undefined) return;
    const dDropped = graph.matmul(dXA[i], stackedA(context, prefix, [name])); // [R, in] = [R, r] x [r, in]
    dx = graph.add(dx!, graph.multiply(dDropped, input.factors)); // Safe: dx is set, there being a name.
  });
  if (spec.weights !== 'merged' && adapted.length > dropped.size) {
    dx = graph.gemm(graph.concat(dXA, 1), stackedA(context, prefix, adapted), dx); // [R, in] = [R, n r] x [n r, in]
  }
  return dx!; // Safe: there is at least one name.
}

/** x [R, in] times 0 where `q_proj.keep` says so, and 1 / (1 - p) elsewhere, for each layer: none without dropout. */
function droppedInputs(
  context: GraphContext,
  prefix: string,
  names: readonly LinearName[],
  x: Value,
): Map<LinearName, { readonly x: Value; readonly factors: Value }> {
  const { graph, spec, gradients } = context;
  const { dropout } = gradients ?? {};
  if (dropout === undefined) return new Map();
  return new Map(
    names.map((name) => {
      // Its own name for the rows: onnxruntime reuses buffers among sizes of one name, and layers of the last block have two.
      const rows = `${prefix}${name}.rows`;
      const keep = graph.input(`${prefix}${name}.keep`, 'uint8', [rows, shapeOf(spec, name)[1]]);
      const factors = graph.multiply(graph.op('Cast', [keep], { to: 1 }), graph.scalar(1 / (1 - dropout)));
      return [name, { x: graph.multiply(x, factors), factors }];
    }),
  );
}

/**
 * The gradient of a factor: [B, r, n] with examples apart, or their sum as [1, r, n].
 *
 * It is r rows of n, never n rows of r: the long side is the one that vectors run along.
 */
function outerProduct(
  context: GraphContext,
  rows: Rows,
  narrow: Value,
  wide: Value,
  width: number,
  alpha: number,
): Value {
  const { graph, spec } = context;
  if (!context.gradients!.perExample)
    return graph.reshape(graph.matmul(narrow, wide, { transA: true, alpha }), [1, spec.rank, width]);
  return graph.matmul(rows.apart(narrow, [spec.rank]), rows.apart(wide, [width]), { transA: true, alpha, rank: 3 });
}

/** x W^T [R, out], with bias and residual. */
function baseForward(
  context: GraphContext,
  prefix: string,
  name: LinearName,
  x: Value,
  residual: Value | undefined,
): Value {
  const { graph, spec } = context;
  const [outFeatures, inFeatures] = shapeOf(spec, name);
  const isBiased = architectureOf(spec.config).biased.includes(name);
  const bias = isBiased ? graph.input(`${prefix}${name}.bias`, 'float32', [outFeatures]) : undefined;
  if (spec.weights !== 'nf4') {
    const y = graph.gemm(x, denseWeight(context, prefix, name), residual ?? bias, { transB: true });
    return residual !== undefined && bias !== undefined ? graph.add(y, bias) : y;
  }
  const { codes, absmax } = nf4Weight(context, prefix, name);
  const attributes = { K: inFeatures, N: outFeatures, block_size: NF4_BLOCK, quant_type: NF4_TYPE, transB: 1 };
  let y = graph.op('MatMulBnb4', [x, codes, absmax], attributes);
  if (bias !== undefined) y = graph.add(y, bias);
  return residual === undefined ? y : graph.add(y, residual);
}

/**
 * W [out, in] f32.
 *
 * The CPU kernel of MatMulBnb4 with transB = 0 multiplies by W^T all the same, and says nothing. So backward dequantizes, by the
 * same operation: [[1]] times a weight of one column and out * in rows, transposed, is the weight in a row; exactly, being a
 * product with 1.
 */
export function denseWeight(context: GraphContext, prefix: string, name: LinearName): Value {
  const { graph, spec } = context;
  const [outFeatures, inFeatures] = shapeOf(spec, name);
  if (spec.weights !== 'nf4') return graph.input(`${prefix}${name}.weight`, 'float32', [outFeatures, inFeatures]);
  const { codes, absmax } = nf4Weight(context, prefix, name);
  const attributes = { K: 1, N: outFeatures * inFeatures, block_size: NF4_BLOCK, quant_type: NF4_TYPE, transB: 1 };
  return graph.reshape(graph.op('MatMulBnb4', [graph.filled([1, 1], 1), codes, absmax], attributes), [
    outFeatures,
    inFeatures,
  ]);
}

function nf4Weight(context: GraphContext, prefix: string, name: LinearName): { codes: Value; absmax: Value } {
  const [outFeatures, inFeatures] = shapeOf(context.spec, name);
  const count = outFeatures * inFeatures;
  return {
    codes: context.graph.input(`${prefix}${name}.codes`, 'uint8', [Math.ceil(count / 2)]),
    absmax: context.graph.input(`${prefix}${name}.absmax`, 'float32', [Math.ceil(count / NF4_BLOCK)]),
  };
}

/** The A of several layers, one below the other: [n r, in]. */
function stackedA(context: GraphContext, prefix: string, names: readonly LinearName[]): Value {
  const { graph, spec } = context;
  return graph.concat(
    names.map((name) => graph.input(`${prefix}${name}.A`, 'float32', [spec.rank, shapeOf(spec, name)[1]])),
    0,
  );
}

/** s dy B [R, r] = s [R, out] x [out, r] */
function timesScaledB({ graph, spec }: GraphContext, dy: Value, B: Value): Value {
  return graph.matmul(dy, B, { alpha: spec.loraScaling });
}

/** [out, r]: B, or B R of an adapter with R */
function factorB(context: GraphContext, prefix: string, name: LinearName): Value {
  return context.graph.input(`${prefix}${name}.B`, 'float32', [shapeOf(context.spec, name)[0], context.spec.rank]);
}

/** [out, r]: B of an adapter with R */
function frozenB(context: GraphContext, prefix: string, name: LinearName): Value {
  const { graph, spec } = context;
  return graph.input(`${prefix}${name}.frozenB`, 'float32', [shapeOf(spec, name)[0], spec.rank]);
}

/** [r, r] */
function factorR(context: GraphContext, prefix: string, name: LinearName): Value {
  return context.graph.input(`${prefix}${name}.R`, 'float32', [context.spec.rank, context.spec.rank]);
}
