import { Table } from '@mantine/core';
import { useState, type ReactNode } from 'react';
import { Hint } from './hint.js';
import { LoadError } from './load-error.js';
import { Loading } from './loading.js';

export interface Column<Row> {
  readonly name: string;
  /** What the values mean, with their unit: on hover and focus. */
  readonly hint?: ReactNode;
  readonly cell: (row: Row) => ReactNode;
  /** Makes the column sortable; `null` goes last. */
  readonly sortBy?: (row: Row) => string | number | null;
  /** Numbers stand at the right. */
  readonly kind?: 'title' | 'number' | 'actions';
  /** On a narrow page, where each row is a card: over its whole width. */
  readonly isWide?: boolean;
}

/** What a query says of the rows: `useQuery` and `usePagedList` answer in this shape. */
export interface RowsState<Row> {
  readonly rows: readonly Row[] | undefined;
  readonly error: Error | null;
  readonly isFetching: boolean;
  readonly onRetry: () => void;
}

interface DataTableProps<Row> extends RowsState<Row> {
  /** What the rows are, for readers of the screen. */
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rowKey: (row: Row) => string;
  /** Shown when there are no rows: a `Nothing` that says what would change that. */
  readonly empty: ReactNode;
  /** Column by which the rows are sorted at first; default: as they come. */
  readonly sortedBy?: { readonly name: string; readonly descending?: boolean };
}

interface Sorting {
  readonly name: string;
  readonly descending: boolean;
}

/** A table that can be sorted, whose rows are cards on a narrow page, and that says why it has no rows. */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const { rows, error, isFetching, onRetry, label, columns, rowKey, empty, sortedBy } = props;
  const [sorting, setSorting] = useState<Sorting | null>(
    sortedBy === undefined ? null : { name: sortedBy.name, descending: sortedBy.descending ?? false },
  );
  if (rows === undefined) {
    if (error !== null) return <LoadError error={error} isTrying={isFetching} onRetry={onRetry} />;
    return <Loading what={label} heights={[34, 34, 34]} />;
  }
  if (rows.length === 0) return empty;
  return (
    <>
      {error !== null && <LoadError error={error} isTrying={isFetching} onRetry={onRetry} />}
      <Table className="stacking" verticalSpacing={7} horizontalSpacing="sm" aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            {columns.map((column) => (
              <HeadCell key={column.name} column={column} sorting={sorting} onSort={setSorting} />
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sorted(rows, columns, sorting).map((row) => (
            <Table.Tr key={rowKey(row)} data-row={rowKey(row)}>
              {columns.map(({ name, cell, kind, isWide }) => (
                <Table.Td
                  key={name}
                  data-label={kind === undefined || kind === 'number' ? name : undefined}
                  className={[kind !== undefined && `cell-${kind}`, isWide && 'cell-wide'].filter(Boolean).join(' ')}
                >
                  {cell(row)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </>
  );
}

interface HeadCellProps<Row> {
  readonly column: Column<Row>;
  readonly sorting: Sorting | null;
  readonly onSort: (sorting: Sorting) => void;
}

function HeadCell<Row>({ column, sorting, onSort }: HeadCellProps<Row>) {
  const { name, hint, sortBy, kind } = column;
  const isSorted = sorting?.name === name;
  const title = hint === undefined ? name : <Hint text={hint}>{name}</Hint>;
  const direction = isSorted && sorting.descending ? 'descending' : 'ascending';
  return (
    <Table.Th
      className={kind === 'number' ? 'cell-number' : undefined}
      aria-sort={isSorted ? direction : sortBy && 'none'}
    >
      {kind === 'actions' ? <span className="visually-hidden">{name}</span> : title}
      {sortBy !== undefined && (
        <button
          type="button"
          className="sort-button"
          aria-label={`Sort by ${name}`}
          data-sorted={isSorted ? direction : undefined}
          onClick={() => onSort({ name, descending: isSorted && !sorting.descending })}
        >
          {isSorted ? (sorting.descending ? '▼' : '▲') : '↕'}
        </button>
      )}
    </Table.Th>
  );
}

function sorted<Row>(rows: readonly Row[], columns: readonly Column<Row>[], sorting: Sorting | null): readonly Row[] {
  const sortBy = columns.find(({ name }) => name === sorting?.name)?.sortBy;
  if (sorting === null || sortBy === undefined) return rows;
  const direction = sorting.descending ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [left, right] = [sortBy(a), sortBy(b)];
    if (left === right) return 0;
    if (left === null) return 1;
    if (right === null) return -1;
    if (typeof left === 'string' || typeof right === 'string')
      return direction * String(left).localeCompare(String(right), undefined, { numeric: true });
    return direction * (left - right);
  });
}
