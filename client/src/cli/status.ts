import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption } from './options.js';
import type { Status } from '../daemon/status-file.js';

export function status(context: CliContext): Command {
  return new Command('status')
    .description('what the client does now, since when, why, and what comes next')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(async (options: { home?: string; json?: boolean }) => {
      const { homeFrom } = await import('../config/home.js');
      const { readStatus } = await import('../daemon/status-file.js');
      const { lockHolder } = await import('../storage/lock.js');
      const home = homeFrom(options.home, context.environment);
      const written = await readStatus(home.status);
      const runs = (await lockHolder(home.lock)) !== undefined;
      // What a killed daemon wrote last is not what is going on.
      const shown: Partial<Status> =
        written === undefined
          ? { state: 'stopped', why: 'It has never run with this home folder.', next: 'Nothing, until `fedlora run`.' }
          : runs
            ? written
            : {
                ...written,
                state: 'stopped',
                connected: false,
                roundId: null,
                why: 'No client runs.',
                next: 'Nothing, until `fedlora run`.',
              };
      if (options.json === true) context.out(JSON.stringify(shown));
      else for (const line of describe(shown)) context.out(line);
    });
}

function describe(status: Partial<Status>): string[] {
  const at = (time: number): string => new Date(time).toLocaleString();
  const lines = [`state        ${status.state}${status.since === undefined ? '' : ` since ${at(status.since)}`}`];
  lines.push(`why          ${status.why}`, `next         ${status.next}`);
  if (status.organisation !== undefined) lines.push(`organisation ${status.organisation} at ${status.coordinator}`);
  if (status.device !== undefined) lines.push(`device       ${status.device}`);
  if (status.roundId) lines.push(`round        ${status.roundId}`);
  if (status.lastRound)
    lines.push(`last round   ${status.lastRound.roundId}, ${status.lastRound.ending} (${at(status.lastRound.at)})`);
  if (status.rosterChange) {
    const { added, removed, replaced, at: seenAt } = status.rosterChange;
    const parts = [
      ...(added.length === 0 ? [] : [`added ${added.join(', ')}`]),
      ...(removed.length === 0 ? [] : [`removed ${removed.join(', ')}`]),
      ...(replaced.length === 0 ? [] : [`new key of ${replaced.join(', ')}`]),
    ];
    lines.push(`members      ${parts.join('; ')} (${at(seenAt)})`);
  }
  if (status.rounds !== undefined) {
    lines.push(
      `rounds       ${status.rounds.counted} counted, ${status.rounds.declined} declined, ${status.rounds.aborted} aborted since start`,
    );
  }
  const { sent } = status;
  if (sent !== undefined) {
    lines.push('last sent');
    lines.push(
      `  control message  ${sent.controlMessage === null ? 'none yet' : `${sent.controlMessage.what}, ${at(sent.controlMessage.at)}`}`,
    );
    lines.push(
      `  masked update    ${sent.maskedUpdate === null ? 'none yet' : `${sent.maskedUpdate.bytes} bytes, ${at(sent.maskedUpdate.at)}`}`,
    );
    lines.push(
      `  key shares       ${sent.keyShares === null ? 'none yet' : `${sent.keyShares.roundId}, ${at(sent.keyShares.at)}`}`,
    );
  }
  return lines;
}
