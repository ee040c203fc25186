import type { ReleaseView } from '@fedlora/shared';
import { api } from '../../api.js';
import { Hint } from '../../blocks/hint.js';
import { LoadError } from '../../blocks/load-error.js';
import { Measure } from '../../blocks/measure.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Section } from '../../blocks/section.js';
import { count, shorten } from '../../format.js';
import { VersionBadges, VersionLink } from './version-name.js';
import { hints } from './version-words.js';

function madeIn({ merge, roundNumber }: ReleaseView): string {
  if (merge !== null) return `merged by ${merge.method} from ${count(merge.parents.length, 'version')}`;
  return roundNumber === null ? 'beginning of the run' : `round ${roundNumber}`;
}

/** From a version back to the beginning of its run, as a line with a step for each round. */
export function Lineage({ of }: { of: ReleaseView }) {
  const list = usePagedList<ReleaseView>(['versions', 'lineage', of.id], (at) => api.lineage(of.id, at));
  return (
    <Section
      testId="lineage"
      title="Lineage"
      aside={
        <>
          <Hint text={hints.manifest}>
            manifest <code>{shorten(of.manifestHash)}</code>
          </Hint>
          {' · '}
          <Hint text={`${hints.roster} ${of.organisations.join(', ')}.`}>
            roster <code>{shorten(of.rosterHash)}</code>
          </Hint>
          {` · ${count(of.organisations.length, 'organisation')}`}
        </>
      }
    >
      {list.rows === undefined && list.error !== null && (
        <LoadError error={list.error} isTrying={list.isFetching} onRetry={list.onRetry} />
      )}
      <ol className="lineage">
        {(list.rows ?? []).map((release) => (
          <li
            key={release.id}
            data-tone={release.revoked !== null ? 'bad' : release.channels.includes('stable') ? 'good' : 'plain'}
          >
            <span className="badges">
              {release.id === of.id ? (
                <code className="version-here">{shorten(release.id)}</code>
              ) : (
                <VersionLink id={release.id} />
              )}
              <VersionBadges release={release} />
            </span>
            <span className="lineage-facts">
              <Hint text={hints.round}>{madeIn(release)}</Hint>
              {release.epsilon !== null && (
                <span>
                  epsilon <Measure value={release.epsilon} unit="" digits={2} hint={hints.epsilon} />
                </span>
              )}
              {release.evaluation !== null && (
                <span>
                  loss <Measure value={release.evaluation.loss} unit="nats" digits={4} hint={hints.loss} />
                </span>
              )}
            </span>
          </li>
        ))}
      </ol>
      <MoreButton list={list} what="ancestors" />
    </Section>
  );
}
