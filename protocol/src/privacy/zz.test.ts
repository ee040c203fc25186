import { it } from 'vitest';
import { epsilonForPld, deltaForPld } from './accountant/pld.js';
import { epsilonFor, subsampledGaussianRdp } from './accountant/rdp.js';
it('x', () => {
  const f = (q: number, z: number, steps: number, d: number) => { const t=performance.now(); const e = epsilonForPld([{noiseMultiplier:z,samplingRate:q,steps}], d); const t1=performance.now(); const r = epsilonFor([{noiseMultiplier:z,samplingRate:q,steps}], d); console.log(q,z,steps,d,'pld',e,'ms',(t1-t).toFixed(0),'rdp',r.epsilon,r.order,(performance.now()-t1).toFixed(1)); };
  f(1,10,100,1e-6); f(.01,.8,1000,1e-6); f(.001,.6,10000,1e-7); f(.1,2,500,1e-5); f(.001,3,100,1e-6); f(.05,1.5,50000,1e-6); f(.2,.8,100,1e-6); f(.001,.8,100,1e-6); f(.04,1.5,2250,1e-5); f(1,.7,2,1e-5); f(1,1,5,1e-6)
  console.log(deltaForPld([{noiseMultiplier:.5,samplingRate:.2,steps:3}],1), deltaForPld([{noiseMultiplier:1,samplingRate:1,steps:1}],2), deltaForPld([{noiseMultiplier:1,samplingRate:.8,steps:1}],1),deltaForPld([{noiseMultiplier:1,samplingRate:.3,steps:1}],2));
  for (const [q,z,a,e] of [[.04,1.5,1.1,0.0004816567400342993],[.04,1.5,3.9,0.0018332021995838587],[.04,1.5,10.5,0.006221354273913909],[.01,1,2.5,0.00021757533228188047],[1e-5,.1,256.1,3263607.0397884212/255.1],[.1,100,20.5,0.00019991818458068295/19.5],[1e-6,1,27,8.769511304848498e-10/26]]) console.log(a, subsampledGaussianRdp(q,z,a)/e-1);
});
