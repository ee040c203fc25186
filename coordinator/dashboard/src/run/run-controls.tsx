import { Checkbox } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { RunView } from '@fedlora/shared';
import { api } from '../api.js';
import { ConfirmButton } from '../blocks/confirm-button.js';
import { useMay } from '../session.js';

/** Pause, resume and stop, as the run's status and the user's rights allow. */
export function RunControls({ run }: { run: RunView }) {
  const client = useQueryClient();
  const mayManage = useMay('runs.manage');
  const [abortsRound, setAbortsRound] = useState(false);
  if (!mayManage || (run.status !== 'running' && run.status !== 'paused')) return null;
  const show = (changed: RunView): void => {
    client.setQueryData(['runs', run.id], changed);
  };
  return (
    <>
      {run.status === 'running' ? (
        <ConfirmButton
          question="Pause this run?"
          consequence={
            <>
              <p>No further round starts until the run is resumed. An open round goes on to its end.</p>
              <Checkbox
                label="Abort the open round, too"
                description="Its contributions are thrown away. Organisations are charged for it if its sum was unmasked already."
                checked={abortsRound}
                onChange={(event) => setAbortsRound(event.currentTarget.checked)}
              />
            </>
          }
          action="Pause run"
          onConfirm={() => api.pauseRun(run.id, { abortRound: abortsRound }).then(show)}
        >
          Pause
        </ConfirmButton>
      ) : (
        <ConfirmButton
          question="Resume this run?"
          consequence={<p>The next round starts as soon as enough organisations are ready.</p>}
          action="Resume run"
          onConfirm={() => api.resumeRun(run.id).then(show)}
        >
          Resume
        </ConfirmButton>
      )}
      <ConfirmButton
        question="Stop this run for good?"
        consequence={
          <p>
            An open round is aborted, and no other ever starts: a stopped run cannot be resumed. Its newest version and
            its history stay. To go on later, pause it instead.
          </p>
        }
        action="Stop run"
        isDestructive
        onConfirm={() => api.stopRun(run.id).then(show)}
      >
        Stop
      </ConfirmButton>
    </>
  );
}
