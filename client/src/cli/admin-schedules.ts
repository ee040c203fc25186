/** `fedlora admin schedules`: when rounds of a run start, what ends it, and the calendar of all runs. */

import { Command, Option } from 'commander';
import type { RunSchedule } from '@fedlora/shared';
import { asking, readJson } from './admin-asking.js';
import type { CliContext } from './context.js';
import { instant } from './options.js';

const WEEK_MS = 7 * 24 * 3600_000;

export function schedules(context: CliContext): Command {
  return new Command('schedules')
    .description('when rounds of a run start, and what ends it')
    .addCommand(
      asking(context, 'show', 'the schedule of a run, with its tag for --if-match', async (api, run: string) => {
        const { value, tag } = await api.schedule(run);
        return { ...value, tag };
      }).argument('<run>'),
    )
    .addCommand(
      asking(
        context,
        'set',
        'replace the schedule of a run; an open round goes on',
        async (api, run: string, file: string, { ifMatch }: { ifMatch?: string }) =>
          api.setSchedule(run, await readJson(file), ifMatch === undefined ? {} : { ifMatch }),
      )
        .argument('<run>')
        .argument('<file>', 'schedule (JSON)')
        .option('--if-match <tag>', 'only if it is still what `schedules show` printed'),
    )
    .addCommand(
      asking(context, 'remove', 'let rounds follow each other', (api, run: string) =>
        api.setSchedule(run, {}),
      ).argument('<run>'),
    )
    .addCommand(
      asking(
        context,
        'preview',
        'what is wrong with a schedule for a run, and its next five times; changes nothing',
        async (api, run: string, file: string) => api.previewSchedule(run, await readJson<RunSchedule>(file)),
      )
        .argument('<run>')
        .argument('<file>', 'schedule (JSON)'),
    )
    .addCommand(
      asking(
        context,
        'calendar',
        'rounds, planned rounds and maintenance windows',
        (api, { from, to, run }: { from?: number; to?: number; run?: string }) => {
          const start = from ?? Date.now() - WEEK_MS;
          return api.calendar({ from: start, to: to ?? start + 3 * WEEK_MS, run });
        },
      )
        .addOption(instantOption('--from <time>', 'not before, such as 2026-12-24T18:00Z (default: a week ago)'))
        .addOption(instantOption('--to <time>', 'before (default: three weeks after the beginning)'))
        .option('--run <id>', 'of this run only'),
    );
}

function instantOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(instant);
}
