/**
 * Whole graphs: what is computed from which inputs.
 *
 * Two structures give the same results.
 *   whole    one graph for everything: fastest, and holds the activations of every block at once
 *   blocks   embed, block forward, tail (last block and head, forward and backward), block backward, which computes its forward
 *            anew: memory for one block's activations and one [R, D] checkpoint for each, and graphs that serve every block
 * Inputs of a block are called `0.q_proj.codes` in the whole graph and `q_proj.codes` in block graphs.
 */

import type { Focus, Tokens } from './attention.js';
import { blockBackward, blockForward } from './block.js';
import { clipFactors, clippedSums, gradientEntries, squaredNorms } from './clip.js';
import { GraphBuilder, type Value } from './graph.js';
import { headBackward, headForward, headLogits } from './head.js';
import { Rows } from './rows.js';
import { shapeOf, type GradientMap, type GradientSpec, type GraphContext, type GraphSpec } from './spec.js';

/** What a graph that ends in the head gives. */
export type Purpose = 'evaluate' | 'logits' | GradientSpec;

/**
 * Inputs     see `batch.ts`
 * Outputs    gradients: sum [groups, P], losses [B], and norms [B] if examples are kept apart
 *            evaluate: losses [B], best [B L] i32 | logits: logits [B L, V]
 */
export function wholeGraph(spec: GraphSpec, purpose: Purpose): Uint8Array {
  const context = contextOf(spec, purpose);
  const { graph } = context;
  const tokens = tokenInputs(context, graph.op('Shape', [graph.input('ids', 'int32', ['B', 'T'])]));
  const focus = focusInputs(context);
  const last = spec.config.num_hidden_layers - 1;
  const gradients: GradientMap = new Map();

  const embedded = embed(context); // [B, T, D]
  let x = graph.reshape(embedded, [-1, spec.config.hidden_size]); // [R, D]
  const caches = [];
  for (let block = 0; block <= last; block++) {
    const { y, cache } = blockForward(context, `${block}.`, x, tokens, block === last ? focus : undefined);
    caches.push(cache);
    x = y;
  }
  let dx = headEnd(context, purpose, x, focus);
  if (dx === undefined || typeof purpose === 'string') return graph.build();

  for (let block = last; block >= 0; block--) {
    dx = blockBackward(context, caches[block], dx, tokens, block === last ? focus : undefined, gradients);
  }
  let factors: Value | undefined;
  if (purpose.perExample) {
    const clip = clipFactors(
      context,
      squaredNorms(context, [...gradients.values()]),
      graph.input('l2Bound', 'float32', [1]),
      graph.input('groups', 'float32', ['G', 'B']),
    );
    graph.output('norms', clip.norms, 'float32', ['B']);
    factors = clip.factors;
  }
  const sums = caches.map((_, block) => clippedSums(context, `${block}.`, gradients, factors));
  graph.output('sum', graph.concat(sums, 1), 'float32', ['G', 'P']);
  return graph.build();
}

/** ids [B, T] -> x [B, T, D] */
export function embedGraph(spec: GraphSpec): Uint8Array {
  const context = contextOf(spec, 'logits');
  context.graph.input('ids', 'int32', ['B', 'T']);
  context.graph.output('x', embed(context), 'float32', ['B', 'T', spec.config.hidden_size]);
  return context.graph.build();
}

/** x [B, T, D] -> y [B, T, D] */
export function blockForwardGraph(spec: GraphSpec, purpose: Purpose): Uint8Array {
  const context = contextOf(spec, purpose);
  const { tokens, x } = blockInputs(context);
  outputTokens(context, 'y', blockForward(context, '', x, tokens).y, tokens);
  return context.graph.build();
}

/**
 * The last block and the head: x [B, T, D] -> what `purpose` asks for.
 *
 * Outputs    gradients: losses [B], dx [B, T, D], each gradient [B, r, n] of the last block, and squares [B]
 */
export function tailGraph(spec: GraphSpec, purpose: Purpose): Uint8Array {
  const context = contextOf(spec, purpose);
  const { tokens, x } = blockInputs(context);
  const focus = focusInputs(context);
  const { y, cache } = blockForward(context, '', x, tokens, focus);
  const dy = headEnd(context, purpose, y, focus);
  if (dy === undefined) return context.graph.build();
  const gradients: GradientMap = new Map();
  outputTokens(context, 'dx', blockBackward(context, cache, dy, tokens, focus, gradients), tokens);
  outputGradients(context, gradients);
  return context.graph.build();
}

/** x, dy [B, T, D] -> dx [B, T, D], each gradient [B, r, n], squares [B] */
export function blockBackwardGraph(spec: GraphSpec, purpose: GradientSpec): Uint8Array {
  const context = contextOf(spec, purpose);
  const { graph } = context;
  const { tokens, x } = blockInputs(context);
  const dy = graph.reshape(graph.input('dy', 'float32', ['B', 'T', spec.config.hidden_size]), [
    -1,
    spec.config.hidden_size,
  ]);
  const gradients: GradientMap = new Map();
  const { cache } = blockForward(context, '', x, tokens);
  outputTokens(context, 'dx', blockBackward(context, cache, dy, tokens, undefined, gradients), tokens);
  outputGradients(context, gradients);
  return graph.build();
}

