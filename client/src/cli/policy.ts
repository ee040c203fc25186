import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption, numberAtLeastZero } from './options.js';
import { approve, explain, offers, withdraw } from './policy-offers.js';

export function policy(context: CliContext): Command {
  return new Command('policy')
    .description('what this organisation allows; the coordinator can neither see nor change it')
    .addCommand(init(context))
    .addCommand(check(context))
    .addCommand(offers(context))
    .addCommand(explain(context))
    .addCommand(approve(context))
    .addCommand(withdraw(context))
    .addCommand(schema(context));
}

function init(context: CliContext): Command {
  return new Command('init')
    .description('write a policy.yaml with every limit explained; allows the configured base model')
    .addOption(homeOption())
    .option('--epsilon-cap <e>', 'most privacy that a data set may spend', numberAtLeastZero)
    .option('--force', 'replace a policy that is there')
    .action(async (options: { home?: string; epsilonCap?: number; force?: boolean }) => {
      const { homeFrom, makeHome } = await import('../config/home.js');
      const { existsSync } = await import('node:fs');
      const { FedloraError } = await import('@fedlora/shared');
      const { writePolicy } = await import('../config/policy-file.js');
      const home = homeFrom(options.home, context.environment);
      if (existsSync(home.policy) && options.force !== true)
        throw new FedloraError('policy/exists', undefined, { where: home.policy });
      await makeHome(home);
      const values = new Map<string, unknown>();
      if (options.epsilonCap !== undefined) values.set('epsilonCap', options.epsilonCap);
      const digest = existsSync(home.config) ? await configuredDigest(home.config, context.environment) : undefined;
      if (digest !== undefined) values.set('allowedBases', [digest]);
      await writePolicy(home.policy, values);
      context.out(`Wrote ${home.policy}.`);
      if (digest === undefined)
        context.out('No base model is configured, so none is allowed: put its digest into allowedBases.');
    });
}

function check(context: CliContext): Command {
  return new Command('check')
    .description('read policy.yaml and print what is in effect')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(async (options: { home?: string; json?: boolean }) => {
      const { homeFrom } = await import('../config/home.js');
      const { readPolicy } = await import('../config/policy-file.js');
      const home = homeFrom(options.home, context.environment);
      const { terms, sources } = await readPolicy(home.policy);
      if (options.json === true) {
        context.out(JSON.stringify(terms));
        return;
      }
      for (const [key, { value, source }] of sources)
        context.out(`${key.padEnd(28)} ${JSON.stringify(value ?? null).padEnd(24)} ${source}`);
      if (terms.allowedBases.length === 0)
        context.out('\nNo base model is allowed, so every run is declined. `fedlora base digest DIR` prints a digest.');
      if (terms.allowedUnits.includes('none') && !terms.requireDifferentialPrivacy) {
        context.out('\nRuns without differential privacy are allowed: they make no promise about any row.');
      }
    });
}

function schema(context: CliContext): Command {
  return new Command('schema')
    .description('print the JSON Schema of policy.yaml, for editors and for tools that write it')
    .action(async () => {
      const { policySchema } = await import('../config/policy-file.js');
      context.out(JSON.stringify(policySchema(), null, 2));
    });
}

async function configuredDigest(path: string, environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  const { readConfig } = await import('../config/client-config.js');
  const { config } = await readConfig(path, environment);
  if (config.base === undefined) return undefined;
  const { baseModelDigest } = await import('../engine/weights/digest.js');
  return baseModelDigest(config.base);
}
