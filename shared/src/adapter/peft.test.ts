import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { adaptedModules, linearLayers } from '../run/modules.js';
import { adapterConfigJson, decodeAdapter, encodeAdapter, parseAdapterConfig } from './peft.js';
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
