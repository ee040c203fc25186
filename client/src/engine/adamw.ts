/**
 * AdamW on one flat vector.
 *
 * Source     Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2, with PyTorch's defaults and no weight decay, since LoRA
 *            factors start small and a round is short
 */

export interface AdamWOptions {
  readonly learningRate: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
}

export class AdamW {
  private readonly first: Float64Array;
  private readonly second: Float64Array;
  private steps = 0;

  constructor(
    length: number,
    private readonly options: AdamWOptions,
  ) {
    this.first = new Float64Array(length);
    this.second = new Float64Array(length);
  }

  /** values -= learningRate * mHat / (sqrt(vHat) + epsilon). In place. */
  step(values: Float32Array, gradient: Float64Array, learningRate = this.options.learningRate): void {
    const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = this.options;
    this.steps += 1;
    const firstCorrection = 1 - beta1 ** this.steps;
    const secondCorrection = 1 - beta2 ** this.steps;
    for (let i = 0; i < values.length; i += 1) {
      const g = gradient[i];
      this.first[i] = beta1 * this.first[i] + (1 - beta1) * g;
      this.second[i] = beta2 * this.second[i] + (1 - beta2) * g * g;
      values[i] -=
        (learningRate * (this.first[i] / firstCorrection)) / (Math.sqrt(this.second[i] / secondCorrection) + epsilon);
    }
  }
}
