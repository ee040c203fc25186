/** `fedlora admin`: what operators do at a coordinator, over the same API and client as the dashboard. */

import { Command, Option } from 'commander';
import type { RunDescription } from '@fedlora/shared';
import { all, asking, connected, readJson, readText, runOption, runsOf, type Access } from './admin-asking.js';
import { draft } from './admin-draft.js';
import { outcomes } from './admin-outcomes.js';
import { schedules } from './admin-schedules.js';
import { setUp } from './admin-set-up.js';
import { versions } from './admin-versions.js';
import type { CliContext } from './context.js';
import { jsonOption, several, wholeNumber } from './options.js';

const AFTER_HELP = `
Give the coordinator's address with --url or FEDLORA_COORDINATOR, and an API token with --token-file or FEDLORA_API_TOKEN.
\`fedlora admin set-up\` makes the first token; further ones come from the dashboard or \`fedlora admin tokens create\`. Answers are printed as JSON.`;

export function admin(context: CliContext): Command {
  return new Command('admin')
    .description(
      'for operators: runs, schedules, versions, organisations, users, tokens and the audit log of a coordinator',
    )
    .addHelpText('after', AFTER_HELP)
    .addCommand(runs(context))
    .addCommand(versions(context))
    .addCommand(outcomes(context))
    .addCommand(schedules(context))
    .addCommand(organisations(context))
    .addCommand(users(context))
    .addCommand(tokens(context))
    .addCommand(audit(context))
    .addCommand(setUp(context));
}

function runs(context: CliContext): Command {
  return new Command('runs')
    .description('runs of training')
    .addCommand(asking(context, 'list', 'every run, newest first', (api) => all((at) => api.runs(at))))
    .addCommand(asking(context, 'show', 'one run', (api, id: string) => api.run(id)).argument('<id>'))
    .addCommand(
      asking(context, 'terms', 'the signed terms of a run, and who may take part', (api, id: string) =>
        api.runTerms(id),
      ).argument('<id>'),
    )
    .addCommand(
      asking(context, 'rounds', 'rounds of a run, newest first', (api, id: string) =>
        all((at) => api.rounds(id, at)),
      ).argument('<id>'),
    )
    .addCommand(draft(context))
    .addCommand(planned(context))
    .addCommand(
      asking(context, 'start', 'start a run from a description', async (api, file: string) =>
        api.startRun(await readJson(file)),
      ).argument('<file>', 'run description (JSON)'),
    )
    .addCommand(
      asking(
        context,
        'pause',
        'start no further round; the open one finishes',
        (api, id: string, options: { abortRound?: boolean }) =>
          api.pauseRun(id, { abortRound: options.abortRound === true }),
      )
        .argument('<id>')
        .option('--abort-round', 'abort the open round instead'),
    )
    .addCommand(
      asking(context, 'resume', 'let a paused run go on', (api, id: string) => api.resumeRun(id)).argument('<id>'),
    )
    .addCommand(
      asking(context, 'stop', 'stop a run; its newest version stays', (api, id: string) => api.stopRun(id)).argument(
        '<id>',
      ),
    );
}

function planned(context: CliContext): Command {
  return connected(new Command('plan'))
    .description('say what a description would become, and what is wrong with it; starts nothing')
    .argument('<file>', 'run description (JSON)')
    .option('--cap <epsilon>', 'how many rounds fit it, and what noise it needs; may be given several times', several)
    .addOption(jsonOption())
    .action(async (file: string, options: Access & { cap?: readonly string[]; json?: boolean }) => {
      const { FedloraError } = await import('@fedlora/shared');
      const caps = (options.cap ?? []).map(Number);
      if (caps.some((cap) => !(Number.isFinite(cap) && cap > 0)))
        throw new FedloraError('config/invalid', '--cap must be a positive number.');
      const description = await readJson<RunDescription>(file);
      const { operatorApi, said } = await import('./admin-api.js');
      const answer = await said(async () =>
        (await operatorApi(options, context)).planRun({ ...description, epsilonCaps: caps }),
      );
      const { planLines } = await import('./run-plan.js');
      if (options.json === true) context.out(JSON.stringify(answer, null, 2));
      else for (const line of planLines(answer)) context.out(line);
      if (answer.plan === null) throw new FedloraError('run/invalid-description');
    });
}

