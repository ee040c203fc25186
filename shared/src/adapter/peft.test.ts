import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { adaptedModules, linearLayers } from '../run/modules.js';
import {
  adapterConfigJson,
  decodeAdapter,
  decodeFactorR,
  encodeAdapter,
  encodeFactorR,
  parseAdapterConfig,
  plainLora,
} from './peft.js';
import { writeSafetensors } from './safetensors.js';

const fixtures = resolve(import.meta.dirname, '../../../../shared/fixtures');
const modules = [
  { name: 'base_model.model.model.layers.0.self_attn.q_proj', inFeatures: 3, outFeatures: 2 },
  { name: 'base_model.model.model.layers.10.mlp.down_proj', inFeatures: 2, outFeatures: 4 },
];
const r = 2;

function anAdapter(): { modules: { A: Float32Array; B: Float32Array }[] } {
  let next = 0;
  const values = (length: number) => Float32Array.from({ length }, () => (next += 0.37));
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => ({ A: values(r * inFeatures), B: values(outFeatures * r) })),
  };
}

/** The tensors of an adapter, to be spoilt. */
function tensors(): { name: string; shape: number[]; values: Float32Array }[] {
  return modules.flatMap(({ name, inFeatures, outFeatures }) => [
    { name: `${name}.lora_A.weight`, shape: [r, inFeatures], values: new Float32Array(r * inFeatures) },
    { name: `${name}.lora_B.weight`, shape: [outFeatures, r], values: new Float32Array(outFeatures * r) },
  ]);
}

describe('encodeAdapter and decodeAdapter', () => {
  it('return the values that went in', () => {
    const adapter = anAdapter();
    expect(decodeAdapter(encodeAdapter(modules, r, adapter), modules, r)).toEqual(adapter);
  });

  it('read an adapter stored in bf16', () => {
    expect(decodeAdapter(writeSafetensors(tensors(), { dtype: 'BF16' }), modules, r).modules[0].A).toEqual(
      new Float32Array(6),
    );
  });

  it('never write a value that is not finite, or of another shape', () => {
    const adapter = anAdapter();
    adapter.modules[1].B[3] = Number.NaN;
    expect(() => encodeAdapter(modules, r, adapter)).toThrow(expect.objectContaining({ code: 'adapter/not-finite' }));
    expect(() => encodeAdapter(modules, 1, anAdapter())).toThrow(
      expect.objectContaining({ code: 'adapter/wrong-shape' }),
    );
    expect(() => encodeAdapter(modules.slice(1), r, anAdapter())).toThrow(
      expect.objectContaining({ code: 'adapter/wrong-shape' }),
    );
  });
});

describe('an adapter with factors R', () => {
  // Powers of two and small numbers: every product and sum is exact.
  const withR = {
    modules: anAdapter().modules.map(({ A, B }) => ({
      A,
      B: B.map((_, i) => 2 ** (i % 3)),
      R: Float32Array.of(1, -2, 3, 0.5),
    })),
  };

  it('is the plain adapter whose B is B R', () => {
    const { modules: plain } = plainLora(withR, r);
    // B = [[1, 2], [4, 1]]
    expect(plain[0]).toEqual({ A: withR.modules[0].A, B: Float32Array.of(7, -1, 7, -7.5) });
    expect(plain[1].B.length).toBe(8);
  });

  it('leaves an adapter without them as it is', () => {
    expect(plainLora(anAdapter(), r)).toEqual(anAdapter());
  });

  it('is written as plain LoRA for PEFT, and its R exactly as it is', () => {
    expect(decodeAdapter(encodeAdapter(modules, r, withR), modules, r)).toEqual(plainLora(withR, r));
    const values = withR.modules.map(({ R }, i) => R.map((value) => value / 3 + i));
    const odd = { modules: withR.modules.map((module, i) => ({ ...module, R: values[i] })) };
    expect(decodeFactorR(encodeFactorR(modules, r, odd), modules, r)).toEqual(values);
  });

  it('must have them in every module to be written, with finite values', () => {
    expect(() => encodeFactorR(modules, r, anAdapter())).toThrow(
      expect.objectContaining({ code: 'adapter/wrong-shape' }),
    );
    const infinite = { modules: withR.modules.map((module) => ({ ...module, R: module.R.map(() => Infinity) })) };
    expect(() => encodeFactorR(modules, r, infinite)).toThrow(expect.objectContaining({ code: 'adapter/not-finite' }));
    expect(() => encodeAdapter(modules, r, infinite)).toThrow(expect.objectContaining({ code: 'adapter/not-finite' }));
  });

  it('refuses a file of R that lacks a module, or has what is no R', () => {
    const file = (names: string[]) =>
      writeSafetensors(names.map((name) => ({ name, shape: [r, r], values: new Float32Array(r * r) })));
    const [first, second] = modules.map(({ name }) => `${name}.lora_R.weight`);
    expect(() => decodeFactorR(file([first]), modules, r)).toThrow(
      expect.objectContaining({ code: 'adapter/tensor-missing' }),
    );
    expect(() => decodeFactorR(file([first, second, 'other']), modules, r)).toThrow(
      expect.objectContaining({ code: 'adapter/tensor-unexpected' }),
    );
  });
});

