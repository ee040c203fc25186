/**
 * Loaded into a process before its program (`--import`): at SIGUSR2 it collects its garbage and says on its standard error what is left,
 * so that a test sees what the program holds and not when V8 last found it worth while to collect.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('SIGUSR2', () => {
  collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  process.stderr.write(`collected ${JSON.stringify({ pid: process.pid, rss, heapUsed, external })}\n`);
});
