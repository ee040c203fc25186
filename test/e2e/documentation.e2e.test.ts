/** The documentation in a real browser: readable on a telephone and in the dark, found from the dashboard, and searched. */

import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { COLOR_SCHEMES, violationsOf } from '../support/axe.js';
import { launchBrowser, screenshot, whyNoBrowser } from '../support/browser.js';
import { startFakeNetwork, stopFakeNetwork, type FakeNetwork } from '../support/fake-network.js';

/** Those of every kind: text and pictures, commands, wide tables, the longest. */
const PAGES = ['', '/concepts', '/operator', '/security', '/configuration', '/search?q=epsilon'];

describe.skipIf(whyNoBrowser !== undefined)(`the documentation${whyNoBrowser ? ` (${whyNoBrowser})` : ''}`, () => {
  let network: FakeNetwork;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  /** What a page asked for elsewhere, or could not do. */
  const problems: string[] = [];

  beforeAll(async () => {
    [network, browser] = await Promise.all([startFakeNetwork([]), launchBrowser()]);
  });
  afterAll(async () => {
    await browser.close();
    await stopFakeNetwork(network);
  });
  beforeEach(async () => {
    problems.length = 0;
    context = await browser.newContext({ viewport: { width: 390, height: 844 } });
    page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(network.coordinator.url)) problems.push(request.url());
    });
  });
  afterEach(async () => {
    await context.close();
    expect(problems).toEqual([]);
  });

  const open = (address: string): Promise<unknown> => page.goto(`${network.coordinator.url}${address}`);

  it.each(PAGES)(
    '%s is clear to axe on a telephone, in the light and in the dark, and does not scroll sideways',
    async (address) => {
      await open(`/docs${address}`);
      for (const colorScheme of COLOR_SCHEMES) {
        const violations = await violationsOf(page, colorScheme);
        expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)).toEqual([]);
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
        await screenshot(page, `docs${address.replaceAll(/\W/g, '-')}-${colorScheme}`);
      }
    },
  );

  it('shows every picture', async () => {
    await open('/docs/concepts');
    const widths = await page.evaluate('[...document.images].map((image) => image.naturalWidth)');
    expect(widths).toHaveLength(4);
    expect(widths).not.toContain(0);
  });

  it('leads from a page to the list of pages, and from a search to the section', async () => {
    await open('/docs');
    await page.getByRole('link', { name: 'Pages', exact: true }).click();
    await page.getByRole('navigation').getByRole('link', { name: 'Concepts' }).click();
    await page.getByRole('searchbox').fill('roll back');
    await page.getByRole('searchbox').press('Enter');
    await page.getByRole('main').getByRole('link').first().click();
    expect(new URL(page.url()).hash).not.toBe('');
    expect(await page.locator(':target').isVisible()).toBe(true);
  });

  it('is a link of the dashboard, and has one back', async () => {
    const [name, value] = network.admin.headers['cookie'].split('=');
    await context.addCookies([{ name, value, url: network.coordinator.url }]);
    await page.setViewportSize({ width: 1280, height: 900 });
    await open('/');
    const opened = context.waitForEvent('page');
    await page.getByRole('link', { name: 'Documentation' }).click();
    const documentation = await opened;
    await documentation.getByRole('heading', { name: 'Who are you?' }).waitFor();
    await documentation.getByRole('link', { name: 'Dashboard' }).click();
    await documentation.getByRole('heading', { name: 'Overview' }).waitFor();
  });
});
