/** Debian's Chromium, driven by playwright-core. */

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { onTestFailed } from 'vitest';

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

/**
 * Opens a page as wide as a desk's screen, which asks for no motion: a button that a dialog still carries along may be away again
 * between the press and the release of a click on it, which is no click then.
 */
export function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  return browser.newPage({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce', ...options });
}

/** If the running test fails, prints what the page says by then. */
export function tellIfFailed(page: Page): void {
  onTestFailed(async () => console.error(await page.locator('body').ariaSnapshot()));
}

/** Saves what the page shows to `test/artifacts`, for people to look at. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = resolve(import.meta.dirname, '..', 'artifacts');
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
