/** Debian's Chromium, driven by playwright-core. */

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';

const EXECUTABLE = '/usr/bin/chromium';

/** Why the browser's tests cannot run here, or `undefined` when they can. */
export const whyNoBrowser: string | undefined = existsSync(EXECUTABLE) ? undefined : `${EXECUTABLE} is not installed`;

/** Starts a browser that talks to loopback only. */
export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Saves what the page shows to `test/artifacts`, for people to look at. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = resolve(import.meta.dirname, '..', 'artifacts');
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
