import { Tooltip } from '@mantine/core';
import type { ReactNode } from 'react';

/** An explanation on hover, touch and keyboard focus. */
export function Hint({ text, children, plain = false }: { text: ReactNode; children: ReactNode; plain?: boolean }) {
  return (
    <Tooltip
      label={text}
      multiline
      maw={300}
      withArrow
      openDelay={150}
      events={{ hover: true, focus: true, touch: true }}
      className="hint-text"
    >
      <span tabIndex={0} className={plain ? 'hint' : 'hint hint-marked'}>
        {children}
      </span>
    </Tooltip>
  );
}
