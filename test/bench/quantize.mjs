/**
 * How fast a 135M model's linear layers become NF4, from bf16 safetensors on disk: `node test/bench/quantize.mjs [--threads N]`.
 *
 * Prints one JSON line. The shape is SmolLM2-135M's (106 million parameters in linear layers; embeddings are not quantized), the
 * weights are random. The median of three runs, each in a process of its own; reading from the page cache and decoding are included,
 * starting Node is not.
 */

import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const RUNS = 3;
const config = {
  model_type: 'llama',
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  vocab_size: 49152,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};
const weights = '../../client/dist/engine/weights';

/** A checkpoint whose bf16 weights are uniform in about (-0.06, 0.06): sign, a fixed range of exponents, random bits. */
async function makeModel(directory) {
  const { expectedTensors } = await import(`${weights}/model-config.js`);
  const header = {};
  let end = 0;
  for (const [name, shape] of expectedTensors(config)) {
    const begin = end;
    end += 2 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: 'BF16', shape, data_offsets: [begin, end] };
  }
  const text = JSON.stringify(header);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(directory, 'model.safetensors'), 'w');
  writeSync(file, length);
  writeSync(file, json);
  const chunk = Buffer.alloc(1 << 20);
  for (let at = 0; at < end; at += chunk.length) {
    randomFillSync(chunk);
    for (let i = 1; i < chunk.length; i += 2) chunk[i] = (chunk[i] & 0x81) | 0x3c;
    writeSync(file, chunk, 0, Math.min(chunk.length, end - at));
  }
  closeSync(file);
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  writeFileSync(join(directory, 'tokenizer.json'), '{}');
}

/** In its own process, so that the peak of memory is that of quantizing. */
async function measure(directory, threads) {
  const { openBaseModel } = await import(`${weights}/hugging-face.js`);
  const { quantizedLinear } = await import(`${weights}/nf4-store.js`);
  const base = await openBaseModel(directory);
  const before = process.cpuUsage();
  const { report } = await quantizedLinear(base, undefined, threads === undefined ? {} : { threads });
  const { user, system } = process.cpuUsage(before);
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  const { parameters, seconds, threads: used } = report;
  const result = { cpuSeconds: (user + system) / 1e6, wallSeconds: seconds, peakMiB, threads: used, parameters };
  process.stdout.write(JSON.stringify(result));
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

async function main(threads) {
  const { ensureBuilt } = await import('../setup.mjs');
  if (!process.argv.includes('--no-build')) ensureBuilt();
  const directory = mkdtempSync(join(tmpdir(), 'fedlora-bench-'));
  try {
    await makeModel(directory);
    const runs = [];
    for (let run = 0; run < RUNS; run++) {
      const script = [
        fileURLToPath(import.meta.url),
        '--measure',
        directory,
        ...(threads ? ['--threads', threads] : []),
      ];
      const child = spawnSync(process.execPath, script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
      if (child.status !== 0) throw new Error('the measured process failed');
      runs.push(JSON.parse(child.stdout));
    }
    const of = (name) => median(runs.map((run) => run[name]));
    const wallSeconds = of('wallSeconds');
    const ours = {
      cpuSeconds: of('cpuSeconds'),
      wallSeconds,
      peakMiB: of('peakMiB'),
      threads: of('threads'),
      parameters: of('parameters'),
      parametersPerSecond: Math.round(of('parameters') / wallSeconds),
    };
    console.log(JSON.stringify({ bench: 'engine', case: 'quantize-135m', ours, peer: null, ratio: null }));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined);
const directory = option('--measure');
if (directory === undefined) await main(option('--threads'));
else await measure(directory, option('--threads') === undefined ? undefined : Number(option('--threads')));
