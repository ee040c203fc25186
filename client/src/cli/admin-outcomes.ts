/** `fedlora admin outcomes`: what comes of using versions, as downstream services report it. */

import { Command, InvalidArgumentError } from 'commander';
import type { OutcomeMetricRequest, OutcomeRequest } from '@fedlora/shared';
import { asking } from './admin-asking.js';
import type { CliContext } from './context.js';

const AFTER_HELP = `
An operator declares what may be reported: proportions by their name, scores with their bounds. A service reports sums with a token that
may outcomes.write and nothing else; no text of any kind is taken.

Example:
  fedlora admin outcomes declare city/support accepted rating=1..5
  fedlora admin outcomes report VERSION accepted=80/100 rating=412/100/1780     # sum/count, and of a score /sum of squares`;

export function outcomes(context: CliContext): Command {
  return new Command('outcomes')
    .description('what comes of using versions: declare, report, compare')
    .addHelpText('after', AFTER_HELP)
    .addCommand(
      asking(context, 'metrics', 'what may be reported', (api, repository: string) =>
        api.outcomeMetrics(repository),
      ).argument('<repository>'),
    )
    .addCommand(
      asking(
        context,
        'declare',
        'replace what may be reported',
        (api, repository: string, metrics: OutcomeMetricRequest[]) =>
          api.declareOutcomeMetrics(repository, { metrics }),
      )
        .argument('<repository>')
        .argument('<metric...>', 'NAME for a proportion, NAME=MINIMUM..MAXIMUM for a score', metric),
    )
    .addCommand(
      asking(context, 'report', 'add outcomes of using a version', (api, version: string, reported: OutcomeRequest[]) =>
        api.reportOutcomes(version, { outcomes: reported }),
      )
        .argument('<version>')
        .argument('<outcome...>', 'NAME=SUM/COUNT, and of a score NAME=SUM/COUNT/SUM-OF-SQUARES', outcome),
    )
    .addCommand(
      asking(context, 'show', 'how a version does, and whether it drifts', (api, version: string) =>
        api.outcomes(version),
      ).argument('<version>'),
    )
    .addCommand(
      asking(context, 'compare', 'two versions that were in use at the same time', (api, left: string, right: string) =>
        api.compareOutcomes(left, right),
      )
        .argument('<version>')
        .argument('<other>'),
    );
}

function metric(text: string, before: OutcomeMetricRequest[] = []): OutcomeMetricRequest[] {
  const [name, bounds] = text.split('=');
  if (bounds === undefined) return [...before, { name, kind: 'proportion' }];
  const [minimum, maximum] = numbersIn(bounds, '..', [2]);
  return [...before, { name, kind: 'score', minimum, maximum }];
}

function outcome(text: string, before: OutcomeRequest[] = []): OutcomeRequest[] {
  const [name, sums = ''] = text.split('=');
  const [sum, count, sumOfSquares] = numbersIn(sums, '/', [2, 3]);
  return [...before, { metric: name, count, sum, ...(sumOfSquares === undefined ? {} : { sumOfSquares }) }];
}

/** @throws InvalidArgumentError: other than so many numbers */
function numbersIn(text: string, separator: string, counts: readonly number[]): number[] {
  const numbers = text.split(separator).map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!counts.includes(numbers.length) || !numbers.every(Number.isFinite))
    throw new InvalidArgumentError(`It must be ${counts.join(' or ')} numbers with ${separator} between them.`);
  return numbers;
}
