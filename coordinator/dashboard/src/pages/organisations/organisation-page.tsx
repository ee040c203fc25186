import { useQueryClient } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useEffect } from 'react';
import { api } from '../../api.js';
import { Fact, Small } from '../../blocks/fact.js';
import { LoadError } from '../../blocks/load-error.js';
import { Loading } from '../../blocks/loading.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { Nothing, Section } from '../../blocks/section.js';
import type { LiveEvent } from '../../live/live-feed.js';
import { useLive, useLiveQuery } from '../../live/live.js';
import { useMay } from '../../session.js';
import type { OrganisationDetails } from '@fedlora/shared';
import { count, formatNumber } from '../../format.js';
import { CertificateForm } from './certificate-form.js';
import { Keys } from './keys.js';
import { LatestRounds } from './latest-rounds.js';
import { StandingActions } from './standing-actions.js';
import { ClientState, formatClock, statusHint, StatusTag } from './standing.js';

export default function OrganisationPage() {
  const { name } = useParams({ from: '/organisations/$name' });
  const query = useOrganisation(name);
  const mayManage = useMay('organisations.manage');
  const organisation = query.data;
  return (
    <PageFrame
      title={name}
      lead="An organisation of the federation."
      actions={organisation !== undefined && mayManage && <StandingActions organisation={organisation} />}
    >
      {organisation === undefined && query.error === null && <Loading what="the organisation" heights={[280]} />}
      {query.error !== null && (
        <LoadError error={query.error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
      )}
      {organisation !== undefined && <Details organisation={organisation} mayManage={mayManage} />}
    </PageFrame>
  );
}

/** Live events bring what lists show; what only this page shows is asked for again after each. */
function useOrganisation(name: string) {
  const client = useQueryClient();
  const { feed } = useLive();
  useEffect(
    () =>
      feed.listen((event) => {
        if (event.name === 'organisation.changed' && event.value.name === name)
          void client.invalidateQueries({ queryKey: ['organisations', name] });
      }),
    [client, feed, name],
  );
  return useLiveQuery({
    queryKey: ['organisations', name],
    fetch: () => api.organisation(name),
    merge: mergeDetails,
  });
}

function mergeDetails(details: OrganisationDetails, event: LiveEvent): OrganisationDetails {
  const isThis = event.name === 'organisation.changed' && event.value.name === details.name;
  return isThis ? { ...details, ...event.value } : details;
}

function Details({ organisation, mayManage }: { organisation: OrganisationDetails; mayManage: boolean }) {
  return (
    <>
      <Facts organisation={organisation} />
      <Warnings organisation={organisation} />
      {mayManage && organisation.status === 'pending' && <CertificateForm organisation={organisation} />}
      <LatestRounds rounds={organisation.latestRounds} />
      <Keys organisation={organisation} />
    </>
  );
}

function Facts({ organisation }: { organisation: OrganisationDetails }) {
  const { suspension, connected, lastSeenAt, clientVersion, device, enrolledAt, declaredBudget } = organisation;
  return (
    <section className="section" aria-label="How it stands" data-testid="standing">
      <dl className="facts facts-plain">
        <Fact label="Status" hint={statusHint}>
          <StatusTag organisation={organisation} />
          {suspension !== null ? (
            <Small>
              since <Moment at={suspension.since} />
              {suspension.reason !== null && <>: {suspension.reason}</>}
            </Small>
          ) : (
            <Small>
              key enrolled <Moment at={enrolledAt} />
            </Small>
          )}
        </Fact>
        <Fact label="State" hint="What the client says that it is doing, or offline if it is not connected.">
          <ClientState organisation={organisation} />
          <Small>
            {connected ? (
              'connected'
            ) : (
              <>
                last seen <Moment at={lastSeenAt} />
              </>
            )}
          </Small>
        </Fact>
        <Fact
          label="Clock"
          hint="How far the client’s clock is from the coordinator’s, by what it said at its last sign-in; ± half the time that the sign-in took."
        >
          {formatClock(organisation)}
          {organisation.clock !== null && (
            <Small>
              measured <Moment at={organisation.clock.measuredAt} />
            </Small>
          )}
        </Fact>
        <Fact
          label="Client"
          hint="Version of the client program, and the kind of hardware that it trains on: auto, until its first round has chosen one."
        >
          {clientVersion ?? 'not known yet'}
          {device !== null && <Small>on {device}</Small>}
        </Fact>
        <Fact
          label="Declared budget"
          hint="Most privacy that its data set may spend, as epsilon, and the steps that were charged to it so far: where its policy lets this be known. The plan of a run counts the rounds that are left."
        >
          {declaredBudget === null ? 'none' : `ε ${formatNumber(declaredBudget.epsilonCap)}`}
          {declaredBudget !== null && (
            <Small>
              {count(
                declaredBudget.spent.reduce((sum, { steps }) => sum + steps, 0),
                'step',
              )}{' '}
              charged
            </Small>
          )}
        </Fact>
      </dl>
    </section>
  );
}

function Warnings({ organisation: { warnings } }: { organisation: OrganisationDetails }) {
  return (
    <Section testId="warnings" title="Health">
      {warnings.length === 0 ? (
        <Nothing title="Nothing is amiss">What is looked at: key, rounds, absence, clock and version.</Nothing>
      ) : (
        <ul className="warnings">
          {warnings.map(({ code, severity, message, remedy }) => (
            <li key={code} className="warning" data-severity={severity} data-warning={code}>
              <span className={`tag tone-${severity === 'problem' ? 'bad' : 'warn'}`}>{severity}</span>
              <div>
                <p>{message}</p>
                <p className="faint">{remedy}</p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
