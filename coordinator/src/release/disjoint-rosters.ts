/** Which runs have no organisation in common, as their rosters show. */

interface Member {
  readonly name: string;
  readonly identity: string;
}

/**
 * A number for each run: runs with different ones have no organisation in common, directly or through a third run.
 *
 * Source     SPEC §21.3
 * Guarantee  Runs are apart only if no name and no key is in both rosters: an organisation that changed its key kept its name. Whoever
 *            enrolled twice, under two names with two keys, is two organisations here, as it is within a run.
 */
export function groupsOf(rosters: ReadonlyMap<string, readonly Member[]>): ReadonlyMap<string, number> {
  const groups: { readonly runs: string[]; readonly known: Set<string> }[] = [];
  for (const [runId, members] of rosters) {
    const own = members.flatMap(({ name, identity }) => [`name ${name}`, `key ${identity}`]);
    const merged = { runs: [runId], known: new Set(own) };
    for (const group of groups.filter(({ known }) => own.some((one) => known.has(one)))) {
      groups.splice(groups.indexOf(group), 1);
      merged.runs.push(...group.runs);
      for (const one of group.known) merged.known.add(one);
    }
    groups.push(merged);
  }
  return new Map(groups.flatMap(({ runs }, i) => runs.map((runId) => [runId, i] as const)));
}
