import { it } from 'vitest';
import { storedModel, fixtures, modelOf, toBatch, relativeError, expected, fixtureFolder } from '/work/main/test/conformance/engine-fixtures.js'; import { createOnnxEngine } from '/work/main/client/src/engine/onnx/engine.js';
import { createTfjsEngine } from '/work/main/client/src/engine/tfjs/engine.js';
import * as tf from '@tensorflow/tfjs';
it('bench', async () => {
  const base = storedModel('/work/shared/models/demo-base');
  for (const [backend, quantization] of [['wasm','nf4'],['wasm','none']] as const) {
    const t0 = performance.now();
    const e = await createTfjsEngine({ base, lora: { r: 8, lora_alpha: 16, use_rslora: false, target_modules: ['q_proj','k_proj','v_proj','o_proj','gate_proj','up_proj','down_proj'] }, quantization, backend });
    console.log(backend, quantization, 'open', (performance.now()-t0).toFixed(0), 'numBytes', tf.memory().numBytes);
    e.setAdapter({ modules: e.modules.map((m) => ({ A: new Float32Array(8*m.inFeatures).map((_, i) => Math.sin(i)*0.05), B: new Float32Array(8*m.outFeatures).map((_, i) => Math.cos(i)*0.01) })) });
    const B=8,T=200; const ids=new Int32Array(B*T).map((_, i)=>3+(i*7919)%1000); const answerMask=new Uint8Array(B*T).map((_, i)=> i%T>100?1:0);
    for (const l2Bound of [1, null]) for (const trained of ['B','both'] as const) { const t=performance.now(); await e.gradients({examples:B,length:T,ids,answerMask},{trained,l2Bound}); const t2=performance.now(); await e.gradients({examples:B,length:T,ids,answerMask},{trained,l2Bound}); console.log(' ', trained, l2Bound, ((performance.now()-t2)/B).toFixed(1),'ms/example', (B*T/(performance.now()-t2)*1000).toFixed(0),'tok/s'); }
    const t=performance.now(); await e.evaluate({examples:B,length:T,ids,answerMask}); console.log('  evaluate', ((performance.now()-t)/B).toFixed(1));
    if (process.env.PROFILE && quantization==='nf4') { const p = await tf.profile(() => {}); void p; }
    await e.close();
  }
}, 300000);
it('errors', async () => {
  const lines: string[] = [];
  for (const [name, f] of Object.entries(fixtures)) for (const q of name === 'tiny' ? ['none', 'nf4'] as const : ['none'] as const) {
    const { base: g, adapter } = modelOf(f);
    const e = await createTfjsEngine({ base: name === 'tiny' ? storedModel(fixtureFolder + '/tiny') : g, lora: f.lora, quantization: q, backend: 'wasm' });
    e.setAdapter(adapter);
    for (const t of ['A', 'B', 'both'] as const) { const r = await e.gradients(toBatch(f.batch), { trained: t, l2Bound: f.trained[t].l2Bound }); const u = await e.gradients(toBatch(f.batch), { trained: t, l2Bound: null });
      lines.push(`${name} ${q} ${t} clipped ${relativeError(r.clippedSum, expected.get(`${name}.${t}`)!).toExponential(1)} unclipped ${relativeError(u.clippedSum, expected.get(`${name}.${t}.unclipped`)!).toExponential(1)} loss ${relativeError(r.losses, f.losses).toExponential(1)} norm ${relativeError(r.norms!, f.trained[t].norms).toExponential(1)}`); }
    await e.close();
  }
  console.log(lines.join('\n'));
});
it('onnx', async () => {
  const base = storedModel('/work/shared/models/demo-base');
  const e = await createOnnxEngine({ base, lora: { r: 8, lora_alpha: 16, use_rslora: false, target_modules: ['q_proj','k_proj','v_proj','o_proj','gate_proj','up_proj','down_proj'] }, quantization: 'nf4', threads: 1 });
  e.setAdapter({ modules: e.modules.map((m) => ({ A: new Float32Array(8*m.inFeatures).map((_, i) => Math.sin(i)*0.05), B: new Float32Array(8*m.outFeatures).map((_, i) => Math.cos(i)*0.01) })) });
  const B=8,T=200; const ids=new Int32Array(B*T).map((_, i)=>3+(i*7919)%1000); const answerMask=new Uint8Array(B*T).map((_, i)=> i%T>100?1:0);
  for (const l2Bound of [1,null]) { await e.gradients({examples:B,length:T,ids,answerMask},{trained:'B',l2Bound}); const t2=performance.now(); await e.gradients({examples:B,length:T,ids,answerMask},{trained:'B',l2Bound}); console.log('onnx 1 thread B', l2Bound, ((performance.now()-t2)/B).toFixed(1),'ms/example'); }
  await e.close();
});
