import type { Browser, Page } from 'playwright-core';
import { routes, type ChannelView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage, screenshot, whyNoBrowser } from '../support/browser.js';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';

const REPOSITORY = 'city/support';
/** Of the version that each round starts from: the third is worse than the second. */
const MEASURED = [
  { loss: 2, exact: 0.1 },
  { loss: 1, exact: 0.5 },
  { loss: 1.5, exact: 0.4 },
  { loss: 0.9, exact: 0.5 },
];

describe.skipIf(whyNoBrowser !== undefined)(`versions in Chromium${whyNoBrowser ? ` (${whyNoBrowser})` : ''}`, () => {
  let network: ReleaseNetwork;
  let versions: string[];
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];

  const row = (number: number) => page.locator(`[data-testid=versions] [data-row="${versions[number]}"]`);
  const stable = () => page.locator('[data-testid=channels] [data-row=stable]');
  const presentStable = (): Promise<ChannelView> =>
    network.operate<ChannelView>('GET', routes.channel(REPOSITORY, 'stable'));

  async function promote(number: number, override?: string): Promise<void> {
    await page.goto(`${network.url}/versions/${versions[number]}`);
    await page.getByRole('button', { name: 'Promote' }).click();
    const dialog = page.getByRole('dialog');
    if (override !== undefined) await dialog.getByLabel('Why all the same').fill(override);
    await dialog.getByRole('button', { name: override === undefined ? 'Promote' : 'Promote all the same' }).click();
    await dialog.waitFor({ state: 'hidden' });
  }

  beforeAll(async () => {
    network = await ReleaseNetwork.start(MEASURED);
    await network.complete(measuredRun(REPOSITORY, MEASURED.length));
    versions = await network.versionsOf(REPOSITORY);
    browser = await launchBrowser();
    page = await openPage(browser);
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().includes('401')) problems.push(message.text());
    });
    await page.goto(`${network.url}/versions`);
    await page.getByLabel('Name').fill('admin');
    await page.getByLabel('Password').first().fill(network.admin.password);
    await page.keyboard.press('Enter');
  });
  afterAll(async () => {
    await browser?.close();
    await network?.stop();
  });

  it('lists what a run published, newest first, with what was measured and the gate', async () => {
    await row(4).getByText('not measured').waitFor();
    await row(1).getByText('1.0000').waitFor();
    await row(1).getByText('passed').waitFor();
    await row(0).getByText('failed').waitFor();
    await screenshot(page, 'versions');
  });

  it('promotes a version that passes, and one that does not with a reason only', async () => {
    await promote(1);
    expect(await presentStable()).toMatchObject({ version: versions[1] });
    await promote(2, 'the hospital needs the new terms');
    expect(await presentStable()).toMatchObject({ version: versions[2], previous: versions[1] });
    await page.getByTestId('lineage').getByText('beginning of the run').waitFor();
    await screenshot(page, 'version');
  });

  it('shows the history of a channel, and rolls it back after asking', async () => {
    await page.goto(`${network.url}/versions`);
    await stable().getByRole('button', { name: 'History of stable' }).click();
    await page.getByText('the hospital needs the new terms').waitFor();
    await screenshot(page, 'versions-history');
    await page.getByRole('button', { name: 'Roll stable back' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
    await page.getByRole('cell', { name: 'Rolled back' }).waitFor();
    expect(await presentStable()).toMatchObject({ version: versions[1] });
  });

  it('compares two versions that are chosen in the list', async () => {
    for (const number of [1, 3]) await row(number).getByRole('checkbox').check();
    await page.getByRole('link', { name: 'Compare the two' }).click();
    await page.getByTestId('modules').getByText('model.layers.0.self_attn.q_proj').waitFor();
    await screenshot(page, 'versions-compared');
  });

  it('shows what came of using them, with intervals', async () => {
    const metrics = [
      { name: 'accepted', kind: 'proportion' },
      { name: 'rating', kind: 'score', minimum: 1, maximum: 5 },
    ];
    await network.operate('PUT', routes.outcomeMetrics(REPOSITORY), { metrics });
    const report = (number: number, accepted: number) =>
      network.operate('POST', routes.outcomes(versions[number]), {
        outcomes: [
          { metric: 'accepted', count: 400, sum: accepted },
          { metric: 'rating', count: 20, sum: 80, sumOfSquares: 330 },
        ],
      });
    await report(1, 280);
    await report(3, 352);
    await page.goto(`${network.url}/versions/compare?left=${versions[1]}&right=${versions[3]}`);
    const inUse = page.getByTestId('outcomes');
    await inUse.getByText('1 hour in use together').waitFor();
    await inUse.getByText('70.0 %').first().waitFor();
    await inUse.locator('[data-row=accepted]').getByText('different').waitFor();
    await inUse.locator('[data-row=accepted]').getByText('+18.0 points').waitFor();
    await inUse.locator('[data-row=rating]').getByText('too few to tell').waitFor();
    await screenshot(page, 'versions-in-use');
    await page.goto(`${network.url}/versions/${versions[1]}`);
    await inUse.locator('[data-row=rating]').getByText('4.00').first().waitFor();
    await screenshot(page, 'version-in-use');
  });

  it('says that no audit was reported, and of one what it shows against what is promised', async () => {
    const audits = page.getByTestId('audits');
    const reported = audits.locator('tbody tr');
    const report = (version: string, right: number) =>
      network.operate('POST', routes.audits(version), { seal: 'a'.repeat(64), canaries: 200, guesses: 100, right });
    await page.goto(`${network.url}/versions/${versions[1]}`);
    await audits.getByText('No audit was reported').waitFor();
    await report(versions[1], 52);
    await page.goto(`${network.url}/versions/${versions[1]}`);
    await reported.getByText('52 of 100').waitFor();
    await reported.getByText('none is made').waitFor();

    // A run that promises something.
    await network.complete({
      ...measuredRun('city/watched', 1),
      privacy: { unit: 'record', l2Bound: 1, noiseMultiplier: 5, delta: 1e-5, assumedColluders: 1 },
      training: { kind: 'record-step', samplingRate: 0.1, expectedRecords: 12, maximumRecords: 60 },
    });
    const [, promising] = await network.versionsOf('city/watched');
    await report(promising, 99);
    await page.goto(`${network.url}/versions/${promising}`);
    await reported.getByText('99 of 100').waitFor();
    await reported.getByText('contradicted', { exact: true }).waitFor();
    await audits.getByRole('link', { name: 'audit log' }).waitFor();
    await screenshot(page, 'version-audited');
  });

  it('revokes a version for good, and hears of it elsewhere at once', async () => {
    await page.goto(`${network.url}/versions`);
    await row(3).waitFor();
    await network.operate('POST', routes.revocation(versions[3]), { reason: 'a record too many' });
    await row(3).getByText('revoked').waitFor();
    await page.goto(`${network.url}/versions/${versions[2]}`);
    await page.getByRole('button', { name: 'Revoke', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Revoke for good' }).click();
    expect(await dialog.isVisible()).toBe(true); // A reason is needed.
    await dialog.getByLabel('Reason').fill('trained from the wrong rows');
    await dialog.getByRole('button', { name: 'Revoke for good' }).click();
    await page.getByRole('note').getByText('trained from the wrong rows').waitFor();
  });

  it('stays readable at the width of a phone, and in the dark', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await page.emulateMedia({ colorScheme: 'dark' });
    const addresses = ['', `/${versions[2]}`, `/compare?left=${versions[1]}&right=${versions[4]}`];
    for (const [i, address] of addresses.entries()) {
      await page.goto(`${network.url}/versions${address}`);
      await page.getByText(versions[1].slice(0, 10)).first().waitFor();
      const overflow = (): Promise<number> =>
        page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      // What is still to come may be wider for a moment than it is in the end.
      await expect.poll(overflow, { message: address }).toBeLessThanOrEqual(0);
      await screenshot(page, `versions-phone-${i}`);
    }
  });

  it('logs no error in the browser', () => {
    expect(problems).toEqual([]);
  });
});
