/** `fedlora doctor --model`: whether a base model can be trained on this machine, from its headers alone. */

import type { FittedPlan } from '@fedlora/shared';
import { availableMemory } from '../engine/available-memory.js';
import { fitModel, outOfMemory } from '../engine/onnx/memory-plan.js';
import { computedRopeTypes } from '../engine/onnx/rope.js';
import { expectedTensors, readModelShape } from '../engine/weights/hugging-face.js';
import type { CliContext } from './context.js';
import { knownModules } from './local-model.js';
import { describePlan, memoryTable } from './memory-table.js';
import { planOptions, trainingUse, type ModelSizeOptions } from './options.js';

const MIB = 2 ** 20;

/** Modules that are enough for many tasks: those of the first LoRA paper. */
const FEW_MODULES = 'q_proj,v_proj';

const SHORTEST = 64;

/** A change of the command line with what it would make of the plan. */
interface Remedy {
  readonly change: string;
  readonly fitted: FittedPlan;
}

/** @throws FedloraError engine/out-of-memory: after the table, if no plan fits */
export async function diagnoseModel(
  path: string,
  options: ModelSizeOptions & { readonly json?: boolean },
  context: CliContext,
): Promise<void> {
  const shape = await readModelShape(path, { ropeTypes: computedRopeTypes });
  const { config } = shape;
  const available = planOptions(options).availableBytes ?? (await availableMemory());
  const fit = (changed: Partial<ModelSizeOptions> = {}): FittedPlan => {
    const all = { ...options, ...changed };
    const target_modules = knownModules(all.targetModules.split(',').map((name) => name.trim()));
    const lora = { r: all.rank, lora_alpha: 1, use_rslora: false, target_modules };
    const { fixed } = planOptions(all);
    return fitModel(shape, lora, all.quantization, { use: trainingUse(all, config), availableBytes: available, fixed });
  };
  const fitted = fit();
  const remedies = fitted.fits ? [] : remediesOf(options, trainingUse(options, config).length, fit);
  if (options.json === true) {
    const { plan, memory, fits } = fitted;
    const shown = remedies.map(({ change, fitted: after }) => ({
      change,
      totalBytes: after.memory.totalBytes,
      fits: after.fits,
    }));
    context.out(JSON.stringify({ fits, availableBytes: available, plan, ...memory, remedies: shown }));
  } else {
    const parameters = [...expectedTensors(config).values()].reduce(
      (sum, dimensions) => sum + dimensions.reduce((product, size) => product * size, 1),
      0,
    );
    const { length, examples } = trainingUse(options, config);
    context.out(`${path}`);
    context.out(
      `${config.model_type}, ${config.num_hidden_layers} blocks, ${(parameters / 1e6).toFixed(1)} million parameters; ` +
        `batches of ${examples} rows of up to ${length} tokens`,
    );
    context.out('');
    for (const line of memoryTable(fitted, config, available)) context.out(line);
    context.out('');
    context.out(`${fitted.fits ? 'It fits' : 'It does not fit'}:`);
    context.out(`  ${describePlan(fitted, config)}`);
    if (fitted.fits && fitted.wantedBytes > fitted.memory.totalBytes)
      context.out(`The plan spares memory; the fastest would take ${Math.ceil(fitted.wantedBytes / MIB)} MiB.`);
    if (remedies.length > 0) context.out('What would take less:');
    for (const { change, fitted: after } of remedies) {
      const total = Math.ceil(after.memory.totalBytes / MIB);
      context.out(
        `  ${change.padEnd(44)}${String(total).padStart(10)} MiB   ${after.fits ? 'fits' : 'not enough alone'}`,
      );
    }
  }
  if (!fitted.fits) throw outOfMemory(fitted, available, path);
}

/** Changes that take less, each by itself, then all of them. */
function remediesOf(
  options: ModelSizeOptions,
  length: number,
  fit: (changed: Partial<ModelSizeOptions>) => FittedPlan,
): readonly Remedy[] {
  const changes: Partial<ModelSizeOptions>[] = [
    ...(options.quantization === 'none' ? [{ quantization: 'nf4' as const }] : []),
    ...(length > SHORTEST ? [{ maxLength: Math.ceil(length / 2) }] : []),
    ...(options.optim === 'adamw' ? [{ optim: 'adamw_8bit' as const }] : []),
    ...(options.targetModules === FEW_MODULES ? [] : [{ targetModules: FEW_MODULES }]),
  ];
  const before = fit({}).memory.totalBytes;
  const remedies = changes.map((changed) => ({ changed, fitted: fit(changed) }));
  const useful = remedies.filter(({ fitted }) => fitted.memory.totalBytes < before);
  const all = Object.assign({}, ...useful.map(({ changed }) => changed)) as Partial<ModelSizeOptions>;
  return [
    ...useful.map(({ changed, fitted }) => ({ change: flagsOf(changed), fitted })),
    ...(useful.length > 1 ? [{ change: 'all of these', fitted: fit(all) }] : []),
  ];
}

/** As the command line has them: --max-length 256 */
function flagsOf(changed: Partial<ModelSizeOptions>): string {
  return Object.entries(changed)
    .map(([name, value]) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${String(value)}`)
    .join(' ');
}
