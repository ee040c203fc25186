import { Command } from 'commander';
import { givenFormats, type GivenFormatName } from '../data/row-formats.js';
import type { CliContext } from './context.js';
import { jsonOption, rowFormatOption, several } from './options.js';

interface Options {
  readonly data: readonly string[];
  readonly out: string;
  readonly format: GivenFormatName;
  readonly key?: string;
  readonly json?: boolean;
}

export function anonymise(context: CliContext): Command {
  return new Command('anonymise')
    .description('write a copy of the rows in which personal data has stable pseudonyms, such as [EMAIL-kqzvbnmwer]')
    .requiredOption('--data <file>', 'file of rows; may be given several times', several)
    .requiredOption('--out <file>', 'where the rows go, one JSON object a line; must not be there yet')
    .addOption(rowFormatOption())
    .option(
      '--key <file>',
      'key of the pseudonyms, made where there is none: the same values get the same ones next time',
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
What is not recognised stays: names by list, numbers by their form. Read some of the result before you use it.
Rows that cannot be read are left out and counted; members of a row that its format does not have are left out, too.

Example:
  fedlora data anonymise --data rows.jsonl --out rows.anonymous.jsonl --key pseudonyms.key`,
    )
    .action(async (options: Options) => {
      const { anonymiseFiles } = await import('../data/anonymise.js');
      const report = await anonymiseFiles(options.data, { ...options, format: givenFormats[options.format] });
      if (options.json === true) {
        context.out(JSON.stringify(report));
        return;
      }
      context.out(`Wrote ${report.rows} rows to ${options.out}; ${report.leftOut} could not be read and are left out.`);
      const kinds = Object.entries(report.replaced);
      if (kinds.length === 0) context.out('Nothing was recognised as personal data.');
      for (const [kind, count] of kinds) context.out(`  ${kind.padEnd(20)} ${count} replaced`);
    });
}
