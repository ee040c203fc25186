/** Where a run publishes its versions. */

import type { Manifest } from '@fedlora/protocol';
import { FedloraError, repositoryOfRun, repositoryOfTitle, reservedOwners, type RunDescription } from '@fedlora/shared';
import type { Run } from './runs.repository.js';

/**
 * The repository that the description names, or a new one called after the title: runs share one only where it is said.
 *
 * @throws FedloraError run/invalid-description: the repository is of another base model, or its owner is not to be had
 */
export async function repositoryFor(
  { repository, title }: Pick<RunDescription, 'repository' | 'title'>,
  { base, runId }: Pick<Manifest, 'base' | 'runId'>,
  runsOf: (repository: string) => Promise<readonly Pick<Run, 'manifest'>[]>,
): Promise<string> {
  if (repository == null) {
    const ofTitle = repositoryOfTitle(title);
    return (await runsOf(ofTitle)).length === 0 ? ofTitle : repositoryOfRun(title, runId);
  }
  const [owner] = repository.split('/');
  if (reservedOwners.includes(owner)) throw unfit(`the owner ${owner} stands for addresses of the coordinator.`);
  const other = (await runsOf(repository)).find(({ manifest }) => manifest.base.digest !== base.digest);
  if (other !== undefined)
    throw unfit(`${repository} has adapters of another base model, ${other.manifest.base.name} with other files.`);
  return repository;
}

function unfit(why: string): FedloraError {
  return new FedloraError('run/invalid-description', `repository: ${why}`, { details: { field: 'repository' } });
}
