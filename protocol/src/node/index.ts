/** The Node entry of the protocol: fast providers over node:crypto. The main entry stays pure. */

export { defaultProvider, nodeProvider } from './providers.js';
export { publicRandom, seededRandom, systemRandom } from './random.js';
