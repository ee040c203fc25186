/** The Node entry of the protocol: the fast provider over node:crypto. The main entry stays pure. */

export { nodeProvider } from './providers.js';
export { publicRandom, seededRandom, systemRandom } from './random.js';
