/**
 * Versions with their weights in another number format, made when somebody asks for them first. Each is a version folder of its own, with
 * an id by its content and the coordinator's signature, so that every tool that pulls and checks versions does so with these.
 *
 * Guarantee  The same version and format give the same files and the same id, at any time and on any machine.
 */

import { setImmediate } from 'node:timers/promises';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  conversion,
  FedloraError,
  hasCode,
  type WeightDtype,
} from '@fedlora/shared';
import type { VersionStore } from './version-store.js';

export class ConvertedVersions {
  /** Ids by version and format, those that are being made included: each is made once, however many ask. */
  private readonly made = new Map<string, Promise<string>>();

  constructor(private readonly store: VersionStore) {}

  /** The id of a version in a format. @throws FedloraError version/no-revision: it has values that the format cannot hold | version/damaged */
  of(version: string, dtype: WeightDtype): Promise<string> {
    const name = `${version}-${dtype}`;
    const known = this.made.get(name);
    if (known !== undefined) return known;
    const making = this.make(version, dtype);
    this.made.set(name, making);
    making.catch(() => this.made.delete(name));
    return making;
  }

  /** The version that a converted one is of; `undefined` for any other id. */
  async originOf(id: string): Promise<string | undefined> {
    try {
      return (await this.store.record(id)).conversion?.version;
    } catch (error) {
      if (hasCode(error, 'version/unknown')) return undefined;
      throw error;
    }
  }

  private async make(version: string, dtype: WeightDtype): Promise<string> {
    const { id, files: _files, ...provenance } = await this.store.record(version);
    const file = (name: string): Promise<Uint8Array> => this.store.checkedFile(id, name);
    const card = Buffer.from(await file('README.md')).toString('utf8');
    const note = `\nThis is version \`${id}\` with its weights rounded to ${dtype}.\n`;
    const contents = new Map([
      [ADAPTER_CONFIG_FILE, await file(ADAPTER_CONFIG_FILE)],
      [ADAPTER_WEIGHTS_FILE, await rounded(await file(ADAPTER_WEIGHTS_FILE), dtype, id)],
      ['README.md', Buffer.from(`${card}${note}`)],
    ]);
    return (await this.store.sign({ ...provenance, conversion: { version: id, dtype } }, contents)).id;
  }
}

async function rounded(weights: Uint8Array, dtype: WeightDtype, version: string): Promise<Uint8Array> {
  const steps = conversion(weights, dtype, { fedlora_version: version, fedlora_dtype: dtype });
  try {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value.bytes;
      await setImmediate(); // A large version's take seconds: others get their turn.
    }
  } catch (cause) {
    if (!hasCode(cause, 'adapter/not-finite')) throw cause;
    throw new FedloraError('version/no-revision', `Version ${version} has values that ${dtype} cannot hold.`, {
      cause,
    });
  }
}
