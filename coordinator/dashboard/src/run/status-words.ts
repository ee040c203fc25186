import type { RunStatus } from '@fedlora/shared';

export const statusWords: Readonly<Record<RunStatus, { label: string; tone: string; meaning: string }>> = {
  running: { label: 'Running', tone: 'good', meaning: 'Rounds start whenever enough organisations are ready.' },
  paused: { label: 'Paused', tone: 'warn', meaning: 'No round starts until an operator resumes the run.' },
  completed: { label: 'Completed', tone: 'plain', meaning: 'All planned rounds are done.' },
  stopped: {
    label: 'Stopped',
    tone: 'warn',
    meaning: 'Ended before its last planned round; the newest version stays.',
  },
  failed: { label: 'Failed', tone: 'bad', meaning: 'Ended by itself, because it could not go on.' },
};

// Safe: the words are by status, each once.
export const runStatuses = Object.keys(statusWords) as readonly RunStatus[];

/** Of the list's address: `?status=running`. */
export function runsSearch(typed: Record<string, unknown>): { status?: RunStatus | undefined } {
  return { status: runStatuses.find((status) => status === typed['status']) };
}
