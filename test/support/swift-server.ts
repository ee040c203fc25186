/**
 * A real server that speaks S3: OpenStack Swift with its `s3api`, as Debian packages it (`swift-proxy swift-account swift-container
 * swift-object`). One device, one replica, in a folder of a test.
 */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { freePort, untilListening } from './free-port.js';
import { endProcess } from './processes.js';

const kinds = ['object', 'container', 'account'] as const;
/** Where Debian puts them; they run with Debian's own Python. */
const programs = [...kinds, 'proxy'].map((kind) => `/usr/bin/swift-${kind}-server`);

/** Why it cannot be run here, if so: what is absent. */
export const whyNoSwift = programs.every((path) => existsSync(path))
  ? undefined
  : 'OpenStack Swift is not installed (on Debian: swift-proxy swift-account swift-container swift-object)';

export const swiftKeys = { accessKeyId: 'test:tester', secretAccessKey: 'testing' } as const;

export class SwiftServer {
  private readonly children: ChildProcess[] = [];

  private constructor(readonly url: string) {}

  /** @param folder of a file system with extended attributes; Swift's own from now on */
  static async start(folder: string): Promise<SwiftServer> {
    const port = await freePort();
    const server = new SwiftServer(`http://127.0.0.1:${port}`);
    const devices = join(folder, 'devices');
    mkdirSync(join(devices, 'd1'), { recursive: true });
    const common = `swift_dir = ${folder}\nuser = root\nlog_level = CRITICAL\nbind_ip = 127.0.0.1\n`;
    try {
      const ports = new Map<string, number>();
      for (const kind of kinds) ports.set(kind, await freePort());
      buildRings(folder, ports);
      for (const [kind, own] of ports) {
        const settings = `bind_port = ${own}\nworkers = 0\nmount_check = false\ndevices = ${devices}\nfallocate_reserve = 0\n`;
        const app = `[pipeline:main]\npipeline = ${kind}-server\n[app:${kind}-server]\nuse = egg:swift#${kind}\n`;
        server.run(folder, kind, `[DEFAULT]\n${common}${settings}${app}`);
      }
      server.run(folder, 'proxy', `[DEFAULT]\n${common}bind_port = ${port}\nworkers = 0\n${pipeline()}`);
      await Promise.all([port, ...ports.values()].map((one) => untilListening(one)));
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** As the coordinator opens it, with checksums that Swift knows. */
  client(): S3Client {
    return new S3Client({
      region: 'us-east-1',
      endpoint: this.url,
      forcePathStyle: true,
      credentials: swiftKeys,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.children.map((child) => endProcess(child)));
  }

  private run(folder: string, kind: string, settings: string): void {
    const path = join(folder, `${kind}-server.conf`);
    writeFileSync(path, settings);
    this.children.push(spawn(`/usr/bin/swift-${kind}-server`, [path], { stdio: 'ignore' }));
  }
}

/** Says which device has the data of each kind: one process for all of them, as each takes half a second to start. */
function buildRings(folder: string, ports: ReadonlyMap<string, number>): void {
  const script = `
import sys
from swift.common.ring import RingBuilder
folder = sys.argv[1]
for kind, port in (one.split(':') for one in sys.argv[2:]):
    builder = RingBuilder(2, 1, 1)
    builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': int(port), 'device': 'd1', 'weight': 1})
    builder.rebalance(seed=1)
    builder.get_ring().save(f'{folder}/{kind}.ring.gz')
`;
  const rings = [...ports].map(([kind, port]) => `${kind}:${port}`);
  execFileSync('/usr/bin/python3', ['-c', script, folder, ...rings], { stdio: 'ignore' });
}

function pipeline(): string {
  const filters = [
    'catch_errors',
    'healthcheck',
    'cache',
    'listing_formats',
    'bulk',
    's3api',
    'tempauth',
    'copy',
    'slo',
  ];
  const settings: Partial<Record<string, string>> = {
    s3api: 's3_acl = false',
    tempauth: `user_${swiftKeys.accessKeyId.replace(':', '_')} = ${swiftKeys.secretAccessKey} .admin .reseller_admin`,
  };
  const sections = filters.map(
    (name) => `[filter:${name}]\nuse = egg:swift#${name === 'cache' ? 'memcache' : name}\n${settings[name] ?? ''}\n`,
  );
  return `[pipeline:main]\npipeline = ${filters.join(' ')} proxy-server\n[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n${sections.join('')}`;
}
