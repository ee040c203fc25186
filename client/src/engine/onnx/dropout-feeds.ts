/** Masks of lora_dropout as inputs of graphs. */

import type { Tensor } from 'onnxruntime-node';
import { keepMask, type Dropout, type DropoutRows } from '../dropout.js';
import type { Slice, SliceInputs } from './batch.js';
import { tensorOf } from './sessions.js';
import { linearNames, shapeOf, type GraphSpec } from './spec.js';

/** In the last block only these read all tokens; the others read label positions (see `block.ts`). */
const READ_ALL: readonly string[] = ['k_proj', 'v_proj'];

/** `q_proj.keep` [R, in] for each adapted layer of a block, for the rows of a slice that the layer reads. */
export function dropoutFeeds(
  spec: GraphSpec,
  dropout: Dropout,
  slice: Slice,
  inputs: SliceInputs,
  block: number,
): Record<string, Tensor> {
  const all = Int32Array.from({ length: slice.examples.length * slice.length }, (_, row) => row); // [R]
  const isLast = block === spec.config.num_hidden_layers - 1;
  const feeds: Record<string, Tensor> = {};
  for (const name of spec.adapted) {
    const rows = isLast && !READ_ALL.includes(name) ? inputs.focusIndex : all;
    const [, inFeatures] = shapeOf(spec, name);
    const layer = block * linearNames.length + linearNames.indexOf(name);
    feeds[`${name}.keep`] = tensorOf(keepMask(dropout, layer, placesOf(slice, rows), inFeatures), [
      rows.length,
      inFeatures,
    ]);
  }
  return feeds;
}

/** Which example of the batch, and which position, a row of a slice is. */
function placesOf(slice: Slice, rows: Int32Array): DropoutRows {
  return {
    examples: rows.map((row) => slice.examples[Math.floor(row / slice.length)]),
    positions: rows.map((row) => row % slice.length),
  };
}
