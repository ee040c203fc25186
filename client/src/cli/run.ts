import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption } from './options.js';

export function run(context: CliContext): Command {
  return new Command('run')
    .description('take part in rounds until stopped (in the foreground; systemd or Docker make it a service)')
    .addOption(homeOption())
    .option('--record-traffic <dir>', 'write everything that is sent into this empty folder, for an audit')
    .addHelpText(
      'after',
      `
Signals: the first SIGTERM or SIGINT finishes or leaves the round cleanly and stops; the second stops at once.

Example:
  fedlora run --home /var/lib/fedlora`,
    )
    .action(async (options: { home?: string; recordTraffic?: string }) => {
      const { homeFrom } = await import('../config/home.js');
      const { startDaemon } = await import('../daemon/start.js');
      const daemon = await startDaemon(homeFrom(options.home, context.environment), {
        environment: context.environment,
        ...(options.recordTraffic === undefined ? {} : { recordTraffic: options.recordTraffic }),
      });
      let asked = 0;
      const onSignal = (): void => {
        asked += 1;
        if (asked === 1) void daemon.stop();
        else daemon.stopNow();
      };
      process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
      try {
        await daemon.stopped;
      } finally {
        process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
      }
    });
}
