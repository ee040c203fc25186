import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { errorCatalogue, routes, type AuditLine, type Page } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { measuredRun, ReleaseNetwork } from '../../../test/support/release-network.js';
import { send } from '../../../test/support/requests.js';

const deploy = resolve(import.meta.dirname, '..', '..', '..', 'deploy');

let network: ReleaseNetwork;

beforeAll(async () => {
  network = await ReleaseNetwork.start([{ loss: 2, exact: 0.1 }]);
});
afterAll(async () => {
  await network.stop();
});

const text = async (): Promise<string> => (await send(network.url, 'GET', '/metrics')).text();

/** Samples by name and labels, as they are printed. */
async function samples(): Promise<Map<string, number>> {
  const lines = (await text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

describe('/metrics', () => {
  it('says that it drives, and counts rounds, phases, bytes, refusals and failed sign-ins', async () => {
    const before = await samples();
    expect([before.get('fedlora_driving'), before.get('fedlora_takeovers_total')]).toEqual([1, 0]);
    expect(before.get('fedlora_connected_organisations')).toBe(3);
    expect(before.get('fedlora_rounds_total{outcome="done"}')).toBe(0);
    await network.complete(measuredRun('city/support', 1));
    await send(network.url, 'GET', routes.run('nothing'), network.token);
    await send(network.url, 'POST', routes.signIn, undefined, { name: 'admin', password: 'not the password' });
    await expect.poll(async () => (await samples()).get('fedlora_rounds_total{outcome="done"}')).toBe(1);
    const after = await samples();
    expect(after.get('fedlora_phase_seconds_count{phase="training"}')).toBe(1);
    expect(after.get('fedlora_runs{status="completed"}')).toBe(1);
    expect(after.get('fedlora_runs{status="running"}')).toBe(0);
    expect(after.get('fedlora_open_rounds')).toBe(0);
    expect(after.get('fedlora_backlog{kind="answers"}')).toBe(0);
    expect(after.get('fedlora_refusals_total{surface="http",code="run/unknown"}')).toBe(1);
    expect(after.get('fedlora_sign_in_failures_total')).toBe(1);
    for (const name of ['fedlora_received_bytes_total', 'fedlora_sent_bytes_total'])
      expect(after.get(name)).toBeGreaterThan((before.get(name) ?? Number.NaN) + 1000);
  });

  it('names nobody: labels have values of fixed lists', async () => {
    const known = new Set([
      ...Object.keys(errorCatalogue),
      ...['http', 'socket', 'done', 'aborted', 'answers', 'effects'],
      ...['running', 'paused', 'completed', 'stopped', 'failed'],
      ...['recruiting', 'advertising', 'sharing', 'training', 'checking', 'unmasking', 'applying'],
    ]);
    for (const sample of (await samples()).keys()) {
      if (!sample.startsWith('fedlora_') || sample.startsWith('fedlora_build_info')) continue;
      for (const [, name, value] of sample.matchAll(/(\w+)="([^"]*)"/g))
        if (name !== 'le') expect(known, sample).toContain(value);
    }
  });
});

/** Names of metrics in an expression, without the endings of histograms; `up` is Prometheus' own. */
function namesIn(expression: string): string[] {
  return [...expression.matchAll(/\b(?:fedlora|process|nodejs)_\w+/g)].map(([name]) =>
    name.replace(/_(?:bucket|sum|count)$/, ''),
  );
}

describe('what is deployed with Prometheus and Grafana', () => {
  async function expectExported(expressions: readonly string[]): Promise<void> {
    const exported = [...(await text()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name);
    for (const expression of expressions) {
      const names = namesIn(expression);
      if (!/^up\b/.test(expression)) expect(names.length, expression).toBeGreaterThan(0);
      for (const name of names) expect(exported, expression).toContain(name);
    }
  }

  it('asks in the dashboard only for metrics that there are', async () => {
    const { panels } = JSON.parse(await readFile(join(deploy, 'grafana', 'fedlora.json'), 'utf8')) as {
      panels: { title: string; targets: { expr: string }[] }[];
    };
    const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThan(10);
    await expectExported(expressions);
  });

  it('alerts only on metrics that there are, with codes of the catalogue, and says what to do', async () => {
    const { groups } = parse(await readFile(join(deploy, 'prometheus', 'alerts.yaml'), 'utf8')) as {
      groups: { rules: { alert: string; expr: string; annotations: { summary: string; description: string } }[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    await expectExported(rules.map(({ expr }) => expr));
    for (const { alert, expr, annotations } of rules) {
      expect(annotations.summary, alert).toMatch(/\.$/);
      expect(annotations.description, alert).toMatch(/\.$/);
      for (const [, code] of expr.matchAll(/code="([^"]+)"/g)) expect(Object.keys(errorCatalogue)).toContain(code);
    }
  });
});

describe('a request', () => {
  it('has one id in its answer, its problem document and the audit log', async () => {
    const headers = { 'x-request-id': 'ticket-4711' };
    const body = { name: 'admin', password: 'still not the password' };
    const refused = await send(network.url, 'POST', routes.signIn, undefined, body, headers);
    expect(refused.headers.get('x-request-id')).toBe('ticket-4711');
    expect(await refused.json()).toMatchObject({ requestId: 'ticket-4711' });
    const { items } = await network.operate<Page<AuditLine>>('GET', `${routes.audit}?event=user.sign-in.refused`);
    expect(items[0].entry.requestId).toBe('ticket-4711');
  });
});
