/** README.md of an adapter version: what it is, what it promises, how to use it. Hugging Face shows it as the model card. */

import type { AggregationRule, Manifest } from '@fedlora/protocol';
import { FACTOR_R_FILE, oneLine } from '@fedlora/shared';
import { isContradicted } from '../release/audit-finding.js';
import type { AdapterStanding } from './version-store.js';

/** What each rule trains, and what its average is worth. */
const ruleNotes: Readonly<Record<AggregationRule, string>> = {
  'ffa-svd': 'B trained, A frozen',
  alternate: 'A and B trained in turn',
  fedavg:
    'A and B trained together, which is inexact: the mean of A and of B after local steps is not that of the products B A',
  'fed-sb': `R trained between frozen A and B; lora_B is B R, and ${FACTOR_R_FILE} has R as training goes on from it`,
};

/** The card of a version. The same standing gives the same text. */
export function adapterCard(manifest: Manifest, standing: AdapterStanding): string {
  const { base, adapter } = manifest;
  const facts = [
    ['run', `${manifest.title} (${manifest.runId})`],
    ['rounds', `${standing.completedRounds} of ${manifest.rounds} planned`],
    ['organisations', String(standing.organisations)],
    [
      'aggregation',
      `${adapter.rule}: ${ruleNotes[adapter.rule]}; secure aggregation, threshold ${manifest.aggregation.threshold} of ${standing.organisations}`,
    ],
    ['LoRA', `r ${adapter.r}, lora_alpha ${adapter.loraAlpha}, ${adapter.targetModules.join(', ')}`],
    [
      'data',
      `${manifest.data.format}, template ${manifest.data.template}, at most ${manifest.data.maximumLength} tokens`,
    ],
  ];
  return `---
library_name: peft
base_model: ${JSON.stringify(base.name)}
tags:
  - lora
  - federated-learning
---

# ${oneLine(manifest.title)}

A LoRA adapter for \`${oneLine(base.name)}\` (files ${base.digest}), trained by ${standing.organisations} organisations that kept their text at home.

## Privacy

${privacy(manifest, standing)}
${evaluation(manifest, standing)}${audits(standing)}
## Facts

| | |
|---|---|
${facts.map(([name, value]) => `| ${name} | ${oneLine(value)} |`).join('\n')}

## Use

\`\`\`python
from transformers import AutoModelForCausalLM
from peft import PeftModel

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("${oneLine(base.name)}"), "path/of/this/folder")
\`\`\`

\`manifest.json\` says where this version comes from; \`manifest.sig\` is the coordinator's Ed25519 signature over it, and
\`attestation.intoto.jsonl\` the same about all files as an in-toto statement. \`fedlora adapter verify DIR\` checks all of it offline.
`;
}

function privacy(manifest: Manifest, { epsilon, completedRounds }: AdapterStanding): string {
  const { unit, delta, noiseMultiplier, l2Bound, assumedColluders } = manifest.privacy;
  if (unit === 'none') {
    return '**No differential privacy.** Updates were clipped and securely aggregated, but no noise was added: what this adapter tells about its training data is not bounded.';
  }
  if (completedRounds === 0) return 'Nothing was trained yet: this is the public starting point.';
  const protects = unit === 'client' ? 'everything that one organisation contributed' : 'one training record';
  return [
    `Differential privacy for **${protects}** (unit \`${unit}\`): **epsilon ${epsilon?.toFixed(3)} at delta ${delta}**.`,
    `RDP accountant; noise multiplier ${noiseMultiplier}, L2 bound ${l2Bound}; neighbours differ by adding or removing one unit.`,
    ...(unit === 'record-local'
      ? [
          'Each organisation added all of the noise that protects its records itself, to each of its local steps: the promise holds against',
          'everyone, the coordinator and all other organisations together included.',
        ]
      : [
          'The noise was added by the organisations together, and suffices as long as no more of them collude than the run assumed',
          `(${assumedColluders}).`,
        ]),
  ].join('\n');
}

/** A section of its own, where something was measured. */
function evaluation({ metrics, privacy: { unit } }: Manifest, { parent, parentOnHeldOut }: AdapterStanding): string {
  if (metrics.evaluation === undefined || parentOnHeldOut === null) return '';
  const { fraction } = metrics.evaluation;
  const { loss, accuracy } = parentOnHeldOut;
  return `
## Evaluation

On rows that the organisations held out from training (about ${percent(fraction)} of them, chosen by a hash of the prompt), the version before
this one (\`${parent}\`) had a mean loss of **${loss.toFixed(3)}** nats per answer token and gave **${percent(accuracy)}** of the answers
exactly. ${unit === 'none' ? 'Read from the securely aggregated sum of one round.' : 'Read from the noised sum of one round, at no privacy beyond what is stated above: single rounds scatter.'}
`;
}

/** A section of its own, where something was found. */
function audits({ audits: found }: AdapterStanding): string {
  if (found.length === 0) return '';
  const rows = found.map((one) =>
    [
      `\`${one.version.slice(0, 8)}\``,
      String(one.canaries),
      `${one.right} of ${one.guesses}`,
      one.epsilonLowerBound.toFixed(3),
      `${one.epsilonPromised?.toFixed(3) ?? 'nothing'}${isContradicted(one) ? ': **contradicted**' : ''}`,
    ].join(' | '),
  );
  return `
## Audits

Organisations learned from made-up rows that were left in or out by fair coins, and guessed the coins from earlier versions of this run:
one-run auditing (arXiv:2305.08846). The bound on epsilon for one record holds in 19 of 20 audits. It can contradict a promise, and not show
that one holds.

| version | canaries | guesses right | epsilon at least | promised for one record |
|---|---|---|---|---|
${rows.map((row) => `| ${row} |`).join('\n')}
`;
}

function percent(fraction: number): string {
  return `${Number((100 * fraction).toFixed(1))} %`;
}