function organisations(context: CliContext): Command {
  return new Command('organisations')
    .description('who takes part')
    .addCommand(asking(context, 'list', 'every organisation, by name', (api) => all((at) => api.organisations(at))))
    .addCommand(
      asking(
        context,
        'show',
        'one organisation, with its keys, its latest rounds and what is amiss',
        (api, name: string) => api.organisation(name),
      ).argument('<name>'),
    )
    .addCommand(
      asking(
        context,
        'invite',
        'a token with which one organisation enrols, once',
        async (api, name: string, options: Access & { hours?: number; out?: string }) => {
          const made = await api.invite({
            name,
            ...(options.hours === undefined ? {} : { lifetimeSeconds: options.hours * 3600 }),
          });
          if (options.out === undefined) return made;
          const { writeAtomically } = await import('../storage/atomic-file.js');
          await writeAtomically(options.out, `${made.token}\n`, { mode: 0o600 });
          return { ...made, token: `in ${options.out}` };
        },
      )
        .argument('<name>')
        .option('--hours <n>', 'hours until it expires (default 24, at most 720)', wholeNumber)
        .option('--out <file>', 'write the token into this file, and do not print it'),
    )
    .addCommand(asking(context, 'invitations', 'invitations, newest first', (api) => all((at) => api.invitations(at))))
    .addCommand(
      asking(context, 'withdraw', 'make an invitation that nobody has used worthless', (api, id: string) =>
        api.withdrawInvitation(id),
      ).argument('<id>', 'of `invitations`'),
    )
    .addCommand(
      asking(
        context,
        'certify',
        'bring what `fedlora federation sign` printed',
        (api, name: string, certificate: string) => api.certify(name, certificate),
      )
        .argument('<name>')
        .argument('<certificate>'),
    )
    .addCommand(
      asking(
        context,
        'suspend',
        'keep it out of rounds; it is told, and runs go on without it',
        (api, name: string, options: Access & { reason?: string }) =>
          api.suspend(name, options.reason === undefined ? {} : { reason: options.reason }),
      )
        .argument('<name>')
        .option('--reason <text>', 'why; the organisation reads it, too'),
    )
    .addCommand(
      asking(context, 'reinstate', 'let a suspended organisation take part again', (api, name: string) =>
        api.reinstate(name),
      ).argument('<name>'),
    )
    .addCommand(
      asking(context, 'sign-out', 'end its sessions and its connection', (api, name: string) =>
        api.endSessions(name),
      ).argument('<name>'),
    )
    .addCommand(
      asking(context, 'revoke', 'bring the list that `fedlora federation revoke` wrote', async (api, file: string) =>
        api.revoke(await readText(file)),
      ).argument('<file>'),
    );
}

function users(context: CliContext): Command {
  const role = (): Option =>
    new Option('--role <role>', 'what the user may do').choices(['admin', 'operator', 'viewer']);
  return new Command('users')
    .description('people who operate')
    .addCommand(asking(context, 'list', 'every user, by name', (api) => all((at) => api.users(at))))
    .addCommand(
      asking(
        context,
        'create',
        'a user, and the link with which it sets a password',
        (api, name: string, options: UserOptions) =>
          api.createUser({ name, role: options.role ?? 'viewer', runs: runsOf(options.run) }),
      )
        .argument('<name>')
        .addOption(role())
        .addOption(runOption()),
    )
    .addCommand(
      asking(
        context,
        'change',
        'role, scope, or whether the user is disabled',
        (api, id: string, options: UserOptions) =>
          api.changeUser(id, {
            ...(options.role === undefined ? {} : { role: options.role }),
            ...(options.run === undefined ? {} : { runs: [...options.run] }),
            ...(options.disabled === undefined ? {} : { disabled: options.disabled === 'yes' }),
          }),
      )
        .argument('<id>')
        .addOption(role())
        .addOption(runOption())
        .addOption(new Option('--disabled <yes|no>').choices(['yes', 'no'])),
    )
    .addCommand(
      asking(
        context,
        'link',
        'a fresh link for a lost password',
        (api, id: string, options: { removeSecondFactor?: boolean }) =>
          api.linkUser(id, options.removeSecondFactor === true),
      )
        .argument('<id>')
        .option('--remove-second-factor', 'for a lost authenticator'),
    )
    .addCommand(
      asking(context, 'sign-out', 'end all sign-ins of a user', (api, id: string) => api.endSignInsOf(id)).argument(
        '<id>',
      ),
    );
}

