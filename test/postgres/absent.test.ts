import { expect, it } from 'vitest';
import { postgresPrograms } from '../support/postgres-server.js';

it('cannot show what the coordinator does on PostgreSQL: Debian’s package postgresql is not installed here', () => {
  expect(postgresPrograms()).toBeUndefined();
});
