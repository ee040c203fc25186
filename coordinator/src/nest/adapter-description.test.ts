import 'reflect-metadata';
import { AdapterDescription } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { validated } from './validated.js';

describe('the adapter of a run description', () => {
  const adapter = { rule: 'ffa-svd', r: 8, lora_alpha: 16, target_modules: ['all-linear'], rebaseEvery: 0 };

  it('has no lora_dropout: a round says nothing of it, so that one which asks for it is refused', () => {
    expect(validated(AdapterDescription, adapter)).toMatchObject({ r: 8 });
    expect(() => validated(AdapterDescription, { ...adapter, lora_dropout: 0.1 })).toThrow('lora_dropout');
  });
});
