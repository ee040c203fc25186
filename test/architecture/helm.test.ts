/**
 * The chart of deploy/helm. Neither npm nor Debian has Helm: templates are rendered by Go's own template engine, compiled to
 * WebAssembly, and so use nothing of Helm's functions but `toJson`, which stands for itself here.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parse as render } from '@evertdespiegeleer/go-template';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../coordinator/src/config/coordinator-config.js';
import { root } from './sources.js';

type Values = Readonly<Record<string, unknown>>;
interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: unknown;
}
interface Pod {
  readonly securityContext: Values;
  readonly automountServiceAccountToken: boolean;
  readonly volumes: readonly Values[];
  readonly containers: readonly {
    readonly image: string;
    readonly args?: readonly string[];
    readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
    readonly securityContext: Values;
    readonly ports?: readonly { readonly containerPort: number }[];
    readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  }[];
}

const chart = join(root, 'deploy', 'helm', 'fedlora');
const read = (path: string): string => readFileSync(join(chart, path), 'utf8');
const defaults = parse(read('values.yaml')) as Values;
const given = { federationKey: 'ab'.repeat(32), trustedProxies: ['10.42.0.0/16', '10.43.0.0/16'] };
const many = {
  replicas: 2,
  coordinatorKey: { existingSecret: 'key' },
  redis: { existingSecret: 'redis' },
  workers: { ...(defaults.workers as Values), enabled: true },
  database: { existingSecret: 'database' },
  blobs: { bucket: 'blobs', region: 'eu', endpoint: 'https://s3', prefix: 'a', existingSecret: 'keys' },
};
const everything = {
  ...defaults,
  ...given,
  ...many,
  image: { repository: 'r/fedlora', tag: '1', digest: `sha256:${'0'.repeat(64)}`, pullPolicy: 'Always' },
  env: { FEDLORA_LOG_LEVEL: 'warn' },
  envFromSecret: 'more',
  persistence: { size: '1Gi', storageClass: 'fast', existingClaim: '' },
};

const validate = new Ajv({ strict: false }).compile({
  ...(JSON.parse(read('values.schema.json')) as object),
  $schema: undefined,
});

const { autoscaling } = defaults.workers as { readonly autoscaling: Values };

/** What Helm would send to the cluster. */
async function resourcesOf(values: Values): Promise<Resource[]> {
  expect(validate(values), JSON.stringify(validate.errors)).toBe(true);
  const resources: Resource[] = [];
  const names = readdirSync(join(chart, 'templates'));
  const definitions = names.filter((name) => name.startsWith('_')).map((name) => read(`templates/${name}`));
  for (const name of names.filter((one) => !one.startsWith('_'))) {
    const template = [...definitions, read(`templates/${name}`)]
      .join('')
      .replaceAll(/toJson \.Values((?:\.\w+)+)/g, (_, path: string) => {
        const value = path
          .slice(1)
          .split('.')
          .reduce<unknown>((at, key) => (at as Values)[key], values);
        return `print ${JSON.stringify(JSON.stringify(value))}`;
      });
    const text = await render(template, { Values: values, Release: { Name: 'fedlora' } });
    for (const document of parseAllDocuments(text, { strict: true })) {
      expect(document.errors, `${name}:\n${text}`).toEqual([]);
      if (document.contents !== null) resources.push(document.toJS() as Resource);
    }
  }
  return resources;
}

const find = (resources: readonly Resource[], kind: string): Resource => {
  const found = resources.find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`There is no ${kind}.`);
  return found;
};
const named = (resources: readonly Resource[], kind: string, name: string): Resource =>
  find(
    resources.filter(({ metadata }) => metadata.name === name),
    kind,
  );
const podOf = (resources: readonly Resource[], name = 'fedlora', kind = 'Deployment'): Pod =>
  (named(resources, kind, name).spec as { template: { spec: Pod } }).template.spec;
/** The settings of a program that stand in the chart, as a process would find them. */
const writtenOf = ({ env }: Pod['containers'][number]): NodeJS.ProcessEnv =>
  Object.fromEntries(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])));
