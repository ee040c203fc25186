/** The command line as a whole: every command, its help, how errors are shown, and what the exit codes mean. */

import { Command, CommanderError, Help } from 'commander';
import type { CliContext } from './context.js';
import { adapter } from './adapter.js';
import { admin } from './admin.js';
import { audit } from './audit.js';
import { base } from './base.js';
import { completion } from './completion.js';
import { config } from './config-show.js';
import { data } from './data-check.js';
import { doctor } from './doctor.js';
import { enrol } from './enrol.js';
import { evaluateCommand } from './eval.js';
import { federation } from './federation.js';
import { generate } from './generate.js';
import { identity } from './identity.js';
import { leave } from './leave.js';
import { pause, resume } from './pause.js';
import { policy } from './policy.js';
import { privacy } from './privacy.js';
import { pull } from './pull.js';
import { rounds } from './rounds.js';
import { run } from './run.js';
import { status } from './status.js';
import { train } from './train.js';

const AFTER_HELP = `
Exit codes:
  0   done
  1   the command failed; another try may work
  2   the command line is wrong
  20  a setting is missing or wrong          (20 to 39: starting again does not help)
  21  the base model or adapter cannot be used
  22  the training data cannot be used
  23  a state file is damaged or was changed
  70  a bug of ours
Every error ends with the place in deploy/runbook that says more.

Everything lives in one folder: --home DIR, else FEDLORA_HOME, else ~/.fedlora.
Set FEDLORA_DEBUG=1 or give --debug to see where an error came from.`;

/** Runs one command line. Returns its exit code and never throws. */
export async function runCommand(args: readonly string[], context: CliContext): Promise<number> {
  const program = buildProgram(context);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return showError(error, context, args.includes('--debug') || context.environment.FEDLORA_DEBUG === '1');
  }
}

export function buildProgram(context: CliContext): Command {
  const program = new Command('fedlora')
    .description('Train a shared LoRA adapter with other organisations. Your rows stay on this machine.')
    .option('--debug', 'show where an error came from')
    .version('0.1.0')
    .addHelpText('after', AFTER_HELP);
  const commands = [
    enrol,
    run,
    status,
    pause,
    resume,
    leave,
    doctor,
    identity,
    privacy,
    policy,
    rounds,
    config,
    data,
    train,
    evaluateCommand,
    generate,
    base,
    adapter,
    audit,
    pull,
    federation,
    admin,
    completion,
  ];
  for (const command of commands) program.addCommand(command(context));
  configure(program, context);
  return program;
}

/** The same manners for every command: no process.exit, our output, full names in help. */
function configure(command: Command, context: CliContext): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out(text.replace(/\n$/, '')),
      writeErr: (text) => context.error(text.replace(/\n$/, '')),
    })
    .configureHelp({
      helpWidth: 100,
      formatHelp: (shown, helper) => Help.prototype.formatHelp.call(helper, shown, helper),
    })
    .showHelpAfterError('(`--help` shows what can be given)');
  if (command.parent !== null)
    command.addOption(command.createOption('--debug', 'show where an error came from').hideHelp());
  for (const child of command.commands) configure(child, context);
}

/** What happened, what to do, the code to search for. Returns the exit code. */
async function showError(error: unknown, context: CliContext, debug: boolean): Promise<number> {
  const { exitCodeOf, explainError, FedloraError } = await import('@fedlora/shared');
  context.progress('');
  context.error(explainError(error));
  const ours = FedloraError.from(error);
  if (debug) {
    for (let at: unknown = error; at instanceof Error; at = at.cause) context.error(at.stack ?? at.message);
  } else if (ours.code === 'internal/unexpected') {
    const cause = ours.cause instanceof Error ? ours.cause.message : String(ours.cause);
    context.error(`(${cause}; --debug shows more)`);
  }
  return exitCodeOf(error);
}
