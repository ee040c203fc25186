/**
 * The part of the configuration that says in which bucket blobs are kept. Keys are none of it: the SDK finds them by itself, in the
 * environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), in a file (AWS_SHARED_CREDENTIALS_FILE), or as the machine's role.
 */

import { FedloraError } from '@fedlora/shared';

export interface BlobsConfig {
  /** A bucket of S3, or of a server that speaks its protocol. */
  readonly s3: S3Config;
}

export interface S3Config {
  /** Its name. FEDLORA_S3_BUCKET. */
  readonly bucket: string;
  /** Default `us-east-1`, which servers other than Amazon's mostly take. FEDLORA_S3_REGION. */
  readonly region: string;
  /** Of a server other than Amazon's. `http` sends blobs as they are: for a network that nobody else is on. FEDLORA_S3_ENDPOINT. */
  readonly endpoint?: string;
  /** Before every key, with a slash between: several coordinators in one bucket. Default none. FEDLORA_S3_PREFIX. */
  readonly prefix: string;
}

const environmentOf = {
  bucket: 'FEDLORA_S3_BUCKET',
  region: 'FEDLORA_S3_REGION',
  endpoint: 'FEDLORA_S3_ENDPOINT',
  prefix: 'FEDLORA_S3_PREFIX',
} as const;

type Name = keyof typeof environmentOf;

/**
 * The bucket of a file's `blobs.s3` and the environment, which wins; `undefined` if neither names one.
 *
 * @throws FedloraError config/invalid: names the setting
 */
export function blobsOf(inFile: unknown, environment: NodeJS.ProcessEnv): BlobsConfig | undefined {
  const { s3, ...others } = inFile === undefined ? {} : expectObject('blobs', inFile);
  const [other] = Object.keys(others);
  if (other !== undefined) refuse(`blobs.${other}`, 'is no setting. Known: s3.');
  const file = s3 === undefined ? {} : expectObject('blobs.s3', s3);
  const names = Object.keys(environmentOf) as Name[];
  const unknown = Object.keys(file).find((name) => !(name in environmentOf));
  if (unknown !== undefined) refuse(`blobs.s3.${unknown}`, `is no setting. Known: ${names.join(', ')}.`);
  const given = Object.fromEntries(
    names.map((name) => [name, environment[environmentOf[name]] || file[name]]),
  ) as Readonly<Record<Name, unknown>>;
  if (names.every((name) => given[name] === undefined)) return undefined;

  const { bucket, region = 'us-east-1', endpoint, prefix = '' } = given;
  if (typeof bucket !== 'string' || !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    return refuse('blobs.s3.bucket', 'is required: the name of a bucket, such as fedlora-blobs.');
  if (typeof region !== 'string' || !/^[a-z0-9-]+$/.test(region))
    return refuse('blobs.s3.region', 'must be a region, such as eu-central-1.');
  if (endpoint !== undefined && !isWebAddress(endpoint))
    return refuse('blobs.s3.endpoint', 'must be an http or https address.');
  if (typeof prefix !== 'string' || !/^([\w-][\w.-]*(\/[\w-][\w.-]*)*)?$/.test(prefix))
    return refuse('blobs.s3.prefix', 'must be made of letters, digits, ".", "_" and "-", with single slashes between.');
  return Object.freeze({
    s3: Object.freeze({ bucket, region, ...(endpoint === undefined ? {} : { endpoint }), prefix }),
  });
}

function isWebAddress(value: unknown): value is string {
  return typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
}

function expectObject(setting: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(setting, 'must be an object.');
  return value as Readonly<Record<string, unknown>>;
}

function refuse(setting: string, why: string): never {
  throw new FedloraError('config/invalid', `${setting} ${why}`);
}
