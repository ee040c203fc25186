import './versions.css';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { ReleaseView } from '@fedlora/shared';
import { api } from '../../api.js';
import { Big, Fact, Small } from '../../blocks/fact.js';
import { LoadError } from '../../blocks/load-error.js';
import { Loading } from '../../blocks/loading.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { Section } from '../../blocks/section.js';
import { count, formatBytes, formatDelta, formatNumber, shorten } from '../../format.js';
import { useRefetchOn } from '../../live/use-refetch-on.js';
import { Audits } from './audits.js';
import { GateBadge, GateChecks } from './gate-badge.js';
import { Lineage } from './lineage.js';
import { Outcomes } from './outcomes.js';
import { VersionDecisions } from './version-decisions.js';
import { CopyVersion, VersionBadges, VersionLink } from './version-name.js';
import { hints } from './version-words.js';

const route = getRouteApi('/versions/$id');

/** One version: what it is, whether it may be released, and where it comes from. */
export default function VersionPage() {
  const { id } = route.useParams();
  useRefetchOn(['versions'], 'version.changed', 'repository.changed', 'round.changed');
  const query = useQuery({ queryKey: ['versions', 'release', id], queryFn: () => api.release(id) });
  const { data: release, error } = query;
  return (
    <PageFrame
      title={`Version ${shorten(id)}`}
      lead={
        release && (
          <span className="badges">
            <Link to="/versions" search={{ repository: release.repository }} className="version-link">
              {release.repository}
            </Link>
            <span className="inline">
              <code className="whole-id">{id}</code>
              <CopyVersion id={id} />
            </span>
            <VersionBadges release={release} />
          </span>
        )
      }
      actions={release && <VersionDecisions release={release} />}
    >
      {release !== undefined ? (
        <>
          <Marks release={release} />
          <Facts release={release} />
          <Section testId="gate" title="Release gate" aside={<GateBadge gate={release.gate} />}>
            <GateChecks gate={release.gate} />
            {release.gate.reference !== null && release.gate.reference !== release.id && (
              <p className="compare-line">
                Compared with the stable version <VersionLink id={release.gate.reference} />.{' '}
                <Link
                  to="/versions/compare"
                  search={{ left: release.gate.reference, right: release.id }}
                  className="version-link"
                >
                  Side by side
                </Link>
              </p>
            )}
          </Section>
          <Audits release={release} />
          <Outcomes version={release.id} />
          <Lineage of={release} />
        </>
      ) : error !== null ? (
        <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
      ) : (
        <Loading what="the version" heights={[110, 220]} />
      )}
    </PageFrame>
  );
}

function Marks({ release: { revoked, deprecated } }: { release: ReleaseView }) {
  return (
    <>
      {revoked !== null && (
        <p className="reason reason-bad" role="note">
          Revoked <Moment at={revoked.at} />: {revoked.reason}
        </p>
      )}
      {deprecated !== null && (
        <p className="reason" role="note">
          Deprecated <Moment at={deprecated.at} />: {deprecated.reason}
        </p>
      )}
    </>
  );
}

function Facts({ release }: { release: ReleaseView }) {
  const {
    evaluation,
    epsilon,
    delta,
    unit,
    rule,
    runTitle,
    roundNumber,
    number,
    createdAt,
    bytes,
    baseName,
    downloads,
    merge,
  } = release;
  return (
    <Section testId="version-facts" title="What it is">
      <dl className="facts">
        <Fact label="Made in" hint={hints.round}>
          <Big>
            {merge !== null
              ? `a merge of ${merge.parents.length}`
              : roundNumber === null
                ? 'the beginning'
                : `round ${roundNumber}`}
          </Big>
          <Small>
            {merge === null ? runTitle : `by ${merge.method}, rank ${merge.rank}`}, <Moment at={createdAt} />
          </Small>
        </Fact>
        <Fact label="Held-out loss" hint={hints.loss}>
          <Big>{formatNumber(evaluation?.loss ?? null, 4)}</Big>
          <Small>{evaluation === null ? 'not measured yet' : 'nats per answer token'}</Small>
        </Fact>
        <Fact label="Exact answers" hint={hints.accuracy}>
          <Big>{evaluation === null ? '–' : `${formatNumber(100 * evaluation.accuracy, 1)} %`}</Big>
          <Small>{evaluation === null ? 'not measured yet' : `measured in round ${evaluation.roundNumber}`}</Small>
        </Fact>
        <Fact label="Epsilon" hint={hints.epsilon}>
          <Big>{unit === 'none' ? <span className="bad">no privacy</span> : formatNumber(epsilon)}</Big>
          <Small>{delta === null ? 'no noise was added' : `at delta ${formatDelta(delta)}, unit ${unit}`}</Small>
        </Fact>
        <Fact
          label="Adapter"
          hint={`The aggregation rule, and the base model that it adapts. ${hints.size} ${hints.downloads}`}
        >
          <Big>{merge === null ? rule : merge.method}</Big>
          <Small>
            {formatBytes(bytes)} for {baseName},{' '}
            {merge === null
              ? `${count(number, 'round')} of training`
              : `weights ${merge.parents.map(({ weight }) => weight).join(', ')}`}
            , {count(downloads, 'download')}
          </Small>
        </Fact>
      </dl>
    </Section>
  );
}
