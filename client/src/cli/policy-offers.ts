/** What was offered to this client, what the policy says to it line by line, and the owner's approval. */

import type { Manifest } from '@fedlora/protocol';
import { Command } from 'commander';
import type { Home } from '../config/home.js';
import type { PolicyTerms } from '../round/policy.js';
import type { KnownOffer } from '../storage/offer-book.js';
import type { CliContext } from './context.js';
import { homeOption, jsonOption } from './options.js';

interface Options {
  readonly home?: string;
  readonly json?: boolean;
}

export function offers(context: CliContext): Command {
  return new Command('offers')
    .description('the manifests that were offered to this client, the newest first, and which of them are approved')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(async (options: Options) => {
      const { book } = await openBook(options, context);
      const list = await book.list();
      if (options.json === true) {
        context.out(JSON.stringify(list.map(summary)));
        return;
      }
      if (list.length === 0) context.out('Nothing was offered yet.');
      for (const offer of list) {
        const { hash, run, title, unit, firstOfferedAt, approvedAt } = summary(offer);
        const approval = approvedAt === null ? '' : '  approved';
        context.out(`${hash.slice(0, 12)}  ${new Date(firstOfferedAt).toLocaleString()}  ${unit}${approval}`);
        context.out(`  ${title} (${run})`);
      }
    });
}

export function explain(context: CliContext): Command {
  return new Command('explain')
    .description('what the policy says to a manifest, line by line, and why')
    .argument(
      '[manifest]',
      'a file with the manifest, or the first 8 or more characters of the hash of one that was offered; default: the newest offer',
    )
    .addOption(homeOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExit code: 0 if the policy accepts it, else another.\n\nExample:\n  fedlora policy explain manifest.json',
    )
    .action(async (given: string | undefined, options: Options) => {
      const { readPolicy } = await import('../config/policy-file.js');
      const { judge } = await import('../round/policy.js');
      const { FedloraError } = await import('@fedlora/shared');
      const { home, book } = await openBook(options, context);
      const { terms } = await readPolicy(home.policy);
      const { manifest, hash, isApproved } = await chosen(given, book);
      const verdicts = judge(terms, manifest, {
        ...(await spentAfter(manifest, hash, home, terms, context)),
        isApproved,
      });
      const refusals = verdicts.filter(({ isKept }) => !isKept);
      if (options.json === true) {
        context.out(JSON.stringify({ manifestHash: hash, accepted: refusals.length === 0, verdicts }));
      } else {
        context.out(`"${manifest.title}", manifest ${hash}\n`);
        for (const { rule, isKept, asked, allowed } of verdicts)
          context.out(`${isKept ? 'yes' : 'NO '}  ${rule.padEnd(27)} asks: ${asked.padEnd(28)} allowed: ${allowed}`);
        if (refusals.length === 0) context.out('\nThe policy accepts it.');
      }
      const [first] = refusals;
      if (first === undefined) return;
      const others = refusals.length === 1 ? '' : ` So do ${refusals.length - 1} other lines.`;
      throw new FedloraError(first.code, `The policy declines it by "${first.rule}".${others}`, { where: home.policy });
    });
}

export function approve(context: CliContext): Command {
  return new Command('approve')
    .description('let rounds of a manifest begin, where the policy says approval: each-manifest')
    .argument('<hash>', 'the first 8 or more characters of its hash, from `fedlora policy offers`')
    .addOption(homeOption())
    .action(async (prefix: string, options: Options) => {
      const { book } = await openBook(options, context);
      const { manifestHash, manifest } = await book.find(prefix);
      await book.approve(manifestHash, Date.now());
      context.out(`Approved "${manifest.title}", manifest ${manifestHash}.`);
      context.out('It counts from the next offer. The other lines of the policy still hold: `fedlora policy explain`.');
    });
}

export function withdraw(context: CliContext): Command {
  return new Command('withdraw')
    .description('take the approval of a manifest back, from the next round on')
    .argument('<hash>', 'the first 8 or more characters of its hash, from `fedlora policy offers`')
    .addOption(homeOption())
    .action(async (prefix: string, options: Options) => {
      const { book } = await openBook(options, context);
      const { manifestHash, manifest, approvedAt } = await book.find(prefix);
      await book.withdraw(manifestHash);
      context.out(
        approvedAt === null ? `"${manifest.title}" was not approved.` : `"${manifest.title}" is not approved any more.`,
      );
    });
}

async function openBook(options: Options, context: CliContext) {
  const { homeFrom } = await import('../config/home.js');
  const { OfferBook } = await import('../storage/offer-book.js');
  const home = homeFrom(options.home, context.environment);
  return { home, book: new OfferBook(home.offers) };
}

function summary({ manifestHash: hash, manifest, firstOfferedAt, approvedAt }: KnownOffer) {
  const { runId: run, title, privacy } = manifest;
  return { hash, run, title, unit: privacy.unit, firstOfferedAt, approvedAt };
}

/** The fewest members that the terms allow: how many there are does not stand in a manifest, and the real roster is checked when it comes. */
function smallestRoster(manifest: Partial<Manifest> | null, largestCompleteGraph: number): number {
  const { threshold, graph } = manifest?.aggregation ?? {};
  const least = Math.max(2, Number(threshold) || 0, Number(manifest?.privacy?.minimumContributors) || 0);
  return graph === undefined ? least : Math.max(least, largestCompleteGraph + 1);
}

/** What the data set will have spent with one more round; of the configured data set. */
async function spentAfter(
  manifest: Manifest,
  hash: string,
  home: Home,
  { periodDays, unrelatedDatasets }: PolicyTerms,
  context: CliContext,
) {
  const { readConfig } = await import('../config/client-config.js');
  const { chargeOf } = await import('../round/charge.js');
  const { outlook } = await import('../round/outlook.js');
  const { readCharges } = await import('./privacy-report.js');
  const { config } = await readConfig(home.config, context.environment);
  const { charges: entries, elsewhere } = await readCharges(home, config.dataset.name, unrelatedDatasets);
  return outlook({ entries, elsewhere }, chargeOf(manifest, hash, 'the next'), periodDays, Date.now());
}

/** The manifest of a file, or one that was offered. @throws FedloraError policy/unknown-offer | ProtocolError manifest/invalid */
async function chosen(given: string | undefined, book: Awaited<ReturnType<typeof openBook>>['book']) {
  const { existsSync } = await import('node:fs');
  if (given !== undefined && existsSync(given)) {
    const { readFile } = await import('node:fs/promises');
    const { checkManifest, manifestHash, MAXIMUM_COHORT, ProtocolError } = await import('@fedlora/protocol');
    let manifest: Manifest;
    try {
      // Whatever it is: checked below.
      manifest = JSON.parse(await readFile(given, 'utf8')) as Manifest;
    } catch {
      throw new ProtocolError('manifest/invalid', `${given} is no JSON.`);
    }
    checkManifest(manifest, smallestRoster(manifest, MAXIMUM_COHORT));
    const hash = manifestHash(manifest);
    return { manifest, hash, isApproved: await book.isApproved(hash) };
  }
  const offer = given === undefined ? (await book.list())[0] : await book.find(given);
  if (offer === undefined) {
    const { FedloraError } = await import('@fedlora/shared');
    throw new FedloraError('policy/unknown-offer', 'Nothing was offered to this client yet.');
  }
  return { manifest: offer.manifest, hash: offer.manifestHash, isApproved: offer.approvedAt !== null };
}