const secretsOf = ({ env }: Pod['containers'][number]): readonly string[] =>
  env.filter(({ valueFrom }) => 'secretKeyRef' in (valueFrom ?? {})).map(({ name }) => name);

describe('the values of the chart', () => {
  it('lack nothing but what only the operator knows', () => {
    expect(validate({ ...defaults, ...given })).toBe(true);
    expect(validate(everything), JSON.stringify(validate.errors)).toBe(true);
    expect(validate(defaults)).toBe(false);
  });

  it.each([
    ['a federation key that is none', { federationKey: 'key' }],
    ['no trusted proxy', { trustedProxies: [] }],
    ['a tag that means another image tomorrow', { image: { repository: 'r', tag: 'latest' } }],
    ['a setting of another program', { env: { PATH: '/' } }],
    ['a value that there is not', { replica: 3 }],
    ['several coordinators without a key of their own', { ...many, coordinatorKey: { existingSecret: '' } }],
    ['several coordinators without a database', { ...many, database: { existingSecret: '' } }],
    ['several coordinators without a bucket', { ...many, blobs: defaults.blobs }],
    ['workers without Redis', { ...many, redis: { existingSecret: '' } }],
    ['Redis without a database', { redis: { existingSecret: 'redis' } }],
  ])('are refused with %s', (_what, change) => {
    expect(validate({ ...defaults, ...given, ...change })).toBe(false);
  });
});

describe('the chart of one coordinator', () => {
  it('makes what a coordinator needs, and nothing twice', async () => {
    const resources = await resourcesOf({ ...defaults, ...given });
    const names = resources.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(names.sort()).toEqual([
      'Deployment/fedlora',
      'Ingress/fedlora',
      'NetworkPolicy/fedlora',
      'PersistentVolumeClaim/fedlora',
      'Service/fedlora',
      'Service/fedlora-nothing',
      'ServiceAccount/fedlora',
    ]);
    const off = (name: string): Values => ({ ...(defaults[name] as Values), enabled: false });
    const plain = { ingress: off('ingress'), networkPolicy: off('networkPolicy'), persistence: { existingClaim: 'a' } };
    const few = await resourcesOf({ ...defaults, ...given, ...plain });
    expect(few.map(({ kind }) => kind).sort()).toEqual(['Deployment', 'Service', 'ServiceAccount']);
    expect(podOf(few).volumes[0]).toEqual({ name: 'data', persistentVolumeClaim: { claimName: 'a' } });
  });

  it('gives it settings that it takes, in a folder of its own below the mount', async () => {
    const [alone] = podOf(await resourcesOf({ ...defaults, ...given })).containers;
    expect(alone.env.map(({ name }) => name)).toEqual([
      'NODE_OPTIONS',
      'FEDLORA_FEDERATION_KEY',
      'FEDLORA_DATA',
      'FEDLORA_TRUSTED_PROXIES',
    ]);
    const { dataFolder } = loadConfig([], writtenOf(alone));
    expect(dirname(dataFolder)).toBe(alone.volumeMounts[0].mountPath);
  });

  it('runs the image as it was built: its user, port and folder, on a read-only root, without rights', async () => {
    const dockerfile = readFileSync(join(root, 'deploy/docker/coordinator.Dockerfile'), 'utf8');
    const pod = podOf(await resourcesOf({ ...defaults, ...given }));
    const [container] = pod.containers;
    const { runAsUser, runAsGroup, fsGroup } = pod.securityContext;
    expect(dockerfile).toContain(`USER ${String(runAsUser)}:${String(runAsGroup)}`);
    expect(fsGroup).toBe(runAsGroup);
    expect(dockerfile).toContain(`EXPOSE ${String(container.ports?.[0].containerPort)}`);
    expect(dockerfile).toContain(`VOLUME ${container.volumeMounts[0].mountPath}`);
    expect(pod).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('has the data with one pod at a time, and keeps them when the release goes', async () => {
    const resources = await resourcesOf({ ...defaults, ...given });
    expect(find(resources, 'Deployment').spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } });
    expect(find(resources, 'PersistentVolumeClaim').metadata).toMatchObject({
      annotations: { 'helm.sh/resource-policy': 'keep' },
    });
  });
});

