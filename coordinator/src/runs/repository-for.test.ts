import type { Manifest } from '@fedlora/protocol';
import { describe, expect, it } from 'vitest';
import { repositoryFor } from './repository-for.js';

const manifest = (digest: string): Manifest =>
  // Safe: nothing else of it is read.
  ({ base: { name: 'tiny', digest }, runId: 'run-0123456789ab' }) as Manifest;

/** Repositories with the base models of their runs. */
const runsOf =
  (repositories: Readonly<Record<string, readonly string[]>>) =>
  (name: string): Promise<{ manifest: Manifest }[]> =>
    Promise.resolve(
      ((repositories[name] as readonly string[] | undefined) ?? []).map((digest) => ({ manifest: manifest(digest) })),
    );

describe('repositoryFor', () => {
  it('is called after the title where the description names none', async () => {
    expect(await repositoryFor({ title: 'Support' }, manifest('a'), runsOf({}))).toBe('fedlora/support');
  });

  it('is never another run’s that happens to have the same title', async () => {
    const taken = runsOf({ 'fedlora/support': ['a'] });
    expect(await repositoryFor({ title: 'Support' }, manifest('a'), taken)).toBe('fedlora/support-01234567');
  });

  it('is shared by runs of one base model whose descriptions name it', async () => {
    const named = { title: 'Second', repository: 'city/support' };
    expect(await repositoryFor(named, manifest('a'), runsOf({ 'city/support': ['a'] }))).toBe('city/support');
  });

  it.each([
    ['with adapters of another base model', 'city/support', 'another base model'],
    ['whose owner is an address of the coordinator', 'api/support', 'the owner api'],
  ])('is refused %s', async (_what, repository, why) => {
    const refused = repositoryFor({ title: 'x', repository }, manifest('b'), runsOf({ 'city/support': ['a'] }));
    await expect(refused).rejects.toMatchObject({ code: 'run/invalid-description', details: { field: 'repository' } });
    await expect(refused).rejects.toThrow(why);
  });
});
