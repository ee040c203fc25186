/** How far the updates of two adapters are apart, module by module. */

import { setImmediate } from 'node:timers/promises';
import { loraScaling, type LoraAdapter, type ModuleDifference } from '@fedlora/shared';

/** One module's scaled update, (alpha / r) B A. A [r, in], B [out, r], row-major. */
interface Update {
  readonly A: Float32Array;
  readonly B: Float32Array;
  readonly r: number;
  readonly scaling: number;
}

/** In front of the names that modules have in the base model. */
const PEFT_PREFIX = /^base_model\.model\./;

/**
 * For each module that either adapts, in order of name: the Frobenius norms of both updates and of their difference.
 *
 * Method     |sum_i s_i B_i A_i|^2 = sum over i, j of s_i s_j <B_i^T B_j, A_i A_j^T>: Gram matrices of the rank's size, so that no
 *            product of a layer's size is ever made. In f64; the difference of equal updates is 0 up to 1e-7 of their norms.
 */
export async function differences(left: LoraAdapter, right: LoraAdapter): Promise<ModuleDifference[]> {
  const [ofLeft, ofRight] = [updatesOf(left), updatesOf(right)];
  const found: ModuleDifference[] = [];
  for (const name of [...new Set([...ofLeft.keys(), ...ofRight.keys()])].sort()) {
    const [one, other] = [ofLeft.get(name), ofRight.get(name)];
    const squares = [squareOf(one), squareOf(other)];
    const mixed = one === undefined || other === undefined ? 0 : product(one, other);
    const difference = Math.sqrt(Math.max(0, squares[0] + squares[1] - 2 * mixed));
    found.push({ name, left: Math.sqrt(squares[0]), right: Math.sqrt(squares[1]), difference });
    await setImmediate(); // A large model's take seconds: others get their turn.
  }
  return found;
}

function updatesOf({ modules, tensors, config }: LoraAdapter): Map<string, Update> {
  const scaling = loraScaling(config);
  return new Map(
    modules.map(({ name }, i) => [name.replace(PEFT_PREFIX, ''), { ...tensors.modules[i], r: config.r, scaling }]),
  );
}

function squareOf(update: Update | undefined): number {
  return update === undefined ? 0 : Math.max(0, product(update, update));
}

/** The inner product of two updates of the same layer. */
function product(left: Update, right: Update): number {
  const inputs = left.A.length / left.r;
  const outputs = left.B.length / left.r;
  let sum = 0;
  for (let i = 0; i < left.r; i++) {
    for (let j = 0; j < right.r; j++) {
      let ofA = 0;
      for (let k = 0; k < inputs; k++) ofA += left.A[i * inputs + k] * right.A[j * inputs + k];
      let ofB = 0;
      for (let k = 0; k < outputs; k++) ofB += left.B[k * left.r + i] * right.B[k * right.r + j];
      sum += ofA * ofB;
    }
  }
  return left.scaling * right.scaling * sum;
}
