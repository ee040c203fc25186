/**
 * Whole graphs: what is computed from which inputs.
 *
 * Two structures give the same results.
 *   whole    one graph for everything: fastest, and holds the activations of every block at once
 *   blocks   embed, block forward, tail (last block and head, forward and backward), block backward, which computes its forward
 *            anew: memory for one block's activations and one [R, D] checkpoint for each, and graphs that serve every block
 * Inputs of a block are called `0.q_proj.codes` in the whole graph and `q_proj.codes` in block graphs. Where blocks differ in the
 * tokens they see or in how these turn, the whole graph has inputs for each type; block graphs have one, fed by the block's type.
 */

import { layerTypeOf } from '../weights/architecture.js';
import type { LayerType } from '../weights/base-model.js';
import type { Focus, Tokens } from './attention.js';
import { blockBackward, blockForward, type BlockCache } from './block.js';
import { clipFactors, clippedSums, gradientEntries, squaredNorms } from './clip.js';
import { GraphBuilder, type GraphFile, type GraphPair, type Value } from './graph.js';
import {
  addHeadPart,
  headBackward,
  headForward,
  headLogits,
  headLosses,
  headNorm,
  headParts,
  logitsOf,
  type HeadSums,
} from './head.js';
import { turningOf } from './rope.js';
import { Rows } from './rows.js';
import { shapeOf, type GradientMap, type GradientSpec, type GraphContext, type GraphSpec } from './spec.js';

/** Names of the inputs that depend on a block's type: the mask [T, T], and the rotary tables before `.cos`. */
export const typedInputs: Readonly<Record<LayerType, { readonly mask: string; readonly rope: string }>> = {
  full_attention: { mask: 'mask', rope: 'rope' },
  sliding_attention: { mask: 'mask.sliding', rope: 'rope.sliding' },
};

/** What a graph that ends in the head gives. */
export type Purpose = 'evaluate' | 'logits' | GradientSpec;

/**
 * Inputs     see `batch.ts`; with several head parts also `headParts`, whose logits are in memory one part at a time
 * Outputs    gradients: sum [groups, P], losses [B], and norms [B] if examples are kept apart
 *            evaluate: losses [B], best [B L] i32 | logits: logits [B L, V]
 */
