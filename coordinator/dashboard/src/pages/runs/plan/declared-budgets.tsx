import type { OrganisationForecast, RunForecast } from '@fedlora/shared';
import { DataTable, type Column } from '../../../blocks/data-table.js';
import { formatNumber } from '../../../format.js';

/** Rows that are shown; those with the fewest rounds left come first. */
const SHOWN = 12;

/** How many rounds of the plan each organisation would take part in, by what it declares of its budget. */
export function DeclaredBudgets({ plan: { organisations, members, manifest } }: { plan: RunForecast }) {
  const hidden = organisations.length - SHOWN;
  return (
    <section aria-label="Declared budgets" data-testid="declared-budgets">
      <h3 className="subtitle">Rounds left in declared budgets</h3>
      <p className="small">
        {organisations.length === 0
          ? 'No organisation declares its budget: each may, with declareBudget in its policy.yaml.'
          : `Declared by ${organisations.length} of ${members.length} organisations.`}
      </p>
      {organisations.length > 0 && (
        <DataTable
          label="declared budgets"
          columns={columnsOf(manifest.rounds)}
          rows={organisations.slice(0, SHOWN)}
          error={null}
          isFetching={false}
          onRetry={() => undefined}
          rowKey={({ name }) => name}
          empty={null}
        />
      )}
      {hidden > 0 && <p className="small">{hidden} more have at least as many rounds left as the last of these.</p>}
    </section>
  );
}

function columnsOf(rounds: number): readonly Column<OrganisationForecast>[] {
  return [
    { name: 'Organisation', kind: 'title', cell: ({ name }) => name },
    {
      name: 'Cap',
      kind: 'number',
      hint: 'Most privacy that its data set may ever spend, as epsilon.',
      cell: ({ epsilonCap }) => `ε ${formatNumber(epsilonCap)}`,
    },
    {
      name: 'Spent',
      kind: 'number',
      hint: 'In rounds of any run so far, at the delta of this plan.',
      cell: ({ spentEpsilon }) => (spentEpsilon === null ? 'no bound' : `ε ${formatNumber(spentEpsilon)}`),
    },
    {
      name: 'Rounds left',
      kind: 'number',
      hint: 'Of this plan, until its client declines: composed with what is spent, as its own ledger does it.',
      cell: ({ rounds: left }) =>
        left === null || left >= rounds ? `all ${rounds}` : <span className="warn">{`${left} of ${rounds}`}</span>,
    },
  ];
}
