/** The reference of settings: what the coordinator's sources and the client's tables of settings say. */

import { configSettings } from '../../client/src/config/client-config.js';
import { policySettings } from '../../client/src/config/policy-file.js';
import type { Setting } from '../../client/src/config/settings.js';
import { documentedSettings } from './documented-settings.js';
import { cell, tableOf } from './markdown-table.js';
import { sources } from './sources.js';

export function configurationReference(): string {
  const coordinator = documentedSettings(sources('coordinator/src/config'), 'CoordinatorConfig');
  return [
    '## The coordinator',
    'In the JSON file that `fedlora-coordinator --config FILE` names, or in the environment, which wins. A dot leads into an object of the file.',
    tableOf(
      ['setting', 'environment', 'default', 'meaning'],
      coordinator.map((one) => [
        `\`${one.key}\``,
        one.variables.map((name) => `\`${name}\``).join(' '),
        one.default === undefined ? '' : `\`${one.default}\``,
        cell(one.meaning),
      ]),
    ),
    '## config.yaml of a client',
    'In the home folder. `fedlora config show` prints what is in effect, and where each value comes from.',
    clientTable(configSettings),
    '## policy.yaml of a client',
    'In the home folder. `fedlora policy init` writes it with a comment over every key, `fedlora policy check` reads it, and [its JSON Schema](../schemas/policy.schema.json) is for editors.',
    clientTable(policySettings),
  ].join('\n\n');
}

function clientTable(settings: readonly Setting<unknown>[]): string {
  return tableOf(
    ['setting', 'environment', 'default', 'value', 'meaning'],
    settings.map(({ key, variable, fallback, required, kind, comment }) => [
      `\`${key}\``,
      variable === undefined ? '' : `\`${variable}\``,
      fallback === undefined ? (required === true ? 'required' : 'unset') : `\`${JSON.stringify(fallback)}\``,
      cell(kind.expected),
      cell(comment),
    ]),
  );
}
