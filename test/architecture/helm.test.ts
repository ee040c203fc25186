/**
 * The chart of deploy/helm. Neither npm nor Debian has Helm: templates are rendered by Go's own template engine, compiled to
 * WebAssembly, and so use nothing of Helm's functions but `toJson`, which stands for itself here.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
    readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
    readonly securityContext: Values;
    readonly ports: readonly { readonly containerPort: number }[];
    readonly volumeMounts: readonly { readonly mountPath: string }[];
  }[];
}

const chart = join(root, 'deploy', 'helm', 'fedlora');
const read = (path: string): string => readFileSync(join(chart, path), 'utf8');
const defaults = parse(read('values.yaml')) as Values;
const given = { federationKey: 'ab'.repeat(32), trustedProxies: ['10.42.0.0/16', '10.43.0.0/16'] };
const everything = {
  ...defaults,
  ...given,
  image: { repository: 'r/fedlora', tag: '1', digest: `sha256:${'0'.repeat(64)}`, pullPolicy: 'Always' },
  database: { existingSecret: 'database' },
  blobs: { bucket: 'blobs', region: 'eu', endpoint: 'https://s3', prefix: 'a', existingSecret: 'keys' },
  env: { FEDLORA_LOG_LEVEL: 'warn' },
  envFromSecret: 'more',
  persistence: { size: '1Gi', storageClass: 'fast', existingClaim: '' },
};

/** What Helm would send to the cluster. */
async function resourcesOf(values: Values): Promise<Resource[]> {
  const resources: Resource[] = [];
  for (const name of readdirSync(join(chart, 'templates'))) {
    const template = read(`templates/${name}`).replaceAll(/toJson \.Values((?:\.\w+)+)/g, (_, path: string) => {
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
const podOf = (resources: readonly Resource[]): Pod =>
  (find(resources, 'Deployment').spec as { template: { spec: Pod } }).template.spec;

describe('the values of the chart', () => {
  const validate = new Ajv({ strict: false }).compile({
    ...(JSON.parse(read('values.schema.json')) as object),
    $schema: undefined,
  });

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
    ['a value that there is not', { replicas: 3 }],
  ])('are refused with %s', (_what, change) => {
    expect(validate({ ...defaults, ...given, ...change })).toBe(false);
  });
});

describe('the chart', () => {
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

  it('gives the coordinator settings that it takes, and passwords by reference only', async () => {
    const [{ env, image }] = podOf(await resourcesOf(everything)).containers;
    expect(image).toBe(`r/fedlora@sha256:${'0'.repeat(64)}`);
    const written = Object.fromEntries(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])));
    expect(loadConfig([], written as NodeJS.ProcessEnv)).toMatchObject({
      federationKey: given.federationKey,
      trustedProxies: given.trustedProxies,
      logLevel: 'warn',
      blobs: { s3: { bucket: 'blobs', region: 'eu', endpoint: 'https://s3', prefix: 'a' } },
    });
    expect(env.filter(({ valueFrom }) => valueFrom !== undefined).map(({ name }) => name)).toEqual([
      'FEDLORA_DATABASE_URL',
      'AWS_ACCESS_KEY_ID',
      'AWS_SECRET_ACCESS_KEY',
    ]);
    const [alone] = podOf(await resourcesOf({ ...defaults, ...given })).containers;
    expect(alone.env.map(({ name }) => name)).toEqual(['FEDLORA_FEDERATION_KEY', 'FEDLORA_TRUSTED_PROXIES']);
  });

  it('runs the image as it was built: its user, port and folder, on a read-only root, without rights', async () => {
    const dockerfile = readFileSync(join(root, 'deploy/docker/coordinator.Dockerfile'), 'utf8');
    const pod = podOf(await resourcesOf({ ...defaults, ...given }));
    const [container] = pod.containers;
    const { runAsUser, runAsGroup, fsGroup } = pod.securityContext;
    expect(dockerfile).toContain(`USER ${String(runAsUser)}:${String(runAsGroup)}`);
    expect(fsGroup).toBe(runAsGroup);
    expect(dockerfile).toContain(`EXPOSE ${container.ports[0].containerPort}`);
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
