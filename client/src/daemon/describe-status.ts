/** The status in words, a label and a text for each line, for the terminal and for the status page. */

import type { Status } from './status-file.js';

export interface StatusLine {
  readonly label: string;
  readonly text: string;
}

/** In the order in which somebody asks: what, why, what next, with whom, how it went, what left this machine. */
export function describeStatus(status: Partial<Status>, at: (time: number) => string): readonly StatusLine[] {
  const lines: StatusLine[] = [];
  const add = (label: string, text: string): void => void lines.push({ label, text });
  add('state', `${status.state}${status.since === undefined ? '' : ` since ${at(status.since)}`}`);
  add('why', status.why ?? '');
  add('next', status.next ?? '');
  if (status.organisation !== undefined) add('organisation', `${status.organisation} at ${status.coordinator}`);
  if (status.device !== undefined) add('device', status.device);
  if (status.roundId) add('round', status.roundId);
  if (status.lastRound) {
    const { roundId, ending, at: endedAt } = status.lastRound;
    add('last round', `${roundId}, ${ending} (${at(endedAt)})`);
  }
  if (status.rosterChange) {
    const { added, removed, replaced, at: seenAt } = status.rosterChange;
    const parts = [
      ...(added.length === 0 ? [] : [`added ${added.join(', ')}`]),
      ...(removed.length === 0 ? [] : [`removed ${removed.join(', ')}`]),
      ...(replaced.length === 0 ? [] : [`new key of ${replaced.join(', ')}`]),
    ];
    add('members', `${parts.join('; ')} (${at(seenAt)})`);
  }
  if (status.rounds !== undefined) {
    const { counted, declined, aborted } = status.rounds;
    add('rounds', `${counted} counted, ${declined} declined, ${aborted} aborted since start`);
  }
  if (status.sent !== undefined) {
    const { controlMessage, maskedUpdate, keyShares } = status.sent;
    add('last sent', '');
    add('  control message', controlMessage === null ? 'none yet' : `${controlMessage.what}, ${at(controlMessage.at)}`);
    add('  masked update', maskedUpdate === null ? 'none yet' : `${maskedUpdate.bytes} bytes, ${at(maskedUpdate.at)}`);
    add('  key shares', keyShares === null ? 'none yet' : `${keyShares.roundId}, ${at(keyShares.at)}`);
  }
  return lines;
}