describe('the chart of two coordinators and their workers', () => {
  const selects = (resource: Resource): unknown =>
    (resource.spec as { selector?: { matchLabels?: unknown } }).selector?.matchLabels ?? resource.spec;

  it('makes what they need, and a job that brings the database up to date before an upgrade', async () => {
    const names = (await resourcesOf(everything)).map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(names.sort()).toEqual([
      'Deployment/fedlora',
      'Deployment/fedlora-worker',
      'Ingress/fedlora',
      'Job/fedlora-migrate',
      'NetworkPolicy/fedlora',
      'NetworkPolicy/fedlora-worker',
      'PodDisruptionBudget/fedlora',
      'PodDisruptionBudget/fedlora-worker',
      'Service/fedlora',
      'Service/fedlora-nothing',
      'ServiceAccount/fedlora',
    ]);
    const workers = { ...everything.workers, autoscaling: { ...autoscaling, enabled: true } };
    const scaled = await resourcesOf({ ...everything, workers });
    expect(find(scaled, 'HorizontalPodAutoscaler').spec).toMatchObject({
      scaleTargetRef: { kind: 'Deployment', name: 'fedlora-worker' },
      minReplicas: 1,
      maxReplicas: 6,
    });
    // The autoscaler has the number, and an upgrade does not set it back.
    expect(named(scaled, 'Deployment', 'fedlora-worker').spec).not.toHaveProperty('replicas');
  });

  it('gives each program the settings and passwords that it takes, by reference, and the worker no others', async () => {
    const resources = await resourcesOf(everything);
    const [coordinator] = podOf(resources).containers;
    const [worker] = podOf(resources, 'fedlora-worker').containers;
    const [migrate] = podOf(resources, 'fedlora-migrate', 'Job').containers;
    const image = `r/fedlora@sha256:${'0'.repeat(64)}`;
    expect([coordinator.image, worker.image, migrate.image]).toEqual([image, image, image]);
    expect([coordinator.args, worker.args, migrate.args]).toEqual([undefined, ['worker'], ['migrate']]);

    const { heapMiB } = defaults.workers as { readonly heapMiB: number };
    expect(writtenOf(coordinator).NODE_OPTIONS).toBe(`--max-old-space-size=${String(defaults.heapMiB)}`);
    expect(writtenOf(worker).NODE_OPTIONS).toBe(`--max-old-space-size=${heapMiB}`);
    const bucket = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];
    expect(secretsOf(coordinator)).toEqual(['FEDLORA_REDIS_URL', ...bucket, 'FEDLORA_DATABASE_URL']);
    expect(secretsOf(worker)).toEqual(['FEDLORA_REDIS_URL', ...bucket]);
    expect(secretsOf(migrate)).toEqual(['FEDLORA_DATABASE_URL']);
    const secrets = {
      FEDLORA_REDIS_URL: 'rediss://redis:6379',
      FEDLORA_DATABASE_URL: 'postgres://a:b@database:5432/c',
    };
    const blobs = { s3: { bucket: 'blobs', region: 'eu', endpoint: 'https://s3', prefix: 'a' } };
    expect(loadConfig([], { ...writtenOf(coordinator), ...secrets })).toMatchObject({
      federationKey: given.federationKey,
      trustedProxies: given.trustedProxies,
      logLevel: 'warn',
      coordinatorKeyFile: '/etc/fedlora/coordinator.key',
      blobs,
    });
    const { FEDLORA_REDIS_URL } = secrets;
    expect(loadConfig([], { ...writtenOf(worker), FEDLORA_REDIS_URL }, 'worker')).toMatchObject({ blobs });

    const reference = readFileSync(join(root, 'deploy/docs/configuration.md'), 'utf8');
    const settings = [coordinator, worker, migrate].flatMap(({ env }) => env.map(({ name }) => name));
    for (const name of settings.filter((one) => one.startsWith('FEDLORA_'))) expect(reference).toContain(`\`${name}\``);
  });

  it('has the signing key where the coordinator looks for it, and nothing that only one pod can have', async () => {
    const { volumes, containers } = podOf(await resourcesOf(everything));
    const { coordinatorKeyFile = '' } = loadConfig([], {
      ...writtenOf(containers[0]),
      FEDLORA_DATABASE_URL: 'postgres://a:b@database:5432/c',
    });
    expect(containers[0].volumeMounts).toContainEqual({
      name: 'key',
      mountPath: dirname(coordinatorKeyFile),
      readOnly: true,
    });
    expect(volumes.find(({ name }) => name === 'key')).toMatchObject({
      secret: { secretName: 'key', defaultMode: 0o440, items: [{ path: basename(coordinatorKeyFile) }] },
    });
    expect(volumes.find(({ name }) => name === 'data')).toEqual({ name: 'data', emptyDir: { sizeLimit: '1Gi' } });
  });

  it('replaces one coordinator after the other, and lets nodes be drained as long as one is left', async () => {
    const resources = await resourcesOf(everything);
    expect(find(resources, 'Deployment').spec).toMatchObject({
      replicas: 2,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    });
    for (const name of ['fedlora', 'fedlora-worker']) {
      const budget = named(resources, 'PodDisruptionBudget', name);
      expect(budget.spec).toMatchObject({ maxUnavailable: 1 });
      expect(selects(budget)).toEqual(selects(named(resources, 'Deployment', name)));
    }
  });

  it('lets pods in only where they are asked, and out only where the operator says', async () => {
    const [database, redis, bucket] = [
      { cidr: '10.0.0.7/32', port: 5432 },
      { cidr: '10.0.0.8/32', port: 6379 },
      { cidr: '10.0.0.9/32', port: 443 },
    ];
    const egress = { coordinator: [database, redis, bucket], workers: [redis, bucket] };
    const networkPolicy = { ...(defaults.networkPolicy as Values), egress };
    const resources = await resourcesOf({ ...everything, networkPolicy });
    const names = {
      ports: [
        { protocol: 'UDP', port: 53 },
        { protocol: 'TCP', port: 53 },
      ],
    };
    const to = ({ cidr, port }: typeof database) => ({ to: [{ ipBlock: { cidr } }], ports: [{ port }] });
    const coordinators = {
      podSelector: { matchLabels: selects(named(resources, 'Deployment', 'fedlora')) },
    };
    expect(named(resources, 'NetworkPolicy', 'fedlora').spec).toEqual({
      ...coordinators,
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          ports: [{ port: 'http' }],
          from: [
            ...['ingress-nginx', 'monitoring'].map((name) => ({
              namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
            })),
            coordinators,
          ],
        },
      ],
      egress: [names, { ports: [{ port: 'http' }], to: [coordinators] }, ...[database, redis, bucket].map(to)],
    });
    expect(named(resources, 'NetworkPolicy', 'fedlora-worker').spec).toEqual({
      podSelector: { matchLabels: selects(named(resources, 'Deployment', 'fedlora-worker')) },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [],
      egress: [names, ...[redis, bucket].map(to)],
    });
    const open = await resourcesOf(everything);
    for (const name of ['fedlora', 'fedlora-worker'])
      expect(named(open, 'NetworkPolicy', name).spec).toMatchObject({ policyTypes: ['Ingress'] });
    // The Service's pods are coordinators, not workers.
    const service = named(open, 'Service', 'fedlora').spec as { readonly selector: unknown };
    expect(service.selector).toEqual(selects(named(open, 'Deployment', 'fedlora')));
    expect(service.selector).not.toEqual(selects(named(open, 'Deployment', 'fedlora-worker')));
  });

  it('gives all of them no more rights than the image needs', async () => {
    const resources = await resourcesOf(everything);
    const pods = [podOf(resources), podOf(resources, 'fedlora-worker'), podOf(resources, 'fedlora-migrate', 'Job')];
    for (const pod of pods) {
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 10001 },
      });
      expect(pod.containers[0].securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
  });
});
