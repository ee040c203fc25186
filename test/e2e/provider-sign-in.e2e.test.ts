/** Signing in with an identity provider, and the API's page, in a browser: what only a browser refuses. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCoordinator, type RunningCoordinator } from '@fedlora/coordinator';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage, screenshot, whyNoBrowser } from '../support/browser.js';
import { FakeFederation } from '../support/fake-federation.js';
import { freePort } from '../support/free-port.js';
import { CLIENT_ID, CLIENT_SECRET, TestIdentityProvider } from '../support/identity-provider.js';

describe.skipIf(whyNoBrowser !== undefined)(
  `an identity provider in Chromium${whyNoBrowser ? ` (${whyNoBrowser})` : ''}`,
  () => {
    let folder: string;
    let provider: TestIdentityProvider;
    let coordinator: RunningCoordinator;
    let browser: Browser;
    let page: Page;
    const problems: string[] = [];

    beforeAll(async () => {
      // The provider has to know where the coordinator will be before it is there.
      const port = await freePort();
      const publicUrl = `http://127.0.0.1:${port}`;
      // Its issuer is on `localhost`: for a browser another site than the coordinator's.
      provider = await TestIdentityProvider.start(`${publicUrl}/signed-in`);
      provider.accounts.set('ada', { preferred_username: 'ada', groups: ['fl-viewers'] });
      folder = await mkdtemp(join(tmpdir(), 'fedlora-oidc-e2e-'));
      coordinator = await startCoordinator({
        dataFolder: folder,
        host: '127.0.0.1',
        port,
        logLevel: 'silent',
        federationKey: new FakeFederation().federationKey,
        oidc: {
          issuer: provider.issuer,
          publicUrl,
          clientId: CLIENT_ID,
          clientSecret: CLIENT_SECRET,
          roles: { 'fl-viewers': 'viewer' },
          roleClaim: 'groups',
          nameClaim: 'preferred_username',
          scope: 'openid profile',
          label: 'Example Login',
        },
      });
      browser = await launchBrowser();
      page = await openPage(browser);
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') problems.push(message.text());
      });
    });
    afterAll(async () => {
      await browser?.close();
      await coordinator?.close();
      await provider?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    async function signInAtProvider(login: string): Promise<void> {
      await page.goto(coordinator.url);
      await page.getByRole('button', { name: 'Sign in with Example Login' }).click();
      await page.locator('input[name=login]').fill(login);
      await page.locator('input[name=password]').fill('any');
      await page.locator('button[type=submit]').click();
      await page.waitForURL(/interaction/);
      await page.locator('input[name=prompt][value=consent]').waitFor({ state: 'attached' });
      problems.length = 0; // The browser reports the 401 of before, and what the provider's pages do.
      await page.locator('button[type=submit]').click();
    }

    it('tells whoever it gives no role why, with the code out of the address', async () => {
      await signInAtProvider('stranger');
      await page
        .getByTestId('sign-in-refusal')
        .getByText(/is mapped to a role/)
        .waitFor();
      expect(page.url()).toBe(`${coordinator.url}/`);
      await screenshot(page, 'sign-in-with-provider');
      await page.context().clearCookies();
    });

    it('signs in whoever it gives a role, and the sign-in outlasts a reload', async () => {
      await signInAtProvider('ada');
      await page.getByTestId('organisations').waitFor();
      expect(page.url()).toBe(`${coordinator.url}/`);
      await page.reload();
      await page.getByTestId('organisations').waitFor();
      expect(problems).toEqual([]);
      await page.setViewportSize({ width: 390, height: 844 });
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(overflow).toBeLessThanOrEqual(0);
      await screenshot(page, 'signed-in-with-provider-phone');
      await page.setViewportSize({ width: 1280, height: 900 });
    });

    it('lets the API’s page be opened from the navigation, which shows every operation and breaks no policy', async () => {
      const [docs] = await Promise.all([
        page.waitForEvent('popup'),
        page.getByRole('link', { name: 'API documents' }).click(),
      ]);
      docs.on('console', (message) => {
        if (message.type() === 'error') problems.push(message.text());
      });
      await docs.waitForLoadState();
      await docs.reload(); // From its beginning, so that nothing is missed.
      await docs.getByText('A page that shows the document').waitFor({ state: 'attached' });
      expect(await docs.locator('.opblock').count()).toBeGreaterThan(40);
      const read = docs.locator('#operations-me-getMe');
      await read.locator('.opblock-summary-control').first().click();
      await read.getByRole('button', { name: 'Try it out' }).click();
      await read.getByRole('button', { name: 'Execute' }).click();
      await read.locator('.live-responses-table').getByText('"csrfToken"').first().waitFor();
      await screenshot(docs, 'api-docs');
      expect(problems).toEqual([]);
    });
  },
);
