/** The demo's closing table, at most 100 columns wide. */

/** One model's results on one test set. */
export interface SetResult {
  /** Share of rows whose whole answer is right under greedy decoding, 0 to 1. */
  readonly accuracy: number;
  /** Mean over rows of the mean cross-entropy over the answer's tokens, nats. */
  readonly loss: number;
  readonly rows: number;
}

export interface ModelResult {
  /** `base`, `local:<organisation>` or `federated`. */
  readonly model: string;
  readonly macroAccuracy: number;
  readonly macroLoss: number;
  readonly perSet: Readonly<Record<string, SetResult>>;
}

/** Mean accuracy and loss over sets, each set counting the same. */
export function summarise(model: string, perSet: Readonly<Record<string, SetResult>>): ModelResult {
  return { model, macroAccuracy: mean(perSet, 'accuracy'), macroLoss: mean(perSet, 'loss'), perSet };
}

/** A group of test sets shown as one column. */
export interface Column {
  readonly title: string;
  readonly sets: readonly string[];
}

/** Widest line that a terminal of 100 columns shows whole. */
const WIDEST = 100;

/** Lays the results out: a row each model, a column each group of sets, accuracy in per cent and loss in each cell. */
export function resultTable(rows: readonly ModelResult[], columns: readonly Column[]): string {
  const roomy = layOut(rows, columns, ' %  ');
  return roomy.split('\n').every((line) => line.length <= WIDEST) ? roomy : layOut(rows, columns, ' ');
}

function layOut(rows: readonly ModelResult[], columns: readonly Column[], between: string): string {
  const cell = ({ accuracy, loss }: { accuracy: number; loss: number }): string =>
    `${(100 * accuracy).toFixed(0).padStart(3)}${between}${loss.toFixed(loss < 10 ? 2 : 1)}`;
  const titles = ['', ...columns.map((column) => column.title), 'macro'];
  const body = rows.map((row) => [
    row.model,
    ...columns.map((column) => cell(pick(row.perSet, column.sets))),
    cell({ accuracy: row.macroAccuracy, loss: row.macroLoss }),
  ]);
  const widths = titles.map((title, index) => Math.max(title.length, ...body.map((line) => line[index].length)));
  const line = (cells: readonly string[]): string =>
    cells.map((text, index) => (index === 0 ? text.padEnd(widths[0]) : text.padStart(widths[index]))).join('  ');
  const rule = widths.map((width) => '─'.repeat(width)).join('──');
  return [line(titles), rule, ...body.map(line)].map((text) => `  ${text.trimEnd()}`).join('\n');
}

function pick(
  perSet: Readonly<Record<string, SetResult>>,
  sets: readonly string[],
): { accuracy: number; loss: number } {
  const chosen = Object.fromEntries(sets.map((set) => [set, perSet[set]]));
  return { accuracy: mean(chosen, 'accuracy'), loss: mean(chosen, 'loss') };
}

function mean(perSet: Readonly<Record<string, SetResult>>, field: 'accuracy' | 'loss'): number {
  const values = Object.values(perSet).map((result) => result[field]);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
