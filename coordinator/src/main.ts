/** The program: configuration, start, signals. */

import { exitCodeOf, explainError } from '@fedlora/shared';
import { loadConfig } from './config/coordinator-config.js';
import { startCoordinator } from './start-coordinator.js';

try {
  const coordinator = await startCoordinator(loadConfig(process.argv.slice(2), process.env));
  if (coordinator.operatorToken !== undefined) {
    process.stderr.write(
      `\nDashboard and operator token, shown this once: ${coordinator.url}/#token=${coordinator.operatorToken}\n\n`,
    );
  }
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) process.exit(1); // The second signal means now.
    isStopping = true;
    coordinator.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${explainError(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
} catch (error) {
  process.stderr.write(`${explainError(error)}\n`);
  process.exit(exitCodeOf(error));
}
