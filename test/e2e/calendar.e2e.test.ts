import type { Browser, Page } from 'playwright-core';
import { routes, type RunView, type ScheduleView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage, screenshot, whyNoBrowser } from '../support/browser.js';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';

describe.skipIf(whyNoBrowser !== undefined)(
  `the calendar in Chromium${whyNoBrowser ? ` (${whyNoBrowser})` : ''}`,
  () => {
    let network: ReleaseNetwork;
    let browser: Browser;
    let page: Page;
    let run: RunView;
    const problems: string[] = [];

    const scheduleOf = async (): Promise<ScheduleView> =>
      network.operate<ScheduleView>('GET', routes.runSchedule(run.id));
    const open = async (): Promise<void> => {
      await page.getByRole('button', { name: /Edit the schedule of/ }).click();
      await page.getByTestId('schedule-form').waitFor();
    };

    beforeAll(async () => {
      network = await ReleaseNetwork.start([
        { loss: 2, exact: 0.1 },
        { loss: 1, exact: 0.5 },
      ]);
      await network.complete(measuredRun('city/support', 2));
      run = await network.operate<RunView>('POST', routes.runs, {
        ...measuredRun('city/nightly', 5),
        title: 'Nightly',
        schedule: { timeZone: 'Asia/Tokyo', cron: '0 3 * * *' },
      });
      browser = await launchBrowser();
      page = await openPage(browser, { timezoneId: 'Europe/Berlin' });
      page.setDefaultTimeout(6000);
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error' && !/40[01]|412/.test(message.text())) problems.push(message.text());
      });
      await page.goto(`${network.url}/calendar`);
      await page.getByLabel('Name').fill('admin');
      await page.getByLabel('Password').first().fill(network.admin.password);
      await page.keyboard.press('Enter');
    });
    afterAll(async () => {
      await browser?.close();
      await network?.stop();
    });

    it('shows rounds that ended and rounds that are planned, and names both zones', async () => {
      await page.getByText(/round 1: done after/).waitFor();
      await page.getByRole('button', { name: 'Later' }).click();
      await page.getByText('Nightly: planned').first().waitFor();
      await page.getByText('Nightly in Asia/Tokyo').waitFor();
      await page.getByText('those of this browser: Europe/Berlin').waitFor();
      await page.getByTestId('schedules').getByText('0 3 * * * (Asia/Tokyo)').waitFor();
    });

    it('says what is wrong with a schedule next to the field, and shows the next five times before it is set', async () => {
      await open();
      const form = page.getByTestId('schedule-form');
      await form.getByLabel('Cron').fill('0 0 30 2 *');
      await form.getByText('names a day that never comes').waitFor();
      await form.getByLabel('Cron').fill('30 4 * * mon-fri');
      await form.getByRole('button', { name: 'Add one for every week' }).click();
      await expect.poll(() => form.getByTestId('schedule-next').locator('li').count()).toBe(5);
      await form.getByLabel('From, weekly window 1').fill('22:15');
      await form.getByLabel('Rounds are done').fill('4');
      await form.getByTestId('schedule-next').waitFor();
      await screenshot(page, 'calendar-schedule');
      expect((await scheduleOf()).schedule).toEqual({ timeZone: 'Asia/Tokyo', cron: '0 3 * * *' });
      await form.getByRole('button', { name: 'Save the schedule' }).click();
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      expect((await scheduleOf()).schedule).toEqual({
        timeZone: 'Asia/Tokyo',
        cron: '30 4 * * mon-fri',
        weeklyWindows: [{ days: ['sat'], from: '22:15', until: '04:00' }],
        stop: { rounds: 4 },
      });
      await page.getByText('no round of Nightly starts').first().waitFor();
      await screenshot(page, 'calendar');
    });

    it('does not overwrite what somebody else set meanwhile', async () => {
      await open();
      await network.operate('PUT', routes.runSchedule(run.id), { cron: '0 1 * * *' });
      await page.getByLabel('Cron').fill('0 2 * * *');
      await page.getByRole('button', { name: 'Save the schedule' }).click();
      await page.getByRole('dialog').getByText('Nothing was changed').waitFor();
      expect((await scheduleOf()).schedule).toEqual({ cron: '0 1 * * *' });
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
    });

    it('stays readable at the width of a phone, in the dark, and by the week', async () => {
      await page.setViewportSize({ width: 390, height: 844 });
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.getByText('Week', { exact: true }).click();
      await page.getByText('Nightly: planned').first().waitFor();
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(overflow).toBeLessThanOrEqual(0);
      await screenshot(page, 'calendar-narrow-dark');
      expect(problems).toEqual([]);
    });
  },
);
