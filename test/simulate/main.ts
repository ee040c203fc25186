/** `npm run simulate`: a coordinator under the load of many organisations. Ends with 1 if a round went wrong, 2 for a wrong argument. */

import { resolve } from 'node:path';
import { ArgumentError, parseSimulationArguments, usage } from './arguments.js';
import { isGood, textOf } from './report.js';
import { simulate } from './simulation.js';

/** Of the compiled program, `test/dist/simulate`. */
const root = resolve(import.meta.dirname, '..', '..', '..');

try {
  const options = parseSimulationArguments(process.argv.slice(2));
  if (options.help) process.stdout.write(usage);
  else {
    const report = await simulate(options, root, (line) => void process.stderr.write(`${line}\n`));
    process.stdout.write(`${options.json ? JSON.stringify(report) : textOf(report)}\n`);
    process.exitCode = isGood(report) ? 0 : 1;
  }
} catch (error) {
  process.stderr.write(`${error instanceof ArgumentError ? error.message : String(error)}\n`);
  process.exitCode = error instanceof ArgumentError ? 2 : 1;
}
