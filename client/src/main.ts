/** The program `fedlora`: runs one command and ends with its exit code. */

import { runCommand } from './cli/program.js';
import { processContext } from './cli/context.js';

const code = await runCommand(process.argv.slice(2), processContext());
// Set, not forced: output may still be on its way through a pipe.
process.exitCode = code;
