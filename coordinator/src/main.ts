/** The program: configuration, start, signals. */

import { exitCodeOf, explainError } from '@fedlora/shared';
import { createAdminLink } from './admin-link.js';
import { loadConfig } from './config/coordinator-config.js';
import { migrateDatabase } from './migrate.js';
import { startCoordinator } from './start-coordinator.js';
import { startWorker } from './start-worker.js';

try {
  const [first, ...rest] = process.argv.slice(2);
  if (first === 'admin-link') await printAdminLink(rest);
  else if (first === 'migrate') await migrate(rest);
  else if (first === 'worker') await work(rest);
  else await run(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${explainError(error)}\n`);
  process.exit(exitCodeOf(error));
}

async function run(args: readonly string[]): Promise<void> {
  const coordinator = await startCoordinator(loadConfig(args, process.env));
  if (coordinator.setupToken !== undefined) {
    process.stderr.write(
      `\nNobody administers this coordinator yet. Set the password of "admin" within a day, once, at\n` +
        `  ${coordinator.url}/#setup=${coordinator.setupToken}\n\n`,
    );
  }
  void coordinator.lost.then((reason) => {
    process.stderr.write(`${explainError(reason)}\n`);
    process.exit(exitCodeOf(reason)); // The service manager starts it again, to stand by.
  });
  closeOnSignal(coordinator);
}

/** Sums ranges of large updates for coordinators of the same configuration, until it is told to stop. */
async function work(args: readonly string[]): Promise<void> {
  closeOnSignal(await startWorker(loadConfig(args, process.env, 'worker')));
}

function closeOnSignal(running: { close(): Promise<void> }): void {
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) process.exit(1); // The second signal means now.
    isStopping = true;
    running.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${explainError(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
}

/** For when no administrator can sign in: a link for `admin`, by whoever holds the data folder. */
async function printAdminLink(args: readonly string[]): Promise<void> {
  const token = await createAdminLink(loadConfig(args, process.env));
  process.stdout.write(`Start the coordinator, and open this at its address within a day: /#setup=${token}\n`);
}

/** For upgrades, before the new version starts. */
async function migrate(args: readonly string[]): Promise<void> {
  const version = await migrateDatabase(loadConfig(args, process.env));
  process.stdout.write(`The database is up to date: its schema has version ${version}.\n`);
}