/** One block's gradients [B, r, n] and factors [groups, B] -> sum [groups, P / blocks] in layout order */
export function sumGraph(spec: GraphSpec, purpose: GradientSpec): Uint8Array {
  const context = contextOf(spec, purpose);
  const { graph } = context;
  const gradients: GradientMap = new Map(
    gradientEntries(context).map(({ name, width }) => [
      name,
      graph.input(`gradient.${name}`, 'float32', ['E', spec.rank, width]),
    ]),
  );
  const factors = purpose.perExample ? graph.input('factors', 'float32', ['G', 'B']) : undefined;
  graph.output('sum', clippedSums(context, '', gradients, factors), 'float32', ['G', 'P']);
  return graph.build();
}

export function contextOf(spec: GraphSpec, purpose: Purpose): GraphContext {
  const graph = new GraphBuilder();
  return typeof purpose === 'string' ? { graph, spec } : { graph, spec, gradients: purpose };
}

/** ids [B, T] -> their rows of the embedding [B, T, D] */
export function embed(context: GraphContext): Value {
  const { vocab_size, hidden_size } = context.spec.config;
  const table = context.graph.input('embedding', 'float32', [vocab_size, hidden_size]);
  return context.graph.op('Gather', [table, 'ids'], { axis: 0 });
}

/** Ends a graph in the head; returns the gradient of its input [B L, D] if there is a backward to come. */
function headEnd(context: GraphContext, purpose: Purpose, x: Value, focus: Focus): Value | undefined {
  const { graph, spec } = context;
  if (purpose === 'logits') {
    graph.output('logits', headLogits(context, x).logits, 'float32', ['R', spec.config.vocab_size]);
    return undefined;
  }
  const weights = graph.input('weights', 'float32', ['B', 'L']);
  const head = headForward(context, x, graph.input('labels', 'int32', ['R']), weights, focus.rows);
  graph.output('losses', head.losses, 'float32', ['B']);
  if (purpose === 'evaluate') {
    graph.output(
      'best',
      graph.op('Cast', [graph.op('ArgMax', [head.logits], { axis: -1, keepdims: 0 })], { to: 6 }),
      'int32',
      ['R'],
    );
    return undefined;
  }
  return headBackward(context, head.cache, weights);
}

function blockInputs(context: GraphContext): { readonly tokens: Tokens; readonly x: Value } {
  const { graph, spec } = context;
  const D = spec.config.hidden_size;
  const x = graph.input('x', 'float32', ['B', 'T', D]);
  return { tokens: tokenInputs(context, graph.op('Shape', [x], { start: 0, end: 2 })), x: graph.reshape(x, [-1, D]) };
}

/** `shape` [2] i64: B and T. */
function tokenInputs(context: GraphContext, shape: Value): Tokens {
  const { graph } = context;
  return {
    rows: new Rows(graph, shape),
    positions: graph.integers([0]),
    mask: graph.input('mask', 'float32', ['T', 'T']),
  };
}

function focusInputs(context: GraphContext): Focus {
  const { graph } = context;
  const positions = graph.input('focus.positions', 'int64', ['B', 'L']);
  return {
    rows: new Rows(graph, graph.op('Shape', [positions])),
    positions,
    mask: graph.input('focus.mask', 'float32', ['B', 1, 'L', 'T']),
    index: graph.input('focus.index', 'int32', ['R']),
    inverse: graph.input('focus.inverse', 'int32', ['N']),
  };
}

function outputTokens(context: GraphContext, name: string, value: Value, tokens: Tokens): void {
  const D = context.spec.config.hidden_size;
  context.graph.output(name, tokens.rows.apart(value, [D]), 'float32', ['B', 'T', D]);
}

function outputGradients(context: GraphContext, gradients: GradientMap): void {
  const { graph, spec } = context;
  for (const { name, width } of gradientEntries(context)) {
    graph.output(`gradient.${name}`, gradients.get(name)!, 'float32', ['E', spec.rank, width]);
  }
  if (context.gradients!.perExample)
    graph.output('squares', squaredNorms(context, [...gradients.values()]), 'float32', ['B']);
}

/** One block's `q_proj.weight`, `.A`, `.B` -> `q_proj.merged` [out, in] = W + s B A, for each adapted layer */
export function mergeGraph(spec: GraphSpec): Uint8Array {
  const graph = new GraphBuilder();
  for (const name of spec.adapted) {
    const [outFeatures, inFeatures] = shapeOf(spec, name);
    const weight = graph.input(`${name}.weight`, 'float32', [outFeatures, inFeatures]);
    const A = graph.input(`${name}.A`, 'float32', [spec.rank, inFeatures]);
    const B = graph.input(`${name}.B`, 'float32', [outFeatures, spec.rank]);
    const merged = graph.gemm(B, A, weight, { alpha: spec.loraScaling });
    graph.output(`${name}.merged`, merged, 'float32', [outFeatures, inFeatures]);
  }
  return graph.build();
}
