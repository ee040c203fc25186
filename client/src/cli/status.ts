import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption } from './options.js';
import type { Status } from '../daemon/status-file.js';
import type { Departure } from '../storage/departure.js';

export function status(context: CliContext): Command {
  return new Command('status')
    .description('what the client does now, since when, why, and what comes next')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(async (options: { home?: string; json?: boolean }) => {
      const { homeFrom } = await import('../config/home.js');
      const { describeStatus } = await import('../daemon/describe-status.js');
      const { readStatus } = await import('../daemon/status-file.js');
      const { readDeparture } = await import('../storage/departure.js');
      const { lockHolder } = await import('../storage/lock.js');
      const home = homeFrom(options.home, context.environment);
      const written = await readStatus(home.status);
      const departure = await readDeparture(home.left);
      const runs = (await lockHolder(home.lock)) !== undefined;
      // What a killed daemon wrote last is not what is going on.
      const shown: Partial<Status> =
        written !== undefined && runs
          ? written
          : { ...written, state: 'stopped', connected: false, roundId: null, ...whyStopped(written, departure) };
      if (options.json === true) context.out(JSON.stringify(shown));
      else
        for (const { label, text } of describeStatus(shown, (time) => new Date(time).toLocaleString()))
          context.out(`${label.padEnd(label.startsWith(' ') ? 18 : 12)} ${text}`.trimEnd());
    });
}

function whyStopped(written: Status | undefined, departure: Departure | undefined): Pick<Status, 'why' | 'next'> {
  if (departure?.isTold === true)
    return { why: 'This organisation has left the federation.', next: 'Nothing; `fedlora enrol` brings it back.' };
  if (departure !== undefined)
    return {
      why: 'This organisation leaves the federation, and the coordinator has not been told.',
      next: '`fedlora leave` tells it.',
    };
  const next = 'Nothing, until `fedlora run`.';
  return { why: written === undefined ? 'It has never run with this home folder.' : 'No client runs.', next };
}
