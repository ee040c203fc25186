/** Who is told of a new version: a running server that serves it, or any command. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { FedloraError } from '@fedlora/shared';

export interface Loader {
  readonly name: string;
  /** @param folder absolute, of the version itself, so that it stays the same version whatever happens to `current` */
  load(id: string, folder: string): Promise<void>;
  /** The version was revoked and there is no other. */
  unload(id: string): Promise<void>;
}

/** A server that does not answer for so long is in trouble. */
const TIMEOUT_MS = 120_000;

/**
 * A running vLLM, started with `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True. It must see the folder under the same path.
 *
 * @param url of the server
 * @param adapter name under which requests ask for the adapter
 */
export function vllmLoader(url: string, adapter: string): Loader {
  const post = async (path: string, body: object): Promise<void> => {
    let response: Response;
    try {
      response = await fetch(`${url.replace(/\/+$/, '')}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (cause) {
      throw new FedloraError('pull/not-loaded', `vLLM at ${url} does not answer.`, { cause });
    }
    const said = (await response.text().catch(() => '')).slice(0, 500);
    if (!response.ok) throw new FedloraError('pull/not-loaded', `vLLM at ${url} answered ${response.status}: ${said}`);
  };
  return {
    name: `vLLM at ${url}`,
    // In place: requests that are under way end with the old weights, later ones get the new, and none finds the name missing.
    load: (_id, folder) => post('/v1/load_lora_adapter', { lora_name: adapter, lora_path: folder, load_inplace: true }),
    unload: () => post('/v1/unload_lora_adapter', { lora_name: adapter }),
  };
}

/** A command of the shell, with `environment` and told by FEDLORA_EVENT (`load`, `unload`), FEDLORA_VERSION and FEDLORA_VERSION_DIR. */
export function commandLoader(command: string, environment: NodeJS.ProcessEnv): Loader {
  const run = async (told: Readonly<Record<string, string>>): Promise<void> => {
    const child = spawn(command, { shell: true, stdio: 'inherit', env: { ...environment, ...told } });
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    if (code !== 0) throw new FedloraError('pull/not-loaded', `The command ended with ${code ?? signal}.`);
  };
  return {
    name: 'the command',
    load: (id, folder) => run({ FEDLORA_EVENT: 'load', FEDLORA_VERSION: id, FEDLORA_VERSION_DIR: folder }),
    unload: (id) => run({ FEDLORA_EVENT: 'unload', FEDLORA_VERSION: id, FEDLORA_VERSION_DIR: '' }),
  };
}
