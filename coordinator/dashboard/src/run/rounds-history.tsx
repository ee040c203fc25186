import { Button, Table } from '@mantine/core';
import { Fragment, memo, useState, type ReactNode } from 'react';
import type { RoundView } from '@fedlora/shared';
import { PhaseBar, PhaseLegend } from './phase-bar.js';
import { formatDuration, formatNumber, formatTime, shorten } from '../format.js';
import { isOut, isOver } from '../phases.js';
import { Hint } from '../blocks/hint.js';
import { Nothing, Section } from '../blocks/section.js';

const MORE_ROWS = 30;

interface RoundsHistoryProps {
  /** Newest first. */
  readonly rounds: readonly RoundView[];
  readonly firstRows?: number;
  /** Below the last row: where there are more. */
  readonly after?: ReactNode;
}

export function RoundsHistory({ rounds, firstRows = 10, after }: RoundsHistoryProps) {
  const [shown, setShown] = useState(firstRows);
  const ended = rounds.filter((round) => isOver(round.phase));
  const longestMs = Math.max(1, ...ended.map(totalMs));
  const left = ended.length - shown;
  return (
    <Section testId="rounds-history" title="Rounds" aside={ended.length > 0 && <PhaseLegend />}>
      {ended.length === 0 ? (
        <Nothing title="No round has ended yet">
          Each finished or aborted round is listed here with what it took.
        </Nothing>
      ) : (
        <>
          <Table className="stacking" verticalSpacing={7} horizontalSpacing="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Round</Table.Th>
                <Table.Th>Outcome</Table.Th>
                <Table.Th className="cell-number">
                  <Hint text="From the round’s start to its end.">Duration</Hint>
                </Table.Th>
                <Table.Th className="cell-bar">
                  <Hint text="Time spent in each phase; bars of all rows share one scale. Hover a bar for the numbers.">
                    By phase
                  </Hint>
                </Table.Th>
                <Table.Th className="cell-number">
                  <Hint text="Participants who stayed to the end. One who was lost after its upload is in the sum too, but is listed as dropped. An aborted round counts nobody: its sum is thrown away.">
                    Counted
                  </Hint>
                </Table.Th>
                <Table.Th className="cell-number">
                  <Hint text="Participants who declined, or did not answer in time.">Dropped</Hint>
                </Table.Th>
                <Table.Th className="cell-number">
                  <Hint text="Size of the privacy noise in the sum relative to the sum itself, as a ratio without unit. Above 1 there is more noise than signal; many rounds average it out.">
                    Noise : signal
                  </Hint>
                </Table.Th>
                <Table.Th>
                  <Hint text="The adapter version that the round made; first ten of forty digits.">Version</Hint>
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {ended.slice(0, shown).map((round) => (
                <Row key={round.id} round={round} longestMs={longestMs} />
              ))}
            </Table.Tbody>
          </Table>
          {left > 0 && (
            <Button
              variant="default"
              size="xs"
              className="more"
              onClick={() => setShown(shown + MORE_ROWS)}
              data-testid="show-more"
            >
              Show {Math.min(left, MORE_ROWS)} more of {left}
            </Button>
          )}
          {left <= 0 && after}
        </>
      )}
    </Section>
  );
}

function totalMs(round: RoundView): number {
  return (round.endedAt ?? round.startedAt) - round.startedAt;
}

const Row = memo(function Row({ round, longestMs }: { round: RoundView; longestMs: number }) {
  const isAborted = round.phase === 'aborted';
  const out = round.participants.filter(isOut);
  return (
    <Fragment>
      <Table.Tr className={isAborted ? 'has-cause' : undefined} data-round={round.number}>
        <Table.Td className="cell-title" title={`Started ${formatTime(round.startedAt)}`}>
          {round.number}
        </Table.Td>
        <Table.Td data-label="Outcome">
          <span className={`tag tone-${isAborted ? 'bad' : 'plain'}`}>{round.phase}</span>
        </Table.Td>
        <Table.Td data-label="Duration" className="cell-number">
          {formatDuration(totalMs(round))}
        </Table.Td>
        <Table.Td data-label="By phase" className="cell-bar">
          <PhaseBar durationsMs={round.phaseDurationsMs} longestMs={longestMs} />
        </Table.Td>
        <Table.Td data-label="Counted" className="cell-number">
          {isAborted ? 0 : round.participants.length - out.length}
        </Table.Td>
        <Table.Td data-label="Dropped" className="cell-number">
          {out.length === 0 ? (
            0
          ) : (
            <Hint
              text={out.map((one) => (
                <span key={one.name} className="line">
                  {one.name}: {one.status}, {one.reason ?? 'no reason given'}
                </span>
              ))}
            >
              <span className="warn">{out.length}</span>
            </Hint>
          )}
        </Table.Td>
        <Table.Td data-label="Noise : signal" className="cell-number">
          {formatNumber(round.noiseToSignal)}
        </Table.Td>
        <Table.Td data-label="Version">
          {round.version === null ? '–' : <code title={round.version}>{shorten(round.version)}</code>}
        </Table.Td>
      </Table.Tr>
      {isAborted && (
        <Table.Tr className="cause-row">
          <Table.Td />
          <Table.Td colSpan={7}>{round.cause ?? 'No cause was written down.'}</Table.Td>
        </Table.Tr>
      )}
    </Fragment>
  );
});
