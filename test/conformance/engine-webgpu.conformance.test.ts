import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine, testOnnxDevice, type OnnxEngineOptions } from '../../client/src/engine/onnx/engine.js';
import { probeDevice } from '../../client/src/engine/onnx/device-probe.js';
import { profileOf } from '../../client/src/engine/onnx/device.js';
import { Sessions, tensorOf } from '../../client/src/engine/onnx/sessions.js';
import {
  expected,
  fixtureFolder,
  fixtures,
  labelLogits,
  modelOf,
  relativeError,
  storedModel,
  tenSteps,
  toBatch,
} from './engine-fixtures.js';

/** As for the processor, in `engine.test.ts`. Measured on SwiftShader: 7e-6, most of it the margin of `roundedDownBound`. */
const GRADIENT = 1e-4;
const LOSS = 1e-5;
const LOGITS = 1e-5;
const TEN_STEPS = 1e-4;

/** A software device compiles a hundred kernels in the first model, for some ten seconds of processor time. */
const PATIENCE_MS = 600_000;

/**
 * The GPU of this machine, or SwiftShader, the software device that Debian's Chromium brings, for which the Vulkan loader needs
 * telling. A machine with a Vulkan driver of its own keeps it.
 */
const softwareDriver = '/usr/lib/chromium/vk_swiftshader_icd.json';
const driverFolders = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
const hasDriver = driverFolders.some((folder) => existsSync(folder) && readdirSync(folder).length > 0);
if (!hasDriver && existsSync(softwareDriver)) {
  process.env['VK_DRIVER_FILES'] ??= softwareDriver;
  process.env['VK_ICD_FILENAMES'] ??= softwareDriver;
}
const found = await probeDevice('webgpu');
const whyNot = 'whyNot' in found ? found.whyNot : undefined;

const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

type Plan = NonNullable<OnnxEngineOptions['plan']>;

/**
 * Each architecture by the whole graph, and one model by the block graphs with NF4, which have the same operations. Other plans, and
 * gradients of A or B alone, differ in which graphs are cut where, and are tested on the processor. Steps and logits with NF4 are left
 * out: unpacking weights on a software device takes minutes for them, and they are other calls of the graphs that are tested. The steps
 * of the largest model are for the nightly suite.
 */
const cases: readonly (readonly [name: string, planName: string, plan: Plan])[] = [
  ...Object.keys(fixtures).map((name) => [name, 'whole graph', { structure: 'whole', weights: 'merged' }] as const),
  ['tiny', 'blocks with kept activations, NF4', { structure: 'blocks', weights: 'nf4', keptBytes: Infinity }],
];

