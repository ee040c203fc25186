/** The phases of a round in their order, with what happens in each. */

import type { ParticipantView, RoundPhase } from '@fedlora/shared';

export type WorkPhase = Exclude<RoundPhase, 'done' | 'aborted'>;

export const phases: readonly { readonly name: WorkPhase; readonly meaning: string }[] = [
  { name: 'recruiting', meaning: 'Waits until enough organisations are connected.' },
  { name: 'advertising', meaning: 'Participants read the terms and send fresh public keys for this round.' },
  {
    name: 'revealing',
    meaning:
      'In a large round participants show randomness that nobody could choose: it decides who shares secrets with whom.',
  },
  {
    name: 'sharing',
    meaning: 'Participants exchange encrypted shares of their masks, so that the sum survives drop-outs.',
  },
  {
    name: 'training',
    meaning: 'Participants train on their own data and upload updates that are masked: unreadable one by one.',
  },
  { name: 'checking', meaning: 'Participants confirm that they all see the same list of survivors.' },
  { name: 'unmasking', meaning: 'Participants send what removes the masks from the sum; single updates stay hidden.' },
  { name: 'applying', meaning: 'The coordinator turns the sum into a new adapter version.' },
];

export function isOver(phase: RoundPhase): phase is 'done' | 'aborted' {
  return phase === 'done' || phase === 'aborted';
}

/** Nothing more is expected of it in this round. */
export function isOut(participant: ParticipantView): boolean {
  return participant.status === 'declined' || participant.status === 'dropped';
}
