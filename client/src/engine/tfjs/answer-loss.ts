/**
 * From hidden states to the loss of the answers: final norm, head and cross-entropy at the positions that predict answer tokens.
 *
 * The logits of a large vocabulary are the largest matrix of all; they are made for some positions at a time and never kept.
 * Legend     N = answer tokens in this computation, n = those of one chunk, R = rows of hidden states = b * T, D = hidden_size,
 *            V = vocabulary.
 */

import * as tf from '@tensorflow/tfjs';
import { timesTransposed } from './product.js';
import { rmsNorm, softCapped } from './transformer.js';

/** The constants behind the last block. */
export interface HeadWeights {
  readonly norm: tf.Tensor1D; // [D]
  /** [V, D]; the embedding where the two are tied. */
  readonly head: tf.Tensor2D;
  readonly epsilon: number;
  /** c of c tanh(logit / c); `undefined` for none. */
  readonly cap: number | undefined;
}

/** The answer tokens of a computation. */
export interface Answers {
  /** [N] row of the hidden state that predicts each: the one to its left. */
  readonly rows: Int32Array;
  /** [N] token id. */
  readonly targets: Int32Array;
}

/** Values of one chunk's logits, 64 MiB. */
const CHUNK = 2 ** 24;

/** For each chunk of answer tokens, its bounds. */
function* chunksOf(answers: Answers, vocabularySize: number): Generator<readonly [begin: number, end: number]> {
  const step = Math.max(1, Math.floor(CHUNK / vocabularySize));
  for (let begin = 0; begin < answers.rows.length; begin += step) {
    yield [begin, Math.min(begin + step, answers.rows.length)];
  }
}

/** Logits at some rows: [n, V]. */
export function logitsAt(hidden: tf.Tensor2D, rows: Int32Array, weights: HeadWeights): tf.Tensor2D {
  const states = tf.gather(hidden, tf.tensor1d(rows, 'int32')); // [n, D]
  const normed = rmsNorm(states, weights.norm, weights.epsilon);
  return softCapped(timesTransposed(normed, weights.head), weights.cap); // [n, V] = [n, D] x [V, D]^T
}

/**
 * Cross-entropy of each answer token, nats, and whether the token has the largest logit.
 *
 * Shapes     hidden [R, D] -> losses [N] f32, correct [N] i32
 * Edge cases N = 0 -> two empty tensors | a tie of logits -> the lowest id counts as the largest
 */
export function answerLosses(
  hidden: tf.Tensor2D,
  answers: Answers,
  weights: HeadWeights,
): { losses: tf.Tensor1D; correct: tf.Tensor1D } {
  const losses: tf.Tensor1D[] = [];
  const correct: tf.Tensor1D[] = [];
  for (const [begin, end] of chunksOf(answers, weights.head.shape[0])) {
    const [chunkLosses, chunkCorrect] = tf.tidy(() => {
      const targets = tf.tensor1d(answers.targets.subarray(begin, end), 'int32');
      const logits = logitsAt(hidden, answers.rows.subarray(begin, end), weights); // [n, V]
      const isLargest = tf.cast<tf.Tensor1D>(tf.equal(tf.argMax(logits, 1), targets), 'int32');
      return [crossEntropy(logits, oneHot(targets, logits.shape[1])), isLargest] as [tf.Tensor1D, tf.Tensor1D];
    });
    losses.push(chunkLosses);
    correct.push(chunkCorrect);
  }
  if (losses.length === 0) return { losses: tf.tensor1d([]), correct: tf.tensor1d([], 'int32') };
  return { losses: tf.concat(losses), correct: tf.concat(correct) };
}

/**
 * Cross-entropy of each answer token and the gradient of their weighted sum.
 *
 * Shapes     hidden [R, D], tokenWeights [N] -> losses [N], dHidden [R, D]
 */
export function answerLossGradient(
  hidden: tf.Tensor2D,
  answers: Answers,
  tokenWeights: Float32Array,
  weights: HeadWeights,
): { losses: tf.Tensor1D; dHidden: tf.Tensor2D } {
  const losses: tf.Tensor1D[] = [];
  const dStates: tf.Tensor2D[] = [];
  const [rows, width] = hidden.shape;
  for (const [begin, end] of chunksOf(answers, weights.head.shape[0])) {
    const [chunkLosses, dChunk] = tf.tidy(() => {
      const targets = tf.tensor1d(answers.targets.subarray(begin, end), 'int32');
      const states = tf.gather(hidden, tf.tensor1d(answers.rows.subarray(begin, end), 'int32')); // [n, D]
      const lossesOf = tf.valueAndGrad((input) => headLosses(input as tf.Tensor2D, targets, weights));
      const { value, grad } = lossesOf(states, tf.tensor1d(tokenWeights.subarray(begin, end)));
      return [value, grad] as [tf.Tensor1D, tf.Tensor2D];
    });
    losses.push(chunkLosses);
    dStates.push(dChunk);
  }
  if (losses.length === 0) return { losses: tf.tensor1d([]), dHidden: tf.zeros([rows, width]) };

  // Scattering is gathering from the other side: each row predicts at most one token, and the others take a row of zeros.
  const source = new Int32Array(rows).fill(answers.rows.length);
  answers.rows.forEach((row, i) => (source[row] = i));
  const dHidden = tf.gather(tf.concat([...dStates, tf.zeros<tf.Rank.R2>([1, width])]), tf.tensor1d(source, 'int32')); // [R, D]
  return { losses: tf.concat(losses), dHidden };
}

/** [n, D] -> [n], with the gradient of the states. */
function headLosses(states: tf.Tensor2D, targets: tf.Tensor1D, weights: HeadWeights): tf.Tensor1D {
  const losses = tf.customGrad((normed, save) => {
    const { cap } = weights;
    const logits = softCapped(timesTransposed(normed as tf.Tensor2D, weights.head), cap); // [n, V] = [n, D] x [V, D]^T
    const isTarget = oneHot(targets, logits.shape[1]); // [n, V]
    const dCapped = tf.sub(tf.softmax(logits), isTarget);
    // Logits are cap tanh(x / cap), whose slope is 1 - tanh^2.
    const dLogits = cap === undefined ? dCapped : tf.mul(dCapped, tf.sub(1, tf.square(tf.div(logits, cap))));
    // Safe: the last argument of customGrad's function is `save`.
    (save as unknown as tf.GradSaveFunc)([dLogits]);
    return {
      value: crossEntropy(logits, isTarget),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const dWeighted = tf.mul(saved[0], tf.expandDims(dy, 1)); // [n, V] * [n, 1]
        return tf.matMul(dWeighted, weights.head); // [n, D] = [n, V] x [V, D]
      },
    };
  });
  return losses(rmsNorm(states, weights.norm, weights.epsilon));
}

/** log(sum(exp(logits))) - logit of the target: [n] = [n, V]. */
function crossEntropy(logits: tf.Tensor2D, isTarget: tf.Tensor2D): tf.Tensor1D {
  return tf.sub<tf.Tensor1D>(tf.logSumExp(logits, 1), tf.sum(tf.mul(logits, isTarget), 1));
}

function oneHot(targets: tf.Tensor1D, size: number): tf.Tensor2D {
  return tf.cast(tf.oneHot(targets, size) as tf.Tensor2D, 'float32');
}
