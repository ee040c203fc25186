import { Command } from 'commander';
import type { RoundEntry } from '../storage/round-book.js';
import type { CliContext } from './context.js';
import { homeOption, jsonOption, wholeNumber } from './options.js';

export function rounds(context: CliContext): Command {
  return new Command('rounds')
    .description('what this client was asked to join, how it ended, and what it sent: bytes and SHA-256')
    .addOption(homeOption())
    .option('--last <n>', 'how many, the newest first', wholeNumber, 20)
    .addOption(jsonOption())
    .action(async (options: { home?: string; last: number; json?: boolean }) => {
      const { homeFrom } = await import('../config/home.js');
      const { lastRounds } = await import('../storage/round-book.js');
      const list = await lastRounds(homeFrom(options.home, context.environment).rounds, options.last);
      if (options.json === true) context.out(JSON.stringify(list));
      else if (list.length === 0) context.out('No round was offered yet.');
      else for (const line of list.flatMap(describe)) context.out(line);
    });
}

function describe({ roundId, title, manifestHash, startedAt, endedAt, ending, because, sent }: RoundEntry): string[] {
  const seconds = ((endedAt - startedAt) / 1000).toFixed(1);
  return [
    `${roundId}  ${new Date(startedAt).toLocaleString()}  ${seconds} s  ${ending}: ${because}`,
    `  "${title}", manifest ${manifestHash === '' ? 'not accepted' : manifestHash.slice(0, 12)}`,
    ...sent.map(({ what, bytes, sha256 }) => `  ${what.padEnd(14)} ${String(bytes).padStart(12)} bytes  ${sha256}`),
  ];
}
