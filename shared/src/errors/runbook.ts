/** Which page of the runbook (`deploy/runbook`) explains an error: one page for each situation, with a section for each code. */

import type { ErrorCode } from './catalogue.js';

type FamilyOf<Code extends string> = Code extends `${infer Family}/${string}` ? Family : never;

/** By the part of a code before its slash; file names without `.md`. A new family has no meaning before it has a page. */
export const runbookPages = {
  enrol: 'joining',
  session: 'joining',
  organisation: 'joining',
  client: 'client',
  home: 'client',
  config: 'client',
  identity: 'keys',
  pins: 'keys',
  roster: 'keys',
  'roster-memory': 'keys',
  policy: 'policy',
  privacy: 'policy',
  ledger: 'ledger',
  decisions: 'ledger',
  data: 'data',
  'base-model': 'base-model',
  safetensors: 'base-model',
  gguf: 'base-model',
  tokenizer: 'base-model',
  engine: 'engine',
  resources: 'engine',
  connection: 'network',
  upload: 'network',
  pull: 'network',
  offer: 'terms',
  manifest: 'terms',
  round: 'rounds',
  update: 'rounds',
  aggregation: 'rounds',
  secagg: 'secure-aggregation',
  sharing: 'secure-aggregation',
  codec: 'secure-aggregation',
  crypto: 'secure-aggregation',
  secret: 'secure-aggregation',
  adapter: 'adapters',
  version: 'adapters',
  repository: 'releases',
  channel: 'releases',
  tag: 'releases',
  outcomes: 'releases',
  run: 'runs',
  schedule: 'runs',
  access: 'access',
  request: 'api',
  coordinator: 'coordinator',
  'data-folder': 'coordinator',
  database: 'coordinator',
  audit: 'coordinator',
  internal: 'bugs',
} as const satisfies Record<FamilyOf<ErrorCode>, string>;

/** Where the runbook explains a code, from the root of the repository: its page and the anchor that Markdown makes of the heading. */
export function runbookLink(code: ErrorCode): string {
  // Safe: every code begins with its family and a slash.
  const family = code.split('/')[0] as keyof typeof runbookPages;
  return `deploy/runbook/${runbookPages[family]}.md#${code.replace('/', '')}`;
}
