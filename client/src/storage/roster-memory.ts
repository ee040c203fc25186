/**
 * What this organisation remembers of the federation's members: the newest revocation list it saw, and the roster of the last
 * round it was offered under verified terms.
 *
 * Guarantee  a list is on disk before a round under it is joined, so that no restart makes an older one acceptable.
 */

import { readFile } from 'node:fs/promises';
import { pureProvider, readRevocations, type RevocationList, type Roster } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { writeAtomically } from './atomic-file.js';

/** Names of members that came, left, or changed their key between two rosters. */
export interface RosterChange {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly replaced: readonly string[];
}

interface Remembered {
  /** The signed list as it was received. */
  readonly revocations?: string;
  /** Identity by name, of the last roster. */
  readonly members?: Readonly<Record<string, string>>;
}

export class RosterMemory {
  private list: RevocationList | undefined;

  private constructor(
    private readonly path: string,
    private remembered: Remembered,
    list: RevocationList | undefined,
  ) {
    this.list = list;
  }

  /** @throws FedloraError roster-memory/damaged */
  static async open(path: string, federationKey: string): Promise<RosterMemory> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new RosterMemory(path, {}, undefined);
      throw error;
    }
    try {
      const { revocations, members } = JSON.parse(text) as Remembered;
      if (members !== undefined && !Object.values(members).every((key) => typeof key === 'string')) {
        throw new FedloraError('roster-memory/damaged', undefined, { where: path });
      }
      const list = revocations === undefined ? undefined : readRevocations(pureProvider, federationKey, revocations);
      return new RosterMemory(path, { revocations, members }, list);
    } catch (cause) {
      throw new FedloraError('roster-memory/damaged', undefined, { where: path, cause });
    }
  }

  /** The newest revocation list that was seen. */
  get revocations(): RevocationList | undefined {
    return this.list;
  }

  /** Notes what a verified round came with. Returns who changed since the last one; `undefined` the first time. */
  async remember(round: {
    readonly roster: Roster;
    readonly revocations: RevocationList | undefined;
    readonly revocationsText: string | undefined;
  }): Promise<RosterChange | undefined> {
    const members = Object.fromEntries(round.roster.members.map(({ name, identity }) => [name, identity]));
    const before = this.remembered.members;
    const change = before === undefined ? undefined : rosterChange(before, members);
    const isSame = change !== undefined && isEmpty(change) && round.revocationsText === this.remembered.revocations;
    if (!isSame) {
      const next: Remembered = { revocations: round.revocationsText, members };
      await writeAtomically(this.path, `${JSON.stringify(next)}\n`, { mode: 0o600 });
      this.remembered = next;
      this.list = round.revocations;
    }
    return change;
  }
}

/** Who came, who left, and whose key is another, in order of name. */
export function rosterChange(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): RosterChange {
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return {
    added: [...now.keys()].filter((name) => !old.has(name)).sort(),
    removed: [...old.keys()].filter((name) => !now.has(name)).sort(),
    replaced: [...now.keys()].filter((name) => old.has(name) && old.get(name) !== now.get(name)).sort(),
  };
}

export function isEmpty({ added, removed, replaced }: RosterChange): boolean {
  return added.length + removed.length + replaced.length === 0;
}
