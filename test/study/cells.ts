/** The cells of a study, which are kept in a file as they are done: a study that is stopped goes on where it was. */

import { appendFile, mkdir, readFile, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { DatasetName } from './presets.js';
import type { Result } from './run-method.js';

/** One method on one data set with one seed. */
export interface Cell {
  readonly dataset: DatasetName;
  readonly title: string;
  readonly seed: number;
  /** By organisation, in their order. */
  readonly results: readonly Result[];
  readonly seconds: number;
}

export class CellFile {
  private constructor(
    private readonly path: string,
    /** In the order in which they were done. */
    readonly cells: Cell[],
  ) {}

  /** Opens the file, or one that is to be. A last line that is cut short is a cell that was not finished. */
  static async open(path: string): Promise<CellFile> {
    await mkdir(dirname(path), { recursive: true });
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) await truncate(path, Buffer.byteLength(whole));
    return new CellFile(
      path,
      whole
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Cell),
    );
  }

  /** Computing of all of them, whenever that was. */
  get seconds(): number {
    return this.cells.reduce((sum, { seconds }) => sum + seconds, 0);
  }

  find({ dataset, title, seed }: Pick<Cell, 'dataset' | 'title' | 'seed'>): Cell | undefined {
    return this.cells.find((one) => one.dataset === dataset && one.title === title && one.seed === seed);
  }

  async add(cell: Cell): Promise<void> {
    await appendFile(this.path, `${JSON.stringify(cell)}\n`);
    this.cells.push(cell);
  }
}