interface UserOptions extends Access {
  readonly role?: 'admin' | 'operator' | 'viewer';
  readonly run?: readonly string[];
  readonly disabled?: 'yes' | 'no';
}

function tokens(context: CliContext): Command {
  return new Command('tokens')
    .description('API tokens of scripts')
    .addCommand(asking(context, 'list', 'tokens, newest first', (api) => all((at) => api.tokens(at))))
    .addCommand(
      asking(context, 'create', 'a token; it is shown this once', async (api, name: string, options: TokenOptions) => {
        const { FedloraError, permissions } = await import('@fedlora/shared');
        const wanted = options.permission.map((text) => {
          const found = permissions.find((permission) => permission === text);
          if (found === undefined)
            throw new FedloraError(
              'config/invalid',
              `"${text}" is no permission. There are ${permissions.join(', ')}.`,
            );
          return found;
        });
        const lifetimeSeconds = options.days === undefined ? {} : { lifetimeSeconds: options.days * 24 * 3600 };
        return api.createToken({ name, permissions: wanted, runs: runsOf(options.run), ...lifetimeSeconds });
      })
        .argument('<name>')
        .requiredOption('--permission <name>', 'what it may do; may be given several times', several)
        .addOption(runOption())
        .option('--days <n>', 'days until it expires (default 90)', wholeNumber),
    )
    .addCommand(
      asking(context, 'revoke', 'it opens nothing from now on', (api, id: string) => api.revokeToken(id)).argument(
        '<id>',
      ),
    );
}

interface TokenOptions extends Access {
  readonly permission: readonly string[];
  readonly run?: readonly string[];
  readonly days?: number;
}

function audit(context: CliContext): Command {
  return new Command('audit')
    .description('what was done and refused')
    .addCommand(
      asking(
        context,
        'list',
        'the newest entries',
        async (api, options: Access & { event?: string; actor?: string }) => {
          const { items } = await api.audit({ event: options.event, actor: options.actor });
          return items;
        },
      )
        .option('--event <name>', 'of this kind, such as run.started, or of a family, such as run.')
        .option('--actor <name>', 'by somebody of this name'),
    )
    .addCommand(exported(context))
    .addCommand(verify(context));
}

function exported(context: CliContext): Command {
  return connected(new Command('export'))
    .description('print the log as JSON lines, oldest first')
    .option('--after <sequence>', 'only what follows this entry', wholeNumber)
    .action(async (options: Access & { after?: number }) => {
      const { operatorApi, said } = await import('./admin-api.js');
      const text = await said(async () => (await operatorApi(options, context)).auditExport({ after: options.after }));
      context.write(text);
    });
}

function verify(context: CliContext): Command {
  return new Command('verify')
    .description('check an export: that no line was changed, removed or moved')
    .argument('<file>')
    .option('--after <sequence:hash>', 'where an earlier export ended, as this command printed it')
    .action(async (file: string, options: { after?: string }) => {
      const { FedloraError, verifyAuditLines } = await import('@fedlora/shared');
      const [, sequence, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(options.after ?? '') ?? [];
      if (options.after !== undefined && hash === undefined)
        throw new FedloraError('config/invalid', '--after must be a number, a colon and 64 hex digits.');
      const lines = (await readText(file)).split('\n');
      const head = verifyAuditLines(lines, hash === undefined ? undefined : { sequence: Number(sequence), hash });
      context.out(`${head.sequence}:${head.hash}`);
    });
}
