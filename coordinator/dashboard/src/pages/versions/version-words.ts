/** What the pages about versions call things, and what they explain. */

import type { ChannelMoveKind, GateCheckName, GateOutcome } from '@fedlora/shared';

export const gateWords: Readonly<Record<GateOutcome, { readonly word: string; readonly tone: string }>> = {
  passed: { word: 'passed', tone: 'good' },
  failed: { word: 'failed', tone: 'bad' },
  'not-measured': { word: 'not measured', tone: 'warn' },
};

export const checkWords: Readonly<Record<GateCheckName, string>> = {
  trained: 'Trained',
  lineage: 'Lineage',
  privacy: 'Privacy against stable',
  audit: 'Audit with canaries',
  'better-than-start': 'Better than the base model',
  loss: 'Loss against stable',
  accuracy: 'Exact answers against stable',
};

export const moveWords: Readonly<Record<ChannelMoveKind, string>> = {
  promoted: 'Promoted',
  'rolled-back': 'Rolled back',
  revoked: 'Version revoked',
  removed: 'Channel removed',
};

export const hints = {
  version: 'The first digits of the version’s id, which is derived from its content.',
  loss: 'Mean loss on rows that the organisations held out from training, in nats per answer token: lower is better. Measured in the round that starts from the version, so the newest has none yet.',
  accuracy: 'Fraction of the held-out answers that the adapter gives exactly, word for word: higher is better.',
  epsilon:
    'Privacy spent by the run up to this version: the lower, the less the adapter can tell about what is protected. None where no noise was added.',
  gate: 'Whether the version may be released: it was trained, comes from no revoked version, promises no less privacy than the stable version, keeps its promise as far as audits tell, is better than the base model, and no worse than the stable version by more than chance explains.',
  round: 'The attempt of the run that made this version, counted from 1; aborted rounds keep their number.',
  size: 'All files of the version together.',
  downloads: 'How often the weights were fetched, whole or from their beginning. Who fetched them is not kept.',
  manifest:
    'Hash of the signed terms under which the round ran. The same hash in two versions: the same terms, to the letter.',
  roster: 'Hash of the list of organisations with their keys.',
  channels:
    '“candidate” follows what runs publish. Every other channel has what was promoted to it; services that pull a channel get its version.',
  canaries:
    'Made-up records of one owner, each trained on or left out by the toss of a coin. Which were is fixed under a seal before training.',
  guesses:
    'A membership test: how many canaries were guessed to be trained on or left out from the version alone, and how many of the guesses were right. Chance alone gets half.',
  epsilonShown:
    'Epsilon for one record is at least this, in 19 of 20 audits. 0 shows nothing: it is no proof that nothing is given away.',
  epsilonOfRecord: 'Epsilon that the version promises for one record at its delta; – where it promises nothing of one.',
  outcome:
    'As services reported it: the rate or mean, with its interval of 95 % (Wilson for rates, Student for means), and of how many outcomes. Single outcomes count as independent of one another.',
  outcomeDifference:
    'With its interval of 95 %. “Different” is more than chance explains, at a level of 5 % for all metrics of this page together (pooled z test, Welch’s test, Holm).',
  drift:
    'The last hours against the days before them. “Drifts” is more than chance explains, at a level of 1 % for all metrics together. Looked at all day, chance alone shows it now and then.',
  commonHours:
    'Only hours in which outcomes of both were reported are compared: hours differ from one another as well. It tells most where requests go to either at random.',
  difference:
    'Frobenius norm of the difference of both updates, scaled B A, in this module: 0 if they are the same; about the norms themselves if they have nothing in common.',
} as const;
