/**
 * Optimizers over one flat vector, and learning-rate schedules.
 *
 * Source     torch.optim.AdamW and SGD; transformers `get_scheduler` for the schedules.
 * State is f64: P values more, and no rounding of its own.
 */

export interface Optimizer {
  /** Moves `parameters` [P] against `gradient` [P], in place. */
  step(parameters: Float32Array, gradient: Float32Array | Float64Array, learningRate: number): void;
}

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

/**
 * Adam with decoupled weight decay.
 *
 * Source     Loshchilov and Hutter 2019, arXiv:1711.05101, Algorithm 2, with PyTorch's defaults
 */
export class AdamW implements Optimizer {
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #steps = 0;

  constructor(
    length: number,
    readonly options: AdamWOptions = {},
  ) {
    this.#first = new Float64Array(length);
    this.#second = new Float64Array(length);
  }

  step(parameters: Float32Array, gradient: Float32Array | Float64Array, learningRate: number): void {
    const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = this.options;
    const first = this.#first;
    const second = this.#second;
    this.#steps++;
    const firstCorrection = 1 - beta1 ** this.#steps;
    const secondCorrection = 1 - beta2 ** this.#steps;
    for (let i = 0; i < parameters.length; i++) {
      const g = gradient[i];
      first[i] = beta1 * first[i] + (1 - beta1) * g;
      second[i] = beta2 * second[i] + (1 - beta2) * g * g;
      const direction = first[i] / firstCorrection / (Math.sqrt(second[i] / secondCorrection) + epsilon);
      parameters[i] = parameters[i] * (1 - learningRate * weightDecay) - learningRate * direction;
    }
  }
}

export interface SgdOptions {
  readonly momentum?: number;
  readonly weightDecay?: number;
}

/** Gradient descent with momentum as PyTorch has it: velocity = momentum * velocity + gradient. */
export class Sgd implements Optimizer {
  readonly #velocity: Float64Array;

  constructor(
    length: number,
    readonly options: SgdOptions = {},
  ) {
    this.#velocity = new Float64Array(length);
  }

  step(parameters: Float32Array, gradient: Float32Array | Float64Array, learningRate: number): void {
    const { momentum = 0.9, weightDecay = 0 } = this.options;
    const velocity = this.#velocity;
    for (let i = 0; i < parameters.length; i++) {
      velocity[i] = momentum * velocity[i] + gradient[i] + weightDecay * parameters[i];
      parameters[i] = parameters[i] - learningRate * velocity[i];
    }
  }
}

export type Schedule = 'constant' | 'linear' | 'cosine';

/**
 * The learning rate of a step, counted from 0: a linear rise from 0 over the warm-up, then as the schedule has it, to 0 at the end.
 *
 * Edge cases warmupSteps = 0 -> no rise | the first step of a warm-up has rate 0, as in transformers
 */
export function learningRateAt(
  step: number,
  schedule: Schedule,
  { peak, warmupSteps, steps }: { readonly peak: number; readonly warmupSteps: number; readonly steps: number },
): number {
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, steps - warmupSteps));
  switch (schedule) {
    case 'constant':
      return peak;
    case 'linear':
      return peak * (1 - progress);
    case 'cosine':
      return (peak * (1 + Math.cos(Math.PI * progress))) / 2;
    default:
      return schedule satisfies never;
  }
}

/** Scales a gradient in place so that its norm is at most `maximumNorm`; returns the norm it had. */
export function limitNorm(gradient: Float32Array | Float64Array, maximumNorm: number): number {
  let square = 0;
  for (const value of gradient) square += value * value;
  const norm = Math.sqrt(square);
  if (norm > maximumNorm) for (let i = 0; i < gradient.length; i++) gradient[i] *= maximumNorm / norm;
  return norm;
}
