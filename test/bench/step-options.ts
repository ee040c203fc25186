import type { LoraConfig } from '@fedlora/client';
import type { EnginePlan } from '@fedlora/shared';

/** What `engine-step.ts` is told, as JSON. */
export interface StepOptions {
  readonly directory: string;
  readonly examples: number;
  readonly length: number;
  readonly threads: number;
  /** Clip each example's gradient, as private training does. */
  readonly clip: boolean;
  readonly plan?: Partial<EnginePlan>;
}

/** The adapter of every benchmark. */
export const benchLora: LoraConfig = { r: 8, lora_alpha: 16, use_rslora: false, target_modules: ['all-linear'] };
