/**
 * What an operator does in the first hour, in a real browser with real clients: first start, invitations, a run that is watched, a
 * client that dies, releases, a token, the log. Every page is then looked at by axe, in the light and in the dark.
 */

import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fromBase32, totpCode } from '../../coordinator/src/access/totp.js';
import { generateDemoData } from '../demo/organisations.js';
import { COLOR_SCHEMES, violationsOf } from '../support/axe.js';
import { launchBrowser, openPage, screenshot, tellIfFailed, whyNoBrowser } from '../support/browser.js';
import { Network, writeRows } from '../support/network.js';
import { demoBase, root, smallRun } from './small-network.js';

const NAMES = ['clinic', 'bank', 'council', 'school'];
const PASSWORD = 'a long password of the first hour';

describe.skipIf(whyNoBrowser !== undefined)(
  `an operator’s first hour${whyNoBrowser ? ` (${whyNoBrowser})` : ''}`,
  () => {
    let network: Network;
    let browser: Browser;
    let page: Page;
    let runId = '';
    const problems: string[] = [];
    const open = (name: string): Promise<void> => page.getByRole('link', { name, exact: true }).first().click();
    const data = (name: string): string => join(network.options.directory, 'data', `${name}.jsonl`);

    beforeAll(async () => {
      const directory = await mkdtemp(join(tmpdir(), 'fedlora-story-'));
      const rows = await generateDemoData(join(root, 'deploy', 'demo', 'phrases.json'), {
        organisations: NAMES.length,
        rowsPerOrganisation: 300,
        testRows: 20,
        seed: 3,
      });
      await mkdir(join(directory, 'data'));
      await mkdir(join(directory, 'logs'));
      network = new Network({
        directory,
        root,
        base: demoBase,
        organisations: [],
        epsilonCap: 1000,
        logLevel: 'debug',
      });
      for (const [name, of] of rows.training) await writeRows(data(name), of);
      const { stdout } = await network.fedlora(['federation', 'init', '--out', join(directory, 'federation')]);
      network.federationKey = stdout.trim().split(/\s+/).at(-1) ?? '';
      network.token = 'nobody is an administrator yet';
      await network.startCoordinator();
      browser = await launchBrowser();
      page = await openPage(browser);
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        // The browser reports what is refused itself: what nobody may see before the sign-in, and a form that is not filled in.
        if (message.type() === 'error' && !/status of 40[0139]/.test(message.text())) problems.push(message.text());
      });
    });
    beforeEach(() => tellIfFailed(page));
    afterAll(async () => {
      await browser?.close();
      await network?.stop();
    });

    it('begins with the link of the first start, which sets a password, and signs in', async () => {
      const log = await readFile(join(network.options.directory, 'logs', 'coordinator.log'), 'utf8');
      const token = /#setup=([\w-]+)/.exec(log)?.[1] ?? '';
      expect(token).not.toBe('');
      await page.goto(`${network.url}/#setup=${token}`);
      await page.getByLabel('New password').fill(PASSWORD);
      await page.getByLabel('Once more').fill(PASSWORD);
      await page.keyboard.press('Enter');
      await page.getByLabel('Name').fill('admin');
      await page.getByLabel('Password').first().fill(PASSWORD);
      await page.keyboard.press('Enter');
      await page.locator('[data-testid=connection-state][data-state=live]').waitFor();
    });

    it('makes an API token, which is shown once', async () => {
      await open('API tokens');
      await page.getByRole('button', { name: 'Make a token' }).click();
      await page.getByRole('textbox', { name: /^For/ }).fill('the first hour');
      for (const permission of [
        'organisations.read',
        'organisations.manage',
        'runs.read',
        'runs.manage',
        'versions.manage',
      ])
        await page.getByLabel(permission, { exact: true }).check();
      await page.getByRole('button', { name: 'Make the token' }).click();
      network.token = (await page.getByTestId('secret').textContent()) ?? '';
      expect((await network.overview()).organisations).toEqual([]);
      // Nothing else closes what is shown only once.
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'I have kept it' }).click();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      await page.getByTestId('tokens').getByText('the first hour').waitFor();
      expect(await page.content()).not.toContain(network.token);
    });

    it('sets up a second factor, whose recovery codes stay on the page until they are kept', async () => {
      await open('Account');
      await page.getByRole('button', { name: 'Set it up' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Password').first().fill(PASSWORD);
      await page.keyboard.press('Enter');
      const secret = fromBase32((await page.getByTestId('totp-secret').textContent()) ?? '');
      await dialog.getByRole('textbox', { name: /^Code/ }).fill(totpCode(secret, Math.floor(Date.now() / 30_000)));
      await page.keyboard.press('Enter');
      // The page may learn in the meantime that there is a second factor now.
      await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      const codes = ((await page.getByTestId('secret').textContent()) ?? '').split('\n');
      expect(new Set(codes).size).toBe(10);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'I have kept it' }).click();
      await page.getByRole('button', { name: 'Remove it' }).waitFor();
    });

    it('invites organisations, whose clients enrol with the token, and brings their certificates', async () => {
      for (const name of NAMES) {
        await open('Organisations');
        await page.getByRole('button', { name: 'Invite an organisation' }).click();
        await page.getByRole('dialog').getByRole('textbox', { name: /^Name/ }).fill(name);
        await page.getByRole('button', { name: 'Invite', exact: true }).click();
        const token = (await page.getByTestId('secret').textContent()) ?? '';
        if (name === NAMES[0]) await screenshot(page, 'story-invitation');
        await page.getByRole('button', { name: 'I have kept it' }).click();
        const home = network.home(name);
        await network.fedlora(
          [
            ...['enrol', network.url, '--home', home, '--name', name, '--federation-key', network.federationKey],
            ...['--base', demoBase, '--data', data(name), '--threads', '1'],
          ],
          { FEDLORA_TOKEN: token },
        );
        await network.fedlora(['policy', 'init', '--home', home, '--epsilon-cap', '1000', '--force']);
        const { identity } = (await network.overview()).organisations.find((one) => one.name === name)!;
        const { stdout } = await network.fedlora([
          ...['federation', 'sign', '--key', join(network.options.directory, 'federation', 'federation.key')],
          ...['--name', name, '--identity', identity],
        ]);
        await page.getByTestId('organisations').getByRole('link', { name, exact: true }).click();
        await page.getByLabel(/certificate/i).fill(stdout.trim().split(/\s+/).at(-1) ?? '');
        await page.getByRole('button', { name: /certificate|approve/i }).click();
        await page.getByTestId('standing').getByText('active', { exact: true }).waitFor();
        network.startClient(name);
      }
      await network.untilAllConnected();
      await open('Organisations');
      await page.getByText(`${NAMES.length} of ${NAMES.length} connected`).waitFor();
    });

    it('plans a run and starts it, and sees a round go through its phases', async () => {
      await open('Runs');
      await page.getByRole('link', { name: 'Plan a run' }).click();
      const metrics = { evaluation: { fraction: 0.2 } };
      const description = { ...(await smallRun(12, { metrics })), repository: 'city/requests' };
      await page.locator('input[type=file]').setInputFiles({
        name: 'run.json',
        mimeType: 'application/json',
        buffer: Buffer.from(JSON.stringify(description)),
      });
      await page.getByTestId('forecast').getByText('Epsilon at the end').waitFor();
      await screenshot(page, 'story-plan');
      await page.getByRole('button', { name: 'Start', exact: true }).click();
      await page.getByRole('button', { name: 'Start run' }).click();
      await page.getByTestId('run-summary').waitFor();
      runId = new URL(page.url()).pathname.split('/').at(-1) ?? '';
      await page
        .getByTestId('round-live')
        .getByText(/training/i)
        .first()
        .waitFor({ timeout: 20_000 });
    });

    // The run is paused while its first round trains: a run of small rounds may be over in a few seconds.
    it('pauses the run and lets it go on', async () => {
      await page.getByRole('button', { name: 'Pause', exact: true }).click();
      await page.getByRole('button', { name: 'Pause run' }).click();
      await page.getByTestId('run-status').getByText('Paused').waitFor();
      await page.getByRole('button', { name: 'Resume', exact: true }).click();
      await page.getByRole('button', { name: 'Resume run' }).click();
      await page.getByTestId('run-status').getByText('Running').waitFor();
      await expect
        .poll(async () => (await network.rounds(runId)).filter(({ phase }) => phase === 'done').length, {
          timeout: 60_000,
        })
        .toBeGreaterThan(1);
      await screenshot(page, 'story-run');
    });

    it('sees a client die, and the run go on without it', async () => {
      await network.killClient('school');
      await open('Organisations');
      const row = page.getByTestId('organisations').getByRole('row').filter({ hasText: 'school' });
      await row.getByText('offline').waitFor({ timeout: 20_000 });
      await page.getByText(`3 of ${NAMES.length} connected`).waitFor();
      network.startClient('school');
      await page.getByText(`${NAMES.length} of ${NAMES.length} connected`).waitFor({ timeout: 30_000 });
      const ended = await network.untilRunEnds(runId);
      expect(ended).toMatchObject({ status: 'completed', completedRounds: 12 });
      const counted = (await network.rounds(runId)).map(({ participants }) =>
        participants.some(({ name, status }) => name === 'school' && status === 'unmasked'),
      );
      expect(counted[0]).toBe(true);
      await page.goto(`${network.url}/runs/${runId}`);
      await page.getByTestId('run-status').getByText('Completed').waitFor({ timeout: 20_000 });
    });

    it('promotes one version after another, and rolls back', async () => {
      const versions = (await network.rounds(runId)).flatMap(({ version }) => version ?? []).reverse();
      for (const version of [versions[8], versions[10]]) {
        await page.goto(`${network.url}/versions/${version}`);
        await page.getByRole('button', { name: 'Promote' }).click();
        const dialog = page.getByRole('dialog');
        const reason = dialog.getByLabel('Why all the same');
        // The gate may pass or not after few rounds.
        await dialog.getByRole('button', { name: /^Promote/ }).waitFor();
        const isRefused = await reason.isVisible();
        if (isRefused) await reason.fill('seen by the clinic');
        await dialog.getByRole('button', { name: isRefused ? 'Promote all the same' : 'Promote', exact: true }).click();
        await dialog.waitFor({ state: 'hidden' });
      }
      await page.goto(`${network.url}/versions`);
      await page.getByRole('button', { name: 'History of stable' }).click();
      await page.getByRole('button', { name: 'Roll stable back' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
      await page.getByRole('cell', { name: 'Rolled back' }).waitFor();
    });

    it('makes a user, and finds everything in the audit log', async () => {
      await open('Users');
      await page.getByRole('button', { name: 'Make a user' }).click();
      await page.getByRole('dialog').getByRole('textbox', { name: /^Name/ }).fill('Not A Name');
      await page.getByRole('button', { name: 'Make the user' }).click();
      await page.getByText(/must be lower-case letters/).waitFor();
      await page.getByRole('dialog').getByRole('textbox', { name: /^Name/ }).fill('olga');
      await page.getByRole('button', { name: 'Make the user' }).click();
      expect(await page.getByTestId('secret').textContent()).toContain('/#setup=');
      await page.getByRole('button', { name: 'I have kept it' }).click();
      await page.getByTestId('users').getByText('invited', { exact: true }).waitFor();
      await open('Audit log');
      for (const event of ['user.created', 'run.paused', 'run.resumed'])
        await page.getByTestId('audit').getByText(event).first().waitFor();
      await page.getByRole('textbox', { name: /^Event/ }).fill('channel.');
      await page.getByTestId('audit').getByText('run.paused').waitFor({ state: 'detached' });
    });

    async function overflow(name: string): Promise<string[]> {
      const [width, pixels] = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return [clientWidth, scrollWidth - clientWidth];
      });
      return pixels > 0 ? [`${name}: ${pixels} px too wide at ${width} px`] : [];
    }

    it('has no page that axe finds something serious in, in the light or the dark, nor one that is wider than its window', async () => {
      const [version] = (await network.rounds(runId)).flatMap((round) => round.version ?? []);
      const pages = {
        overview: '/',
        runs: '/runs',
        run: `/runs/${runId}`,
        plan: '/runs/plan',
        organisations: '/organisations',
        organisation: '/organisations/clinic',
        calendar: '/calendar',
        versions: '/versions',
        version: `/versions/${version}`,
        users: '/users',
        tokens: '/tokens',
        audit: '/audit',
        account: '/account',
      };
      const findings: string[] = [];
      for (const [name, address] of Object.entries(pages)) {
        await page.setViewportSize({ width: 1280, height: 900 });
        await page.goto(`${network.url}${address}`);
        await page.locator('h1').first().waitFor();
        await page.waitForFunction(() => document.querySelector('[aria-busy=true]') === null);
        for (const colorScheme of COLOR_SCHEMES) {
          for (const { id, impact, nodes } of await violationsOf(page, colorScheme))
            if (impact === 'serious' || impact === 'critical')
              findings.push(`${name} ${colorScheme}: ${id} ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
          await screenshot(page, `page-${name}-${colorScheme}`);
        }
        await page.emulateMedia({ colorScheme: 'light' });
        findings.push(...(await overflow(name)));
        await page.setViewportSize({ width: 390, height: 844 });
        findings.push(...(await overflow(name)));
        await screenshot(page, `page-${name}-phone`);
      }
      expect(findings).toEqual([]);
    });

    it('ends with signing out, and no error in the browser', async () => {
      await page.setViewportSize({ width: 1280, height: 900 });
      expect(problems).toEqual([]);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByTestId('sign-in').waitFor();
    });
  },
);
