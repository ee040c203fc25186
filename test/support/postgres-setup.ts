/** Before the tests of the project `postgres`: one server for all of them. */

import type { TestProject } from 'vitest/node';
import type {} from './database.js'; // Declares what is provided.
import { PostgresServer } from './postgres-server.js';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await PostgresServer.start();
  project.provide('postgresPort', server.port);
  return () => server.stop();
}