if (whyNot !== undefined) {
  it.skip(`webgpu: every architecture, self-test and memory of the device (here: ${whyNot})`, () => undefined);
} else {
  describe.each(cases)('%s on webgpu, %s: what transformers and peft compute', (name, _, plan) => {
    const fixture = fixtures[name];
    let engine: Engine;
    beforeAll(async () => {
      const isStored = name === 'tiny';
      engine = await createOnnxEngine({
        base: isStored ? storedModel(join(fixtureFolder, 'tiny')) : modelOf(fixture).base,
        lora: fixture.lora,
        quantization: plan.weights === 'nf4' ? 'nf4' : 'none',
        device: 'webgpu',
        plan,
        selfTest: false,
      });
      open.push(engine);
      engine.setAdapter(modelOf(fixture).adapter);
    }, PATIENCE_MS);

    it(
      'losses, norms and the gradient of each factor, clipped by example and summed',
      async () => {
        const { l2Bound, norms } = fixture.trained.both;
        const wanted = expected.get(`${name}.both`)!;
        const result = await engine.gradients(toBatch(fixture.batch), { trained: 'both', l2Bound });
        expect(relativeError(result.losses, fixture.losses)).toBeLessThan(LOSS);
        expect(relativeError(result.norms!, norms)).toBeLessThan(GRADIENT);
        let begin = 0;
        for (const module of engine.modules) {
          for (const [factor, width] of [
            ['A', module.inFeatures],
            ['B', module.outFeatures],
          ] as const) {
            const end = begin + engine.lora.r * width;
            const error = relativeError(result.clippedSum.subarray(begin, end), wanted.subarray(begin, end));
            expect(error, `${module.name}.${factor}`).toBeLessThan(GRADIENT);
            begin = end;
          }
        }
        expect(begin).toBe(result.clippedSum.length);
      },
      PATIENCE_MS,
    );

    it(
      'losses and greedy answers',
      async () => {
        const { losses, exact } = await engine.evaluate(toBatch(fixture.batch));
        expect(relativeError(losses, fixture.losses)).toBeLessThan(LOSS);
        expect([...exact]).toEqual(fixture.exact);
        expect((engine as unknown as { sessions: Sessions }).sessions.outputsOnDevice, 'results left there').toBe(0);
      },
      PATIENCE_MS,
    );

    if (plan.weights === 'nf4') return;

    it(
      'logits at the positions that predict an answer',
      async () => {
        const logits = await labelLogits(engine, fixture.batch);
        expect(relativeError(logits, expected.get(`${name}.logits`)!)).toBeLessThan(LOGITS);
      },
      PATIENCE_MS,
    );

    if (name === 'tiny' && process.env['FEDLORA_EVERY_CASE'] !== '1') return;

    // Last, because it changes the adapter.
    it(
      'ten steps of AdamW',
      async () => {
        const { losses, adapter } = await tenSteps(engine, fixture);
        expect(relativeError(losses, fixture.adamw.losses)).toBeLessThan(TEN_STEPS);
        expect(relativeError(adapter, expected.get(`${name}.adamw`)!)).toBeLessThan(TEN_STEPS);
      },
      PATIENCE_MS,
    );
  });

  it(
    'passes the self-test',
    async () => {
      const result = await testOnnxDevice('webgpu', { weights: 'merged', structure: 'whole' }, 'silu');
      expect(result.gradient).toBeLessThan(2e-5);
    },
    PATIENCE_MS,
  );

  it(
    'an example has the same gradient in any company where that is asked for',
    async () => {
      const { lora, batch } = fixtures['qwen2'];
      const { base, adapter } = modelOf(fixtures['qwen2']);
      const options = { base, lora, quantization: 'none', device: 'webgpu', selfTest: false } as const;
      const engine = await createOnnxEngine({ ...options, independentExamples: true });
      open.push(engine);
      engine.setAdapter(adapter);
      const gradientOf = async (rows: typeof batch) =>
        (await engine.gradients(toBatch(rows), { trained: 'both', l2Bound: 1 })).clippedSum;
      const together = await gradientOf(batch);
      const apart = new Float64Array(together.length);
      for (const [i, ids] of batch.ids.entries()) {
        const alone = await gradientOf({ ids: [ids], answerMask: [batch.answerMask[i]] });
        alone.forEach((value, j) => (apart[j] += value));
      }
      expect(together).toEqual(Float32Array.from(apart));
    },
    PATIENCE_MS,
  );

  it('tensors are placed on the device, tied ones once; 64-bit whole numbers stay', async () => {
    const sessions = new Sessions(1, profileOf('webgpu'));
    const table = tensorOf(Float32Array.of(1, 2, 3), [3]);
    const placed = await sessions.place(
      new Map([
        ['embedding', table],
        ['head', table],
        ['codes', tensorOf(Uint8Array.of(1, 2, 3, 4, 5), [5])],
        ['begin', tensorOf(BigInt64Array.of(7n), [1])],
      ]),
    );
    expect([...placed.values()].map(({ location }) => location)).toEqual([
      'gpu-buffer',
      'gpu-buffer',
      'gpu-buffer',
      'cpu',
    ]);
    expect(placed.get('head')).toBe(placed.get('embedding'));
    expect(sessions.outputsOnDevice, 'results that a computation would have to free').toBe(0);
    for (const tensor of new Set(placed.values())) tensor.dispose();
    await sessions.close();
  });
}