describe('decodeAdapter', () => {
  it('refuses an adapter that lacks a tensor', () => {
    expect(() => decodeAdapter(writeSafetensors(tensors().slice(1)), modules, r)).toThrow(
      expect.objectContaining({ code: 'adapter/tensor-missing' }),
    );
  });

  it('says of an adapter saved without tensors that it is empty', () => {
    expect(() => decodeAdapter(writeSafetensors([]), modules, r)).toThrow(/no tensors at all/);
  });

  it('refuses a tensor it would have to ignore', () => {
    const extra = { name: 'base_model.model.lm_head.lora_A.weight', shape: [1], values: new Float32Array(1) };
    expect(() => decodeAdapter(writeSafetensors([...tensors(), extra]), modules, r)).toThrow(
      expect.objectContaining({ code: 'adapter/tensor-unexpected' }),
    );
  });

  it('refuses a transposed factor although its size fits', () => {
    const spoilt = tensors();
    spoilt[0] = { ...spoilt[0], shape: [3, 2] };
    expect(() => decodeAdapter(writeSafetensors(spoilt), modules, r)).toThrow(
      expect.objectContaining({ code: 'adapter/wrong-shape' }),
    );
  });

  it('refuses infinity', () => {
    const spoilt = tensors();
    spoilt[2].values[1] = Infinity;
    expect(() => decodeAdapter(writeSafetensors(spoilt), modules, r)).toThrow(
      expect.objectContaining({ code: 'adapter/not-finite' }),
    );
  });
});

describe.skipIf(!existsSync(fixtures))('decodeAdapter on ../shared/fixtures', () => {
  it('reads an adapter that PEFT’s layout was recorded from, and writes the same bytes', () => {
    const shape = {
      hidden_size: 64,
      intermediate_size: 172,
      num_hidden_layers: 5,
      num_attention_heads: 8,
      num_key_value_heads: 4,
    };
    const layout = adaptedModules(
      shape,
      linearLayers.map(([name]) => name),
    );
    const bytes = readFileSync(resolve(fixtures, 'stories260K-peft-r4/adapter_model.safetensors'));
    const adapter = decodeAdapter(bytes, layout, 4);
    expect(adapter.modules).toHaveLength(35);
    expect(Buffer.from(encodeAdapter(layout, 4, adapter)).equals(bytes)).toBe(true);
    const config = parseAdapterConfig(
      readFileSync(resolve(fixtures, 'stories260K-peft-r4/adapter_config.json'), 'utf8'),
    );
    expect(config).toMatchObject({ r: 4, lora_alpha: 8, use_rslora: false });
  });

  it('refuses the 48-byte adapter found in the wild, whose header closes its object twice', () => {
    const bytes = readFileSync(resolve(fixtures, 'adapter-empty-48B/adapter_model.safetensors'));
    expect(() => decodeAdapter(bytes, modules, r)).toThrow(/Text follows the header’s JSON/);
  });
});

describe('parseAdapterConfig', () => {
  const config = {
    base_model_name_or_path: 'org/base',
    revision: null,
    r: 8,
    lora_alpha: 16,
    use_rslora: true,
    target_modules: ['q_proj', 'v_proj'],
  };
  const spoilt = (field: object): string =>
    JSON.stringify({ ...(JSON.parse(adapterConfigJson(config)) as object), ...field });

  it('reads what adapterConfigJson wrote', () => {
    expect(parseAdapterConfig(adapterConfigJson(config))).toEqual(config);
  });

  it.each([
    [{ use_dora: true }, /use_dora/],
    [{ bias: 'all' }, /bias/],
    [{ peft_type: 'IA3' }, /peft_type/],
    [{ rank_pattern: { q_proj: 4 } }, /rank_pattern/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save/],
    [{ fan_in_fan_out: true }, /fan_in_fan_out/],
  ])('refuses %o by name', (field, reason) => {
    expect(() => parseAdapterConfig(spoilt(field))).toThrow(reason);
    expect(() => parseAdapterConfig(spoilt(field))).toThrow(expect.objectContaining({ code: 'adapter/unsupported' }));
  });

  it.each([[{ r: 0 }], [{ r: 1.5 }], [{ lora_alpha: '16' }], [{ target_modules: [] }], [{ target_modules: [1] }]])(
    'refuses %o',
    (field) => {
      expect(() => parseAdapterConfig(spoilt(field))).toThrow(
        expect.objectContaining({ code: 'adapter/invalid-config' }),
      );
    },
  );

  it('refuses what is no JSON object', () => {
    for (const text of ['', '[]', 'null'])
      expect(() => parseAdapterConfig(text)).toThrow(expect.objectContaining({ code: 'adapter/invalid-config' }));
  });
});