export function wholeGraph(spec: GraphSpec, purpose: Purpose, headPartCount = 1): GraphFile {
  const context = contextOf(spec, purpose);
  const { graph } = context;
  const shape = graph.op('Shape', [graph.input('ids', 'int32', ['B', 'T'])]);
  const rows = new Rows(graph, shape);
  const last = spec.config.num_hidden_layers - 1;
  const tokens = Array.from({ length: last + 1 }, (_, block) =>
    tokenInputs(context, rows, layerTypeOf(spec.config, block)),
  );
  const focus = focusInputs(context, layerTypeOf(spec.config, last));
  const gradients: GradientMap = new Map();

  const embedded = embed(context); // [B, T, D]
  let x = graph.reshape(embedded, [-1, spec.config.hidden_size]); // [R, D]
  const caches = [];
  for (let block = 0; block <= last; block++) {
    const { y, cache } = blockForward(context, `${block}.`, x, tokens[block], block === last ? focus : undefined);
    caches.push(cache);
    x = y;
  }
  let dx = headEnd(context, purpose, x, focus, headPartCount);
  if (dx === undefined || typeof purpose === 'string') return graph.build();

  for (let block = last; block >= 0; block--) {
    dx = blockBackward(context, caches[block], dx, tokens[block], block === last ? focus : undefined, gradients);
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
export function embedGraph(spec: GraphSpec): GraphFile {
  const context = contextOf(spec, 'logits');
  context.graph.input('ids', 'int32', ['B', 'T']);
  context.graph.output('x', embed(context), 'float32', ['B', 'T', spec.config.hidden_size]);
  return context.graph.build();
}

/** x [B, T, D] -> y [B, T, D] */
export function blockForwardGraph(spec: GraphSpec, purpose: Purpose): GraphFile {
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
export function tailGraph(spec: GraphSpec, purpose: Purpose, headPartCount = 1): GraphFile {
  const context = contextOf(spec, purpose);
  const { tokens, x } = blockInputs(context);
  const focus = focusInputs(context, 'full_attention');
  const { y, cache } = blockForward(context, '', x, tokens, focus);
  const dy = headEnd(context, purpose, y, focus, headPartCount);
  if (dy === undefined) return context.graph.build();
  const gradients: GradientMap = new Map();
  outputTokens(context, 'dx', blockBackward(context, cache, dy, tokens, focus, gradients), tokens);
  outputGradients(context, gradients);
  return context.graph.build();
}

/** The last block up to the head's norm: x [B, T, D] -> h [R, D] */
export function streamedStartGraph(spec: GraphSpec, purpose: Purpose): GraphFile {
  const context = contextOf(spec, purpose);
  const { tokens, x } = blockInputs(context);
  const { y } = blockForward(context, '', x, tokens, focusInputs(context, 'full_attention'));
  context.graph.output('h', headNorm(context, y).y, 'float32', ['R', spec.config.hidden_size]);
  return context.graph.build();
}

/** head [V, D] -> its parts [n, D], under the names of `headParts` */
export function headPartsGraph(spec: GraphSpec, count: number): GraphFile {
  const { graph } = contextOf(spec, 'logits');
  const { vocab_size: V, hidden_size: D } = spec.config;
  const parts = headParts(V, count);
  const sizes = parts.map(({ begin, end }) => end - begin);
  const values = graph.split(graph.input('head', 'float32', [V, D]), 0, sizes);
  parts.forEach(({ name }, i) => graph.output(name, values[i], 'float32', [sizes[i], D]));
  return graph.build();
}

/** h [R, D] and one part of the head [n, D] -> logits [R, n] */
export function streamedLogitsGraph(spec: GraphSpec): GraphFile {
  const context = contextOf(spec, 'logits');
  const { graph } = context;
  const { hidden_size: D } = spec.config;
  const h = graph.input('h', 'float32', ['R', D]);
  const { logits } = logitsOf(context, h, graph.input('part', 'float32', ['N', D]));
  graph.output('logits', logits, 'float32', ['R', 'N']);
  return graph.build();
}

/** h [R, D], one part of the head [n, D] and the sums before it -> the sums after it: `HeadSums` without what is not needed */
export function streamedPartGraph(spec: GraphSpec, purpose: Exclude<Purpose, 'logits'>): GraphFile {
  const context = contextOf(spec, purpose);
  const { graph } = context;
  const { hidden_size: D } = spec.config;
  const h = graph.input('h', 'float32', ['R', D]);
  const part = graph.input('part', 'float32', ['N', D]);
  const sums = addHeadPart(context, h, part, graph.input('begin', 'int64', [1]), sumsInput(context));
  graph.output('largest.after', sums.largest, 'float32', ['R', 1]);
  graph.output('total.after', sums.total, 'float32', ['R', 1]);
  if (purpose === 'evaluate') graph.output('best.after', sums.best, 'int64', ['R', 1]);
  else graph.output('expected.after', sums.expected, 'float32', ['R', D]);
  return graph.build();
}

/** h [R, D], the label's rows of the head [R, D] and the sums over the vocabulary -> losses [B], best [R] i32 */
export function streamedEvaluationGraph(spec: GraphSpec): GraphFile {
  const context = contextOf(spec, 'evaluate');
  const { graph } = context;
  const weights = graph.input('weights', 'float32', ['B', 'L']);
  const h = graph.input('h', 'float32', ['R', spec.config.hidden_size]);
  const found = { h, sums: sumsInput(context), labelRows: labelRowsInput(context) };
  const losses = headLosses(context, found, weights, new Rows(graph, graph.op('Shape', [weights])));
  graph.output('losses', losses, 'float32', ['B']);
  outputBest(context, graph.reshape(found.sums.best, [-1]));
  return graph.build();
}

/** As `tailGraph` for gradients, with the sums over the vocabulary given; the last block's forward is computed anew. */
export function streamedTailGraph(spec: GraphSpec, purpose: GradientSpec): GraphFile {
  const context = contextOf(spec, purpose);
  const { graph } = context;
  const { tokens, x } = blockInputs(context);
  const focus = focusInputs(context, 'full_attention');
  const weights = graph.input('weights', 'float32', ['B', 'L']);
  const { y, cache } = blockForward(context, '', x, tokens, focus);
  const { y: h, cache: norm } = headNorm(context, y);
  const head = { norm, h, sums: sumsInput(context), labelRows: labelRowsInput(context) };
  graph.output('losses', headLosses(context, head, weights, focus.rows), 'float32', ['B']);
  const dy = headBackward(context, head, weights);
  const gradients: GradientMap = new Map();
  outputTokens(context, 'dx', blockBackward(context, cache, dy, tokens, focus, gradients), tokens);
  outputGradients(context, gradients);
  return graph.build();
}

/** x, dy [B, T, D] -> dx [B, T, D], each gradient [B, r, n], squares [B] */
export function blockBackwardGraph(spec: GraphSpec, purpose: GradientSpec): GraphFile {
  const context = contextOf(spec, purpose);
  const { tokens, x } = blockInputs(context);
  blockEnd(context, blockForward(context, '', x, tokens).cache, tokens);
  return context.graph.build();
}

/**
 * A block whose activations are kept: forward x [B, T, D] -> y [B, T, D] and `kept`; backward x, dy and `kept` -> as
 * `blockBackwardGraph`.
 */
export function keptBlockGraphs(spec: GraphSpec, purpose: GradientSpec): GraphPair {
  const context = contextOf(spec, purpose);
  const { tokens, x } = blockInputs(context);
  const { y, cache } = blockForward(context, '', x, tokens);
  outputTokens(context, 'y', y, tokens);
  context.graph.beginBackward();
  blockEnd(context, cache, tokens);
  return context.graph.buildPair();
}

function blockEnd(context: GraphContext, cache: BlockCache, tokens: Tokens): void {
  const { graph, spec } = context;
  const D = spec.config.hidden_size;
  const dy = graph.reshape(graph.input('dy', 'float32', ['B', 'T', D]), [-1, D]);
  const gradients: GradientMap = new Map();
  outputTokens(context, 'dx', blockBackward(context, cache, dy, tokens, undefined, gradients), tokens);
  outputGradients(context, gradients);
}

/** One block's gradients [B, r, n] and factors [groups, B] -> sum [groups, P / blocks] in layout order */
export function sumGraph(spec: GraphSpec, purpose: GradientSpec): GraphFile {
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
  const graph = new GraphBuilder(spec.profile);
  return typeof purpose === 'string' ? { graph, spec } : { graph, spec, gradients: purpose };
}

/** ids [B, T] -> their rows of the embedding [B, T, D] */
export function embed(context: GraphContext): Value {
  const { vocab_size, hidden_size, embedding_scale } = context.spec.config;
  const table = context.graph.input('embedding', 'float32', [vocab_size, hidden_size]);
  const embedded = context.graph.op('Gather', [table, 'ids'], { axis: 0 });
  return embedding_scale === undefined
    ? embedded
    : context.graph.multiply(embedded, context.graph.scalar(embedding_scale));
}

/** Ends a graph in the head; returns the gradient of its input [B L, D] if there is a backward to come. */
function headEnd(
  context: GraphContext,
  purpose: Purpose,
  x: Value,
  focus: Focus,
  headPartCount: number,
): Value | undefined {
  const { graph, spec } = context;
  if (purpose === 'logits') {
    graph.output('logits', headLogits(context, x), 'float32', ['R', spec.config.vocab_size]);
    return undefined;
  }
  const weights = graph.input('weights', 'float32', ['B', 'L']);
  const labels = graph.input('labels', 'int32', ['R']);
  const parts = headParts(spec.config.vocab_size, headPartCount);
  const head = headForward(context, x, labels, weights, focus.rows, parts);
  graph.output('losses', head.losses, 'float32', ['B']);
  if (purpose === 'evaluate') {
    outputBest(context, graph.reshape(head.cache.sums.best, [-1]));
    return undefined;
  }
  return headBackward(context, head.cache, weights);
}

function sumsInput(context: GraphContext): HeadSums {
  const { graph, spec } = context;
  return {
    largest: graph.input('largest', 'float32', ['R', 1]),
    best: graph.input('best', 'int64', ['R', 1]),
    total: graph.input('total', 'float32', ['R', 1]),
    expected: graph.input('expected', 'float32', ['R', spec.config.hidden_size]),
  };
}

function labelRowsInput(context: GraphContext): Value {
  return context.graph.input('labelRows', 'float32', ['R', context.spec.config.hidden_size]);
}

/** best [R] i64 -> the output `best` [R] i32 */
function outputBest(context: GraphContext, best: Value): void {
  context.graph.output('best.token', context.graph.op('Cast', [best], { to: 6 }), 'int32', ['R']);
}

function blockInputs(context: GraphContext): { readonly tokens: Tokens; readonly x: Value } {
  const { graph, spec } = context;
  const D = spec.config.hidden_size;
  const x = graph.input('x', 'float32', ['B', 'T', D]);
  const rows = new Rows(graph, graph.op('Shape', [x], { start: 0, end: 2 }));
  return { tokens: tokenInputs(context, rows, 'full_attention'), x: graph.reshape(x, [-1, D]) };
}

function tokenInputs(context: GraphContext, rows: Rows, type: LayerType): Tokens {
  const { graph } = context;
  const { mask, rope } = typedInputs[type];
  return {
    rows,
    turning: turningOf(context, graph.integers([0]), rope),
    mask: graph.input(mask, 'float32', ['T', 'T']),
  };
}

/** The mask is that of the last block, which alone is computed at label positions. */
function focusInputs(context: GraphContext, type: LayerType): Focus {
  const { graph } = context;
  const positions = graph.input('focus.positions', 'int64', ['B', 'L']);
  return {
    rows: new Rows(graph, graph.op('Shape', [positions])),
    turning: turningOf(context, positions, typedInputs[type].rope),
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
export function mergeGraph(spec: GraphSpec): GraphFile {
  const graph = new GraphBuilder(spec.profile);
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
