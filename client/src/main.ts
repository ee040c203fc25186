/** The program `fedlora`: runs one command and ends with its exit code. */

import { runCommand } from './cli/program.js';
import { processContext } from './cli/context.js';

// cuBLAS rounds f32 to 19 bits (TF32) on current GPUs, which the self-test would refuse; the runtime's binding has no switch for it.
process.env['NVIDIA_TF32_OVERRIDE'] ??= '0';
const code = await runCommand(process.argv.slice(2), processContext());
// Set, not forced: output may still be on its way through a pipe.
process.exitCode = code;
