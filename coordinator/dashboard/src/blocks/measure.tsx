import type { ReactNode } from 'react';
import { formatNumber } from '../format.js';
import { Hint } from './hint.js';

interface MeasureProps {
  /** `null`: not known, or does not apply. */
  readonly value: number | null;
  /** Empty for a ratio, which the explanation says. */
  readonly unit: string;
  /** What the number means; on hover, touch and focus. */
  readonly hint: ReactNode;
  /** After the point; default: 0 for whole numbers, else 2. */
  readonly digits?: number;
}

/** A number with its unit and what it means. */
export function Measure({ value, unit, hint, digits }: MeasureProps) {
  const places = digits ?? (value === null || Number.isInteger(value) ? 0 : 2);
  return (
    <Hint text={hint}>
      {formatNumber(value, places)}
      {value !== null && unit !== '' && <span className="unit"> {unit}</span>}
    </Hint>
  );
}
