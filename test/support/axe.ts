/** What axe finds in a page. */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { AxeResults, Result, RunOptions } from 'axe-core';
import type { Page } from 'playwright-core';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** In the dark only colours differ, and everything else takes half a minute of processor time for the dashboard's pages. */
const OPTIONS = {
  light: { resultTypes: ['violations'] },
  dark: { resultTypes: ['violations'], runOnly: ['color-contrast', 'link-in-text-block'] },
} satisfies Record<string, RunOptions>;

export const COLOR_SCHEMES = ['light', 'dark'] as const;

/** Violations on the page that is open, in the light or, of colours, in the dark. */
export async function violationsOf(
  page: Page,
  colorScheme: (typeof COLOR_SCHEMES)[number],
): Promise<readonly Result[]> {
  await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
  // The dashboard follows by a script of its own, which has to have run.
  await page.waitForFunction(
    (wanted) => (document.documentElement.dataset['mantineColorScheme'] ?? wanted) === wanted,
    colorScheme,
  );
  // On their way from one scheme to the other colours are of neither.
  await page.waitForFunction(() =>
    document.getAnimations().every((one) => one.effect?.getComputedTiming().endTime === Infinity),
  );
  // As an expression from outside: the pages' policy lets no script in that is not the coordinator's.
  const run = `${axe}; axe.run(${JSON.stringify(OPTIONS[colorScheme])})`;
  return (await page.evaluate<AxeResults>(run)).violations;
}
