import type { RunStatus } from '@fedlora/shared';
import { Hint } from '../blocks/hint.js';
import { statusWords } from './status-words.js';

export function RunStatusTag({ status }: { status: RunStatus }) {
  const { label, tone, meaning } = statusWords[status];
  return (
    <Hint plain text={meaning}>
      <span className={`tag tone-${tone}`} data-testid="run-status">
        {label}
      </span>
    </Hint>
  );
}
